"""What the service says of writes that wait for a standby which does not come."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from taskapi.settings import Settings
from tests.api import Api, check_problem
from tests.databases import PostgreSQL, execute

pytestmark = pytest.mark.database("postgresql")


@pytest.fixture
def postgresql_without_its_standby(postgresql: PostgreSQL) -> Iterator[PostgreSQL]:
    """Commits are done here at once, but are not acknowledged."""
    postgresql.execute("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
    postgresql.execute("SELECT pg_reload_conf()")
    yield postgresql
    come_back(postgresql)


def come_back(server: PostgreSQL) -> None:
    server.execute("ALTER SYSTEM RESET synchronous_standby_names")
    server.execute("SELECT pg_reload_conf()")


def waiting_commit(url: str) -> str:
    """The server process that waits for the standby, once there is one."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        waiting = execute(
            url,
            "SELECT pid FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event = 'SyncRep'",
        )
        if waiting:
            ((pid,),) = waiting
            return str(pid)
        time.sleep(0.01)
    raise TimeoutError


def test_a_repeat_is_not_acknowledged_before_the_write_that_it_repeats_is_replicated(
    anna: Api, settings: Settings, postgresql_without_its_standby: PostgreSQL
) -> None:
    """Failed: the repeat only read what was done here, and for that nothing waits. Had the server
    died then, its standby would not have known of the task.
    """
    request = {"json": {"title": "Buy bread"}, "headers": {"Idempotency-Key": "x"}}
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(anna.post, "/tasks", **request)
        commit = waiting_commit(settings.database_url)
        end = "SELECT pg_terminate_backend(CAST(:pid AS int))"
        execute(settings.database_url, end, pid=commit)
        check_problem(first.result(), 503, "unavailable")
        repeat = pool.submit(anna.post, "/tasks", **request)
        waiting_commit(settings.database_url)
        assert not repeat.done()
        come_back(postgresql_without_its_standby)
        assert repeat.result().status_code == 201
    assert len(anna.get("/tasks").json()) == 1
