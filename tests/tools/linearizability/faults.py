"""The service with a fault in it, which the check must find: `FAULT` names the fault.

FAULT=unlocked uv run uvicorn tests.tools.linearizability.faults:app
"""

import os
import re
import time
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import psycopg

from taskapi.auth import sessions
from taskapi.auth.queries import SELECT_SESSION_ID
from taskapi.database.connections import Connection
from taskapi.exceptions import Unauthorized
from taskapi.main import app
from taskapi.models import utc_now
from taskapi.security.access_tokens import AccessToken

__all__ = ["app"]

Check = Callable[[Connection, AccessToken], None]

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
    seen: dict[int, float] = {}

    def remembering(check: Check) -> Check:
        def check_or_remember(connection: Connection, token: AccessToken) -> None:
            now = time.monotonic()
            if seen.get(token.session_id, 0) + REMEMBERED_SECONDS < now:
                check(connection, token)
                seen[token.session_id] = now

        return check_or_remember

    patch("taskapi.auth.deps.guard_session", remembering(_check_before)).start()
    patch("taskapi.auth.deps.lock_session", remembering(sessions.lock_session)).start()


def torn() -> None:
    """The session is checked before a read instead of with it, on PostgreSQL."""
    patch("taskapi.auth.deps.guard_session", _check_before).start()


def _check_before(connection: Connection, token: AccessToken) -> None:
    values = {"session_id": token.session_id, "owner_id": token.user_id, "now": utc_now()}
    if connection.execute(SELECT_SESSION_ID, values).one_or_none() is None:
        raise Unauthorized("The session has ended.", error="invalid_token")


FAULTS = {"unlocked": unlocked, "remembered": remembered, "torn": torn}

if name := os.environ.get("FAULT"):
    FAULTS[name]()
