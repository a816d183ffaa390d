"""What a database server can do to the service."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from taskapi.database import migrations
from taskapi.database.engines import open_engine
from taskapi.settings import ConfigurationError, Settings
from tests.api import Api, check_problem
from tests.databases import PostgreSQL, execute

pytestmark = pytest.mark.database("postgresql")

Start = Callable[[Settings], TestClient]


def check_unavailable(answer: Response) -> None:
    check_problem(answer, 503, "unavailable")
    assert answer.headers["retry-after"] == "1"


def name_of(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]


def with_default(settings: Settings, name: str, value: str) -> Settings:
    """A setting of the server's, for all sessions of the service."""
    url = f"{settings.database_url}&options={quote(f'-c default_transaction_{name}={value}')}"
    return settings.model_copy(update={"database_url": url})


def test_a_server_that_is_away_is_told_of_and_waited_for(anna: Api, postgresql: PostgreSQL) -> None:
    task = anna.create_task()
    path = f"/tasks/{task['id']}"
    postgresql.stop()
    try:
        check_unavailable(anna.client.get("/readyz"))
        for method in ("GET", "DELETE"):
            check_unavailable(anna.request(method, path))
        check_unavailable(anna.post("/tasks", json={"title": "x"}))
        form = {"grant_type": "password", "username": anna.email, "password": "x"}
        check_unavailable(anna.client.post("/auth/token", data=form))
        assert anna.client.get("/livez").status_code == 200
    finally:
        postgresql.start()
    assert anna.client.get("/readyz").status_code == 200
    assert anna.get("/tasks").json() == [task]


def test_a_service_that_starts_before_its_database_becomes_ready_by_itself(
    start: Start, settings: Settings, postgresql: PostgreSQL
) -> None:
    postgresql.stop()
    try:
        client = start(settings)
        check_unavailable(client.get("/readyz"))
    finally:
        postgresql.start()
    assert client.get("/readyz").status_code == 200


def test_a_server_that_restarts_under_load_fails_no_request_otherwise(
    anna: Api, settings: Settings, postgresql: PostgreSQL
) -> None:
    stop = threading.Event()
    answers: list[Response] = []

    def work(number: int) -> None:
        while not stop.is_set():
            headers = {"Idempotency-Key": f"{number}-{len(answers)}"}
            answers.append(anna.post("/tasks", json={"title": "x"}, headers=headers))
            answers.append(anna.get("/tasks?limit=1&sort=-id"))

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(work, number) for number in range(4)]
        for _ in range(3):
            postgresql.stop()
            postgresql.start()
        before = len(answers)
        while len(answers) < before + 40:
            stop.wait(0.01)
        stop.set()
        for done in running:
            done.result()
    assert {answer.status_code for answer in answers} == {200, 201, 503}
    acknowledged = {answer.json()["id"] for answer in answers if answer.status_code == 201}
    stored = {task_id for (task_id,) in execute(settings.database_url, "SELECT id FROM tasks")}
    assert acknowledged <= stored


def test_a_standby_that_can_only_read_is_unavailable_for_writing(
    anna: Api, start: Start, settings: Settings
) -> None:
    task = anna.create_task()
    standby = start(with_default(settings, "read_only", "on"))
    other = Api(standby, anna.user_id, anna.email, anna.token)
    check_unavailable(other.delete(f"/tasks/{task['id']}"))
    assert other.get("/tasks").json() == [task]


def test_a_connection_to_what_is_a_standby_now_is_not_used_again(
    anna: Api, settings: Settings, postgresql: PostgreSQL
) -> None:
    name = name_of(settings.database_url)
    postgresql.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    sessions = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
    postgresql.execute(sessions, name=name)
    check_unavailable(anna.post("/tasks", json={"title": "x"}))
    postgresql.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    anna.create_task()


def test_a_server_without_free_connections_is_unavailable(
    anna: Api, start: Start, settings: Settings
) -> None:
    name = name_of(settings.database_url)
    execute(settings.database_url, f"CREATE ROLE {name} LOGIN CONNECTION LIMIT 1")
    execute(settings.database_url, f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}")
    url = settings.database_url.replace("//postgres@", f"//{name}@")
    other = Api(start(settings.model_copy(update={"database_url": url})), 0, "", anna.token)
    engine = open_engine(url)
    with engine.connect():
        check_unavailable(other.get("/tasks"))
    engine.dispose()
    while other.client.get("/readyz").status_code == 503:  # until the server has noticed
        time.sleep(0.01)
    assert other.get("/tasks").json() == []


def test_a_statement_that_takes_too_long_is_given_up(
    anna: Api, start: Start, settings: Settings
) -> None:
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


def test_serialization_failures_are_tried_again(start: Start, settings: Settings) -> None:
    client = start(with_default(settings, "isolation", "serializable"))
    anna = Api.register(client, "anna@example.com")
    path = f"/tasks/{anna.create_task()['id']}"
    with ThreadPoolExecutor(6) as pool:
        answers = list(
            pool.map(lambda number: anna.patch(path, json={"title": str(number)}), range(24))
        )
    assert {answer.status_code for answer in answers} <= {200, 503}
    changed = [answer for answer in answers if answer.status_code == 200]
    assert anna.get(path).headers["etag"] == f'"{len(changed) + 1}"'
    assert len(changed) > 12


def test_a_deadlock_is_tried_again(anna: Api, settings: Settings) -> None:
    anna.create_task()
    engine = open_engine(settings.database_url)
    name = name_of(settings.database_url)
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = :name"
    with engine.begin() as connection, ThreadPoolExecutor(1) as pool:
        connection.exec_driver_sql("SELECT id FROM tasks FOR UPDATE")
        deleting = pool.submit(anna.delete, f"/users/{anna.user_id}")
        while not execute(settings.database_url, waiting, name=name):
            time.sleep(0.01)
        connection.exec_driver_sql("SELECT id FROM users FOR UPDATE")  # until the other gives up
        connection.commit()
        assert deleting.result().status_code == 204
    engine.dispose()
    assert execute(settings.database_url, "SELECT count(*) FROM tasks") == [(0,)]


def test_a_database_that_can_not_hold_every_character_is_refused(
    settings: Settings, postgresql: PostgreSQL
) -> None:
    """Failed: the driver gave bytes, which migrations stumbled over."""
    name = name_of(settings.database_url)
    options = "ENCODING SQL_ASCII LOCALE 'C' TEMPLATE template0"
    postgresql.execute(f"CREATE DATABASE {name}_ascii {options}")
    with pytest.raises(ConfigurationError, match="encoding must be UTF8, and is SQL_ASCII"):
        migrations.upgrade(postgresql.url(f"{name}_ascii"))
