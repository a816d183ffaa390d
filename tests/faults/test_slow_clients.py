"""Clients that are slow, silent or gone hold a descriptor and nothing else."""

import asyncio
import resource
import socket
import struct
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.databases import execute
from tests.faults.client import LOST, Client, message
from tests.faults.load import Outcome, create, read_and_write, run_crowd
from tests.faults.service import LONG, Service, resources, running
from tests.waiting import HANG, wait_until

pytestmark = [pytest.mark.database("sqlite"), pytest.mark.own_database]

SLOW = 500 if LONG else 100
IDLE = 10_000 if LONG else 500
GONE = 2000 if LONG else 200
ANSWERS = 5000 if LONG else 500
"""To others."""
KEEP_ALIVE = 30 if LONG else 3
"""Seconds."""

ESTABLISHED, CLOSE_WAIT = "01", "08"
"""States in /proc/net/tcp."""

RESET = struct.pack("ii", 1, 0)
"""Of SO_LINGER: closing sends RST, as a crashed client's system does."""


def connect(service: Service, beginning: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", service.port), timeout=HANG)
    connection.sendall(beginning)
    return connection


def connections(service: Service) -> int:
    """Connections to its port that it has not closed, those included that it has not accepted."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    fields = [line.split() for line in lines]
    return sum(
        local.endswith(f":{service.port:04X}") and state in {ESTABLISHED, CLOSE_WAIT}
        for _, local, _, state, *_ in fields
    )


def warm_up(service: Service, token: str) -> tuple[float, int, int]:
    """Start all threads and open all connections to the database; returns the resources then."""
    run_crowd(service.port, token, 64, read_and_write, 640)
    wait_until(lambda: not connections(service))
    return resources(service.pid)


def wait_for_descriptors(service: Service, most: int) -> tuple[float, int, int]:
    """Wait until what the clients held is free again; returns the resources then."""
    wait_until(lambda: resources(service.pid)[1] <= most)
    return resources(service.pid)


async def ask(client: Client) -> int | None:
    """None if the connection is closed without an answer."""
    try:
        return (await client.request("GET", "/users/me")).status
    except LOST:
        client.close()
        return None


def test_slow_clients_block_no_other(tmp_path: Path) -> None:
    with running(tmp_path) as service, ExitStack() as slow:
        token = service.register()
        _, descriptors, threads = warm_up(service, token)
        whole = message("POST", "/tasks", token, {"title": "slow"})
        for _ in range(SLOW):
            slow.enter_context(connect(service, whole[:40]))
            slow.enter_context(connect(service, whole[:-5]))
        outcome = run_crowd(service.port, token, 16, create, ANSWERS)
        _, descriptors_meanwhile, threads_meanwhile = resources(service.pid)
        with connect(service, whole[:-5]) as last:
            last.sendall(whole[-5:])
            assert last.recv(100).startswith(b"HTTP/1.1 201")
        slow.close()
        _, descriptors_after, threads_after = wait_for_descriptors(service, descriptors)
    print(
        f"\n{SLOW} slow headers and {SLOW} slow bodies: 16 others {dict(outcome.statuses)};"
        f" descriptors {descriptors}, {descriptors_meanwhile} meanwhile, {descriptors_after} after;"
        f" threads {threads}, {threads_meanwhile}, {threads_after}"
    )
    assert outcome.statuses.keys() == {201}
    assert descriptors_meanwhile >= descriptors + 2 * SLOW
    assert threads == threads_meanwhile == threads_after


def abandon(service: Service, token: str, number: int) -> None:
    """Go away in the middle of a request, of its execution and of the answer."""
    key = {"Idempotency_Key": f"gone-{number}"}
    body = {"title": f"gone-{number}", "description": "x" * 5000}
    post = message("POST", "/tasks", token, body, **key)
    page = message("GET", "/tasks?limit=100", token)
    for beginning, read in ((post[:-100], 0), (post, 0), (page, 1)):
        connection = connect(service, beginning)
        connection.recv(read)
        linger = RESET if number % 2 else struct.pack("ii", 0, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        connection.close()


def half_close(service: Service, token: str) -> bool:
    """Whether a client that says it will send no more is answered."""
    with connect(service, message("GET", "/users/me", token)) as connection:
        connection.shutdown(socket.SHUT_WR)
        return connection.recv(12) == b"HTTP/1.1 200"


def test_vanished_clients_leave_nothing_behind(database_url: str, tmp_path: Path) -> None:
    large = {"title": "large", "description": "я" * 10_000}

    async def create_large(client: Client, outcome: Outcome) -> None:
        outcome.count(await client.request("POST", "/tasks", large))

    with running(tmp_path, TASKAPI_DATABASE_URL=database_url) as service:
        token = service.register()
        run_crowd(service.port, token, 1, create_large, 100)
        _, descriptors, threads = warm_up(service, token)
        for number in range(GONE):
            abandon(service, token, number)
        half_closed = sum(half_close(service, token) for _ in range(GONE // 10))
        megabytes, descriptors_after, threads_after = wait_for_descriptors(service, descriptors)
        outcome = run_crowd(service.port, token, 16, read_and_write, ANSWERS)
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
    assert threads_after == threads
    assert outcome.failed == 0
    assert "Traceback" not in log
    assert "500" not in {line.split()[6] for line in log.splitlines() if " INFO GET " in line}


def raise_descriptor_limit() -> int:
    """As far as the experiment needs it, and the system permits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = IDLE + 1000
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


@pytest.fixture
def room() -> int:
    """How many connections may be opened."""
    return min(IDLE, raise_descriptor_limit() - 500)


def test_idle_connections_are_closed(tmp_path: Path, room: int) -> None:
    """After uvicorn's `--timeout-keep-alive`."""
    with (
        running(tmp_path, f"--timeout-keep-alive={KEEP_ALIVE}") as service,
        ExitStack() as connections,
    ):
        resource.prlimit(service.pid, resource.RLIMIT_NOFILE, (room + 500, room + 500))
        token = service.register()
        _, descriptors, threads = warm_up(service, token)
        idle = [
            connections.enter_context(connect(service, message("GET", "/livez")))
            for _ in range(room)
        ]
        answers = [connection.recv(12) for connection in idle]
        megabytes, descriptors_meanwhile, _ = resources(service.pid)
        for connection in idle:
            while connection.recv(1000):  # until the server closes it
                pass
        _, descriptors_after, threads_after = wait_for_descriptors(service, descriptors)
    print(
        f"\n{room} idle connections: {descriptors} descriptors, {descriptors_meanwhile} with them,"
        f" {megabytes:.0f} MiB, {descriptors_after} after {KEEP_ALIVE} s of keep-alive"
    )
    assert set(answers) == {b"HTTP/1.1 200"}
    assert threads == threads_after


def test_silent_connections_are_limited_by_the_descriptors(tmp_path: Path, room: int) -> None:
    """uvicorn does not close connections that never sent a request."""
    with running(tmp_path, f"--timeout-keep-alive={HANG:.0f}") as service:
        token = service.register()
        _, descriptors, threads = warm_up(service, token)
        limit = descriptors + room
        resource.prlimit(service.pid, resource.RLIMIT_NOFILE, (limit, limit))

        async def crowd_out() -> list[int | None]:
            early, late = Client(service.port, token), Client(service.port, token)
            answers = [await ask(early)]
            with ExitStack() as connections:
                for _ in range(room + 100):
                    connections.enter_context(connect(service))
                full = limit - 1
                await asyncio.to_thread(wait_until, lambda: resources(service.pid)[1] >= full)
                answers += [await ask(early), await ask(late), await ask(early)]
            answers.append(None)
            while answers[-1] is None:
                answers[-1] = await ask(late)
            early.close()
            late.close()
            return answers

        answers = asyncio.run(crowd_out())
        megabytes, descriptors_after, threads_after = wait_for_descriptors(service, descriptors)
        log = service.log
    print(
        f"\n{room + 100} silent connections and room for {room}: one that was there before is"
        f" answered {answers[:2]}, a new one {answers[2]}, and when they are gone {answers[4]};"
        f" {descriptors_after} descriptors, {megabytes:.0f} MiB, threads {threads},"
        f" {threads_after} after"
    )
    assert answers == [200, 200, None, 200, 200]
    assert threads == threads_after
    assert " 500 " not in log
