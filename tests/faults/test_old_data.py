"""Old, foreign or broken files in place of the database are upgraded, or left unchanged."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from taskapi.database import migrations
from tests.databases import execute
from tests.faults.service import Service, running
from tests.requirements import require_programs
from tests.rows import fill_released
from tests.server import ROOT
from tests.waiting import HANG

REVISIONS = migrations.REVISIONS


def release(database: Path, revision: str) -> None:
    """A database as a release left it, with rows."""
    fill_released(f"sqlite:///{database}", revision)


def dump(database: Path) -> list[str]:
    with closing(sqlite3.connect(database)) as connection:
        return list(connection.iterdump())


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_database_of_every_release_is_upgraded(tmp_path: Path, revision: str) -> None:
    database = tmp_path / "taskapi.db"
    release(database, revision)
    with running(tmp_path) as service:
        assert service.is_ready()
        with closing(sqlite3.connect(database)) as connection:
            integrity = connection.execute("PRAGMA integrity_check").fetchall()
            integrity += connection.execute("PRAGMA foreign_key_check").fetchall()
            at = connection.execute("SELECT version_num FROM alembic_version").fetchall()
            titles = connection.execute("SELECT title FROM tasks ORDER BY id").fetchall()
    print(f"\nopened from {revision}: at {at}, integrity {integrity}, {len(titles)} tasks")
    assert integrity == [("ok",)]
    assert at == [(REVISIONS[0],)]
    assert titles == [("Купить хлеб",), ("His",)]


def not_a_database(place: Path) -> None:
    place.write_bytes(b"Dear diary, " * 1000)


def a_directory(place: Path) -> None:
    place.mkdir()
    (place / "kept").touch()


def a_read_only_file(place: Path) -> None:
    release(place, REVISIONS[0])
    place.chmod(0o444)


def no_parent_folder(_: Path) -> None:
    pass


def cut_short(place: Path) -> None:
    release(place, REVISIONS[0])
    with place.open("r+b") as file:
        file.truncate(place.stat().st_size // 2)


def anothers_database(place: Path) -> None:
    with closing(sqlite3.connect(place)) as connection, connection:
        connection.execute("CREATE TABLE users (name TEXT)")
        connection.execute("INSERT INTO users VALUES ('Clara')")


def a_newer_database(place: Path) -> None:
    release(place, REVISIONS[0])
    execute(f"sqlite:///{place}", "UPDATE alembic_version SET version_num = 'of_tomorrow'")


def an_empty_key(place: Path) -> None:
    release(place, REVISIONS[0])
    place.with_suffix(".secret").touch()


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("prepare", "message", "untouched"),
    [
        (not_a_database, "the database can't be used: file is not a database", True),
        (a_directory, "the database can't be used: unable to open database file", True),
        (a_read_only_file, "the database can't be used: attempt to write a readonly", True),
        (no_parent_folder, "the database can't be used: unable to open database file", True),
        (cut_short, "the database can't be used: database disk image is malformed", True),
        (anothers_database, "the database can't be used: table users already exists", False),
        (a_newer_database, "of another version of the service: revision of_tomorrow", False),
        (an_empty_key, "taskapi.secret has fewer than 32 characters", False),
    ],
)
def test_an_unusable_database_is_reported_and_left_unchanged(
    tmp_path: Path, prepare: Callable[[Path], None], message: str, *, untouched: bool
) -> None:
    """`untouched` are the bytes; where the start could open it, only what is in it."""
    folder = tmp_path / ("missing" if prepare is no_parent_folder else "data")
    if prepare is not no_parent_folder:
        folder.mkdir()
    place = folder / "taskapi.db"
    prepare(place)
    read_only = prepare is a_read_only_file
    before = contents(folder) if untouched else dump(place)
    code, log = start_read_only(tmp_path, folder) if read_only else fail_to_start(tmp_path, place)
    lines = [line for line in log.splitlines() if "can't start" in line]
    print(f"\n{prepare.__name__}: exit code {code}, {' '.join(lines)}")
    assert code == 3
    assert len(lines) == 1
    assert message in lines[0]
    assert f"database: {place}" in log
    assert "Traceback" not in log
    assert (contents(folder) if untouched else dump(place)) == before


def fail_to_start(folder: Path, database: Path) -> tuple[int, str]:
    service = Service(folder, TASKAPI_DATABASE_URL=f"sqlite:///{database}", TASKAPI_SECRET_KEYS="")
    return service.fail(), service.log


def start_read_only(folder: Path, data: Path) -> tuple[int, str]:
    """Root may write what is read-only, unless it gives that right up."""
    humble = []
    if os.geteuid() == 0:
        require_programs("setpriv", install="apt-get install util-linux")
        humble = ["setpriv", "--bounding-set=-dac_override"]
    url = f"sqlite:///{data}/taskapi.db"
    data.chmod(0o555)
    started = subprocess.run(
        [*humble, sys.executable, "-m", "uvicorn", "taskapi.main:app", "--port=0"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TASKAPI_DATABASE_URL": url},
        capture_output=True,
        text=True,
        timeout=HANG,
        check=False,
    )
    data.chmod(0o755)
    return started.returncode, started.stderr
