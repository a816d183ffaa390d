"""SQLite has one writer: whatever waits for it is committed together, and must not notice."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import Any

import pytest
from httpx2 import Response

from taskapi.database.engines import database_file
from taskapi.database.workers import Job, WorkerPool, announce
from taskapi.settings import Settings
from tests.api import PASSWORD, Api, check_problem
from tests.databases import execute

WAITING = 0.5
"""Seconds in which all requests of a test reach the queue, even on a slow machine."""


@contextmanager
def locked(settings: Settings) -> Iterator[None]:
    """Another process is writing, so that all writes of the service wait."""
    connection = sqlite3.connect(database_file(settings.database_url) or "", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    yield
    time.sleep(WAITING)
    connection.execute("ROLLBACK")
    connection.close()


@pytest.mark.database("sqlite")
def test_requests_that_fail_harm_none_that_are_committed_with_them(
    anna: Api, boris: Api, settings: Settings
) -> None:
    tasks = [anna.create_task(str(number)) for number in range(4)]
    paths = [f"/tasks/{task['id']}" for task in tasks]
    body = {"name": "x", "email": anna.email, "password": PASSWORD}
    stale = {"If-Match": '"9"'}
    with ThreadPoolExecutor(12) as pool, locked(settings):

        def send(
            request: Callable[..., Response], path: str, **options: object
        ) -> Future[Response]:
            return pool.submit(request, path, **options)

        created = [send(anna.post, "/tasks", json={"title": "new"}) for _ in range(4)]
        taken = send(anna.client.post, "/users", json=body)
        missing = send(boris.delete, paths[0])
        stolen = send(boris.patch, paths[0], json={"title": "mine"})
        conflict = send(anna.patch, paths[1], json={"title": "stale"}, headers=stale)
        deleted = send(anna.delete, paths[2])
        changed = send(anna.patch, paths[3], json={"title": "changed"})
    assert {answer.result().status_code for answer in created} == {201}
    check_problem(taken.result(), 409, "email-taken")
    check_problem(missing.result(), 404, "not-found")
    check_problem(stolen.result(), 404, "not-found")
    check_problem(conflict.result(), 412, "precondition-failed")
    assert deleted.result().status_code == 204
    assert changed.result().json()["title"] == "changed"
    stored = execute(settings.database_url, "SELECT title FROM tasks ORDER BY id")
    assert [title for (title,) in stored] == ["0", "1", "changed"] + ["new"] * 4


@pytest.mark.own_database
@pytest.mark.database("sqlite")
def test_a_request_that_fails_halfway_leaves_nothing_behind(anna: Api, settings: Settings) -> None:
    """The task is written before the answer is remembered, which the database refuses here."""
    refuse = "CREATE TRIGGER refuse BEFORE INSERT ON idempotent_answers BEGIN SELECT RAISE({}); END"
    for how in ("ABORT, 'no'", "ROLLBACK, 'no'"):
        execute(settings.database_url, "DROP TRIGGER IF EXISTS refuse")
        execute(settings.database_url, refuse.format(how))
        with ThreadPoolExecutor(4) as pool, locked(settings):
            headers = {"Idempotency-Key": "x"}
            fails = pool.submit(anna.post, "/tasks", json={"title": "half"}, headers=headers)
            others = [pool.submit(anna.post, "/tasks", json={"title": "whole"}) for _ in range(3)]
        assert fails.result().status_code >= 500
        whole = [answer.result().status_code for answer in others]
        stored = execute(settings.database_url, "SELECT title FROM tasks")
        assert stored == [("whole",)] * whole.count(201)
        execute(settings.database_url, "DELETE FROM tasks")


def test_a_lane_that_closes_waits_for_all_its_threads_together_no_longer_than_it_should() -> None:
    stuck = Event()

    async def run() -> float:
        lane = WorkerPool(4, lambda _, piece: piece.work(None))
        for _ in range(4):
            lane.put(Job(lambda _: stuck.wait(10), writes=False))
        started = time.monotonic()
        await asyncio.to_thread(lane.close, 0.5)
        return time.monotonic() - started

    assert asyncio.run(run()) < 1.5
    stuck.set()


def serve(lane: WorkerPool, piece: Job[Any]) -> None:
    """Does whatever waits, as if it were committed together."""
    pieces = [piece]
    while another := lane.claim():
        pieces.append(another)
    for each in pieces:
        each.succeed(each.work(None))
    announce(pieces)


def test_a_thread_outlives_whoever_waited_for_it() -> None:
    begun, end = Event(), Event()
    lane = WorkerPool(1, serve)

    def work(_: object) -> None:
        begun.set()
        end.wait(10)

    async def leave() -> None:
        lane.put(Job(work, writes=True))
        await asyncio.to_thread(begun.wait, 10)

    async def stay() -> str:
        piece = Job(lambda _: "done", writes=True)
        lane.put(piece)
        return await piece.outcome(5, TimeoutError())

    asyncio.run(leave())
    end.set()
    assert asyncio.run(stay()) == "done"
    lane.close(5)


def test_a_lane_that_closes_finishes_what_is_waited_for_and_nothing_else() -> None:
    done: list[str] = []
    begin = Event()

    def work(name: str) -> Job[None]:
        def do(_: object) -> None:
            begin.wait(10)
            done.append(name)

        return Job(do, writes=True)

    async def run() -> None:
        lane = WorkerPool(1, serve)
        names = ("first", "given up", "left", "second", "given up", "last")
        pieces = [work(name) for name in names]
        outcomes = []
        for piece, patience in zip(pieces, (10, 0.01, 10, 10, 0.01, 10), strict=True):
            lane.put(piece)
            outcomes.append(asyncio.create_task(piece.outcome(patience, TimeoutError())))
            await asyncio.sleep(0.1)
        for outcome in (outcomes[0], outcomes[2]):  # of which the first has begun
            outcome.cancel()  # as the server does when it can't wait any longer
        closing = asyncio.create_task(asyncio.to_thread(lane.close, 10))
        await asyncio.sleep(0.1)
        begin.set()
        await closing
        results = await asyncio.gather(*outcomes, return_exceptions=True)
        assert [type(result) for result in results] == [
            asyncio.CancelledError,
            TimeoutError,
            asyncio.CancelledError,
            type(None),
            TimeoutError,
            type(None),
        ]

    asyncio.run(run())
    assert done == ["first", "second", "last"]
