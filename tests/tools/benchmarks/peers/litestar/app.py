# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "advanced-alchemy==1.12.0",
#     "aiosqlite==0.22.1",
#     "litestar[jwt,standard]==2.25.0",
#     "psycopg[binary]==3.3.9",
#     "pwdlib[argon2]==0.3.1",
#     "uvicorn[standard]==0.54.0",
# ]
# ///
"""Litestar with Advanced Alchemy's repositories and services and Litestar's own JWT login."""

import os
from datetime import datetime, timedelta
from enum import Enum
from typing import Annotated, Any

import msgspec
from advanced_alchemy.base import BigIntAuditBase, BigIntBase
from advanced_alchemy.extensions.litestar import (
    AsyncSessionConfig,
    SQLAlchemyAsyncConfig,
    SQLAlchemyPlugin,
    filters,
    providers,
    repository,
    service,
)
from litestar import Controller, Litestar, Request, Response, get, post, put
from litestar.connection import ASGIConnection
from litestar.enums import RequestEncodingType
from litestar.exceptions import NotAuthorizedException
from litestar.params import Body, Dependency
from litestar.security.jwt import OAuth2Login, OAuth2PasswordBearerAuth, Token
from pwdlib import PasswordHash
from sqlalchemy import ForeignKey, String, event
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Mapped, mapped_column

URL = (
    os.environ["DATABASE_URL"]
    .replace("sqlite:", "sqlite+aiosqlite:")
    .replace("postgresql:", "postgresql+psycopg:")
)
IS_SQLITE = URL.startswith("sqlite")


class User(BigIntBase):
    __tablename__ = "users"

    name: Mapped[str]
    email: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str]


class Task(BigIntAuditBase):
    __tablename__ = "tasks"

    title: Mapped[str] = mapped_column(String(200))
    description: Mapped[str]
    status: Mapped[str] = mapped_column(String(16))
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)


class Status(Enum):
    NEW = "новая"
    IN_PROGRESS = "в процессе"
    DONE = "завершена"


class TaskWrite(msgspec.Struct):
    title: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    description: Annotated[str, msgspec.Meta(max_length=10_000)] = ""
    status: Status = Status.NEW


class TaskRead(msgspec.Struct):
    id: int
    title: str
    description: str
    status: str
    user_id: int
    created_at: datetime
    updated_at: datetime


class TaskService(service.SQLAlchemyAsyncRepositoryService[Task]):
    class Repository(repository.SQLAlchemyAsyncRepository[Task]):
        model_type = Task

    repository_type = Repository


class UserService(service.SQLAlchemyAsyncRepositoryService[User]):
    class Repository(repository.SQLAlchemyAsyncRepository[User]):
        model_type = User

    repository_type = Repository


class Credentials(msgspec.Struct):
    username: str
    password: str


async def retrieve_user(
    token: Token, connection: ASGIConnection[Any, Any, Any, Any]
) -> User | None:
    session = alchemy.provide_session(connection.app.state, connection.scope)
    return await UserService(session).get_one_or_none(id=int(token.sub))


auth = OAuth2PasswordBearerAuth[User](
    retrieve_user_handler=retrieve_user,
    token_secret=os.environ["SECRET"],
    token_url="/login",
    default_token_expiration=timedelta(hours=1),
    exclude=["/login", "/schema"],
)


@post("/login")
async def log_in(
    data: Annotated[Credentials, Body(media_type=RequestEncodingType.URL_ENCODED)],
    db_session: AsyncSession,
) -> Response[OAuth2Login]:
    user = await UserService(db_session).get_one_or_none(email=data.username)
    if user is None or not PasswordHash.recommended().verify(data.password, user.password_hash):
        raise NotAuthorizedException
    return auth.login(identifier=str(user.id))


OwnRequest = Request[User, Token, Any]


class TaskController(Controller):
    path = "/tasks"
    dependencies = providers.create_service_dependencies(
        TaskService,
        "tasks",
        filters={"pagination_type": "limit_offset", "pagination_size": 20},
    )

    @get()
    async def list_tasks(
        self,
        request: OwnRequest,
        tasks: TaskService,
        filters: Annotated[list[filters.FilterTypes], Dependency(skip_validation=True)],
    ) -> service.OffsetPagination[TaskRead]:
        own = Task.user_id == request.user.id
        results, total = await tasks.list_and_count(*filters, own, order_by=("id", False))
        return tasks.to_schema(results, total, filters, schema_type=TaskRead)

    @get("/{task_id:int}")
    async def read_task(self, request: OwnRequest, tasks: TaskService, task_id: int) -> TaskRead:
        task = await tasks.get_one(id=task_id, user_id=request.user.id)
        return tasks.to_schema(task, schema_type=TaskRead)

    @post()
    async def create_task(
        self, request: OwnRequest, tasks: TaskService, data: TaskWrite
    ) -> TaskRead:
        new = service.schema_dump(data) | {"status": data.status.value, "user_id": request.user.id}
        task = await tasks.create(new)
        return tasks.to_schema(task, schema_type=TaskRead)

    @put("/{task_id:int}")
    async def update_task(
        self, request: OwnRequest, tasks: TaskService, task_id: int, data: TaskWrite
    ) -> TaskRead:
        task = await tasks.get_one(id=task_id, user_id=request.user.id)
        changes = service.schema_dump(data) | {"status": data.status.value}
        task = await tasks.update(changes, item_id=task.id)
        return tasks.to_schema(task, schema_type=TaskRead)


engine = create_async_engine(URL, connect_args={"timeout": 30} if IS_SQLITE else {})

if IS_SQLITE:

    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: Any, _: object) -> None:
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()


alchemy = SQLAlchemyAsyncConfig(
    engine_instance=engine,
    session_config=AsyncSessionConfig(expire_on_commit=False),
    before_send_handler="autocommit",
    create_all=True,
)

app = Litestar(
    route_handlers=[log_in, TaskController],
    plugins=[SQLAlchemyPlugin(config=alchemy)],
    on_app_init=[auth.on_app_init],
)
