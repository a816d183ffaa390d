"""The service with a fault in it, which the check must find: `FAULT` names the fault.

FAULT=unlocked uv run uvicorn tests.tools.linearizability.faults:app
"""

import os
import re
import time
from typing import Any
from unittest.mock import patch

import psycopg
from sqlalchemy import Engine, Executable, create_engine

from taskapi.auth import service
from taskapi.database.connections import Connection
from taskapi.main import app
from taskapi.security.access_tokens import AccessToken

__all__ = ["app"]

ROW_LOCK = re.compile(r" FOR (NO KEY UPDATE|UPDATE|KEY SHARE|SHARE)\b")

REMEMBERED_SECONDS = 0.2


def unlocked() -> None:
    """Statements of PostgreSQL lock no rows but those that they change."""
    execute = psycopg.Cursor.execute

    def execute_without_locks(self: Any, query: Any, *arguments: Any, **options: Any) -> Any:
        if isinstance(query, str):
            query = ROW_LOCK.sub("", query)
        return execute(self, query, *arguments, **options)

    psycopg.Cursor.execute = execute_without_locks  # type: ignore[method-assign]


def remembered() -> None:
    """Each process remembers for a moment that a session has not ended."""
    check = service._check_session  # noqa: SLF001 -- all checks of sessions
    seen: dict[int, float] = {}

    def check_or_remember(
        connection: Connection, statement: Executable, token: AccessToken
    ) -> None:
        now = time.monotonic()
        if seen.get(token.session_id, 0) + REMEMBERED_SECONDS < now:
            check(connection, statement, token)
            seen[token.session_id] = now

    patch("taskapi.auth.service._check_session", check_or_remember).start()


def torn() -> None:
    """Each statement of a read sees a state of its own, on PostgreSQL."""

    def create_without_snapshots(url: str, **options: Any) -> Engine:
        return create_engine(url, **options | {"isolation_level": "READ COMMITTED"})

    patch("taskapi.database.postgresql.create_engine", create_without_snapshots).start()


FAULTS = {"unlocked": unlocked, "remembered": remembered, "torn": torn}

if name := os.environ.get("FAULT"):
    FAULTS[name]()
