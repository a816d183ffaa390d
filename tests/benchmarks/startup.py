"""How soon the service is there, and how much memory it takes, beside an empty FastAPI."""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.compare import WARM_UP, measure
from tests.benchmarks.contenders import BARE, PEERS, TASKAPI, Contender, Server, serve
from tests.benchmarks.operations import OPERATIONS
from tests.benchmarks.processes import PROCESSORS, pinned, resident_megabytes
from tests.benchmarks.report import machine, number, spread, table
from tests.server import ROOT

NOTHING, EMPTY, OWN = "import sys", "import app", "import taskapi.main"


def import_seconds(statement: str, folder: str) -> float:
    """Of an interpreter that does nothing else."""
    environment = {"PYTHONPATH": f"{ROOT}:{PEERS / BARE.folder}"}
    started = time.perf_counter()
    with pinned(PROCESSORS[0]):
        command = [sys.executable, "-c", statement]
        subprocess.run(command, cwd=folder, env=environment, check=True)
    return time.perf_counter() - started


def ready_seconds(contender: Contender, folder: str) -> tuple[float, float]:
    """From the command to the first answer; and the megabytes then."""
    server = Server(contender, Path(folder), f"sqlite:///{folder}/tasks.db")
    started = time.perf_counter()
    server.start()
    seconds = time.perf_counter() - started
    resident = sum(resident_megabytes(server.pid))
    server.stop()
    return seconds, resident


def loaded_megabytes(seconds: float) -> float:
    with serve(TASKAPI) as server:
        workload = server.workload()
        measured = [measure(server, workload, name, seconds) for name in OPERATIONS]
    return measured[-1].resident


def report(rounds: int, seconds: float) -> str:
    imports: dict[str, list[float]] = {NOTHING: [], EMPTY: [], OWN: []}
    starts: dict[str, list[tuple[float, float]]] = {"bare": [], "first": [], "next": []}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            for statement, times in imports.items():
                times.append(import_seconds(statement, folder))
            starts["bare"].append(ready_seconds(BARE, folder))
            starts["first"].append(ready_seconds(TASKAPI, folder))
            starts["next"].append(ready_seconds(TASKAPI, folder))
    ready = {name: [seconds_ for seconds_, _ in found] for name, found in starts.items()}
    idle = {name: [megabytes for _, megabytes in found] for name, found in starts.items()}
    rows = [
        _row("the interpreter alone, ms", imports[NOTHING], None),
        _row("import: an empty FastAPI, ms", imports[EMPTY], None),
        _row("import: taskapi, ms", imports[OWN], imports[EMPTY]),
        _row("ready: an empty FastAPI, ms", ready["bare"], None),
        _row("ready: taskapi, ms", ready["next"], ready["bare"]),
        _row("ready: taskapi that makes its database, ms", ready["first"], ready["bare"]),
        _row("RSS when ready: an empty FastAPI, MB", idle["bare"], None, 1),
        _row("RSS when ready: taskapi, MB", idle["next"], idle["bare"], 1),
        ["RSS after load: taskapi, MB", number(loaded_megabytes(max(seconds, WARM_UP))), ""],
    ]
    return f"{machine()} {rounds} rounds.\n\n{table(['', 'median', 'against the empty one'], rows)}"


def _row(name: str, values: list[float], base: list[float] | None, unit: float = 1000) -> list[str]:
    against = spread([a / b for a, b in zip(values, base, strict=True)]) if base else ""
    return [name, number(statistics.median(values) * unit), against]
