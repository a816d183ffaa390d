# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "argon2-cffi==25.1.0",
#     "psycopg[binary]==3.3.9",
#     "pyjwt==2.15.1",
#     "python-multipart==0.0.34",
#     "starlette==1.10.0",
#     "uvicorn[standard]==0.54.0",
# ]
# ///
"""What no framework could be faster than by much: Starlette, the database's driver and PyJWT."""

import json
import os
import sqlite3
import threading
import time
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any

import jwt
import psycopg
from argon2 import PasswordHasher
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

DATABASE = os.environ["DATABASE_URL"]
IS_SQLITE = DATABASE.startswith("sqlite")
SECRET = os.environ["SECRET"]
FIELDS = ("id", "title", "description", "status", "user_id", "created_at", "updated_at")
COLUMNS = ", ".join(FIELDS)
STATUSES = {"новая", "в процессе", "завершена"}

ID = "INTEGER PRIMARY KEY AUTOINCREMENT" if IS_SQLITE else "BIGSERIAL PRIMARY KEY"
USERS = f"""CREATE TABLE IF NOT EXISTS users (
    id {ID}, name TEXT NOT NULL, email TEXT NOT NULL UNIQUE, password_hash TEXT NOT NULL)"""
TASKS = f"""CREATE TABLE IF NOT EXISTS tasks (
    id {ID}, title TEXT NOT NULL, description TEXT NOT NULL, status TEXT NOT NULL,
    user_id BIGINT NOT NULL REFERENCES users, created_at TEXT NOT NULL, updated_at TEXT NOT NULL)"""
INDEX = "CREATE INDEX IF NOT EXISTS tasks_user_id ON tasks (user_id, id)"

_local = threading.local()
_writing = threading.Lock() if IS_SQLITE else nullcontext()


def execute(statement: str, *parameters: object) -> list[tuple[Any, ...]]:
    """On this thread's connection, where each statement is a transaction of its own."""
    try:
        connection = _local.connection
    except AttributeError:
        connection = _local.connection = _connect()
    if not IS_SQLITE:
        statement = statement.replace("?", "%s")
    cursor = connection.execute(statement, parameters)
    return cursor.fetchall() if cursor.description else []


def _connect() -> Any:
    if not IS_SQLITE:
        return psycopg.connect(DATABASE, autocommit=True)
    path = DATABASE.removeprefix("sqlite:///")
    connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def task(row: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(FIELDS, row, strict=True))


def caller(request: Request) -> int:
    token = request.headers["authorization"].removeprefix("Bearer ")
    return int(jwt.decode(token, SECRET, algorithms=["HS256"])["sub"])


async def fields(request: Request) -> tuple[str, str, str]:
    body = json.loads(await request.body())
    title, description, status = body["title"], body["description"], body["status"]
    if not (0 < len(title) <= 200 and len(description) <= 10_000 and status in STATUSES):
        raise ValueError
    return title, description, status


def now() -> str:
    return datetime.now(UTC).isoformat()


def read(request: Request) -> JSONResponse:
    rows = execute(
        f"SELECT {COLUMNS} FROM tasks WHERE id = ? AND user_id = ?",
        request.path_params["task_id"],
        caller(request),
    )
    return JSONResponse(task(rows[0])) if rows else JSONResponse({}, 404)


def page(request: Request) -> JSONResponse:
    rows = execute(
        f"SELECT {COLUMNS} FROM tasks WHERE user_id = ? ORDER BY id LIMIT ?",
        caller(request),
        int(request.query_params["limit"]),
    )
    return JSONResponse([task(row) for row in rows])


def _create(user_id: int, title: str, description: str, status: str) -> dict[str, Any]:
    moment = now()
    with _writing:
        rows = execute(
            "INSERT INTO tasks (title, description, status, user_id, created_at, updated_at)"
            f" VALUES (?, ?, ?, ?, ?, ?) RETURNING {COLUMNS}",
            *(title, description, status, user_id, moment, moment),
        )
    return task(rows[0])


async def create(request: Request) -> JSONResponse:
    created = await run_in_threadpool(_create, caller(request), *await fields(request))
    return JSONResponse(created, 201)


def _update(
    user_id: int, task_id: int, title: str, description: str, status: str
) -> dict[str, Any] | None:
    with _writing:
        rows = execute(
            "UPDATE tasks SET title = ?, description = ?, status = ?, updated_at = ?"
            f" WHERE id = ? AND user_id = ? RETURNING {COLUMNS}",
            *(title, description, status, now(), task_id, user_id),
        )
    return task(rows[0]) if rows else None


async def update(request: Request) -> JSONResponse:
    task_id = request.path_params["task_id"]
    updated = await run_in_threadpool(_update, caller(request), task_id, *await fields(request))
    return JSONResponse(updated) if updated else JSONResponse({}, 404)


async def log_in(request: Request) -> JSONResponse:
    async with request.form() as form:
        ((user_id, password_hash),) = execute(
            "SELECT id, password_hash FROM users WHERE email = ?", form["username"]
        )
        PasswordHasher().verify(password_hash, str(form["password"]))
    claims = {"sub": str(user_id), "exp": int(time.time()) + 3600}
    return JSONResponse({"access_token": jwt.encode(claims, SECRET, "HS256")})


for definition in (USERS, TASKS, INDEX):
    execute(definition)

app = Starlette(
    routes=[
        Route("/auth/token", log_in, methods=["POST"]),
        Route("/tasks", page),
        Route("/tasks", create, methods=["POST"]),
        Route("/tasks/{task_id:int}", read),
        Route("/tasks/{task_id:int}", update, methods=["PUT"]),
    ]
)
