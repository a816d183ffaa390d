"""256 clients that never pause, against one process and four."""

import asyncio
from pathlib import Path

import pytest

from taskapi.database.engines import database_file
from tests.faults.client import Client
from tests.faults.load import Outcome, crowd, read_and_write, run_crowd
from tests.faults.service import LONG, Service, children, resources
from tests.waiting import HANG, wait_until

pytestmark = pytest.mark.own_database

CLIENTS = 256
WARM_UP = 10 * CLIENTS if LONG else 2 * CLIENTS
REQUESTS = 50_000 if LONG else 4 * CLIENTS

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


def serve_crowd(service: Service, token: str, outcome: Outcome) -> list[Resources]:
    """Returns what was measured when all clients were connected, in the middle and at the end."""
    measured: list[Resources] = []
    connected: set[Client] = set()
    milestones = [
        lambda: len(connected) == CLIENTS,
        outcome.reaches(REQUESTS // 2),
        outcome.reaches(REQUESTS),
    ]

    async def work(client: Client, outcome: Outcome) -> None:
        await read_and_write(client, outcome)
        connected.add(client)

    def until() -> bool:
        if milestones and milestones[0]():
            milestones.pop(0)
            measured.append(measure(service))
        return not milestones

    asyncio.run(crowd(service.port, token, CLIENTS, work, outcome, until))
    return measured


@pytest.mark.parametrize("workers", [1, 4])
def test_a_crowd_is_served(database_url: str, tmp_path: Path, workers: int) -> None:
    outcome = Outcome()
    options = [f"--workers={workers}"] if workers > 1 else []
    file = database_file(database_url)
    url = f"{database_url}?timeout={HANG:.0f}" if file else database_url
    service = Service(tmp_path, *options, TASKAPI_DATABASE_URL=url)
    service.start()
    try:
        service.wait_for_starts(workers)
        before = measure(service)
        token = service.register()
        run_crowd(service.port, token, CLIENTS, read_and_write, WARM_UP)
        start, middle, end = serve_crowd(service, token, outcome)
        spare = before[1] + 40 * workers
        wait_until(lambda: measure(service)[1] <= spare)
        gone = measure(service)
        log = service.log
        wal = Path(f"{file}-wal").stat().st_size / 2**20 if file else 0.0
    finally:
        service.stop()
    steps = zip(before, start, middle, end, gone, strict=True)
    memory, descriptors, threads = (", ".join(f"{figure:.0f}" for figure in step) for step in steps)
    print(
        f"\n{database_url.partition(':')[0]}, {workers} process(es), {CLIENTS} clients:"
        f" {outcome.answers} requests, {outcome.failed} failed,"
        f" {outcome.lost + outcome.refused} connections dropped; before, after warming up, in the"
        f" middle, at the end, when the clients are gone: MiB {memory}; descriptors {descriptors};"
        f" threads {threads}; WAL {wal:.1f} MiB"
    )
    assert outcome.failed == 0
    assert set(outcome.statuses) <= {200, 201, 204}
    assert outcome.lost + outcome.refused == 0
    assert end[0] < middle[0] * 1.1 + 5
    assert end[1] <= start[1] + 16 * workers
    assert gone[2] == middle[2]
    assert "Traceback" not in log
