import asyncio
from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest
from alembic import command
from fastapi.testclient import TestClient
from sqlalchemy import Connection

from taskapi.database import migrations
from taskapi.database.core import Database
from taskapi.settings import Settings
from tests.api import check_problem
from tests.databases import execute
from tests.waiting import HANG


def test_a_running_service_is_live_and_ready(client: TestClient) -> None:
    live, ready = client.get("/livez"), client.get("/readyz")
    assert (live.status_code, live.json()) == (200, {"status": "ok"})
    assert (ready.status_code, ready.json()) == (
        200,
        {"status": "ok", "database_schema": "current"},
    )


@pytest.mark.own_database
def test_an_outdated_schema_is_live_but_not_ready(client: TestClient, settings: Settings) -> None:
    command.downgrade(migrations.config_for(settings.database_url), "base")
    answer = client.get("/readyz")
    problem = check_problem(answer, 503, "unavailable")
    assert "behind: it is at revision none" in problem["detail"]
    assert answer.headers["retry-after"] == "5"
    assert client.get("/livez").status_code == 200


@pytest.mark.own_database
def test_a_newer_schema_is_ready(client: TestClient, settings: Settings) -> None:
    execute(settings.database_url, "UPDATE alembic_version SET version_num = 'of_tomorrow'")
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["database_schema"]) == (200, "ahead")


@pytest.mark.database("sqlite")
def test_a_missing_database_is_live_but_not_ready(
    start: Callable[[Settings], TestClient], settings: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "mounted"
    folder.mkdir()
    client = start(settings.model_copy(update={"database_url": f"sqlite:///{folder}/taskapi.db"}))
    moved = folder.rename(tmp_path / "unmounted")
    check_problem(client.get("/readyz"), 503, "unavailable")
    assert client.get("/livez").status_code == 200
    moved.rename(folder)
    assert client.get("/readyz").status_code == 200


def test_waiting_readiness_checks_share_a_connection(settings: Settings) -> None:
    """Failed: while a host was cut off, each of them connected anew, after all others."""
    database = Database(settings)
    begun, end = Event(), Event()

    def block(_: Connection) -> None:
        begun.set()
        end.wait(HANG)

    def get_itself(connection: Connection) -> Connection:
        return connection

    async def run() -> list[Connection]:
        async with asyncio.TaskGroup() as group:
            group.create_task(database.check(block))
            await asyncio.to_thread(begun.wait, HANG)
            waiting = [group.create_task(database.check(get_itself)) for _ in range(3)]
            await asyncio.sleep(0)
            end.set()
        return [task.result() for task in waiting]

    assert len(set(asyncio.run(run()))) == 1
    database.close()
