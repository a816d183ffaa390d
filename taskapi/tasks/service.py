from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import tuple_
from sqlalchemy.orm import Mapped
from sqlmodel import Session, col, func, select
from sqlmodel.sql.expression import SelectOfScalar

from taskapi.etags import Preconditions
from taskapi.idempotency import recall, remember
from taskapi.pagination import Position
from taskapi.problems import NotFound
from taskapi.schemas import utc_now
from taskapi.tasks.models import (
    Task,
    TaskCreate,
    TaskOrder,
    TaskPage,
    TaskPublic,
    TaskReplace,
    fold,
)


def list_tasks(
    session: Session, owner_id: int, page: TaskPage, position: Position | None
) -> tuple[Sequence[Task], int | None]:
    """One more than fits the page, if there are any more; and the total, if it is asked for."""
    query = select(Task).where(Task.user_id == owner_id)
    if page.status:
        query = query.where(col(Task.status).in_(page.status))
    if page.q:
        query = query.where(col(Task.search_text).contains(fold(page.q), autoescape=True))
    total = None
    if page.total:
        total = session.exec(select(func.count()).select_from(query.subquery())).one()
    query = _sort(query, page.sort, position)
    return session.exec(query.limit(page.limit + 1)).all(), total


_COLUMNS: dict[str, Mapped[Any]] = {
    "id": col(Task.id),
    "created_at": col(Task.created_at),
    "updated_at": col(Task.updated_at),
    "title": col(Task.title_key),
}


def _sort(
    query: SelectOfScalar[Task], order: TaskOrder, position: Position | None
) -> SelectOfScalar[Task]:
    """Order, and start after a position, by an index on the same columns: a page costs the same
    wherever it is, and neither skips nor repeats while others write.
    """
    descending = order.startswith("-")
    column = _COLUMNS[order.removeprefix("-")]
    if position:
        row, start = tuple_(column, col(Task.id)), _start(order, position)
        query = query.where(row < start if descending else row > start)
    if descending:
        return query.order_by(column.desc(), col(Task.id).desc())
    return query.order_by(column, col(Task.id))


def _start(order: TaskOrder, position: Position) -> tuple[datetime | int | str, int]:
    """A position as the columns have it."""
    value, task_id = position
    match order.removeprefix("-"):
        case "created_at" | "updated_at":
            return datetime.fromisoformat(value), task_id
        case "title":
            return value, task_id
        case _:
            return task_id, task_id


def sort_value(task: Task, order: TaskOrder) -> str:
    """What `order` compares, as text for a cursor; nothing where that is the id."""
    match order.removeprefix("-"):
        case "created_at":
            return task.created_at.isoformat()
        case "updated_at":
            return task.updated_at.isoformat()
        case "title":
            return task.title_key
        case _:
            return ""


def get_task(session: Session, owner_id: int, task_id: int, conditions: Preconditions) -> Task:
    task = _one(session, _own(owner_id, task_id))
    conditions.check_read(task.etag)
    return task


def create_task(session: Session, owner_id: int, new: TaskCreate, key: str | None) -> Task:
    """Create a task, or give the one again that was created with this idempotency key."""
    request = new.model_dump_json()
    if key and (answer := recall(session, owner_id, key, request)):
        return Task.model_validate_json(answer)
    now = utc_now()
    task = Task(**new.model_dump(), user_id=owner_id, created_at=now, updated_at=now)
    task.index()
    session.add(task)
    session.flush()
    if key:
        answer = TaskPublic.model_validate(task).model_dump_json()
        remember(session, owner_id, key, request, answer)
    return task


def update_task(
    session: Session,
    owner_id: int,
    task_id: int,
    changes: TaskReplace,
    conditions: Preconditions,
) -> Task:
    """Change the fields that are set in `changes`. Writers of one task wait for each other."""
    task = _one(session, _own(owner_id, task_id).with_for_update())
    conditions.check_write(task.etag)
    task.sqlmodel_update(changes.model_dump(exclude_unset=True))
    if session.is_modified(task):
        task.updated_at = utc_now()
        task.version += 1
        task.index()
        session.flush()
    return task


def delete_task(session: Session, owner_id: int, task_id: int, conditions: Preconditions) -> None:
    task = _one(session, _own(owner_id, task_id).with_for_update())
    conditions.check_write(task.etag)
    session.delete(task)


def _own(owner_id: int, task_id: int) -> SelectOfScalar[Task]:
    return select(Task).where(Task.id == task_id, Task.user_id == owner_id)


def _one(session: Session, query: SelectOfScalar[Task]) -> Task:
    """Says the same of somebody else's task as of none, so that ids tell nothing."""
    task = session.exec(query).one_or_none()
    if task is None:
        raise NotFound("There is no such task.")
    return task
