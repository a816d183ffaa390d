"""How soon the service is there, and how much memory it takes, beside an empty FastAPI."""

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.server import ROOT
from tests.tools.benchmarks.compare import measure
from tests.tools.benchmarks.contenders import BARE, PEERS, TASKAPI, Contender
from tests.tools.benchmarks.operations import OPERATIONS
from tests.tools.benchmarks.processes import cpu_seconds, resident_megabytes
from tests.tools.benchmarks.report import machine, number, spread, table
from tests.tools.benchmarks.servers import Server, serve

NOTHING, EMPTY, OWN = "import sys", "import app", "import taskapi.main"


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
    """Seconds of processor time of an interpreter that does nothing else."""
    environment = {"PYTHONPATH": f"{ROOT}:{PEERS / BARE.folder}"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", statement], cwd=folder, env=environment, check=True)
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


def loaded_megabytes(seconds: float) -> float:
    with serve(TASKAPI) as server:
        workload = server.workload()
        measured = [measure(server, workload, name, seconds) for name in OPERATIONS]
    return measured[-1].resident


def report(rounds: int, seconds: float) -> str:
    imports: dict[str, list[float]] = {NOTHING: [], EMPTY: [], OWN: []}
    empty, first, following = [], [], []
    for statement in imports:  # which leaves compiled modules for what follows
        import_cpu(statement, "/")
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            for statement, times in imports.items():
                times.append(import_cpu(statement, folder))
            empty.append(start(BARE, folder))
            first.append(start(TASKAPI, folder))
            following.append(start(TASKAPI, folder))
    loaded = loaded_megabytes(seconds)
    rows = [
        row("import, ms of processor time", imports[EMPTY], imports[OWN], 1000),
        *(
            row(f"{name}: {what}", [value(one) for one in empty], [value(one) for one in own], unit)
            for name, own in (("start", following), ("first start, with no database", first))
            for what, value, unit in MEASURES
        ),
        ["RSS after load, MB", "", number(loaded), ""],
    ]
    interpreter = statistics.median(imports[NOTHING]) * 1000
    return (
        f"{machine()} {rounds} rounds. Of the processor time, {interpreter:.0f} ms are the "
        f"interpreter's own.\n\n{table(['', 'an empty FastAPI', 'taskapi', 'ratio'], rows)}"
    )


def row(name: str, empty: list[float], own: list[float], unit: float) -> list[str]:
    ratio = spread([a / b for a, b in zip(own, empty, strict=True)])
    medians = (number(statistics.median(values) * unit) for values in (empty, own))
    return [name, *medians, ratio]
