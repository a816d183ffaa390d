"""Litestream replicates a SQLite database, configured by docs/deployment/litestream.yml.

The service and Litestream are killed under load, and the database is restored from the replica.
"""

import asyncio
import random
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.faults.client import Client
from tests.faults.load import Outcome, crowd
from tests.faults.service import LONG, Service
from tests.faults.test_kill import check_integrity
from tests.requirements import require_programs
from tests.server import ROOT
from tests.waiting import wait_until

CONFIGURATION = ROOT / "docs/deployment/litestream.yml"
KILLS = 10 if LONG else 2
CLIENTS = 8
MOST_ANSWERS = 100 * CLIENTS
CHANCE = random.Random()  # noqa: S311 -- no secret
STATE = ".taskapi.db-litestream"
SYNCS = 3
"""Before each kill."""


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    text = CONFIGURATION.read_text()
    for documented, used in (
        ("/var/lib/taskapi/taskapi.db", f"{tmp_path}/taskapi.db"),
        ("url: s3://backups.example.com/taskapi", f"path: {tmp_path}/replica"),
    ):
        assert text.count(documented) == 1
        text = text.replace(documented, used)
    path = tmp_path / "litestream.yml"
    path.write_text(text)
    return path


def litestream() -> str:
    return require_programs("litestream", install="uv sync --group judges")


@contextmanager
def replicating(configuration: Path) -> Iterator[subprocess.Popen[bytes]]:
    log = configuration.with_name("litestream.log")
    with log.open("ab") as output:
        process = subprocess.Popen(
            [litestream(), "replicate", "-config", configuration], stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def syncs(folder: Path) -> list[Path]:
    """The files in which Litestream keeps the newest changes, the newest last."""
    return sorted((folder / "ltx/0").glob("*.ltx"))


def begin_of_last_sync(folder: Path) -> float:
    """A time before Litestream read the changes that it replicated last."""
    replicated = syncs(folder / "replica")[-1].name
    *_, before = (each for each in syncs(folder / STATE) if each.name < replicated)
    return before.stat().st_mtime


async def create(client: Client, outcome: Outcome, acknowledged: dict[str, float]) -> None:
    title = f"{id(client)}-{time.monotonic_ns()}"
    answer = outcome.count(await client.request("POST", "/tasks", {"title": title}))
    if answer.status == 201:
        acknowledged[title] = time.time()


async def write_until_killed(
    service: Service,
    token: str,
    replication: subprocess.Popen[bytes],
    acknowledged: dict[str, float],
) -> Outcome:
    """Kill both at a random moment. Litestream is first, or it would copy the last writes."""
    outcome = Outcome()
    load = asyncio.create_task(
        crowd(
            service.port,
            token,
            CLIENTS,
            lambda client, outcome: create(client, outcome, acknowledged),
            outcome,
            lambda: replication.returncode is not None,
        )
    )
    replica = service.folder / "replica"
    before = len(syncs(replica))
    await asyncio.to_thread(wait_until, lambda: len(syncs(replica)) >= before + SYNCS)
    answers = outcome.answers + CHANCE.randint(1, MOST_ANSWERS)
    await asyncio.to_thread(wait_until, outcome.reaches(answers))
    replication.kill()
    service.kill()
    replication.wait()
    await load
    return outcome


def restore(service: Service, configuration: Path) -> set[str]:
    """Restore the database as docs/operations.md has it, and return the titles in it."""
    database = service.folder / "taskapi.db"
    for suffix in ("", "-wal", "-shm"):
        database.with_name(f"{database.name}{suffix}").unlink(missing_ok=True)
    shutil.rmtree(service.folder / STATE)
    command = [litestream(), "restore", "-config", str(configuration), str(database)]
    subprocess.run(command, check=True, capture_output=True, umask=0o077)
    check_integrity(f"sqlite:///{database}")
    with closing(sqlite3.connect(database)) as connection:
        return {title for (title,) in connection.execute("SELECT title FROM tasks")}


def test_a_restore_has_all_that_was_copied(tmp_path: Path, configuration: Path) -> None:
    service = Service(tmp_path)
    service.start()
    acknowledged: dict[str, float] = {}
    try:
        token = service.register()
        for _ in range(KILLS):
            with replicating(configuration) as replication:
                outcome = asyncio.run(write_until_killed(service, token, replication, acknowledged))
            killed, synced = time.time(), begin_of_last_sync(tmp_path)
            stored = restore(service, configuration)
            lost = {title: acknowledged.pop(title) for title in acknowledged.keys() - stored}
            oldest = killed - min(lost.values(), default=killed)
            print(
                f"\nkilled among {CLIENTS} clients after {dict(outcome.statuses)}: {len(lost)}"
                f" lost, the oldest {oldest:.2f} s before, {len(stored)} restored"
            )
            assert outcome.statuses.keys() == {201}
            assert [title for title, time in lost.items() if time < synced] == []
            service.start()
    finally:
        service.stop()
    assert "Traceback" not in service.log
