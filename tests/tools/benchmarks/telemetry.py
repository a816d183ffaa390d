"""What telemetry takes of a read: `python -m tests.tools.benchmarks.telemetry [ROUNDS] [FOLDER]`.

FOLDER has the code of another version, which is measured too.
"""

import os
import statistics
import sys
from contextlib import ExitStack
from dataclasses import replace

from tests.collector import collect
from tests.tools.benchmarks.compare import WARM_UP, measure
from tests.tools.benchmarks.contenders import TASKAPI
from tests.tools.benchmarks.processes import PROCESSORS
from tests.tools.benchmarks.servers import serve

SECONDS = 1.0


def main(rounds: int, other: str | None) -> None:
    os.sched_setaffinity(0, PROCESSORS[1:] or PROCESSORS)
    with collect() as collector, ExitStack() as stack:
        export = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        variants = {
            "off": {},
            "metrics": {**export, "OTEL_TRACES_EXPORTER": "none"},
            "metrics and traces, 1 %": {
                **export,
                "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
                "OTEL_TRACES_SAMPLER_ARG": "0.01",
            },
            "metrics and traces": export,
        }
        if other:
            variants = {"other version": {"PYTHONPATH": other}, **variants}
        servers = {
            name: stack.enter_context(serve(replace(TASKAPI, name=name), environment=variables))
            for name, variables in variants.items()
        }
        workloads = {name: server.workload() for name, server in servers.items()}
        used: dict[str, list[float]] = {name: [] for name in servers}
        for number in range(rounds + 1):
            for name, server in servers.items():
                seconds = SECONDS if number else WARM_UP
                measured = measure(server, workloads[name], "read", seconds)
                assert not measured.errors.total(), measured.errors
                if number:
                    used[name].append(measured.cpu)
    base = used["off"]
    print("| | microseconds of processor time for a read, median | of the same round's `off` |")
    print("|---|--:|--:|")
    for name, figures in used.items():
        ratio = statistics.median(mine / off for mine, off in zip(figures, base, strict=True))
        print(f"| {name} | {statistics.median(figures):.0f} | {ratio:.3f} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 7, sys.argv[2] if sys.argv[2:] else None)
