"""Starting and stopping, in this process and as processes."""

import asyncio
import gc
import threading
from collections.abc import Iterator
from pathlib import Path

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
from tests.api import Api
from tests.databases import execute


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
    threshold = gc.get_threshold()
    with TestClient(create_app(settings)) as client:
        assert client.get("/livez").status_code == 200
        assert gc.get_freeze_count() > 10_000
    assert (gc.get_threshold(), gc.get_freeze_count()) == (threshold, 0)
