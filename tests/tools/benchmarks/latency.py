"""How long clients wait: more and more of them, creating together, and beside heavy work."""

import asyncio
import statistics
from collections.abc import Callable
from contextlib import ExitStack
from urllib.parse import urlencode

from taskapi.settings import Settings
from tests.api import PASSWORD
from tests.tools.benchmarks import load, seed
from tests.tools.benchmarks.compare import Measurement, measure
from tests.tools.benchmarks.contenders import CEILING, TASKAPI, USUAL
from tests.tools.benchmarks.load import Call
from tests.tools.benchmarks.operations import Workload
from tests.tools.benchmarks.report import errors, machine, number, spread, table
from tests.tools.benchmarks.servers import Server, serve

CLIENTS = (1, 16, 64, 256)
WRITERS = (1, 16, 64)
READERS = 16
LOGINS = 32
SEARCHES = 2
SEARCHED = 100_000

HASHES = {
    f"TASKAPI_{name.upper()}": str(Settings.model_fields[name].default)
    for name in ("password_hash_memory", "password_hash_iterations")
}


def by_clients(seconds: float) -> str:
    rows = []
    with serve(TASKAPI) as server:
        workload = server.workload()
        for operation in ("read", "create"):
            for clients in CLIENTS:
                done = measure(server, workload, operation, seconds, clients)
                rows.append(
                    [
                        operation,
                        str(clients),
                        number(done.p50),
                        number(done.p99),
                        number(done.rate),
                        errors([done]),
                    ]
                )
    return table(["", "clients", "p50, ms", "p99, ms", "requests/s", "errors"], rows)


def writing_together(rounds: int, seconds: float) -> str:
    """Creating, against one commit a request."""
    measured: dict[int, list[list[Measurement]]] = {clients: [] for clients in WRITERS}
    with ExitStack() as stack:
        servers = [stack.enter_context(serve(one)) for one in (TASKAPI, CEILING, USUAL)]
        ready = [(server, server.workload()) for server in servers]
        for _ in range(rounds):
            for clients, found in measured.items():
                found.append([measure(*one, "create", seconds, clients) for one in ready])
    rows = []
    for clients, found in measured.items():
        own, plain, usual = zip(*found, strict=True)
        rows.append(
            [
                str(clients),
                *(number(statistics.median(m.rate for m in one)) for one in (own, plain, usual)),
                spread([a.rate / b.rate for a, b in zip(own, plain, strict=True)]),
                *(errors(one) for one in (own, usual)),
            ]
        )
    head = [
        "clients",
        "taskapi, tasks/s",
        "one commit a request (ceiling), tasks/s",
        "usual, tasks/s",
        "taskapi against the ceiling",
        "errors of taskapi",
        "errors of usual",
    ]
    return table(head, rows)


def _log_in(number_: int) -> Call:
    form = {"grant_type": "password", "username": seed.email(number_), "password": PASSWORD}
    body = urlencode(form).encode()
    head = (
        "POST /auth/token HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n"
        # One address may fill a quarter of the queue only. uvicorn trusts the loopback interface.
        f"X-Forwarded-For: 192.0.2.{number_}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return Call(head.encode() + body, lambda status, _: None if status == 200 else f"{status}")


async def _beside(
    server: Server,
    workload: Workload,
    clients: int,
    heavy: Callable[[], Call] | None,
    seconds: float,
) -> tuple[load.Load, load.Load]:
    """Readers, and beside them what is heavy."""
    reading = load.run(server.port, READERS, seconds, workload.read)
    if not heavy:
        return await reading, load.Load()
    other = load.run(server.port, clients, seconds, heavy, patience=30)
    return await asyncio.gather(reading, other)


def stalls(seconds: float) -> str:
    """Password hashes are as strong as they are by default."""
    with serve(TASKAPI, environment=HASHES) as server:
        many = [seed.task_row(seed.TASKS + n, 1) for n in range(1, SEARCHED + 1)]
        seed.insert(server.database, "tasks", many)
        workload = server.workload(LOGINS)
        drawn = iter(range(10**9))
        cases: dict[str, tuple[int, Callable[[], Call] | None]] = {
            "alone": (0, None),
            f"beside {SEARCHES} searches of {SEARCHED:,} tasks": (SEARCHES, workload.search),
            f"beside {LOGINS} logins": (LOGINS, lambda: _log_in(next(drawn) % LOGINS + 1)),
        }
        rows = []
        for name, (clients, heavy) in cases.items():
            reading, other = asyncio.run(_beside(server, workload, clients, heavy, seconds))
            rows.append(
                [
                    name,
                    number(reading.percentile(50)),
                    number(reading.percentile(99)),
                    number(reading.rate),
                    str(sum(reading.errors.values())),
                    f"{other.answers} in {number(other.percentile(50))} ms each" if heavy else "",
                    str(sum(other.errors.values())) if heavy else "",
                ]
            )
    head = ["reads", "p50, ms", "p99, ms", "reads/s", "errors", "the other work", "its errors"]
    return table(head, rows)


def report(rounds: int, seconds: float) -> str:
    return (
        f"{machine()}\n\nWith more clients:\n\n{by_clients(seconds)}\n"
        f"Creating, against one commit a request:\n\n{writing_together(rounds, seconds)}\n"
        f"{READERS} clients that read, beside heavy work on the same processor:\n\n"
        f"{stalls(3 * seconds)}"
    )
