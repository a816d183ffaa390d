"""Clients that are slow, silent or gone: they hold a descriptor and nothing else."""

import asyncio
import resource
import socket
import struct
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.databases import execute
from tests.faults.client import LOST, Client, message
from tests.faults.load import Outcome, after, create, crowd, read_and_write
from tests.faults.service import LONG, Service, resources, running

pytestmark = pytest.mark.database("sqlite")

SLOW = 500 if LONG else 100
IDLE = 10_000 if LONG else 500
GONE = 2000 if LONG else 200
SECONDS = 5 if LONG else 1

RESET = struct.pack("ii", 1, 0)
"""Of SO_LINGER: closing sends RST, as a crashed client's system does."""


def connect(service: Service, beginning: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", service.port), timeout=30)
    connection.sendall(beginning)
    return connection


def settle(service: Service, seconds: float = 1) -> tuple[float, int, int]:
    asyncio.run(asyncio.sleep(seconds))
    return resources(service.pid)


def warm_up(service: Service, token: str) -> tuple[float, int, int]:
    """Let all threads and connections to the database be there."""
    asyncio.run(crowd(service.port, token, 64, read_and_write, Outcome(), after(1)))
    return settle(service)


async def ask(client: Client) -> int | None:
    """None if there is no answer."""
    try:
        answer = await asyncio.wait_for(client.request("GET", "/users/me"), 2)
    except (*LOST, TimeoutError):
        client.close()
        return None
    return answer.status


def test_slow_clients_hold_no_thread_and_keep_nobody_waiting(tmp_path: Path) -> None:
    with running(tmp_path) as service, ExitStack() as slow:
        token = service.register()
        _, descriptors, threads = warm_up(service, token)
        whole = message("POST", "/tasks", token, {"title": "slow"})
        for _ in range(SLOW):
            slow.enter_context(connect(service, whole[:40]))
            slow.enter_context(connect(service, whole[:-5]))
        _, descriptors_meanwhile, threads_meanwhile = settle(service)
        outcome = Outcome()
        asyncio.run(crowd(service.port, token, 16, create, outcome, after(SECONDS)))
        last = connect(service, whole[:-5])
        last.sendall(whole[-5:])
        assert last.recv(100).startswith(b"HTTP/1.1 201")
        last.close()
        slow.close()
        _, descriptors_after, threads_after = settle(service)
    print(
        f"\n{SLOW} slow headers and {SLOW} slow bodies: 16 others {dict(outcome.statuses)};"
        f" descriptors {descriptors}, {descriptors_meanwhile} meanwhile, {descriptors_after} after;"
        f" threads {threads}, {threads_meanwhile}, {threads_after}"
    )
    assert outcome.statuses.keys() == {201}
    assert threads == threads_meanwhile == threads_after
    assert descriptors_after <= descriptors


def test_clients_that_go_away_leave_nothing_behind(database_url: str, tmp_path: Path) -> None:
    """In the middle of a request, of its execution and of the answer."""
    with running(tmp_path, TASKAPI_DATABASE_URL=database_url) as service:
        token = service.register()
        client = Client(service.port, token)
        large = {"title": "large", "description": "я" * 10_000}

        async def fill() -> None:
            for _ in range(100):
                await client.request("POST", "/tasks", large)
            client.close()

        asyncio.run(fill())
        _, descriptors, threads = warm_up(service, token)
        page = message("GET", "/tasks?limit=100", token)
        for number in range(GONE):
            key = {"Idempotency_Key": f"gone-{number}"}
            body = {"title": f"gone-{number}", "description": "x" * 5000}
            post = message("POST", "/tasks", token, body, **key)
            for beginning, read in ((post[:-100], 0), (post, 0), (page, 1)):
                connection = connect(service, beginning)
                connection.recv(read)
                linger = RESET if number % 2 else struct.pack("ii", 0, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                connection.close()
        half_closed = 0
        for _ in range(GONE // 10):
            connection = connect(service, message("GET", "/users/me", token))
            connection.shutdown(socket.SHUT_WR)
            half_closed += connection.recv(12) == b"HTTP/1.1 200"
            connection.close()
        megabytes, descriptors_after, threads_after = settle(service, 2)
        outcome = Outcome()
        asyncio.run(crowd(service.port, token, 16, read_and_write, outcome, after(SECONDS)))
        log = service.log
    query = "SELECT count(*) FROM tasks WHERE title LIKE 'gone-%'"
    [(created,)] = execute(database_url, query)
    half = (
        "SELECT count(*) FROM idempotent_answers WHERE key NOT IN"
        " (SELECT title FROM tasks) OR length(answer) < 5000"
    )
    [(answers,)] = execute(database_url, "SELECT count(*) FROM idempotent_answers")
    [(torn,)] = execute(database_url, half)
    print(
        f"\n{3 * GONE} clients that went away, half of them with a reset: {created} of {GONE} whole"
        f" requests done, {answers - created + torn} half done; {half_closed} of {GONE // 10}"
        f" half-closed ones were answered; descriptors {descriptors}, {descriptors_after} after;"
        f" threads {threads}, {threads_after}; {megabytes:.0f} MiB; others {dict(outcome.statuses)}"
    )
    assert created == answers
    assert torn == 0
    assert descriptors_after <= descriptors
    assert threads_after == threads
    assert outcome.failed == 0
    assert "Traceback" not in log
    assert "500" not in {line.split()[6] for line in log.splitlines() if " INFO GET " in line}


def raise_descriptor_limit() -> int:
    """As far as the experiment needs it, and the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = IDLE + 1000
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


def test_idle_connections_are_closed_and_silent_ones_bounded_by_the_descriptors(
    tmp_path: Path,
) -> None:
    """uvicorn closes what is idle after `--timeout-keep-alive`, but not what never asked."""
    most = raise_descriptor_limit()
    count = min(IDLE, most - 500)
    keep_alive = 30 if LONG else 3
    with (
        running(tmp_path, f"--timeout-keep-alive={keep_alive}") as service,
        ExitStack() as connections,
    ):
        resource.prlimit(service.pid, resource.RLIMIT_NOFILE, (most, most))
        token = service.register()
        warm_up(service, token)
        _, descriptors, threads = settle(service, keep_alive)
        for _ in range(count):
            idle = connections.enter_context(connect(service, message("GET", "/livez")))
            assert idle.recv(12) == b"HTTP/1.1 200"
        held, descriptors_idle, _ = resources(service.pid)
        _, descriptors_closed, _ = settle(service, keep_alive + 2)
        connections.close()

        limit = descriptors + count
        resource.prlimit(service.pid, resource.RLIMIT_NOFILE, (limit, limit))

        async def crowd_out() -> list[int | None]:
            early, late = Client(service.port, token), Client(service.port, token)
            before = await ask(early)
            for _ in range(count + 100):
                connections.enter_context(connect(service))
            full = [before, await ask(early), await ask(late), await ask(early)]
            connections.close()
            await asyncio.sleep(1)
            full.append(await ask(late))
            early.close()
            late.close()
            return full

        answers = asyncio.run(crowd_out())
        megabytes, descriptors_after, threads_after = settle(service)
        log = service.log
    print(
        f"\n{count} idle connections: {descriptors} descriptors, {descriptors_idle} with them,"
        f" {descriptors_closed} after {keep_alive} s of keep-alive; {held:.0f} MiB;"
        f" {count + 100} silent ones and room for {count}: one who was there before is answered"
        f" {answers[:2]}, one who comes {answers[2]}, and when they are gone {answers[4]};"
        f" {descriptors_after} descriptors, {megabytes:.0f} MiB, threads {threads},"
        f" {threads_after} after"
    )
    assert descriptors_idle > descriptors
    assert descriptors_closed <= descriptors
    assert answers == [200, 200, None, 200, 200]
    assert descriptors_after <= descriptors
    assert threads == threads_after
    assert " 500 " not in log
