import asyncio
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from taskapi.database import core, sqlite
from taskapi.database.connections import Connection
from taskapi.database.core import Database
from taskapi.database.engines import open_engine
from taskapi.exceptions import Unavailable
from taskapi.settings import Settings
from tests.api import Api, check_problem
from tests.waiting import HANG, wait_until

pytestmark = pytest.mark.database("sqlite")

Start = Callable[[Settings], TestClient]


@pytest.fixture
def connection(settings: Settings, client: TestClient) -> Iterator[sqlite3.Connection]:
    """A connection from outside to the database of `client`."""
    assert client.get("/readyz").status_code == 200
    connection = sqlite3.connect(
        settings.database_url.removeprefix("sqlite:///"), isolation_level=None
    )
    yield connection
    connection.close()


def test_sqlite_is_configured_for_durability(
    connection: sqlite3.Connection, settings: Settings
) -> None:
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    engine = open_engine(settings.database_url)
    with engine.connect() as own:
        pragmas = [
            own.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("foreign_keys", "synchronous", "busy_timeout")
        ]
    engine.dispose()
    assert pragmas == [1, 2, 5000]


def test_a_locked_database_is_unavailable(
    start: Callable[[Settings], TestClient], settings: Settings, connection: sqlite3.Connection
) -> None:
    impatient = {"database_url": settings.database_url + "?timeout=0.05"}
    anna = Api.register(start(settings.model_copy(update=impatient)), "anna@example.com")
    task = anna.create_task()
    connection.execute("BEGIN IMMEDIATE")
    answer = anna.delete(f"/tasks/{task['id']}")
    check_problem(answer, 503, "unavailable")
    assert answer.headers["retry-after"] == "1"
    assert anna.get(f"/tasks/{task['id']}").json() == task
    connection.execute("ROLLBACK")
    assert anna.delete(f"/tasks/{task['id']}").status_code == 204


def test_a_new_database_is_readable_by_its_owner_only(
    start: Start, settings: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    mask = os.umask(0o022)
    try:
        url = f"sqlite:///{folder}/taskapi.db"
        Api.register(start(settings.model_copy(update={"database_url": url})), "anna@example.com")
    finally:
        os.umask(mask)
    modes = {file.name: file.stat().st_mode & 0o777 for file in folder.iterdir()}
    assert modes == dict.fromkeys(["taskapi.db", "taskapi.db-wal", "taskapi.db-shm"], 0o600)


def test_the_mode_of_an_existing_database_is_kept(
    start: Start, settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "existing.db"
    file.touch()
    file.chmod(0o640)
    start(settings.model_copy(update={"database_url": f"sqlite:///{file}"}))
    assert file.stat().st_mode & 0o777 == 0o640


@pytest.mark.own_database
@pytest.mark.parametrize("replaced", [True, False])
def test_nothing_is_written_to_a_deleted_or_replaced_database(
    anna: Api, settings: Settings, tmp_path: Path, *, replaced: bool
) -> None:
    """Failed: writes to the deleted file were acknowledged."""
    file = Path(settings.database_url.removeprefix("sqlite:///"))
    anna.create_task()
    before = shutil.copy(file, tmp_path / "before")
    for deleted in tmp_path.glob("taskapi.db*"):
        deleted.unlink()
    if replaced:
        shutil.copy(before, file)
    written = anna.post("/tasks", json={"title": "x"})
    wait_until(lambda: anna.get("/tasks").status_code != 200)
    for answer in (written, anna.get("/tasks"), anna.get("/readyz")):
        assert "was replaced or deleted" in check_problem(answer, 503, "unavailable")["detail"]
    assert anna.client.get("/livez").status_code == 200
    assert file.exists() is replaced


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


def test_a_statement_that_takes_too_long_is_interrupted(anna: Api, settings: Settings) -> None:
    task = anna.create_task()
    database = Database(settings.model_copy(update={"database_statement_timeout": 1}))

    def read(connection: Connection) -> None:
        connection.execute(text(ENDLESS))

    def write(connection: Connection) -> None:
        connection.exec_driver_sql("UPDATE tasks SET title = 'changed'")
        connection.exec_driver_sql(f"UPDATE tasks SET version = ({ENDLESS})")  # noqa: S608 -- a constant

    async def run() -> None:
        for method, function in ((database.read, read), (database.write, write)):
            with pytest.raises(Unavailable):
                await asyncio.wait_for(method(function), HANG)
            await method(lambda connection: connection.exec_driver_sql("SELECT 1"))

    asyncio.run(run())
    database.close()
    assert anna.get("/tasks").json() == [task]


def test_closing_does_not_wait_for_a_statement(
    anna: Api, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Failed: closing its connection waited for it."""
    started, stop = Event(), Event()
    monkeypatch.setattr(sqlite.TimeoutConnection, "_is_late", lambda _: stop.is_set())
    database = Database(settings)

    def read(connection: Connection) -> None:
        started.set()
        connection.execute(text(ENDLESS))

    async def run() -> None:
        reading = asyncio.create_task(database.read(read))
        await asyncio.to_thread(started.wait, HANG)
        monkeypatch.setattr(core, "QUEUE_TIMEOUT", 0.05)
        await asyncio.to_thread(database.close)
        assert not reading.done()
        stop.set()
        with pytest.raises(Unavailable):
            await reading

    asyncio.run(run())
    assert anna.get("/tasks").json() == []
