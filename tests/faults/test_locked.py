"""Another process holds SQLite's write lock for longer than anybody waits for it."""

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from taskapi.database.engines import database_file
from tests.databases import execute
from tests.faults.client import Client
from tests.faults.load import Outcome, after, create, crowd
from tests.faults.service import LONG, Service, resources, running

pytestmark = pytest.mark.database("sqlite")

WRITERS = 64
BUSY_TIMEOUT = 5 if LONG else 1
HELD = 4 * BUSY_TIMEOUT
SECONDS = 30 if LONG else 2


def test_writers_are_told_to_come_back_and_readers_notice_nothing(
    database_url: str, tmp_path: Path
) -> None:
    writes, reads, freed = Outcome(), Outcome(), Outcome()
    slowest = 0.0

    async def write(client: Client, outcome: Outcome) -> None:
        answer = outcome.count(await client.request("POST", "/tasks", {"title": "while locked"}))
        assert answer.status == 503
        assert answer.json["type"] == "/problems/unavailable"
        assert answer.headers["retry-after"] == "1"

    async def read(client: Client, outcome: Outcome) -> None:
        nonlocal slowest
        began = time.monotonic()
        outcome.count(await client.request("GET", "/tasks"))
        slowest = max(slowest, time.monotonic() - began)
        await asyncio.sleep(0.01)

    async def work(port: int, token: str) -> None:
        until = after(HELD)
        await asyncio.gather(
            crowd(port, token, WRITERS, write, writes, until),
            crowd(port, token, 4, read, reads, until),
        )

    url = f"{database_url}?timeout={BUSY_TIMEOUT}"
    with (
        running(tmp_path, TASKAPI_DATABASE_URL=url) as service,
        closing(sqlite3.connect(database_file(database_url) or "")) as other,
    ):
        token = service.register()
        asyncio.run(crowd(service.port, token, WRITERS, create, freed, after(0.5)))
        *_, threads = resources(service.pid)
        other.execute("BEGIN IMMEDIATE")
        asyncio.run(work(service.port, token))
        other.rollback()
        began = time.monotonic()
        asyncio.run(crowd(service.port, token, WRITERS, create, freed, after(0.5)))
        resumed = time.monotonic() - began
        *_, threads_after = resources(service.pid)
        log = service.log
    stored = {title for (title,) in execute(database_url, "SELECT title FROM tasks")}
    print(
        f"\nlocked for {HELD} s, busy timeout {BUSY_TIMEOUT} s: {WRITERS} writers"
        f" {dict(writes.statuses)}, readers {dict(reads.statuses)}, the slowest {slowest:.2f} s;"
        f" free again {dict(freed.statuses)} in {resumed:.1f} s; threads {threads} before,"
        f" {threads_after} after"
    )
    assert writes.statuses[503] >= WRITERS
    assert reads.statuses.keys() == {200}
    assert slowest < BUSY_TIMEOUT
    assert freed.statuses.keys() == {201}
    assert stored == freed.acknowledged
    assert threads_after == threads
    assert "Traceback" not in log


def test_a_service_that_is_told_to_go_does_not_wait_for_the_lock(
    database_url: str, tmp_path: Path
) -> None:
    """Requests wait for it, one group of them in the database and the others in the queue."""
    outcome = Outcome()

    async def terminate(service: Service, token: str) -> float:
        clients = asyncio.create_task(
            crowd(service.port, token, WRITERS, create, outcome, after(1))
        )
        await asyncio.sleep(0.5)
        began = time.monotonic()
        service.terminate()
        await asyncio.to_thread(service.wait, 40)
        await clients
        return time.monotonic() - began

    url = f"{database_url}?timeout={BUSY_TIMEOUT}"
    with (
        running(tmp_path, "--timeout-graceful-shutdown=1", TASKAPI_DATABASE_URL=url) as service,
        closing(sqlite3.connect(database_file(database_url) or "")) as other,
    ):
        token = service.register()
        other.execute("BEGIN IMMEDIATE")
        seconds = asyncio.run(terminate(service, token))
        other.rollback()
    [(stored,)] = execute(database_url, "SELECT count(*) FROM tasks")
    with running(tmp_path) as service:
        assert service.is_ready()
    print(
        f"\nSIGTERM while {WRITERS} writers wait for a lock, 1 s of grace: exit after"
        f" {seconds:.1f} s, {dict(outcome.statuses)}, {outcome.lost} connections closed without an"
        f" answer, {stored} tasks stored"
    )
    assert seconds < 20
    assert stored == 0
    assert outcome.statuses.keys() == {503}


def test_writers_at_once_all_succeed(database_url: str, tmp_path: Path) -> None:
    outcome = Outcome()
    with running(tmp_path, TASKAPI_DATABASE_URL=database_url) as service:
        token = service.register()
        asyncio.run(crowd(service.port, token, WRITERS, create, outcome, after(SECONDS)))
    [(stored,)] = execute(database_url, "SELECT count(*) FROM tasks")
    print(
        f"\n{WRITERS} writers, {SECONDS} s: {dict(outcome.statuses)}, {outcome.lost} connections"
        f" lost, {stored} tasks in the database"
    )
    assert outcome.statuses.keys() == {201}
    assert outcome.lost + outcome.refused == 0
    assert stored == outcome.statuses[201]
