"""Starting, restarting and starting side by side, as processes."""

import asyncio
import gc
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.types import Message

from taskapi.app import create_app
from taskapi.database import migrations
from taskapi.settings import Settings
from taskapi.startup import load_settings
from tests.databases import execute


async def fail_to_start(app: FastAPI) -> str:
    """What the server is told."""
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
def test_a_start_that_can_not_succeed_says_why_and_no_more(url: str, reason: str) -> None:
    message = asyncio.run(fail_to_start(create_app(Settings(database_url=url))))
    assert message == f"taskapi can't start: {reason}"


def test_a_database_of_a_newer_version_is_said_to_be_one(tmp_path: Path) -> None:
    settings = Settings(database_url=f"sqlite:///{tmp_path}/taskapi.db")
    migrations.upgrade(settings.database_url)
    execute(settings.database_url, "UPDATE alembic_version SET version_num = 'of_tomorrow'")
    message = asyncio.run(fail_to_start(create_app(settings)))
    assert "the database's schema is of another version of the service" in message


def test_a_fault_of_the_code_at_the_start_has_its_traceback(
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
def test_settings_that_can_not_be_used_are_said(content: bytes, reason: str) -> None:
    Path(".env").write_bytes(content)
    with pytest.raises(SystemExit, match=f"^taskapi can't start: .*{reason}"):
        load_settings()


def test_a_variable_that_names_no_setting_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKAPI_DATABSE_URL", "x")
    with pytest.raises(SystemExit, match=r"start: no such setting: TASKAPI_DATABSE_URL$"):
        load_settings()


def test_what_the_service_is_made_of_is_no_garbage_while_it_runs(settings: Settings) -> None:
    """Failed: requests waited 100 ms now and then, while the collector went through all of it."""
    before = gc.get_threshold(), gc.get_freeze_count()
    with TestClient(create_app(settings)) as client:
        assert client.get("/livez").status_code == 200
        assert gc.get_freeze_count() > 10_000
    assert (gc.get_threshold(), gc.get_freeze_count()) == before
