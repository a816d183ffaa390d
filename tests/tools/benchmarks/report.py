"""What was measured, as Markdown and as a plot."""

import json
import platform
import sqlite3
import statistics
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tests.server import ROOT
from tests.tools.benchmarks.compare import Measurement
from tests.tools.benchmarks.contenders import CEILING
from tests.tools.benchmarks.operations import OPERATIONS
from tests.tools.benchmarks.processes import PROCESSORS
from tests.tools.benchmarks.programs import UV

PAGES = ROOT / "docs/benchmarks"
PLOT = PAGES / "throughput.svg"
PLOTTER = Path(__file__).parent / "plot.py"

Ratios = dict[str, dict[str, list[float]]]
"""By contender and operation, one for each round."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def number(value: float) -> str:
    """With three digits that mean something."""
    if value == float("inf"):
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def spread(values: Sequence[float]) -> str:
    """The median, the least and the greatest."""
    median, least, greatest = statistics.median(values), min(values), max(values)
    if median == float("inf"):
        return "–"
    return f"**{median:.2f}** ({least:.2f}–{greatest:.2f})"


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line for line in lines if line.startswith("model name")), "").partition(": ")[2]
    return (
        f"{len(PROCESSORS)} processors ({model or platform.machine()}), Linux, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}."
    )


def ratios(measured: Sequence[Measurement], value: Callable[[Measurement], float]) -> Ratios:
    """Of each value to that of the ceiling in the same round."""
    found: Ratios = {}
    ceiling: dict[str, list[float]] = {}
    for one in measured:
        if one.contender == CEILING.name:
            ceiling.setdefault(one.operation, []).append(value(one))
    for one in measured:
        own = found.setdefault(one.contender, {}).setdefault(one.operation, [])
        own.append(value(one) / ceiling[one.operation][len(own)])
    return found


def comparison(measured: Sequence[Measurement]) -> str:
    rates = ratios(measured, lambda one: one.rate)
    cpu = ratios(measured, lambda one: one.cpu)
    clients = {one.operation: one.clients for one in measured}
    head = ["server", *(f"{name}, {clients[name]} clients" for name in clients)]

    def against_ceiling(found: Ratios) -> str:
        rows = (
            [name, *(spread(own[operation]) if operation in own else "" for operation in clients)]
            for name, own in found.items()
        )
        return table(head, rows)

    return (
        f"{machine()} {len(rates[CEILING.name]['read'])} rounds. The load generator, which has a "
        f"processor of its own, was busy for at most {max(one.generator for one in measured):.0%} "
        "of the time.\n\n"
        "Throughput against the ceiling, median (least–greatest); higher is better:\n\n"
        f"{against_ceiling(rates)}\n"
        "Processor time for a request against the ceiling's; lower is better:\n\n"
        f"{against_ceiling(cpu)}\n"
        "Seconds of processor time for a million requests, which are microseconds for each; "
        "median:\n\n"
        f"{processor_seconds(measured, head)}\n"
        "The other medians, and the errors of all rounds:\n\n"
        f"{absolute(measured)}"
    )


def processor_seconds(measured: Sequence[Measurement], head: Sequence[str]) -> str:
    rounds = by_operation(measured)
    operations = dict.fromkeys(operation for operation, _ in rounds)
    names = dict.fromkeys(one.contender for one in measured)

    def cell(operation: str, name: str) -> str:
        values = [one.cpu for one in rounds.get((operation, name), [])]
        return number(statistics.median(values)) if values else ""

    return table(head, ([name, *(cell(one, name) for one in operations)] for name in names))


def by_operation(measured: Sequence[Measurement]) -> dict[tuple[str, str], list[Measurement]]:
    """Return the rounds of each operation of each server."""
    found: dict[tuple[str, str], list[Measurement]] = {}
    for one in measured:
        found.setdefault((one.operation, one.contender), []).append(one)
    return found


def absolute(measured: Sequence[Measurement]) -> str:
    head = ["", "requests/s", "p50, ms", "p99, ms", "RSS, MB", "errors"]
    rows = []
    for operation in OPERATIONS:
        for (own_operation, name), rounds in by_operation(measured).items():
            if own_operation == operation:
                rows.append([f"{operation}: {name}", *_medians(rounds), errors(rounds)])
    return table(head, rows)


def _medians(rounds: Sequence[Measurement]) -> list[str]:
    values: list[Callable[[Measurement], float]] = [
        lambda one: one.rate,
        lambda one: one.p50,
        lambda one: one.p99,
        lambda one: one.resident,
    ]
    return [number(statistics.median(map(value, rounds))) for value in values]


def errors(rounds: Iterable[Measurement]) -> str:
    total: dict[str, int] = {}
    for one in rounds:
        for error, count in one.errors.items():
            total[error] = total.get(error, 0) + count
    return ", ".join(f"{count} × {error}" for error, count in total.items()) or "none"


def plot(measured: Sequence[Measurement]) -> None:
    """With a plotting library in an environment of its own."""
    found = ratios(measured, lambda one: one.rate)
    command = [UV, "run", "--quiet", "--script", str(PLOTTER), str(PLOT)]
    subprocess.run(command, input=json.dumps(found), text=True, check=True)


def write(section: str, text: str) -> None:
    """Replace a section, between two comments, in the page of docs/benchmarks that has it."""
    for path in PAGES.glob("*.md"):
        before, start, rest = path.read_text().partition(f"<!-- {section} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        if start and end:
            path.write_text(f"{before}{start}\n{text}\n{end}{after}")
            return
    raise ValueError(f"no page in {PAGES} has the section {section}")
