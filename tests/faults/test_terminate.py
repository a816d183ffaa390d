"""SIGTERM under load: what was begun is finished and answered, and nothing else is begun."""

import asyncio
import socket
import time
from pathlib import Path

import pytest

from tests.databases import execute
from tests.faults.client import message
from tests.faults.load import Outcome, create, crowd
from tests.faults.service import LONG, Service, running

GRACE = 10
CLIENTS = 64 if LONG else 32
ROUNDS = 5 if LONG else 1


def titles(database_url: str) -> set[str]:
    return {title for (title,) in execute(database_url, "SELECT title FROM tasks")}


async def terminate_under_load(service: Service, token: str) -> tuple[Outcome, float, int]:
    """What the clients saw, the seconds that the exit took, and the exit code."""
    outcome, ended = Outcome(), asyncio.Event()
    clients = asyncio.create_task(
        crowd(service.port, token, CLIENTS, create, outcome, ended.is_set)
    )
    await asyncio.sleep(1 if LONG else 0.3)
    began = time.monotonic()
    service.terminate()
    code = await asyncio.to_thread(service.wait, GRACE + 20)
    seconds = time.monotonic() - began
    ended.set()
    await clients
    return outcome, seconds, code


@pytest.mark.parametrize("workers", [1, 2])
def test_what_was_begun_is_finished(database_url: str, tmp_path: Path, workers: int) -> None:
    service = Service(
        tmp_path,
        f"--workers={workers}",
        f"--timeout-graceful-shutdown={GRACE}",
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
        assert outcome.lost + outcome.refused > 0
        assert seconds < GRACE
        assert code in {0, -15}
    assert "Traceback" not in service.log


@pytest.mark.database("sqlite")
def test_a_reload_fails_no_request(database_url: str, tmp_path: Path) -> None:
    """The socket stays open meanwhile, so that who comes waits for the new process."""
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
                await asyncio.sleep(0.5)
                (watched / f"{number}.py").touch()
                await asyncio.to_thread(service.wait_for_starts, number + 2)
            await asyncio.sleep(0.5)
            ended.set()
            await clients

        asyncio.run(asyncio.wait_for(reload_under_load(), 120))
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
def test_a_client_that_never_ends_its_request_does_not_keep_the_service(tmp_path: Path) -> None:
    """Its request is given up after the grace period."""
    with running(tmp_path, "--timeout-graceful-shutdown=1") as service:
        head = message("POST", "/tasks", service.register(), {"title": "x" * 100})
        with socket.create_connection(("127.0.0.1", service.port)) as stuck:
            stuck.sendall(head[:-50])
            time.sleep(0.2)
            began = time.monotonic()
            service.terminate()
            service.wait(10)
            seconds = time.monotonic() - began
            answer = stuck.recv(1000).split(b"\r\n")[0].decode()
    print(
        f"\nSIGTERM with half a request there, 1 s of grace: exit after {seconds:.2f} s: {answer}"
    )
    assert seconds < 5
    assert answer == "HTTP/1.1 503 Service Unavailable"
    assert "Traceback" not in service.log
