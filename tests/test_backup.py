import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from taskapi import backup
from taskapi.settings import Settings
from tests.api import Api
from tests.server import ROOT

pytestmark = pytest.mark.database("sqlite")


def run(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "taskapi.backup", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TASKAPI_DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_copy_made_while_the_service_writes_is_whole_and_can_be_restored(
    anna: Api, settings: Settings, tmp_path: Path, start: Callable[[Settings], TestClient]
) -> None:
    copies = [tmp_path / f"copy{number}.db" for number in range(3)]
    with ThreadPoolExecutor(5) as pool:
        creations = [pool.submit(anna.create_task, f"Task {number}") for number in range(150)]
        for copy in copies:
            done = run(settings.database_url, str(copy))
            assert (done.returncode, done.stderr) == (0, "")
            assert done.stdout == f"{copy}: {copy.stat().st_size} bytes\n"
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


def test_nothing_is_overwritten(anna: Api, settings: Settings, tmp_path: Path) -> None:
    anna.create_task()
    precious = tmp_path / "precious.txt"
    precious.write_text("precious")
    before = sorted(tmp_path.iterdir())
    done = run(settings.database_url, str(precious))
    assert done.returncode == 1
    assert "No copy was made: [Errno 17] File exists" in done.stderr
    assert precious.read_text() == "precious"
    assert sorted(tmp_path.iterdir()) == before


def test_a_copy_of_a_damaged_database_is_not_made(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.db"
    with sqlite3.connect(damaged) as connection:
        connection.execute("CREATE TABLE numbers (number INTEGER)")
        connection.executemany("INSERT INTO numbers VALUES (?)", [(n,) for n in range(10_000)])
        connection.execute("CREATE INDEX of_numbers ON numbers (number)")
    connection.close()
    content = bytearray(damaged.read_bytes())
    content[20_000:40_000] = bytes(20_000)
    damaged.write_bytes(content)
    done = run(f"sqlite:///{damaged}", str(tmp_path / "copy.db"))
    assert (done.returncode, "damaged" in done.stderr) == (1, True)
    assert list(tmp_path.iterdir()) == [damaged]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite:///nowhere.db", "unable to open database file"),
        ("postgresql://db/taskapi", "This is for SQLite; PostgreSQL has pg_dump."),
    ],
)
def test_what_can_not_be_copied_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str, message: str
) -> None:
    monkeypatch.setenv("TASKAPI_DATABASE_URL", url)
    monkeypatch.setattr(sys, "argv", ["taskapi.backup", str(tmp_path / "copy.db")])
    with pytest.raises(SystemExit, match=message):
        backup.main()
    assert list(tmp_path.iterdir()) == []
