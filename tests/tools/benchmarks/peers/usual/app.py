# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "fastapi==0.165.0",
#     "psycopg[binary]==3.3.9",
#     "pwdlib[argon2]==0.3.1",
#     "pyjwt==2.15.1",
#     "python-multipart==0.0.34",
#     "sqlmodel==0.0.50",
#     "uvicorn[standard]==0.54.0",
# ]
# ///
"""The usual way: FastAPI's tutorials of SQL databases and of OAuth2 with JWT tokens, together."""

import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

import jwt
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm
from jwt.exceptions import InvalidTokenError
from pwdlib import PasswordHash
from sqlalchemy import event
from sqlmodel import Field, Session, SQLModel, create_engine, select

SECRET = os.environ["SECRET"]
ALGORITHM = "HS256"
URL = os.environ["DATABASE_URL"].replace("postgresql:", "postgresql+psycopg:")
IS_SQLITE = URL.startswith("sqlite")


class Status(StrEnum):
    NEW = "новая"
    IN_PROGRESS = "в процессе"
    DONE = "завершена"


def utc_now() -> datetime:
    return datetime.now(UTC)


class User(SQLModel, table=True):
    __tablename__ = "users"

    id: int | None = Field(default=None, primary_key=True)
    name: str
    email: str = Field(unique=True)
    hashed_password: str


class TaskBase(SQLModel):
    title: str = Field(min_length=1, max_length=200)
    description: str = Field(default="", max_length=10_000)
    status: Status = Status.NEW


class Task(TaskBase, table=True):
    __tablename__ = "tasks"

    id: int | None = Field(default=None, primary_key=True)
    status: str
    user_id: int = Field(foreign_key="users.id", index=True)
    created_at: datetime = Field(default_factory=utc_now)
    updated_at: datetime = Field(default_factory=utc_now)


class TaskPublic(TaskBase):
    id: int
    user_id: int
    created_at: datetime
    updated_at: datetime


engine = create_engine(
    URL, connect_args={"check_same_thread": False, "timeout": 30} if IS_SQLITE else {}
)

if IS_SQLITE:

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _: object) -> None:
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")


SQLModel.metadata.create_all(engine)


def get_session() -> Iterator[Session]:
    with Session(engine) as session:
        yield session


SessionDep = Annotated[Session, Depends(get_session)]
password_hash = PasswordHash.recommended()
oauth2_scheme = OAuth2PasswordBearer(tokenUrl="auth/token")
app = FastAPI()


def get_current_user(token: Annotated[str, Depends(oauth2_scheme)], session: SessionDep) -> User:
    failure = HTTPException(401, "Could not validate credentials", {"WWW-Authenticate": "Bearer"})
    try:
        email = jwt.decode(token, SECRET, algorithms=[ALGORITHM]).get("sub")
    except InvalidTokenError:
        raise failure from None
    user = session.exec(select(User).where(User.email == email)).first()
    if user is None:
        raise failure
    return user


CurrentUser = Annotated[User, Depends(get_current_user)]


@app.post("/auth/token")
def log_in(
    form: Annotated[OAuth2PasswordRequestForm, Depends()], session: SessionDep
) -> dict[str, str]:
    user = session.exec(select(User).where(User.email == form.username)).first()
    if user is None or not password_hash.verify(form.password, user.hashed_password):
        raise HTTPException(401, "Incorrect username or password")
    claims = {"sub": user.email, "exp": utc_now() + timedelta(hours=1)}
    return {"access_token": jwt.encode(claims, SECRET, ALGORITHM), "token_type": "bearer"}


@app.get("/tasks", response_model=list[TaskPublic])
def list_tasks(
    session: SessionDep, user: CurrentUser, offset: int = 0, limit: int = 100
) -> Sequence[Task]:
    query = select(Task).where(Task.user_id == user.id).order_by(Task.id)
    return session.exec(query.offset(offset).limit(limit)).all()


def own_task(task_id: int, session: Session, user: User) -> Task:
    task = session.get(Task, task_id)
    if task is None or task.user_id != user.id:
        raise HTTPException(404, "Task not found")
    return task


@app.get("/tasks/{task_id}", response_model=TaskPublic)
def read_task(task_id: int, session: SessionDep, user: CurrentUser) -> Task:
    return own_task(task_id, session, user)


@app.post("/tasks", response_model=TaskPublic, status_code=201)
def create_task(new: TaskBase, session: SessionDep, user: CurrentUser) -> Task:
    task = Task.model_validate(new, update={"user_id": user.id})
    session.add(task)
    session.commit()
    session.refresh(task)
    return task


@app.put("/tasks/{task_id}", response_model=TaskPublic)
def update_task(task_id: int, changes: TaskBase, session: SessionDep, user: CurrentUser) -> Task:
    task = own_task(task_id, session, user)
    task.sqlmodel_update(changes.model_dump(), update={"updated_at": utc_now()})
    session.add(task)
    session.commit()
    session.refresh(task)
    return task
