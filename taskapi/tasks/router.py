from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from taskapi.auth.deps import CurrentUserDep
from taskapi.deps import PagerDep
from taskapi.exceptions import (
    ContentTooLarge,
    InvalidRequest,
    NotFound,
    PreconditionFailed,
    Unauthorized,
    Unavailable,
    UnsupportedMediaType,
)
from taskapi.http.etags import ReadPreconditions, WritePreconditions
from taskapi.http.idempotency import IdempotencyKey
from taskapi.http.openapi import responses
from taskapi.http.pagination import PageOf
from taskapi.models import PathId
from taskapi.tasks import service
from taskapi.tasks.models import (
    TaskCreate,
    TaskListParams,
    TaskPatch,
    TaskPublic,
    TaskReplace,
    VersionedTask,
)
from taskapi.tasks.queries import sort_value

router = APIRouter(
    prefix="/tasks",
    tags=["tasks"],
    responses=responses(Unauthorized, InvalidRequest, Unavailable),
)

BODY = (ContentTooLarge, UnsupportedMediaType)
CHANGE = (NotFound, PreconditionFailed)


@router.post("", status_code=201, responses=responses(*BODY, headers={201: ("Location", "ETag")}))
async def create_task(
    caller: CurrentUserDep,
    request: Request,
    response: Response,
    body: TaskCreate,
    idempotency_key: IdempotencyKey = None,
) -> TaskPublic:
    """Create a task of one's own."""
    task = await caller.write(service.create_task, caller.user_id, body, idempotency_key)
    response.headers["Location"] = f"{request.url.path}/{task.id}"
    return _tagged(response, task)


@router.get("", responses=responses(headers={200: ("Link", "X-Total-Count")}))
async def list_tasks(
    caller: CurrentUserDep, page: Annotated[TaskListParams, Query()], pager: PagerDep
) -> PageOf[TaskPublic]:
    """List one's own tasks. The `Link` header leads to the next page."""
    position = pager.position(page, page.sort)
    tasks, total = await caller.read(service.list_tasks, caller.user_id, page, position)
    pager.count(total)
    return pager.cut(tasks, page, page.sort, lambda task: sort_value(task, page.sort))


@router.get("/{task_id}", responses=responses(NotFound, headers={200: ("ETag",), 304: ("ETag",)}))
async def read_task(
    caller: CurrentUserDep, response: Response, task_id: PathId, conditions: ReadPreconditions
) -> TaskPublic:
    """Read a task of one's own."""
    task = await caller.read(service.get_task, caller.user_id, task_id, conditions)
    return _tagged(response, task)


@router.put("/{task_id}", responses=responses(*CHANGE, *BODY, headers={200: ("ETag",)}))
async def replace_task(
    caller: CurrentUserDep,
    response: Response,
    task_id: PathId,
    conditions: WritePreconditions,
    body: TaskReplace,
) -> TaskPublic:
    """Replace a task of one's own; every field must be sent."""
    task = await caller.write(service.update_task, caller.user_id, task_id, body, conditions)
    return _tagged(response, task)


@router.patch("/{task_id}", responses=responses(*CHANGE, *BODY, headers={200: ("ETag",)}))
async def update_task(
    caller: CurrentUserDep,
    response: Response,
    task_id: PathId,
    conditions: WritePreconditions,
    body: TaskPatch,
) -> TaskPublic:
    """Change the fields of a task of one's own that are sent."""
    task = await caller.write(service.update_task, caller.user_id, task_id, body, conditions)
    return _tagged(response, task)


@router.delete("/{task_id}", status_code=204, responses=responses(*CHANGE))
async def delete_task(
    caller: CurrentUserDep, task_id: PathId, conditions: WritePreconditions
) -> None:
    """Delete a task of one's own."""
    await caller.write(service.delete_task, caller.user_id, task_id, conditions)


def _tagged(response: Response, task: VersionedTask) -> VersionedTask:
    response.headers["ETag"] = task.etag
    return task
