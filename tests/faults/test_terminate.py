"""SIGTERM under load: requests in progress are finished and answered, and no others are begun."""

import asyncio
import socket
import time
from pathlib import Path

import pytest

from tests.databases import execute
from tests.faults.client import message
from tests.faults.load import Outcome, create, crowd
from tests.faults.service import LONG, Service, running
from tests.waiting import HANG, wait_until

pytestmark = pytest.mark.own_database

CLIENTS = 64 if LONG else 32
ANSWERS = 16 * CLIENTS if LONG else 4 * CLIENTS
"""Before the signal."""
ROUNDS = 5 if LONG else 1


def titles(database_url: str) -> set[str]:
    return {title for (title,) in execute(database_url, "SELECT title FROM tasks")}


async def terminate_under_load(service: Service, token: str) -> tuple[Outcome, float, int]:
    """Returns what the clients saw, the seconds that the exit took, and the exit code."""
    outcome, ended = Outcome(), asyncio.Event()
    clients = asyncio.create_task(
        crowd(service.port, token, CLIENTS, create, outcome, ended.is_set)
    )
    await asyncio.to_thread(wait_until, outcome.reaches(ANSWERS))
    began = time.monotonic()
    service.terminate()
    code = await asyncio.to_thread(service.wait)
    seconds = time.monotonic() - began
    await asyncio.to_thread(wait_until, lambda: outcome.refused)
    ended.set()
    await clients
    return outcome, seconds, code


async def wait_for_more_answers(outcome: Outcome) -> None:
    reached = outcome.reaches(outcome.answers + outcome.lost + ANSWERS)
    await asyncio.to_thread(wait_until, reached)


@pytest.mark.parametrize("workers", [1, 2])
def test_requests_in_progress_are_finished(database_url: str, tmp_path: Path, workers: int) -> None:
    service = Service(
        tmp_path,
        f"--workers={workers}",
        f"--timeout-graceful-shutdown={HANG:.0f}",
        TASKAPI_DATABASE_URL=database_url,
    )
    token = ""
    for _ in range(ROUNDS):
        service.start()
        try:
            token = token or service.register()
            before = titles(database_url)
            outcome, seconds, code = asyncio.run(terminate_under_load(service, token))
        finally:
            service.stop()
        stored = titles(database_url) - before
        print(
            f"\n{database_url.partition(':')[0]}, {workers} worker(s), SIGTERM among {CLIENTS}"
            f" clients: {dict(outcome.statuses)}, {outcome.lost} connections closed without an"
            f" answer, {len(stored - outcome.acknowledged)} of these requests done,"
            f" {len(outcome.acknowledged - stored)} acknowledged ones missing;"
            f" exit after {seconds:.2f} s"
        )
        assert outcome.statuses.keys() == {201}
        assert stored == outcome.acknowledged
        assert code in {0, -15}
    assert "Traceback" not in service.log


@pytest.mark.database("sqlite")
def test_a_reload_fails_no_request(database_url: str, tmp_path: Path) -> None:
    """The socket stays open, so that new connections wait for the new process."""
    watched = tmp_path / "watched"
    watched.mkdir()
    with running(tmp_path, "--reload", f"--reload-dir={watched}") as service:
        token = service.register()
        outcome, ended = Outcome(), asyncio.Event()

        async def reload_under_load() -> None:
            clients = asyncio.create_task(
                crowd(service.port, token, CLIENTS, create, outcome, ended.is_set)
            )
            for number in range(ROUNDS):
                await wait_for_more_answers(outcome)
                (watched / f"{number}.py").touch()
                await asyncio.to_thread(service.wait_for_starts, number + 2)
            await wait_for_more_answers(outcome)
            ended.set()
            await clients

        asyncio.run(reload_under_load())
        stored = titles(database_url)
    print(
        f"\n{ROUNDS} reload(s) among {CLIENTS} clients: {dict(outcome.statuses)},"
        f" {outcome.lost} connections closed without an answer, {outcome.refused} refused,"
        f" {len(stored ^ outcome.acknowledged)} differences to the database"
    )
    assert outcome.statuses.keys() == {201}
    assert outcome.refused == 0
    assert stored == outcome.acknowledged


@pytest.mark.database("sqlite")
def test_an_unfinished_request_does_not_prevent_the_exit(tmp_path: Path) -> None:
    """It is answered with 503 after the grace period."""
    with running(tmp_path, "--timeout-graceful-shutdown=1") as service:
        post = message(
            "POST", "/tasks", service.register(), {"title": "x" * 100}, Expect="100-continue"
        )
        with socket.create_connection(("127.0.0.1", service.port), timeout=HANG) as stuck:
            stuck.sendall(post[:-50])
            assert stuck.recv(1000).startswith(b"HTTP/1.1 100 ")  # the request is being executed
            began = time.monotonic()
            service.terminate()
            service.wait()
            seconds = time.monotonic() - began
            answer = stuck.recv(1000).split(b"\r\n")[0].decode()
    print(
        f"\nSIGTERM with half a request there, 1 s of grace: exit after {seconds:.2f} s: {answer}"
    )
    assert answer == "HTTP/1.1 503 Service Unavailable"
    assert "Traceback" not in service.log
