from sqlalchemy import Executable

from taskapi.database.connections import Connection
from taskapi.exceptions import NotFound
from taskapi.http.etags import Preconditions
from taskapi.http.idempotency import find_response, store_response
from taskapi.http.pagination import CursorPosition
from taskapi.http.raises import raises
from taskapi.models import utc_now
from taskapi.tasks.models import (
    TaskCreate,
    TaskListParams,
    TaskPatch,
    TaskPublic,
    TaskReplace,
    VersionedTask,
    fold,
)
from taskapi.tasks.queries import (
    DELETE_OWN_TASK,
    INSERT_TASK,
    LOCK_OWN_TASK,
    REPLACE_OWN_TASK,
    SELECT_OWN_TASK,
    UPDATE_OWN_TASK,
    count_tasks,
    select_page,
)

_SET_ON_CREATION = {"id", "user_id", "created_at"}
"""Fields that an update does not write."""


def list_tasks(
    connection: Connection,
    owner_id: int,
    params: TaskListParams,
    position: CursorPosition | None,
) -> tuple[list[TaskPublic], int | None]:
    """Return the tasks of a page, one more if there is a next page, and the total if requested."""
    page = select_page(owner_id, params, position)
    rows = connection.execute(*page).all()
    total = rows[0].total if rows and params.total else None
    if params.total and not rows:
        connection.begin()
        total = connection.execute(*count_tasks(owner_id, params)).scalar_one()
        rows = connection.execute(*page).all()
    return TaskPublic.of_rows(rows), total


@raises(NotFound)
def get_task(
    connection: Connection, owner_id: int, task_id: int, conditions: Preconditions
) -> VersionedTask:
    task = _get_own(connection, SELECT_OWN_TASK, owner_id, task_id)
    conditions.check_read(task.etag)
    return task


def create_task(
    connection: Connection, owner_id: int, new: TaskCreate, key: str | None
) -> VersionedTask:
    """Create a task, or return the one that this idempotency key created before."""
    request = new.model_dump_json() if key else ""
    if key:
        connection.begin()
        if answer := find_response(connection, owner_id, key, request):
            return VersionedTask.model_validate_json(answer)
    now = utc_now()
    values = {
        **new.model_dump(),
        "user_id": owner_id,
        "created_at": now,
        "updated_at": now,
        "version": 1,
    }
    columns = values | search_columns(new.title, new.description)
    task_id = connection.execute(INSERT_TASK, columns).inserted_id()
    task = VersionedTask.model_validate({"id": task_id, **values})
    if key:
        answer = TaskPublic.model_validate(task).model_dump_json()
        store_response(connection, owner_id, key, request, answer)
    return task


@raises(NotFound)
def replace_task(
    connection: Connection,
    owner_id: int,
    task_id: int,
    new: TaskReplace,
    conditions: Preconditions,
) -> VersionedTask:
    """Do the same as `update_task`, in one statement if there are no conditions."""
    if connection.returns_updates and not conditions:
        values = {**new.model_dump(), "updated_at": utc_now()}
        values |= search_columns(new.title, new.description)
        own = {"owner_id": owner_id, "task_id": task_id}
        renamed = {f"new_{name}": value for name, value in values.items()}
        if row := connection.execute(REPLACE_OWN_TASK, own | renamed).one_or_none():
            return VersionedTask.of_row(row)
    connection.begin()
    return update_task(connection, owner_id, task_id, new, conditions)


@raises(NotFound)
def update_task(
    connection: Connection,
    owner_id: int,
    task_id: int,
    changes: TaskReplace | TaskPatch,
    conditions: Preconditions,
) -> VersionedTask:
    """Change the fields that `changes` has values for. The row is locked until the commit."""
    task = _get_own(connection, LOCK_OWN_TASK, owner_id, task_id)
    conditions.check_write(task.etag)
    changed = task.model_copy(update=changes.model_dump())
    if changed == task:
        return task
    changed.updated_at = utc_now()
    changed.version += 1
    values = changed.model_dump(exclude=_SET_ON_CREATION)
    values |= search_columns(changed.title, changed.description)
    connection.execute(UPDATE_OWN_TASK, {"owner_id": owner_id, "task_id": task_id, **values})
    return changed


@raises(NotFound)
def delete_task(
    connection: Connection, owner_id: int, task_id: int, conditions: Preconditions
) -> None:
    task = _get_own(connection, LOCK_OWN_TASK, owner_id, task_id)
    conditions.check_write(task.etag)
    connection.execute(DELETE_OWN_TASK, {"owner_id": owner_id, "task_id": task_id})


def search_columns(title: str, description: str) -> dict[str, str]:
    """Return the columns that lists are sorted by and searched in."""
    return {"title_key": fold(title), "search_text": fold(f"{title}\n{description}")}


def _get_own(
    connection: Connection, statement: Executable, owner_id: int, task_id: int
) -> VersionedTask:
    """
    Raises:
        NotFound: for missing and foreign tasks alike, so that ids can't be probed.
    """
    row = connection.execute(statement, {"owner_id": owner_id, "task_id": task_id}).one_or_none()
    if row is None:
        raise NotFound("There is no such task.")
    return VersionedTask.of_row(row)
