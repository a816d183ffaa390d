from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from taskapi.auth.deps import CurrentUserDep
from taskapi.deps import pager_for
from taskapi.http.etags import Preconditions, conditional_read, conditional_write, with_etag
from taskapi.http.idempotency import IDEMPOTENCY_KEY
from taskapi.http.openapi import with_headers, with_links
from taskapi.http.pagination import PageOf, Pager
from taskapi.http.parameters import reads
from taskapi.http.raises import raises
from taskapi.http.routes import StrictQueryRoute
from taskapi.http.urls import path_of
from taskapi.models import PathId
from taskapi.tasks import service
from taskapi.tasks.models import (
    TaskCreate,
    TaskListParams,
    TaskPatch,
    TaskPublic,
    TaskReplace,
)
from taskapi.tasks.queries import sort_value

router = APIRouter(prefix="/tasks", tags=["tasks"], route_class=StrictQueryRoute)

TaskPagerDep = Annotated[Pager[TaskListParams], Depends(pager_for(TaskListParams))]

IF_MATCH = "With `If-Match`, this is done only if the task was not changed meanwhile."


@router.post(
    "",
    status_code=201,
    summary="Create a task",
    description=(
        "The task is yours. With an `Idempotency-Key`, a repeated request creates nothing and gets "
        "the first response again."
    ),
    responses={
        201: with_headers("Location", "ETag")
        | with_links("task_id", "read_task", "replace_task", "update_task", "delete_task")
    },
)
@reads(IDEMPOTENCY_KEY)
async def create_task(
    current_user: CurrentUserDep, request: Request, response: Response, body: TaskCreate
) -> TaskPublic:
    key = IDEMPOTENCY_KEY.read(request)
    task = await current_user.write_once(service.create_task, current_user.user_id, body, key)
    response.headers["Location"] = f"{path_of(request)}/{task.id}"
    return with_etag(response, task)


@router.get(
    "",
    summary="List your tasks",
    description="Tasks of others are not listed. The `Link` header leads to the next page.",
    responses={200: with_headers("Link", "X-Total-Count")},
)
async def list_tasks(current_user: CurrentUserDep, pager: TaskPagerDep) -> PageOf[TaskPublic]:
    params, position = pager.params, pager.position(pager.params.sort)
    tasks, total = await current_user.read(
        service.list_tasks, current_user.user_id, params, position
    )
    pager.set_total(total)
    return pager.paginate(tasks, params.sort, lambda task: sort_value(task, params.sort))


@router.get(
    "/{task_id}",
    summary="Read a task",
    description="A task of another user is 404, as if it did not exist.",
    responses={200: with_headers("ETag")},
)
@raises(service.get_task)
@conditional_read
async def read_task(
    current_user: CurrentUserDep, request: Request, response: Response, task_id: PathId
) -> TaskPublic:
    conditions = Preconditions(request)
    task = await current_user.read(service.get_task, current_user.user_id, task_id, conditions)
    return with_etag(response, task)


@router.put(
    "/{task_id}",
    summary="Replace a task",
    description=f"Every field must be sent. {IF_MATCH}",
    responses={200: with_headers("ETag")},
)
@raises(service.replace_task)
@conditional_write
async def replace_task(
    current_user: CurrentUserDep,
    request: Request,
    response: Response,
    task_id: PathId,
    body: TaskReplace,
) -> TaskPublic:
    conditions = Preconditions(request)
    task = await current_user.write_once(
        service.replace_task, current_user.user_id, task_id, body, conditions
    )
    return with_etag(response, task)


@router.patch(
    "/{task_id}",
    summary="Change a task",
    description=f"Only the fields that are sent change. {IF_MATCH}",
    responses={200: with_headers("ETag")},
)
@raises(service.update_task)
@conditional_write
async def update_task(
    current_user: CurrentUserDep,
    request: Request,
    response: Response,
    task_id: PathId,
    body: TaskPatch,
) -> TaskPublic:
    conditions = Preconditions(request)
    task = await current_user.write(
        service.update_task, current_user.user_id, task_id, body, conditions
    )
    return with_etag(response, task)


@router.delete("/{task_id}", status_code=204, summary="Delete a task", description=IF_MATCH)
@raises(service.delete_task)
@conditional_write
async def delete_task(current_user: CurrentUserDep, request: Request, task_id: PathId) -> None:
    conditions = Preconditions(request)
    await current_user.write(service.delete_task, current_user.user_id, task_id, conditions)
