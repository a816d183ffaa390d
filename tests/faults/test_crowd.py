"""256 clients that never pause, against one process and four: nothing fails, and nothing grows."""

import asyncio
from pathlib import Path

import pytest

from taskapi.database.engines import database_file
from tests.faults.load import Outcome, after, crowd, read_and_write
from tests.faults.service import LONG, Service, children, resources

CLIENTS = 256
WARM_UP = 10 if LONG else 0.5
SECONDS = 60 if LONG else 1

Resources = tuple[float, int, int]
"""MiB, descriptors and threads of all processes together."""


def measure(service: Service) -> Resources:
    processes = [service.pid, *children(service.pid)]
    measured = [resources(process) for process in processes]
    return (
        sum(m for m, _, _ in measured),
        sum(d for _, d, _ in measured),
        sum(t for *_, t in measured),
    )


@pytest.mark.parametrize("workers", [1, 4])
def test_a_crowd_is_served(database_url: str, tmp_path: Path, workers: int) -> None:
    outcome = Outcome()
    measured: list[Resources] = []
    options = [f"--workers={workers}"] if workers > 1 else []
    service = Service(tmp_path, *options, TASKAPI_DATABASE_URL=database_url)
    service.start()
    try:
        service.wait_for_starts(workers)
        token = service.register()

        async def measure_thrice() -> None:
            await asyncio.sleep(0.5)  # in which all connect
            for _ in range(2):
                measured.append(measure(service))
                await asyncio.sleep(SECONDS / 2)
            measured.append(measure(service))

        async def work() -> None:
            await crowd(service.port, token, CLIENTS, read_and_write, Outcome(), after(WARM_UP))
            clients = crowd(
                service.port, token, CLIENTS, read_and_write, outcome, after(SECONDS + 1)
            )
            await asyncio.gather(clients, measure_thrice())
            await asyncio.sleep(1)
            measured.append(measure(service))

        before = measure(service)
        asyncio.run(work())
        log = service.log
        file = database_file(database_url)
        wal = Path(f"{file}-wal").stat().st_size / 2**20 if file else 0.0
    finally:
        service.stop()
    steps = zip(*[before, *measured], strict=True)
    memory, descriptors, threads = (", ".join(f"{figure:.0f}" for figure in step) for step in steps)
    requests = sum(outcome.statuses.values())
    print(
        f"\n{database_url.partition(':')[0]}, {workers} process(es), {CLIENTS} clients,"
        f" {SECONDS} s: {requests} requests, {outcome.failed} failed,"
        f" {outcome.lost + outcome.refused} connections dropped; before, after warming up, in the"
        f" middle, at the end, when the clients are gone: MiB {memory}; descriptors {descriptors};"
        f" threads {threads}; WAL {wal:.1f} MiB"
    )
    start, middle, end, gone = measured
    assert outcome.failed == 0
    assert set(outcome.statuses) <= {200, 201, 204}
    assert outcome.lost + outcome.refused == 0
    assert requests > CLIENTS
    assert end[0] < middle[0] * 1.1 + 5
    assert end[1] <= start[1] + 16 * workers
    assert gone[1] <= before[1] + 40 * workers
    assert gone[2] == middle[2]
    assert "Traceback" not in log
