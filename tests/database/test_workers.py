"""Jobs in worker threads. SQLite has one writer, which commits waiting writes together."""

import asyncio
import sqlite3
import sys
import time
from asyncio import CancelledError
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import Any

import pytest
from httpx2 import Response
from sqlalchemy import Connection

from taskapi.database import core
from taskapi.database.core import Database
from taskapi.database.engines import database_file
from taskapi.database.workers import Job, WorkerPool, deliver
from taskapi.settings import Settings
from taskapi.users import service as users_service
from tests.api import PASSWORD, Api, check_problem
from tests.databases import execute

WAITING = 0.5
"""Seconds in which all requests of a test reach the queue, even on a slow machine."""


@contextmanager
def locked(settings: Settings) -> Iterator[None]:
    """Hold the write lock as another process would, so that all writes of the service wait."""
    connection = sqlite3.connect(database_file(settings.database_url) or "", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    yield
    time.sleep(WAITING)
    connection.execute("ROLLBACK")
    connection.close()


@pytest.mark.database("sqlite")
def test_failed_requests_do_not_affect_their_batch(
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


@pytest.mark.database("sqlite")
def test_an_ended_session_ends_no_other_request_of_its_batch(
    anna: Api, boris: Api, settings: Settings
) -> None:
    """Failed: registrations in the same batch were answered 401."""
    execute(settings.database_url, "DELETE FROM sessions WHERE user_id = :id", id=str(anna.user_id))
    with ThreadPoolExecutor(13) as pool, locked(settings):
        refused, registered = [], []
        for number in range(6):
            user = {"name": "x", "email": f"{number}@example.com", "password": PASSWORD}
            refused.append(pool.submit(anna.post, "/tasks", json={"title": "x"}))
            registered.append(pool.submit(anna.client.post, "/users", json=user))
    assert {answer.result().status_code for answer in refused} == {401}
    assert {answer.result().status_code for answer in registered} == {201}
    assert boris.get("/tasks").json() == []


@pytest.mark.own_database
@pytest.mark.database("sqlite")
def test_a_request_that_fails_halfway_writes_nothing(anna: Api, settings: Settings) -> None:
    """The task is written first. The database then refuses the row for its Idempotency-Key."""
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


def test_shutdown_waits_for_all_threads_together_at_most_its_timeout() -> None:
    stuck = Event()

    async def run() -> float:
        pool = WorkerPool("test", 4, lambda _, job: job.function(None))
        for _ in range(4):
            pool.submit(Job(lambda _: stuck.wait(10), writes=False))
        started = time.monotonic()
        await asyncio.to_thread(pool.shutdown, 0.5)
        return time.monotonic() - started

    assert asyncio.run(run()) < 1.5
    stuck.set()


@pytest.mark.database("sqlite")
def test_a_request_that_waits_too_long_for_a_thread_is_unavailable(
    anna: Api, boris: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, end = Event(), Event()

    def keep_the_writer(*_: object) -> None:
        begun.set()
        end.wait(30)

    monkeypatch.setattr(users_service, "delete_user", keep_the_writer)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(boris.delete, f"/users/{boris.user_id}")
        begun.wait(30)
        with monkeypatch.context() as patch:
            patch.setattr(core, "QUEUE_TIMEOUT", 0.01)
            refused = anna.post("/tasks", json={"title": "x"})
        end.set()
        assert running.result().status_code == 204
    problem = check_problem(refused, 503, "unavailable")
    assert problem["detail"] == "The database is too busy."
    assert refused.headers["retry-after"] == "1"
    assert anna.get("/tasks").json() == []


def test_a_running_job_does_not_expire() -> None:
    begun, end = Event(), Event()

    def function(_: object) -> str:
        begun.set()
        end.wait(30)
        return "done"

    async def run() -> str:
        pool = WorkerPool("test", 1, run_batch)
        job = Job(function, writes=True)
        pool.submit(job)
        await asyncio.to_thread(begun.wait, 30)
        result = asyncio.create_task(job.result(0))
        await asyncio.sleep(0)  # the task starts, and sets its timer
        asyncio.get_running_loop().call_later(0.01, end.set)
        return await result

    assert asyncio.run(run()) == "done"


def run_batch(pool: WorkerPool, first: Job[Any]) -> None:
    jobs = [first]
    while job := pool.next_waiting():
        jobs.append(job)
    for job in jobs:
        job.set_result(job.function(None))
    deliver(jobs)


def test_a_thread_outlives_the_event_loop_of_its_job() -> None:
    begun, end = Event(), Event()
    pool = WorkerPool("test", 1, run_batch)

    def function(_: object) -> None:
        begun.set()
        end.wait(10)

    async def leave() -> None:
        pool.submit(Job(function, writes=True))
        await asyncio.to_thread(begun.wait, 10)

    async def stay() -> str:
        job = Job(lambda _: "done", writes=True)
        pool.submit(job)
        return await job.result(5)

    asyncio.run(leave())
    end.set()
    assert asyncio.run(stay()) == "done"
    pool.shutdown(5)


def test_shutdown_finishes_the_jobs_that_are_waited_for_and_no_others() -> None:
    done: list[str] = []
    begin = Event()

    def create(name: str) -> Job[None]:
        def function(_: object) -> None:
            begin.wait(10)
            done.append(name)

        return Job(function, writes=True)

    async def run() -> None:
        pool = WorkerPool("test", 1, run_batch)
        names = ("first", "expired", "cancelled", "second", "expired", "last")
        jobs = [create(name) for name in names]
        waiting = []
        for job, timeout in zip(jobs, (10, 0.01, 10, 10, 0.01, 10), strict=True):
            pool.submit(job)
            waiting.append(asyncio.create_task(job.result(timeout)))
            await asyncio.sleep(0.1)
        for task in (waiting[0], waiting[2]):  # the first has started
            task.cancel()  # as the server does after its grace period
        closing = asyncio.create_task(asyncio.to_thread(pool.shutdown, 10))
        await asyncio.sleep(0.1)
        begin.set()
        await closing
        results = await asyncio.gather(*waiting, return_exceptions=True)
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


@pytest.mark.usefixtures("anna")
@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, CancelledError, StopIteration])
def test_no_error_ends_a_thread_or_leaves_its_request_waiting(
    settings: Settings, kind: type[BaseException]
) -> None:
    """Failed: the only writer ended with SystemExit, and all writes waited forever."""

    def fail(_: Connection) -> None:
        raise kind

    async def call(method: Callable[..., Coroutine[Any, Any, Any]]) -> None:
        failures = settings.database_connections + 1
        for _ in range(failures):
            with pytest.raises(RuntimeError, match=f"a job raised {kind.__name__}"):
                await asyncio.wait_for(method(fail), 30)
        assert await asyncio.wait_for(method(lambda _: "works"), 30) == "works"

    database = Database(settings)
    asyncio.run(call(database.read))
    asyncio.run(call(database.write))
    database.close()


@pytest.mark.database("sqlite")
def test_an_exit_in_a_job_is_a_500_for_its_request_alone(
    anna: Api, boris: Api, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/users/{boris.user_id}"
    monkeypatch.setattr(users_service, "delete_user", lambda *_: sys.exit())
    with ThreadPoolExecutor(3) as pool, locked(settings):
        created = [pool.submit(anna.post, "/tasks", json={"title": "new"}) for _ in range(2)]
        exits = pool.submit(boris.delete, path)
    assert {answer.result().status_code for answer in created} == {201}
    check_problem(exits.result(), 500, "internal-error")
    assert boris.get(path).status_code == 200
