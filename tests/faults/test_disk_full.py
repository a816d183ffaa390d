"""A full disk, here a small tmpfs: writes are refused, reads succeed, and writes succeed again when
there is space.
"""

import asyncio
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from taskapi.database.engines import database_file
from tests.databases import execute
from tests.faults.client import Client
from tests.faults.load import Outcome, crowd
from tests.faults.service import LONG, running
from tests.requirements import missing, require_programs

SIZE = 16 * 2**20
CLIENTS = 32
ROUNDS = 5 if LONG else 2
REFUSED = 2000 if LONG else 2 * CLIENTS
"""Writes that must be refused in each round."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    require_programs("mount", "umount", install="apt-get install mount")
    options = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    if subprocess.run(options, capture_output=True, check=False).returncode:
        missing("the right to mount a tmpfs", "run as root")
    yield folder
    subprocess.run(["umount", folder], check=True)  # noqa: S607 -- wherever the system has it


def fill(disk: Path) -> Path:
    """Leave no byte."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return ballast


async def create_large(client: Client, outcome: Outcome) -> None:
    title = f"{id(client)}-{time.monotonic_ns()}"
    body = {"title": title, "description": "x" * 5000}
    answer = outcome.count(await client.request("POST", "/tasks", body))
    if answer.status == 201:
        outcome.acknowledged.add(title)
    else:
        assert answer.json["type"] == "/problems/unavailable"
        assert answer.headers["retry-after"]


async def read(client: Client, outcome: Outcome) -> None:
    outcome.count(await client.request("GET", "/tasks?limit=5"))


@pytest.mark.database("sqlite")
def test_a_full_disk_refuses_writes_only(tmp_path: Path, disk: Path) -> None:
    url = f"sqlite:///{disk}/taskapi.db"
    writes, reads, resumed = Outcome(), Outcome(), Outcome()

    async def work(port: int, token: str) -> None:
        refused = writes.statuses[503] + REFUSED

        def until() -> bool:
            return writes.statuses[503] >= refused

        await asyncio.gather(
            crowd(port, token, CLIENTS, create_large, writes, until),
            crowd(port, token, 4, read, reads, until),
        )

    with running(tmp_path, TASKAPI_DATABASE_URL=url) as service:
        token = service.register()
        for _ in range(ROUNDS):
            ballast = fill(disk)
            asyncio.run(work(service.port, token))
            ballast.unlink()
            until = resumed.reaches(resumed.answers + 20)
            asyncio.run(crowd(service.port, token, 1, create_large, resumed, until))
        with closing(sqlite3.connect(database_file(url) or "")) as connection:
            integrity = connection.execute("PRAGMA integrity_check").fetchall()
        stored = {title for (title,) in execute(url, "SELECT title FROM tasks")}
        log = service.log
    acknowledged = writes.acknowledged | resumed.acknowledged
    print(
        f"\nfull disk, {ROUNDS} times: {CLIENTS} writers {dict(writes.statuses)},"
        f" 4 readers {dict(reads.statuses)}, a writer after that {dict(resumed.statuses)};"
        f" {writes.lost + reads.lost} connections lost, {len(acknowledged - stored)} acknowledged"
        f" writes lost, {len(stored - acknowledged)} refused ones done; integrity {integrity}"
    )
    assert writes.statuses.keys() <= {201, 503}
    assert reads.statuses.keys() == {200}
    assert resumed.statuses.keys() == {201}
    assert writes.lost + reads.lost + resumed.lost == 0
    assert stored == acknowledged
    assert integrity == [("ok",)]
    assert "Traceback" not in log
