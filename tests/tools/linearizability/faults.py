"""The service with a fault in it, which the check must find: `FAULT` names the fault."""

import os
import re
import time
from collections.abc import Callable
from typing import Any, TypeVar
from unittest.mock import patch

import psycopg

from taskapi.auth import sessions
from taskapi.auth.queries import SELECT_SESSION_ID
from taskapi.database.connections import Connection
from taskapi.database.workers import Job, deliver
from taskapi.exceptions import EmailTaken, Unauthorized
from taskapi.models import utc_now
from taskapi.security.access_tokens import AccessToken
from taskapi.tasks import service as tasks
from taskapi.tasks.queries import LOCK_OWN_TASK
from taskapi.users import service as users
from tests.faults.app import app

__all__ = ["app"]

T = TypeVar("T")
Check = Callable[[Connection, AccessToken, int], None]

ROW_LOCK = re.compile(r" FOR (NO KEY UPDATE|UPDATE|KEY SHARE|SHARE)\b")

REMEMBERED_SECONDS = 0.2
CACHED_SECONDS = 0.05
COMMIT_DELAY = 0.02  # seconds


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
        def check_or_remember(connection: Connection, token: AccessToken, max_age: int) -> None:
            now = time.monotonic()
            if seen.get(token.session_id, 0) + REMEMBERED_SECONDS < now:
                check(connection, token, max_age)
                seen[token.session_id] = now

        return check_or_remember

    patch("taskapi.auth.deps.guard_session", remembering(_check_before)).start()
    patch("taskapi.auth.deps.lock_session", remembering(sessions.lock_session)).start()


def torn() -> None:
    """The session is checked before a read instead of with it, on PostgreSQL."""
    patch("taskapi.auth.deps.guard_session", _check_before).start()


def _check_before(connection: Connection, token: AccessToken, max_age: int) -> None:
    live = sessions.live_at(utc_now(), max_age)
    values = {"session_id": token.session_id, "owner_id": token.user_id, **live}
    if connection.execute(SELECT_SESSION_ID, values).one_or_none() is None:
        raise Unauthorized("The session has ended.", error="invalid_token")


def unconditional() -> None:
    """If-Match is ignored."""
    patch("taskapi.http.etags.Preconditions._check_match", lambda *_: None).start()


def early() -> None:
    """Requests are answered before the commit."""

    def run_and_deliver(job: Job[Any], argument: Any) -> Any:
        result = job.run(job.function, argument)
        if job.writes:
            job.set_result(result)
            deliver([job])
            time.sleep(COMMIT_DELAY)
        return result

    patch.object(Job, "run_with", run_and_deliver).start()


def cached() -> None:
    """Each process caches the tasks that it reads for a moment. The session is checked anyway."""
    cache: dict[str, tuple[float, Any]] = {}

    def caching(read: Callable[..., T]) -> Callable[..., T]:
        def read_or_recall(connection: Connection, *arguments: Any) -> T:
            result = read(connection, *arguments)
            if LOCK_OWN_TASK in arguments:
                return result
            key, now = f"{read} {arguments}", time.monotonic()
            if key not in cache or cache[key][0] + CACHED_SECONDS < now:
                cache[key] = now, result
            recalled: T = cache[key][1]
            return recalled

        return read_or_recall

    patch.object(tasks, "list_tasks", caching(tasks.list_tasks)).start()
    patch.object(tasks, "_get_own", caching(vars(tasks)["_get_own"])).start()


def forgotten() -> None:
    """Idempotency keys are not stored."""
    patch.object(tasks, "store_response", lambda *_: None).start()


def kept() -> None:
    """A new password ends no session."""
    patch.object(users, "end_other_sessions", lambda *_: None).start()


def taken() -> None:
    """Each process refuses to register an address that it has refused, even when it is free."""
    refused: set[str] = set()
    create_user = users.create_user

    def create_or_refuse(connection: Connection, new: Any, password_hash: str) -> Any:
        if new.email.lower() in refused:
            raise EmailTaken("An account with this e-mail exists.")
        try:
            return create_user(connection, new, password_hash)
        except EmailTaken:
            refused.add(new.email.lower())
            raise

    patch.object(users, "create_user", create_or_refuse).start()


FAULTS = (unlocked, torn, remembered, unconditional, early, cached, forgotten, kept, taken)

if name := os.environ.get("FAULT"):
    {fault.__name__: fault for fault in FAULTS}[name]()
