"""More processes on one machine, with either database."""

from tests.databases import PostgreSQL
from tests.tools.benchmarks.compare import measure
from tests.tools.benchmarks.contenders import TASKAPI
from tests.tools.benchmarks.processes import PROCESSORS, resident_megabytes
from tests.tools.benchmarks.report import errors, machine, number, table
from tests.tools.benchmarks.servers import serve

WORKERS = (1, 2, 4)
CLIENTS = 64


def measure_workers(server: PostgreSQL | None, workers: int, seconds: float) -> list[list[str]]:
    """All processors are the server's, and the generator's."""
    options = [f"--workers={workers}"] if workers > 1 else []
    rows = []
    with serve(TASKAPI, *options, server=server, processors=PROCESSORS) as running:
        workload = running.workload()
        for operation in ("read", "create", "mixed"):
            measure(running, workload, operation, seconds / 2, CLIENTS)
            done = measure(running, workload, operation, seconds, CLIENTS)
            rows.append(
                [
                    f"{'PostgreSQL' if server else 'SQLite'}: {operation}",
                    str(workers),
                    number(done.rate),
                    number(done.rate / workers),
                    number(done.cpu),
                    number(done.p99),
                    number(max(resident_megabytes(running.pid))),
                    errors([done]),
                ]
            )
    return rows


def report(server: PostgreSQL, seconds: float) -> str:
    head = ["", "workers", "requests/s", "a worker", "µs a request", "p99, ms", "RSS, MB", "errors"]
    rows = [
        row
        for database in (None, server)
        for workers in WORKERS
        for row in measure_workers(database, workers, seconds)
    ]
    rows.sort(key=lambda row: row[0])
    return f"{machine()} {CLIENTS} clients; RSS of the largest worker.\n\n{table(head, rows)}"
