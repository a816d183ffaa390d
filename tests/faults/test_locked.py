"""Another process holds SQLite's write lock for longer than the service waits for it."""

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from taskapi.database.engines import database_file
from tests.databases import execute
from tests.faults.client import Client
from tests.faults.load import Outcome, create, crowd, run_crowd
from tests.faults.service import LONG, Service, resources, running
from tests.waiting import wait_until

pytestmark = [pytest.mark.database("sqlite"), pytest.mark.own_database]

WRITERS = 64
QUEUE_TIMEOUT = 4
BUSY_TIMEOUT = 6
"""Seconds: more than a request may wait in the queue, so that a read that waited would fail."""
ROUNDS = 4 if LONG else 1
CREATED = 10_000 if LONG else 20 * WRITERS


def test_a_lock_stops_writers_only(database_url: str, tmp_path: Path) -> None:
    writes, reads = Outcome(), Outcome()
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

    async def work(port: int, token: str) -> None:
        """Each writer writes once; readers read until all of them are answered."""
        clients = [Client(port, token) for _ in range(WRITERS)]
        until = writes.reaches(writes.answers + WRITERS)
        await asyncio.gather(
            *(write(client, writes) for client in clients),
            crowd(port, token, 4, read, reads, until),
        )
        for client in clients:
            client.close()

    url = f"{database_url}?timeout={BUSY_TIMEOUT}"
    with (
        running(tmp_path, queue_timeout=QUEUE_TIMEOUT, TASKAPI_DATABASE_URL=url) as service,
        closing(sqlite3.connect(database_file(database_url) or "")) as other,
    ):
        token = service.register()
        before = run_crowd(service.port, token, 4, create, 4 * WRITERS)
        *_, threads = resources(service.pid)
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        for _ in range(ROUNDS):
            asyncio.run(work(service.port, token))
        held = time.monotonic() - began
        other.rollback()
        after = run_crowd(service.port, token, 4, create, 4 * WRITERS)
        *_, threads_after = resources(service.pid)
        log = service.log
    stored = {title for (title,) in execute(database_url, "SELECT title FROM tasks")}
    print(
        f"\nlocked for {held:.1f} s, busy timeout {BUSY_TIMEOUT} s: {WRITERS} writers"
        f" {dict(writes.statuses)}, readers {dict(reads.statuses)}, the slowest {slowest:.2f} s;"
        f" free again {dict(after.statuses)}; threads {threads} before, {threads_after} after"
    )
    assert writes.statuses.keys() == {503}
    assert reads.statuses.keys() == {200}
    assert before.statuses.keys() == after.statuses.keys() == {201}
    assert stored == before.acknowledged | after.acknowledged
    assert threads_after == threads
    assert "Traceback" not in log


def test_sigterm_does_not_wait_for_the_lock(database_url: str, tmp_path: Path) -> None:
    """Some requests wait in the database, and others in the queue."""
    outcome, ended = Outcome(), asyncio.Event()
    sent = 0

    async def send(client: Client, outcome: Outcome) -> None:
        nonlocal sent
        sent += 1
        await create(client, outcome)

    async def terminate(service: Service, token: str) -> float:
        clients = asyncio.create_task(
            crowd(service.port, token, WRITERS, send, outcome, ended.is_set)
        )
        await asyncio.to_thread(wait_until, lambda: sent >= WRITERS)
        other_client = Client(service.port, token)
        assert (await other_client.request("GET", "/users/me")).status == 200
        other_client.close()
        began = time.monotonic()
        service.terminate()
        await asyncio.to_thread(service.wait)
        seconds = time.monotonic() - began
        ended.set()
        await clients
        return seconds

    url = f"{database_url}?timeout=2"
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
    assert stored == 0
    assert outcome.statuses.keys() == {503}


def test_concurrent_writers_all_succeed(database_url: str, tmp_path: Path) -> None:
    with running(tmp_path, TASKAPI_DATABASE_URL=database_url) as service:
        token = service.register()
        outcome = run_crowd(service.port, token, WRITERS, create, CREATED)
    [(stored,)] = execute(database_url, "SELECT count(*) FROM tasks")
    print(
        f"\n{WRITERS} writers: {dict(outcome.statuses)}, {outcome.lost} connections lost,"
        f" {stored} tasks in the database"
    )
    assert outcome.statuses.keys() == {201}
    assert outcome.lost + outcome.refused == 0
    assert stored == outcome.statuses[201]
