"""All servers side by side: in each round each of them serves each operation for a moment.

Ratios are taken against the ceiling in the same round, so that whatever else the machine does
in the meantime weighs on both.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from tests.databases import PostgreSQL
from tests.tools.benchmarks import load, seed
from tests.tools.benchmarks.contenders import Contender
from tests.tools.benchmarks.operations import OPERATIONS, Workload
from tests.tools.benchmarks.processes import cpu_seconds, resident_megabytes
from tests.tools.benchmarks.servers import Server, serve

CLIENTS = {"read": 32, "page": 32, "create": 64, "update": 64, "mixed": 32}
WARM_UP = 0.3


@dataclass(frozen=True)
class Measurement:
    """One server, one operation, one round."""

    contender: str
    operation: str
    clients: int
    rate: float
    """Right answers a second."""
    cpu: float
    """Microseconds of processor time for each right answer."""
    p50: float
    """Milliseconds."""
    p99: float
    resident: float
    """Megabytes after the load."""
    generator: float
    """How busy the load generator was, of 1."""
    errors: Counter[str]


def compare(
    contenders: Sequence[Contender], rounds: int, seconds: float, server: PostgreSQL | None
) -> list[Measurement]:
    measured = []
    with ExitStack() as stack:
        running = [stack.enter_context(serve(contender, server=server)) for contender in contenders]
        ready = [(one, one.workload()) for one in running]
        for one, workload in ready:
            for operation in one.contender.operations:
                measure(one, workload, operation, WARM_UP)
        for number in range(1, rounds + 1):
            for operation in OPERATIONS:
                for one, workload in ready:
                    if operation in one.contender.operations:
                        measured.append(measure(one, workload, operation, seconds))
            print(f"round {number} of {rounds}", flush=True)
    return measured


def measure(
    server: Server,
    workload: Workload,
    operation: str,
    seconds: float,
    clients: int = 0,
    patience: float = load.PATIENCE,
) -> Measurement:
    before, own_before = cpu_seconds(server.pid), time.process_time()
    call = OPERATIONS[operation]
    clients = clients or CLIENTS[operation]
    done = asyncio.run(load.run(server.port, clients, seconds, lambda: call(workload), patience))
    used, own = cpu_seconds(server.pid) - before, time.process_time() - own_before
    resident = sum(resident_megabytes(server.pid))
    if not server.contender.is_constant:
        done.errors["lost"] += check_database(server, workload)
    if done.errors["no answer"]:  # its threads may wait for each other yet
        server.kill()
        server.start()
    return Measurement(
        server.contender.name,
        operation,
        clients,
        done.rate,
        used / done.answers * 1e6 if done.answers else float("inf"),
        done.percentile(50),
        done.percentile(99),
        resident,
        own / done.seconds,
        +done.errors,
    )


def check_database(server: Server, workload: Workload) -> int:
    """How many of the answers that told of a change were not true.

    The database is then as it was before, but for what tasks are described as, so that a fast
    server does not pay for the rows that it has created.
    """
    stored = seed.stored(server.database)
    lost = len(workload.created - stored.keys())
    lost += sum(stored[task_id] not in sent for task_id, sent in workload.updated.items())
    workload.forget_changes()
    return lost
