# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "django[argon2]>=5.2,<7",
#     "django-ninja==1.7.1",
#     "django-ninja-jwt==5.4.5",
#     "gunicorn==27.0.1",
#     "psycopg[binary]==3.3.9",
# ]
# ///
"""Django Ninja, with Ninja JWT."""

from datetime import datetime
from typing import Annotated

from django.db.models import QuerySet
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from django.urls import path
from ninja import Schema
from ninja.pagination import LimitOffsetPagination, paginate
from ninja_extra import NinjaExtraAPI
from ninja_jwt.authentication import JWTAuth
from ninja_jwt.controller import NinjaJWTDefaultController
from pydantic import StringConstraints
from tasks.models import Status, Task

api = NinjaExtraAPI()
api.register_controllers(NinjaJWTDefaultController)


class TaskIn(Schema):
    title: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    description: Annotated[str, StringConstraints(max_length=10_000)] = ""
    status: Status = Status.NEW


class TaskOut(Schema):
    id: int
    title: str
    description: str
    status: str
    user_id: int
    created_at: datetime
    updated_at: datetime


@api.get("/tasks", auth=JWTAuth(), response=list[TaskOut])
@paginate(LimitOffsetPagination)
def list_tasks(request: HttpRequest) -> QuerySet[Task]:
    return Task.objects.filter(user=request.user)


@api.get("/tasks/{task_id}", auth=JWTAuth(), response=TaskOut)
def read_task(request: HttpRequest, task_id: int) -> Task:
    return get_object_or_404(Task, id=task_id, user=request.user)


@api.post("/tasks", auth=JWTAuth(), response={201: TaskOut})
def create_task(request: HttpRequest, new: TaskIn) -> tuple[int, Task]:
    return 201, Task.objects.create(**new.dict(), user=request.user)


@api.put("/tasks/{task_id}", auth=JWTAuth(), response=TaskOut)
def update_task(request: HttpRequest, task_id: int, changes: TaskIn) -> Task:
    task = get_object_or_404(Task, id=task_id, user=request.user)
    for name, value in changes.dict().items():
        setattr(task, name, value)
    task.save()
    return task


urlpatterns = [path("", api.urls)]
