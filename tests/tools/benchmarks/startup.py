"""How soon the service is there, and how much memory it takes, beside an empty FastAPI."""

import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.server import ROOT
from tests.tools.benchmarks.compare import measure
from tests.tools.benchmarks.contenders import BARE, BARE_SQLMODEL, PEERS, TASKAPI, Contender
from tests.tools.benchmarks.operations import OPERATIONS
from tests.tools.benchmarks.processes import cpu_seconds, resident_megabytes
from tests.tools.benchmarks.programs import project_python
from tests.tools.benchmarks.report import machine, number, spread, table
from tests.tools.benchmarks.servers import Server, serve

NOTHING, EMPTY, SQLMODEL, OWN = (
    "import sys",
    "import app",
    "import with_sqlmodel",
    "import taskapi.main",
)
FIRST = "first start, with no database"
BOUNDED_ARENAS = {"MALLOC_ARENA_MAX": "2"}
"""Of glibc, as in the image."""


@dataclass(frozen=True)
class Start:
    seconds: float
    """From the command to the first answer."""
    cpu: float
    """The seconds of processor time among them."""
    resident: float
    """Megabytes then."""


MEASURES: tuple[tuple[str, Callable[[Start], float], float], ...] = (
    ("until it answers, ms", lambda one: one.seconds, 1000),
    ("processor time until then, ms", lambda one: one.cpu, 1000),
    ("RSS then, MB", lambda one: one.resident, 1),
)


def import_cpu(statement: str, folder: str) -> float:
    """Seconds of processor time of an interpreter that does nothing else, not even clean up."""
    command = [project_python(), "-c", f"{statement}; import os; os._exit(0)"]
    environment = {"PYTHONPATH": f"{ROOT}:{PEERS / BARE.folder}"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, env=environment, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def start(contender: Contender, folder: str) -> Start:
    server = Server(contender, Path(folder), f"sqlite:///{folder}/tasks.db")
    started = time.perf_counter()
    server.start()
    seconds = time.perf_counter() - started
    found = Start(seconds, cpu_seconds(server.pid), sum(resident_megabytes(server.pid)))
    server.stop()
    return found


def loaded_megabytes(seconds: float) -> dict[str, float]:
    """After the first start, which migrates, and after the next, with as many of glibc's arenas as
    it makes and with two.
    """
    variables = {"start": {}, "start with two arenas": BOUNDED_ARENAS, FIRST: {}}
    with ExitStack() as stack:
        servers = [
            stack.enter_context(serve(TASKAPI, environment=one)) for one in variables.values()
        ]
        for server in servers[:-1]:
            server.stop()
            server.start()
        workloads = [server.workload() for server in servers]
        for name in OPERATIONS:
            for server, workload in zip(servers, workloads, strict=True):
                measure(server, workload, name, seconds)
        loaded = [sum(resident_megabytes(server.pid)) for server in servers]
    return dict(zip(variables, loaded, strict=True))


def report(rounds: int, seconds: float) -> str:
    imports: dict[str, list[float]] = {NOTHING: [], EMPTY: [], SQLMODEL: [], OWN: []}
    empty, sqlmodel, first, following = [], [], [], []
    for statement in imports:  # which leaves compiled modules for what follows
        import_cpu(statement, "/")
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            for statement, times in imports.items():
                times.append(import_cpu(statement, folder))
            empty.append(start(BARE, folder))
            sqlmodel.append(start(BARE_SQLMODEL, folder))
            first.append(start(TASKAPI, folder))
            following.append(start(TASKAPI, folder))
    imported = [imports[statement] for statement in (EMPTY, SQLMODEL, OWN)]
    starts = {"start": following, FIRST: first}
    rows = [
        row("import, ms of processor time", imported, 1000),
        *(
            row(f"{name}: {what}", [list(map(value, one)) for one in (empty, sqlmodel, own)], unit)
            for name, own in starts.items()
            for what, value, unit in MEASURES
        ),
        *(
            [f"{name}: RSS after load, MB", "", "", number(loaded), "", ""]
            for name, loaded in loaded_megabytes(seconds).items()
        ),
    ]
    head = ["", "an empty FastAPI", "and SQLModel", "taskapi", "ratio", "ratio of SQLModel alone"]
    interpreter = statistics.median(imports[NOTHING]) * 1000
    return (
        f"{machine()} {rounds} rounds. Of the processor time, {interpreter:.0f} ms are the "
        "interpreter's own. Ratios are to the empty FastAPI; that of SQLModel is of an empty "
        f"FastAPI whose module imports it.\n\n{table(head, rows)}"
    )


def row(name: str, measured: Sequence[Sequence[float]], unit: float) -> list[str]:
    """Of an empty FastAPI, with SQLModel, and taskapi."""
    medians = (number(statistics.median(values) * unit) for values in measured)
    empty, sqlmodel, own = measured
    ratios = (
        spread([a / b for a, b in zip(values, empty, strict=True)]) for values in (own, sqlmodel)
    )
    return [name, *medians, *ratios]
