"""What the service says of a write when the server waits for a standby, or does not answer."""

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from fastapi.testclient import TestClient

from taskapi.database import postgresql as postgresql_engine
from taskapi.settings import Settings
from tests.api import Api, check_problem
from tests.databases import PostgreSQL, database_name, end_connections, execute
from tests.waiting import wait_until

Start = Callable[[Settings], TestClient]


@pytest.fixture(autouse=True)
def no_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql_engine, "TIMEOUT_MARGIN", 0)


pytestmark = [pytest.mark.database("postgresql"), pytest.mark.own_database]


@pytest.fixture
def without_standby(anna: Api, settings: Settings, postgresql: PostgreSQL) -> Api:
    """A user of a service whose commits wait for a standby, which there is none."""
    name = database_name(settings.database_url)
    postgresql.execute(f"ALTER DATABASE {name} SET synchronous_commit = on")
    end_connections(settings.database_url)
    return anna


def stop_waiting(settings: Settings, postgresql: PostgreSQL) -> None:
    """Answer the commits that wait, and let no other wait."""
    name = database_name(settings.database_url)
    postgresql.execute(f"ALTER DATABASE {name} RESET synchronous_commit")
    query = "SELECT pg_cancel_backend(CAST(:pid AS int))"
    for pid in waiting_commits(settings.database_url):
        execute(settings.database_url, query, pid=pid)


def waiting_commits(url: str) -> list[str]:
    """The server processes that wait for the standby."""
    query = (
        "SELECT pid FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event = 'SyncRep'"
    )
    return [str(pid) for (pid,) in execute(url, query)]


def test_repeats_wait_for_the_replication_of_the_first_write(
    without_standby: Api, settings: Settings, postgresql: PostgreSQL
) -> None:
    """Failed: the repeat only read what was done here, and for that nothing waits. Had the server
    died then, its standby would not have known of the task.
    """
    anna = without_standby
    request = {"json": {"title": "Buy bread"}, "headers": {"Idempotency-Key": "x"}}
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(anna.post, "/tasks", **request)
        [commit] = wait_until(lambda: waiting_commits(settings.database_url))
        end = "SELECT pg_terminate_backend(CAST(:pid AS int))"
        execute(settings.database_url, end, pid=commit)
        check_problem(first.result(), 503, "unavailable")
        repeat = pool.submit(anna.post, "/tasks", **request)
        wait_until(lambda: waiting_commits(settings.database_url))
        assert not repeat.done()
        stop_waiting(settings, postgresql)
        assert repeat.result().status_code == 201
    assert len(anna.get("/tasks").json()) == 1


def test_commits_waiting_for_a_standby_time_out(
    without_standby: Api, start: Start, settings: Settings, postgresql: PostgreSQL
) -> None:
    """Failed: PostgreSQL's statement timeout does not end this wait, and a server that hangs has
    none; so requests waited without end, and connections with them.
    """
    service = start(settings.model_copy(update={"database_statement_timeout": 1}))
    api = Api(service, 0, "", without_standby.token)
    check_problem(api.post("/tasks", json={"title": "Buy bread"}), 503, "unavailable")
    stop_waiting(settings, postgresql)
    api.create_task()


def test_hanging_server_processes_are_abandoned(
    anna: Api, start: Start, settings: Settings
) -> None:
    service = start(settings.model_copy(update={"database_statement_timeout": 1}))
    api = Api(service, anna.user_id, anna.email, anna.token)
    api.create_task()
    assert len(api.get("/tasks").json()) == 1
    query = (
        "SELECT pid FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND backend_type = 'client backend'"
    )
    processes = [pid for (pid,) in execute(settings.database_url, query)]
    with ExitStack() as stack:
        for pid in processes:
            os.kill(pid, signal.SIGSTOP)
            stack.callback(os.kill, pid, signal.SIGCONT)
        assert len(api.get("/tasks").json()) == 1
        api.create_task()
