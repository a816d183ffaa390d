from collections.abc import Sequence

from sqlmodel import Session, col, delete, select
from sqlmodel.sql.expression import SelectOfScalar

from taskapi.problems import NotFound
from taskapi.schemas import utc_now
from taskapi.tasks.models import Task, TaskCreate, TaskPage, TaskReplace


def list_tasks(session: Session, owner_id: int, page: TaskPage) -> Sequence[Task]:
    """One more than fits the page, if there are any more."""
    query = select(Task).where(Task.user_id == owner_id, col(Task.id) > page.position)
    if page.status:
        query = query.where(col(Task.status).in_(page.status))
    return session.exec(query.order_by(col(Task.id)).limit(page.limit + 1)).all()


def get_task(session: Session, owner_id: int, task_id: int) -> Task:
    return _one(session, _own(owner_id, task_id))


def create_task(session: Session, owner_id: int, new: TaskCreate) -> Task:
    now = utc_now()
    task = Task(**new.model_dump(), user_id=owner_id, created_at=now, updated_at=now)
    session.add(task)
    session.flush()
    return task


def update_task(session: Session, owner_id: int, task_id: int, changes: TaskReplace) -> Task:
    """Change the fields that are set in `changes`. Writers of one task wait for each other."""
    task = _one(session, _own(owner_id, task_id).with_for_update())
    task.sqlmodel_update(changes.model_dump(exclude_unset=True))
    if session.is_modified(task):
        task.updated_at = utc_now()
    session.flush()
    return task


def delete_task(session: Session, owner_id: int, task_id: int) -> None:
    gone = session.exec(delete(Task).where(col(Task.id) == task_id, col(Task.user_id) == owner_id))
    if gone.rowcount == 0:
        raise _no_such_task()


def _own(owner_id: int, task_id: int) -> SelectOfScalar[Task]:
    return select(Task).where(Task.id == task_id, Task.user_id == owner_id)


def _one(session: Session, query: SelectOfScalar[Task]) -> Task:
    task = session.exec(query).one_or_none()
    if task is None:
        raise _no_such_task()
    return task


def _no_such_task() -> NotFound:
    """Says the same of somebody else's task as of none, so that ids tell nothing."""
    return NotFound("There is no such task.")
