from sqlalchemy import Connection, bindparam, delete, select, update
from sqlalchemy.sql import Executable

from taskapi.exceptions import NotFound
from taskapi.http.etags import Preconditions
from taskapi.http.idempotency import find_response, store_response
from taskapi.http.pagination import CursorPosition
from taskapi.http.raises import raises
from taskapi.models import add, columns, utc_now
from taskapi.tasks.models import (
    StoredTask,
    TaskCreate,
    TaskListParams,
    TaskPublic,
    TaskReplace,
    fold,
    tasks,
)
from taskapi.tasks.queries import count_of, page_of

_OWN = (tasks.c.user_id == bindparam("owner_id"), tasks.c.id == bindparam("task_id"))
_READ = select(*columns(tasks, StoredTask)).where(*_OWN)
_LOCK = _READ.with_for_update()
_UPDATE = update(tasks).where(*_OWN)
_DELETE = delete(tasks).where(*_OWN)


def list_tasks(
    connection: Connection, owner_id: int, page: TaskListParams, position: CursorPosition | None
) -> tuple[list[TaskPublic], int | None]:
    """One more than fits the page, if there are any more; and the total, if it is asked for."""
    total = None
    if page.total:
        total = connection.execute(*count_of(owner_id, page)).scalar_one()
    rows = connection.execute(*page_of(owner_id, page, position))
    return TaskPublic.of_rows(rows), total


@raises(NotFound)
def get_task(
    connection: Connection, owner_id: int, task_id: int, conditions: Preconditions
) -> StoredTask:
    task = _one(connection, _READ, owner_id, task_id)
    conditions.check_read(task.etag)
    return task


def create_task(
    connection: Connection, owner_id: int, new: TaskCreate, key: str | None
) -> StoredTask:
    """Create a task, or give the one again that was created with this idempotency key."""
    request = new.model_dump_json()
    if key and (answer := find_response(connection, owner_id, key, request)):
        return StoredTask.model_validate_json(answer)
    now = utc_now()
    task = {
        **new.model_dump(),
        "user_id": owner_id,
        "created_at": now,
        "updated_at": now,
        "version": 1,
    }
    found_by = _found_by(new.title, new.description)
    task_id = add(connection, tasks, task | found_by)
    created = StoredTask.model_validate({"id": task_id, **task})
    if key:
        answer = TaskPublic.model_validate(created).model_dump_json()
        store_response(connection, owner_id, key, request, answer)
    return created


@raises(NotFound)
def update_task(
    connection: Connection,
    owner_id: int,
    task_id: int,
    changes: TaskReplace,
    conditions: Preconditions,
) -> StoredTask:
    """Change the fields that are set in `changes`. Writers of one task wait for each other."""
    task = _one(connection, _LOCK, owner_id, task_id)
    conditions.check_write(task.etag)
    changed = task.model_copy(update=changes.model_dump(exclude_unset=True))
    if changed == task:
        return task
    changed.updated_at = utc_now()
    changed.version += 1
    values = changed.model_dump(include={"title", "description", "status", "updated_at", "version"})
    found_by = _found_by(changed.title, changed.description)
    own = {"owner_id": owner_id, "task_id": task_id}
    connection.execute(_UPDATE, own | values | found_by)
    return changed


@raises(NotFound)
def delete_task(
    connection: Connection, owner_id: int, task_id: int, conditions: Preconditions
) -> None:
    task = _one(connection, _LOCK, owner_id, task_id)
    conditions.check_write(task.etag)
    connection.execute(_DELETE, {"owner_id": owner_id, "task_id": task_id})


def _found_by(title: str, description: str) -> dict[str, str]:
    """What the texts are sorted and searched by."""
    return {"title_key": fold(title), "search_text": fold(f"{title}\n{description}")}


def _one(connection: Connection, query: Executable, owner_id: int, task_id: int) -> StoredTask:
    """Says the same of somebody else's task as of none, so that ids tell nothing."""
    own = {"owner_id": owner_id, "task_id": task_id}
    row = connection.execute(query, own).one_or_none()
    if row is None:
        raise NotFound("There is no such task.")
    return StoredTask.model_validate(row)
