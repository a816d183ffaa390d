"""Starting and stopping, in this process and as processes."""

import asyncio
import gc
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import Pool, event
from starlette.types import Message

from taskapi import app as application
from taskapi.app import create_app
from taskapi.database import migrations
from taskapi.rate_limit import RateLimiter
from taskapi.settings import Settings
from taskapi.startup import load_settings
from tests.api import PASSWORD, Api
from tests.databases import execute
from tests.server import ROOT, serve

USER = {"name": "Anna", "email": "anna@example.com", "password": PASSWORD}
FORM = {"grant_type": "password", "username": "anna@example.com", "password": PASSWORD}


def log_in(url: str) -> dict[str, str]:
    token = httpx2.post(f"{url}/auth/token", data=FORM).json()["access_token"]
    return {"Authorization": f"Bearer {token}"}


def test_the_first_start_creates_a_database_and_a_key_and_logs_their_paths(tmp_path: Path) -> None:
    with serve(tmp_path) as url:
        assert httpx2.post(f"{url}/users", json=USER).status_code == 201
    secret = tmp_path / "taskapi.secret"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert len(secret.read_text()) == 64
    log = (tmp_path / "server.log").read_text()
    assert f"made a secret key: {secret}" in log
    assert f"database: {tmp_path / 'taskapi.db'}" in log
    assert secret.read_text() not in log


def test_a_restart_keeps_users_tasks_and_sessions(tmp_path: Path) -> None:
    with serve(tmp_path) as url:
        httpx2.post(f"{url}/users", json=USER)
        login = log_in(url)
        task = httpx2.post(f"{url}/tasks", json={"title": "Buy bread"}, headers=login).json()
        secret = (tmp_path / "taskapi.secret").read_text()
    with serve(tmp_path) as url:
        assert httpx2.get(f"{url}/tasks", headers=login).json() == [task]
        assert httpx2.get(f"{url}/tasks", headers=log_in(url)).json() == [task]
    assert (tmp_path / "taskapi.secret").read_text() == secret


def test_four_workers_starting_at_once_share_one_database_and_one_secret(tmp_path: Path) -> None:
    with serve(tmp_path, "--workers=4") as url, ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda _: httpx2.post(f"{url}/users", json=USER), range(16))
        assert sorted(answer.status_code for answer in answers) == [201] + [409] * 15
        login = log_in(url)
        answers = pool.map(lambda _: httpx2.get(f"{url}/users/me", headers=login), range(40))
        assert [answer.status_code for answer in answers] == [200] * 40
    log = (tmp_path / "server.log").read_text()
    assert log.count("made a secret key") == 1
    assert log.count("database:") == 4
    assert "Traceback" not in log
    assert "ERROR" not in log
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "server.log",
        "taskapi.db",
        "taskapi.secret",
    ]


@pytest.mark.parametrize(("trusted", "status"), [("127.0.0.1", 401), ("192.0.2.99", 429)])
def test_the_clients_address_comes_from_a_trusted_proxy(
    tmp_path: Path, trusted: str, status: int
) -> None:
    with serve(tmp_path, f"--forwarded-allow-ips={trusted}") as url:

        def fail(client: str) -> int:
            headers = {"X-Forwarded-For": client}
            return httpx2.post(f"{url}/auth/token", data=FORM, headers=headers).status_code

        assert [fail("192.0.2.1") for _ in range(10)] == [401] * 10
        assert fail("192.0.2.2") == status


def test_each_request_is_one_line_of_the_log(tmp_path: Path) -> None:
    with serve(tmp_path) as url:
        httpx2.get(f"{url}/livez", headers={"X-Request-ID": "the-one"})
    lines = (tmp_path / "server.log").read_text().splitlines()
    assert [line.split(" INFO ")[-1].split()[:3] for line in lines if "/livez" in line] == [
        ["GET", "/livez", "200"]
    ]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("TASKAPI_DATABASE_URL", "sqlite://", "must be a file"),
        (
            "TASKAPI_DATABASE_URL",
            "mysql://localhost",
            "must be sqlite:///a-file.db or postgresql://",
        ),
        ("TASKAPI_DATABASE_URL", "postgresql://localhost", "TASKAPI_SECRET_KEYS must be set"),
        (
            "TASKAPI_DATABASE_URL",
            "sqlite:///nowhere/taskapi.db",
            "unable to open database file",
        ),
        ("TASKAPI_SECRET_KEYS", "short", "fewer than 32 characters"),
        ("TASKAPI_SECRET_KEY", "x" * 40, "no such setting: TASKAPI_SECRET_KEY"),
        ("TASKAPI_LOG_FORMAT", "xml", "TASKAPI_LOG_FORMAT: Input should be"),
        ("TASKAPI_DATABASE_URL", "nonsense", "must be sqlite:///a-file.db or postgresql://"),
    ],
)
def test_a_start_with_unusable_settings_fails_in_one_line(
    tmp_path: Path, name: str, value: str, message: str
) -> None:
    started = subprocess.run(
        [sys.executable, "-m", "uvicorn", "taskapi.main:app", "--port=0"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), name: value},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert started.returncode != 0
    [line] = [line for line in started.stderr.splitlines() if "taskapi can't start: " in line]
    assert message in line
    assert "Traceback" not in started.stderr
    assert "short" not in started.stderr.replace("too short", "")
    assert list(tmp_path.glob("*")) == []


