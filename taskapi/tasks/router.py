from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from taskapi.auth.deps import CurrentUserDep
from taskapi.deps import PagerDep
from taskapi.http.etags import ReadPreconditions, WritePreconditions, with_etag
from taskapi.http.idempotency import IdempotencyKey
from taskapi.http.openapi import with_headers
from taskapi.http.pagination import PageOf
from taskapi.http.raises import raises
from taskapi.http.routes import OperationRoute
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

router = APIRouter(prefix="/tasks", tags=["tasks"], route_class=OperationRoute)


@router.post(
    "",
    status_code=201,
    description="Create a task.",
    responses={201: with_headers("Location", "ETag")},
)
async def create_task(
    current_user: CurrentUserDep,
    request: Request,
    response: Response,
    body: TaskCreate,
    idempotency_key: IdempotencyKey = None,
) -> TaskPublic:
    task = await current_user.write_once(
        service.create_task, current_user.user_id, body, idempotency_key
    )
    response.headers["Location"] = f"{path_of(request)}/{task.id}"
    return with_etag(response, task)


@router.get(
    "",
    description="List your tasks. The `Link` header leads to the next page.",
    responses={200: with_headers("Link", "X-Total-Count")},
)
async def list_tasks(
    current_user: CurrentUserDep, page: Annotated[TaskListParams, Query()], pager: PagerDep
) -> PageOf[TaskPublic]:
    position = pager.position(page, page.sort)
    tasks, total = await current_user.read(service.list_tasks, current_user.user_id, page, position)
    pager.set_total(total)
    return pager.paginate(tasks, page, page.sort, lambda task: sort_value(task, page.sort))


@router.get(
    "/{task_id}",
    description="Read one of your tasks.",
    responses={200: with_headers("ETag")},
)
@raises(service.get_task)
async def read_task(
    current_user: CurrentUserDep, response: Response, task_id: PathId, conditions: ReadPreconditions
) -> TaskPublic:
    task = await current_user.read(service.get_task, current_user.user_id, task_id, conditions)
    return with_etag(response, task)


@router.put(
    "/{task_id}",
    description="Replace one of your tasks. Every field must be sent.",
    responses={200: with_headers("ETag")},
)
@raises(service.update_task)
async def replace_task(
    current_user: CurrentUserDep,
    response: Response,
    task_id: PathId,
    conditions: WritePreconditions,
    body: TaskReplace,
) -> TaskPublic:
    task = await current_user.write(
        service.update_task, current_user.user_id, task_id, body, conditions
    )
    return with_etag(response, task)


@router.patch(
    "/{task_id}",
    description="Change those fields of one of your tasks that are sent.",
    responses={200: with_headers("ETag")},
)
@raises(service.update_task)
async def update_task(
    current_user: CurrentUserDep,
    response: Response,
    task_id: PathId,
    conditions: WritePreconditions,
    body: TaskPatch,
) -> TaskPublic:
    task = await current_user.write(
        service.update_task, current_user.user_id, task_id, body, conditions
    )
    return with_etag(response, task)


@router.delete("/{task_id}", status_code=204, description="Delete one of your tasks.")
@raises(service.delete_task)
async def delete_task(
    current_user: CurrentUserDep, task_id: PathId, conditions: WritePreconditions
) -> None:
    await current_user.write(service.delete_task, current_user.user_id, task_id, conditions)
