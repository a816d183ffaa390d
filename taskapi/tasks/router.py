from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from taskapi.auth.deps import CallerDep
from taskapi.openapi import responses
from taskapi.pagination import paginate
from taskapi.problems import (
    ContentTooLarge,
    InvalidRequest,
    NotFound,
    Unauthorized,
    Unavailable,
    UnsupportedMediaType,
)
from taskapi.schemas import PathId
from taskapi.tasks import service
from taskapi.tasks.models import TaskCreate, TaskPage, TaskPatch, TaskPublic, TaskReplace

router = APIRouter(
    prefix="/tasks",
    tags=["tasks"],
    responses=responses(Unauthorized, InvalidRequest, Unavailable),
)

BODY = (ContentTooLarge, UnsupportedMediaType)


@router.post("", status_code=201, responses=responses(*BODY))
async def create_task(
    caller: CallerDep, request: Request, response: Response, body: TaskCreate
) -> TaskPublic:
    """Create a task of one's own."""
    task = await caller.write(service.create_task, caller.user_id, body)
    response.headers["Location"] = f"{request.url.path}/{task.id}"
    return task


@router.get("")
async def list_tasks(
    caller: CallerDep, page: Annotated[TaskPage, Query()], request: Request, response: Response
) -> Sequence[TaskPublic]:
    """List one's own tasks, by id. The `Link` header leads to the next page."""
    tasks = await caller.read(service.list_tasks, caller.user_id, page)
    return paginate(tasks, page, request, response)


@router.get("/{task_id}", responses=responses(NotFound))
async def read_task(caller: CallerDep, task_id: PathId) -> TaskPublic:
    """Read a task of one's own."""
    return await caller.read(service.get_task, caller.user_id, task_id)


@router.put("/{task_id}", responses=responses(NotFound, *BODY))
async def replace_task(caller: CallerDep, task_id: PathId, body: TaskReplace) -> TaskPublic:
    """Replace a task of one's own; every field must be sent."""
    return await caller.write(service.update_task, caller.user_id, task_id, body)


@router.patch("/{task_id}", responses=responses(NotFound, *BODY))
async def update_task(caller: CallerDep, task_id: PathId, body: TaskPatch) -> TaskPublic:
    """Change the fields of a task of one's own that are sent."""
    return await caller.write(service.update_task, caller.user_id, task_id, body)


@router.delete("/{task_id}", status_code=204, responses=responses(NotFound))
async def delete_task(caller: CallerDep, task_id: PathId) -> None:
    """Delete a task of one's own."""
    await caller.write(service.delete_task, caller.user_id, task_id)