def test_a_start_without_migrations_does_not_import_alembic(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from fastapi.testclient import TestClient\n"
        "from taskapi.main import app\n"
        "with TestClient(app) as client: assert client.get('/readyz').status_code == 200\n"
        "print('alembic' in sys.modules)\n"
    )
    loaded = [
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for _ in range(2)
    ]
    assert loaded == ["True\n", "False\n"]


async def fail_to_start(app: FastAPI) -> str:
    """The reason that the server gets."""
    messages: list[Message] = []

    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    async def send(message: Message) -> None:
        messages.append(message)

    with pytest.raises(Exception, match=r".+"):
        await app({"type": "lifespan", "app": app}, receive, send)
    assert [message["type"] for message in messages] == ["lifespan.startup.failed"]
    return str(messages[0]["message"])


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (
            "sqlite:///nowhere/taskapi.db",
            "the database can't be used: unable to open database file",
        ),
        ("nonsense", "the database must be sqlite:///a-file.db or postgresql://user@host/database"),
    ],
)
def test_a_start_that_fails_reports_the_reason(url: str, reason: str) -> None:
    message = asyncio.run(fail_to_start(create_app(Settings(database_url=url))))
    assert message == f"taskapi can't start: {reason}"


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    settings = Settings(database_url=f"sqlite:///{tmp_path}/taskapi.db")
    migrations.upgrade(settings.database_url)
    execute(settings.database_url, "UPDATE alembic_version SET version_num = 'of_tomorrow'")
    message = asyncio.run(fail_to_start(create_app(settings)))
    assert "the database's schema is of another version of the service" in message


def test_a_fault_of_the_code_at_the_start_keeps_its_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(migrations, "upgrade", None)
    message = asyncio.run(fail_to_start(create_app(Settings())))
    assert message.startswith("Traceback")
    assert "TypeError: 'NoneType' object is not callable" in message


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"TASKAPI_SECRET_KEY=x", "TASKAPI_SECRET_KEY: Extra inputs are not permitted"),
        (b"TASKAPI_LOGIN_LIMIT=often\nTASKAPI_DATABASE_CONNECTIONS=0", "; TASKAPI_DATABASE_CONN"),
        (b"\xff", "the settings can't be read: "),
    ],
)
def test_all_unusable_settings_are_reported(content: bytes, reason: str) -> None:
    Path(".env").write_bytes(content)
    with pytest.raises(SystemExit, match=f"^taskapi can't start: .*{reason}"):
        load_settings()


def test_an_unknown_variable_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKAPI_DATABSE_URL", "x")
    with pytest.raises(SystemExit, match=r"start: no such setting: TASKAPI_DATABSE_URL$"):
        load_settings()


@pytest.fixture
def connections() -> Iterator[set[int]]:
    """The open database connections of this process."""
    opened: set[int] = set()

    def add(connection: object, _: object) -> None:
        opened.add(id(connection))

    def discard(connection: object, _: object) -> None:
        opened.discard(id(connection))

    event.listen(Pool, "connect", add)
    event.listen(Pool, "close", discard)
    yield opened
    event.remove(Pool, "connect", add)
    event.remove(Pool, "close", discard)


def database_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "taskapi-database"]


@pytest.mark.parametrize("step", ["load_secret_keys", "Passwords", "RateLimiter", "LoginThrottle"])
def test_a_start_that_fails_closes_the_database(
    settings: Settings, connections: set[int], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Failed: its threads and connections stayed open."""
    before = database_threads()
    running = []

    def fail(*_: object, **__: object) -> None:
        running.extend(database_threads())
        raise OSError("no more")

    monkeypatch.setattr(application, step, fail)
    message = asyncio.run(fail_to_start(create_app(settings)))
    assert message == "taskapi can't start: no more"
    assert len(running) > len(before)
    assert database_threads() == before
    assert connections == set()


def test_the_database_is_closed_when_something_else_can_not_be(
    settings: Settings, connections: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = database_threads()

    async def fail(_: RateLimiter) -> None:
        raise OSError("no more")

    monkeypatch.setattr(RateLimiter, "close", fail)
    client = TestClient(create_app(settings))
    client.__enter__()
    Api.register(client, "anna@example.com").create_task()
    assert connections
    with pytest.raises(OSError, match="no more"):
        client.__exit__()
    assert database_threads() == before
    assert connections == set()


def test_the_services_are_not_garbage_collected_while_they_run(settings: Settings) -> None:
    """Failed: full collections of the services' objects delayed requests by 100 ms."""
    before = gc.get_threshold(), gc.get_freeze_count()
    with TestClient(create_app(settings)) as client:
        assert client.get("/livez").status_code == 200
        assert gc.get_freeze_count() > 10_000
    assert (gc.get_threshold(), gc.get_freeze_count()) == before
