"""What a database server can do to the service."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import text

from taskapi.database import migrations
from taskapi.database.engines import open_engine
from taskapi.settings import ConfigurationError, Settings
from tests.api import Api, check_problem
from tests.databases import PostgreSQL, database_name, end_connections, execute
from tests.waiting import wait_until

pytestmark = pytest.mark.database("postgresql")

Start = Callable[[Settings], TestClient]


def check_unavailable(answer: Response) -> None:
    check_problem(answer, 503, "unavailable")
    assert answer.headers["retry-after"] == "1"


def with_default(settings: Settings, name: str, value: str) -> Settings:
    """A setting of the server's, for all sessions of the service."""
    url = f"{settings.database_url}&options={quote(f'-c default_transaction_{name}={value}')}"
    return settings.model_copy(update={"database_url": url})


@contextmanager
def away(settings: Settings, postgresql: PostgreSQL) -> Iterator[None]:
    """End all connections to the database, and refuse new ones."""
    name = database_name(settings.database_url)
    postgresql.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    end_connections(settings.database_url)
    yield
    postgresql.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


def test_requests_are_unavailable_while_the_server_is_away(
    anna: Api, settings: Settings, postgresql: PostgreSQL
) -> None:
    task = anna.create_task()
    path = f"/tasks/{task['id']}"
    with away(settings, postgresql):
        check_unavailable(anna.client.get("/readyz"))
        for method in ("GET", "DELETE"):
            check_unavailable(anna.request(method, path))
        check_unavailable(anna.post("/tasks", json={"title": "x"}))
        form = {"grant_type": "password", "username": anna.email, "password": "x"}
        check_unavailable(anna.client.post("/auth/token", data=form))
        assert anna.client.get("/livez").status_code == 200
    assert anna.client.get("/readyz").status_code == 200
    assert anna.get("/tasks").json() == [task]


@pytest.mark.own_database
def test_the_service_can_start_before_its_database(
    start: Start, settings: Settings, postgresql: PostgreSQL
) -> None:
    with away(settings, postgresql):
        client = start(settings)
        check_unavailable(client.get("/readyz"))
    assert client.get("/readyz").status_code == 200


def test_a_read_only_standby_is_unavailable_for_writes(
    anna: Api, start: Start, settings: Settings
) -> None:
    task = anna.create_task()
    standby = start(with_default(settings, "read_only", "on"))
    other = Api(standby, anna.user_id, anna.email, anna.token)
    check_unavailable(other.delete(f"/tasks/{task['id']}"))
    assert other.get("/tasks").json() == [task]


@pytest.mark.own_database
def test_connections_to_a_demoted_primary_are_dropped(
    anna: Api, settings: Settings, postgresql: PostgreSQL
) -> None:
    name = database_name(settings.database_url)
    postgresql.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    end_connections(settings.database_url)
    check_unavailable(anna.post("/tasks", json={"title": "x"}))
    postgresql.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    wait_until(lambda: anna.post("/tasks", json={"title": "x"}).status_code == 201)


@pytest.mark.own_database
def test_a_server_without_free_connections_is_unavailable(
    anna: Api, start: Start, settings: Settings
) -> None:
    name = database_name(settings.database_url)
    execute(settings.database_url, f"CREATE ROLE {name} LOGIN CONNECTION LIMIT 1")
    execute(settings.database_url, f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}")
    url = settings.database_url.replace("//postgres@", f"//{name}@")
    other = Api(start(settings.model_copy(update={"database_url": url})), 0, "", anna.token)
    engine = open_engine(url)
    with engine.connect():
        check_unavailable(other.get("/tasks"))
    engine.dispose()
    wait_until(lambda: other.client.get("/readyz").status_code == 200)
    assert other.get("/tasks").json() == []


def test_long_statements_time_out(anna: Api, start: Start, settings: Settings) -> None:
    task = anna.create_task()
    for pooling in (False, True):
        hurried = {"database_statement_timeout": 1, "database_transaction_pooling": pooling}
        other = Api(start(settings.model_copy(update=hurried)), 0, "", anna.token)
        engine = open_engine(settings.database_url)
        with engine.begin() as connection:
            connection.exec_driver_sql("SELECT id FROM tasks FOR UPDATE")
            check_unavailable(other.delete(f"/tasks/{task['id']}"))
        engine.dispose()
    assert anna.get("/tasks").json() == [task]


def test_deadlocks_are_retried(anna: Api, settings: Settings) -> None:
    anna.create_task()
    engine = open_engine(settings.database_url)
    name = database_name(settings.database_url)
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = :name"
    with engine.begin() as connection, ThreadPoolExecutor(1) as pool:
        connection.exec_driver_sql("SELECT id FROM tasks FOR UPDATE")
        deleting = pool.submit(anna.delete, f"/users/{anna.user_id}")
        wait_until(lambda: execute(settings.database_url, waiting, name=name))
        connection.exec_driver_sql("SELECT id FROM users FOR UPDATE")  # until the other gives up
        connection.commit()
        assert deleting.result().status_code == 204
    engine.dispose()
    assert execute(settings.database_url, "SELECT count(*) FROM tasks") == [(0,)]


@pytest.mark.own_database
def test_databases_must_be_utf8(settings: Settings, postgresql: PostgreSQL) -> None:
    """Failed: the driver gave bytes, which migrations stumbled over."""
    name = database_name(settings.database_url)
    options = "ENCODING SQL_ASCII LOCALE 'C' TEMPLATE template0"
    postgresql.execute(f"CREATE DATABASE {name}_ascii {options}")
    with pytest.raises(ConfigurationError, match="encoding must be UTF8, and is SQL_ASCII"):
        migrations.upgrade(postgresql.url(f"{name}_ascii"))


def test_an_engine_hands_out_the_connection_that_was_used_last(settings: Settings) -> None:
    """Failed: after a failover, readiness checks connected anew one after the other."""
    engine = open_engine(settings.database_url, connections=2)
    get_session = text("SELECT pg_backend_pid()")
    lost, used = engine.connect(), engine.connect()
    session = used.scalar(get_session)
    lost.invalidate()
    lost.close()
    used.close()
    with engine.connect() as connection:
        assert connection.scalar(get_session) == session
    engine.dispose()
