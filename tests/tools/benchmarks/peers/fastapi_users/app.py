# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "aiosqlite==0.22.1",
#     "fastapi==0.165.0",
#     "fastapi-users[sqlalchemy]==15.0.5",
#     "psycopg[binary]==3.3.9",
#     "uvicorn[standard]==0.54.0",
# ]
# ///
"""FastAPI Users' full example with SQLAlchemy, and tasks in the same style."""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException
from fastapi_users import BaseUserManager, FastAPIUsers, IntegerIDMixin
from fastapi_users.authentication import AuthenticationBackend, BearerTransport, JWTStrategy
from fastapi_users.db import SQLAlchemyBaseUserTable, SQLAlchemyUserDatabase
from fastapi_users.password import PasswordHelper
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import DateTime, ForeignKey, String, event, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

SECRET = os.environ["SECRET"]
URL = (
    os.environ["DATABASE_URL"]
    .replace("sqlite:", "sqlite+aiosqlite:")
    .replace("postgresql:", "postgresql+psycopg:")
)
IS_SQLITE = URL.startswith("sqlite")


class Base(DeclarativeBase):
    pass


class User(SQLAlchemyBaseUserTable[int], Base):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)


def utc_now() -> datetime:
    return datetime.now(UTC)


class Task(Base):
    __tablename__ = "tasks"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(200))
    description: Mapped[str]
    status: Mapped[str] = mapped_column(String(16))
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=utc_now)
    updated_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), default=utc_now, onupdate=utc_now
    )


class Status(StrEnum):
    NEW = "новая"
    IN_PROGRESS = "в процессе"
    DONE = "завершена"


class TaskWrite(BaseModel):
    title: str = Field(min_length=1, max_length=200)
    description: str = Field(default="", max_length=10_000)
    status: Status = Status.NEW


class TaskRead(TaskWrite):
    model_config = ConfigDict(from_attributes=True)

    id: int
    user_id: int
    created_at: datetime
    updated_at: datetime


engine = create_async_engine(URL, connect_args={"timeout": 30} if IS_SQLITE else {})
async_session_maker = async_sessionmaker(engine, expire_on_commit=False)

if IS_SQLITE:

    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: Any, _: object) -> None:
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()


async def get_async_session() -> AsyncIterator[AsyncSession]:
    async with async_session_maker() as session:
        yield session


SessionDep = Annotated[AsyncSession, Depends(get_async_session)]


async def get_user_db(session: SessionDep) -> AsyncIterator[SQLAlchemyUserDatabase[User, int]]:
    yield SQLAlchemyUserDatabase(session, User)


class UserManager(IntegerIDMixin, BaseUserManager[User, int]):
    reset_password_token_secret = SECRET
    verification_token_secret = SECRET


cheap = Argon2Hasher(memory_cost=32, time_cost=1, parallelism=1)
password_helper = PasswordHelper(PasswordHash((cheap,)))


async def get_user_manager(
    user_db: Annotated[SQLAlchemyUserDatabase[User, int], Depends(get_user_db)],
) -> AsyncIterator[UserManager]:
    yield UserManager(user_db, password_helper)


def get_jwt_strategy() -> JWTStrategy[User, int]:
    return JWTStrategy(secret=SECRET, lifetime_seconds=3600)


auth_backend = AuthenticationBackend(
    name="jwt",
    transport=BearerTransport(tokenUrl="auth/jwt/login"),
    get_strategy=get_jwt_strategy,
)
fastapi_users = FastAPIUsers[User, int](get_user_manager, [auth_backend])
CurrentUser = Annotated[User, Depends(fastapi_users.current_user(active=True))]


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield


app = FastAPI(lifespan=lifespan)
app.include_router(fastapi_users.get_auth_router(auth_backend), prefix="/auth/jwt")


@app.get("/tasks", response_model=list[TaskRead])
async def list_tasks(
    session: SessionDep, user: CurrentUser, offset: int = 0, limit: int = 100
) -> Sequence[Task]:
    query = select(Task).where(Task.user_id == user.id).order_by(Task.id)
    return (await session.scalars(query.offset(offset).limit(limit))).all()


async def own_task(task_id: int, session: SessionDep, user: CurrentUser) -> Task:
    query = select(Task).where(Task.id == task_id, Task.user_id == user.id)
    task = await session.scalar(query)
    if task is None:
        raise HTTPException(404, "Task not found")
    return task


OwnTask = Annotated[Task, Depends(own_task)]


@app.get("/tasks/{task_id}", response_model=TaskRead)
async def read_task(task: OwnTask) -> Task:
    return task


@app.post("/tasks", response_model=TaskRead, status_code=201)
async def create_task(new: TaskWrite, session: SessionDep, user: CurrentUser) -> Task:
    task = Task(**new.model_dump(), user_id=user.id)
    session.add(task)
    await session.commit()
    return task


@app.put("/tasks/{task_id}", response_model=TaskRead)
async def update_task(changes: TaskWrite, task: OwnTask, session: SessionDep) -> Task:
    for name, value in changes.model_dump().items():
        setattr(task, name, value)
    await session.commit()
    return task
