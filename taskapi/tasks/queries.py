"""The statements on tasks, each built once.

Statements of lists depend on the parameters: there is one for each combination.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Executable, Select, String, bindparam, delete, insert, or_, tuple_, update
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import InstrumentedAttribute, defer
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlmodel import col, func, select

from taskapi.http.pagination import CursorPosition
from taskapi.models import ID_COLUMN, attribute
from taskapi.tasks.models import (
    Task,
    TaskListParams,
    TaskOrder,
    TaskPublic,
    TaskReplace,
    VersionedTask,
    fold,
)

Statement = tuple[Executable, dict[str, object]]
"""A statement and its parameters."""

_OWN = (col(Task.user_id) == bindparam("owner_id"), col(Task.id) == bindparam("task_id"))

_REPLACED = [*TaskReplace.model_fields, "updated_at", "title_key", "search_text"]

# The columns for sorting and searching are never shown.
_TASKS: Select[Any] = select(Task).options(
    defer(attribute(Task.title_key)), defer(attribute(Task.search_text))
)

SELECT_OWN_TASK = _TASKS.where(*_OWN)
LOCK_OWN_TASK = SELECT_OWN_TASK.with_for_update()
INSERT_TASK = insert(Task)
REPLACE_OWN_TASK = (
    update(Task)
    .where(
        *_OWN,
        or_(
            *(getattr(Task, name) != bindparam(f"new_{name}") for name in TaskReplace.model_fields)
        ),
    )
    .values(
        version=col(Task.version) + 1,
        **{name: bindparam(f"new_{name}") for name in _REPLACED},
    )
    .returning(*(getattr(Task, name) for name in VersionedTask.model_fields))
)
"""It updates and returns the row if one of the fields changes."""
UPDATE_OWN_TASK = update(Task).where(*_OWN)
DELETE_OWN_TASK = delete(Task).where(*_OWN)

_ID = attribute(Task.id)
_SORT_COLUMNS: Mapping[str, InstrumentedAttribute[Any]] = {
    "id": _ID,
    "created_at": attribute(Task.created_at),
    "updated_at": attribute(Task.updated_at),
    "title": attribute(Task.title_key),
}


class _OneOf(FunctionElement[int]):
    """A parameter, rendered as `ANY (ARRAY[…])` on PostgreSQL.

    Given `user_id = $1`, PostgreSQL drops `user_id` from ORDER BY, and may then scan the primary
    key, over all users' tasks, until it has found enough tasks of this user. With ANY, it uses the
    index on `user_id, id`.
    """

    inherit_cache = True
    name = "one_of"


@compiles(_OneOf)
def _compile_parameter(element: _OneOf, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 -- SQLAlchemy's own
    return compiler.process(element.clauses, **options)


@compiles(_OneOf, "postgresql")
def _compile_any(element: _OneOf, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 -- SQLAlchemy's own
    return f"ANY (ARRAY[{_compile_parameter(element, compiler, **options)}])"


class _Find(FunctionElement[int]):
    """The position of a text in another one, from 1, or 0: `strpos` on PostgreSQL, else `instr`.

    The time of LIKE is the product of both lengths.
    """

    inherit_cache = True
    name = "find"


@compiles(_Find)
def _compile_instr(element: _Find, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 -- SQLAlchemy's own
    return f"instr({compiler.process(element.clauses, **options)})"


@compiles(_Find, "postgresql")
def _compile_strpos(element: _Find, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 -- SQLAlchemy's own
    return f"strpos({compiler.process(element.clauses, **options)})"


def select_page(
    owner_id: int, params: TaskListParams, position: CursorPosition | None
) -> Statement:
    """Select the tasks of a page, and one more if there is a next page. If the total is requested,
    each row has it.
    """
    values = _filter_values(owner_id, params) | {"limit": params.limit + 1}
    if position:
        value, task_id = position
        values |= {"start": _parse_start(params.sort, value), "start_id": task_id}
    filters = len(params.status), bool(params.q)
    statement = _select_page(params.sort, *filters, bool(position))
    return _with_total(statement, *filters) if params.total else statement, values


def count_tasks(owner_id: int, params: TaskListParams) -> Statement:
    """Count the tasks of all pages."""
    return _count_tasks(len(params.status), bool(params.q)), _filter_values(owner_id, params)


def sort_value(task: TaskPublic, order: TaskOrder) -> str:
    """Return the value that `order` compares, as text for a cursor; empty for the id."""
    match order.removeprefix("-"):
        case "created_at":
            return task.created_at.isoformat()
        case "updated_at":
            return task.updated_at.isoformat()
        case "title":
            return fold(task.title)
        case _:
            return ""


def _parse_start(order: TaskOrder, value: str) -> datetime | str:
    return datetime.fromisoformat(value) if order.endswith("_at") else value


def _filter_values(owner_id: int, params: TaskListParams) -> dict[str, object]:
    statuses = {f"status_{number}": status for number, status in enumerate(params.status)}
    return {"owner_id": owner_id, "text": fold(params.q), **statuses}


@cache
def _select_page(order: TaskOrder, statuses: int, text: bool, after: bool) -> Select[Any]:  # noqa: FBT001 -- the key of a cache
    """Select in the order of an index, starting after a position in it (keyset pagination): the
    cost does not depend on the position, and concurrent inserts neither skip nor repeat rows.
    """
    statement = _filtered(_TASKS, statuses, text)
    column = _SORT_COLUMNS[order.removeprefix("-")]
    keys = [column] if column is _ID else [column, _ID]
    descending = order.startswith("-")
    if after:
        names = ["start_id"] if len(keys) == 1 else ["start", "start_id"]
        start = tuple_(
            *(
                bindparam(name, type_=key.expression.type)
                for name, key in zip(names, keys, strict=True)
            )
        )
        row = tuple_(*keys)
        statement = statement.where(row < start if descending else row > start)
    ordered = (key.desc() if descending else key for key in (attribute(Task.user_id), *keys))
    return statement.order_by(*ordered).limit(bindparam("limit"))


@cache
def _with_total(page: Select[Any], statuses: int, text: bool) -> Select[Any]:  # noqa: FBT001 -- the key of a cache
    total = _count_tasks(statuses, text).correlate(None).scalar_subquery()
    return page.add_columns(total.label("total"))


@cache
def _count_tasks(statuses: int, text: bool) -> Select[Any]:  # noqa: FBT001 -- the key of a cache
    return _filtered(select(func.count()).select_from(Task), statuses, text)


def _filtered(statement: Select[Any], statuses: int, text: bool) -> Select[Any]:  # noqa: FBT001 -- the key of a cache
    owner_id = bindparam("owner_id", type_=ID_COLUMN)
    statement = statement.where(col(Task.user_id) == _OneOf(owner_id))
    if statuses:
        wanted: list[Any] = [bindparam(f"status_{number}") for number in range(statuses)]
        statement = statement.where(col(Task.status).in_(wanted))
    if text:
        statement = statement.where(
            _Find(col(Task.search_text), bindparam("text", type_=String)) > 0
        )
    return statement
