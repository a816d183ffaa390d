import sqlite3
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from taskapi.__main__ import main
from taskapi.settings import Settings
from tests.api import Api

pytestmark = [pytest.mark.database("sqlite"), pytest.mark.own_database]


Run = Callable[..., str]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(url: str, copy: Path) -> str:
        monkeypatch.setenv("TASKAPI_DATABASE_URL", url)
        monkeypatch.setattr(sys, "argv", ["taskapi", "backup", str(copy)])
        main()
        return capsys.readouterr().out

    return run


def test_a_backup_of_a_busy_database_is_consistent_and_can_be_restored(
    anna: Api,
    settings: Settings,
    tmp_path: Path,
    start: Callable[[Settings], TestClient],
    run: Run,
) -> None:
    copies = [tmp_path / f"copy{number}.db" for number in range(3)]
    with ThreadPoolExecutor(5) as pool:
        creations = [pool.submit(anna.create_task, f"Task {number}") for number in range(40)]
        for copy in copies:
            said = run(settings.database_url, copy)
            assert said == f"{copy}: {copy.stat().st_size} bytes\n"
            assert copy.stat().st_mode & 0o777 == 0o600
        titles = {creation.result()["title"] for creation in creations}
    counts = []
    for copy in copies:
        restored = settings.model_copy(update={"database_url": f"sqlite:///{copy}"})
        again = Api(start(restored), anna.user_id, anna.email, anna.token)
        tasks = again.get("/tasks?limit=100").json()
        assert {task["title"] for task in tasks} <= titles
        counts.append(int(again.get("/tasks?total=true").headers["x-total-count"]))
        again.create_task()
    assert counts == sorted(counts)


@pytest.mark.usefixtures("anna")
def test_an_existing_file_is_not_overwritten(settings: Settings, tmp_path: Path, run: Run) -> None:
    precious = tmp_path / "precious.txt"
    precious.write_text("precious")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(SystemExit, match=r"^taskapi can't back up the database: .*File exists"):
        run(settings.database_url, precious)
    assert precious.read_text() == "precious"
    assert sorted(tmp_path.iterdir()) == before


def test_a_damaged_database_is_not_backed_up(tmp_path: Path, run: Run) -> None:
    damaged = tmp_path / "damaged.db"
    with sqlite3.connect(damaged) as connection:
        connection.execute("CREATE TABLE numbers (number INTEGER)")
        connection.executemany("INSERT INTO numbers VALUES (?)", [(n,) for n in range(10_000)])
        connection.execute("CREATE INDEX of_numbers ON numbers (number)")
    connection.close()
    content = bytearray(damaged.read_bytes())
    content[20_000:40_000] = bytes(20_000)
    damaged.write_bytes(content)
    with pytest.raises(
        SystemExit, match=r"^taskapi can't back up the database: the database is damaged"
    ):
        run(f"sqlite:///{damaged}", tmp_path / "copy.db")
    assert list(tmp_path.iterdir()) == [damaged]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite:///nowhere.db", "unable to open database file"),
        ("mysql://localhost", "the database must be sqlite:///a-file.db or postgresql://"),
        ("postgresql://db/taskapi", "this command is for SQLite; use pg_dump for PostgreSQL"),
    ],
)
def test_a_failure_is_reported_in_one_line(
    tmp_path: Path, url: str, message: str, run: Run
) -> None:
    with pytest.raises(SystemExit, match=f"^taskapi can't back up the database: {message}"):
        run(url, tmp_path / "copy.db")
    assert list(tmp_path.iterdir()) == []
