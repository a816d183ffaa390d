"""The statements of the list of tasks: one for each shape that a request can have, built once."""

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Column, Select, bindparam, func, select, tuple_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import Executable
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from taskapi.http.pagination import CursorPosition
from taskapi.models import columns
from taskapi.tasks.models import TaskListParams, TaskOrder, TaskPublic, fold, tasks

_SORTED: Mapping[str, Column[Any]] = {
    "id": tasks.c.id,
    "created_at": tasks.c.created_at,
    "updated_at": tasks.c.updated_at,
    "title": tasks.c.title_key,
}

Statement = tuple[Executable, dict[str, object]]


class _OneOf(FunctionElement[int]):
    """A parameter, written so that PostgreSQL orders by `user_id, id` with the index on both. Where
    it knows `user_id` to be one value it orders by `id` alone, and may walk through everybody's
    tasks until it has found enough of this user's.
    """

    inherit_cache = True
    name = "one_of"


@compiles(_OneOf)
def _parameter(element: _OneOf, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 -- SQLAlchemy's own
    return compiler.process(element.clauses, **options)


@compiles(_OneOf, "postgresql")
def _any_of_one(element: _OneOf, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 -- as above
    return f"ANY (ARRAY[{_parameter(element, compiler, **options)}])"


def page_of(owner_id: int, page: TaskListParams, position: CursorPosition | None) -> Statement:
    """Selects one more than fits the page, if there are any more."""
    parameters = _filters(owner_id, page) | {"limit": page.limit + 1}
    if position:
        value, task_id = position
        parameters |= {"start": _start(page.sort, value), "start_id": task_id}
    return _page(page.sort, bool(page.status), bool(page.q), bool(position)), parameters


def count_of(owner_id: int, page: TaskListParams) -> Statement:
    """Counts all tasks that the pages have together."""
    return _count(bool(page.status), bool(page.q)), _filters(owner_id, page)


def sort_value(task: TaskPublic, order: TaskOrder) -> str:
    """What `order` compares, as text for a cursor; nothing where that is the id."""
    match order.removeprefix("-"):
        case "created_at":
            return task.created_at.isoformat()
        case "updated_at":
            return task.updated_at.isoformat()
        case "title":
            return fold(task.title)
        case _:
            return ""


def _start(order: TaskOrder, value: str) -> datetime | str:
    return datetime.fromisoformat(value) if order.endswith("_at") else value


def _filters(owner_id: int, page: TaskListParams) -> dict[str, object]:
    literal = fold(page.q).replace("/", "//").replace("%", "/%").replace("_", "/_")
    return {"owner_id": owner_id, "statuses": page.status, "pattern": f"%{literal}%"}


@cache
def _page(order: TaskOrder, statuses: bool, text: bool, after: bool) -> Select[Any]:  # noqa: FBT001 -- a cache's key
    """Ordered, and started after a position, by an index on the same columns: a page costs the same
    wherever it is, and neither skips nor repeats while others write.
    """
    query = _filtered(select(*columns(tasks, TaskPublic)), statuses, text)
    descending = order.startswith("-")
    column = _SORTED[order.removeprefix("-")]
    by = [tasks.c.id] if column is tasks.c.id else [column, tasks.c.id]
    if after:
        names = ["start_id"] if len(by) == 1 else ["start", "start_id"]
        place = tuple_(*by)
        start = tuple_(
            *(bindparam(name, type_=key.type) for name, key in zip(names, by, strict=True))
        )
        query = query.where(place < start if descending else place > start)
    ordered = (key.desc() if descending else key for key in (tasks.c.user_id, *by))
    return query.order_by(*ordered).limit(bindparam("limit"))


@cache
def _count(statuses: bool, text: bool) -> Select[Any]:  # noqa: FBT001 -- a cache's key
    return _filtered(select(func.count()).select_from(tasks), statuses, text)


def _filtered(query: Select[Any], statuses: bool, text: bool) -> Select[Any]:  # noqa: FBT001 -- a cache's key
    owner = bindparam("owner_id", type_=tasks.c.user_id.type)
    query = query.where(tasks.c.user_id == _OneOf(owner))
    if statuses:
        query = query.where(tasks.c.status.in_(bindparam("statuses", expanding=True)))
    if text:
        query = query.where(tasks.c.search_text.like(bindparam("pattern"), escape="/"))
    return query
