"""The load generator detects wrong answers, so that a fast and wrong server does not win."""

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import execute
from tests.tools.benchmarks.compare import Measurement, measure
from tests.tools.benchmarks.contenders import GRANIAN, TASKAPI
from tests.tools.benchmarks.operations import OPERATIONS, Workload
from tests.tools.benchmarks.servers import Server, serve
from tests.waiting import HANG

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc tells what servers take")

SECONDS = 0.2
CLIENTS = 4

FORGET_NEW = """CREATE TRIGGER forget AFTER INSERT ON tasks
    BEGIN DELETE FROM tasks WHERE id = NEW.id; END"""
FORGET_CHANGES = """CREATE TRIGGER forget AFTER UPDATE ON tasks WHEN NEW.description <> 'lost'
    BEGIN UPDATE tasks SET description = 'lost' WHERE id = NEW.id; END"""


@pytest.fixture(scope="module", params=[TASKAPI, GRANIAN], ids=lambda one: one.name)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with serve(request.param) as running:
        yield running


@pytest.fixture(scope="module")
def workload(server: Server) -> Workload:
    return server.workload(users=3)


def run(server: Server, workload: Workload, operation: str) -> Measurement:
    return measure(server, workload, operation, SECONDS, CLIENTS, HANG)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_right_answers_are_counted(server: Server, workload: Workload, operation: str) -> None:
    measured = run(server, workload, operation)
    assert measured.errors == Counter()
    assert measured.rate > 0
    assert 0 < measured.p50 <= measured.p99
    assert measured.resident > 0


def test_requests_are_logged(server: Server, workload: Workload) -> None:
    log = Path(server.database.removeprefix("sqlite:///")).with_name("server.log")
    before = log.read_text().count("GET /tasks/")
    least = run(server, workload, "read").rate * SECONDS
    assert log.read_text().count("GET /tasks/") - before >= least > 0


@pytest.mark.parametrize(
    ("operation", "trigger"),
    [("create", FORGET_NEW), ("update", FORGET_CHANGES)],
)
def test_changes_missing_from_the_database_are_lost(
    server: Server, workload: Workload, operation: str, trigger: str
) -> None:
    execute(server.database, trigger)
    found = run(server, workload, operation).errors
    execute(server.database, "DROP TRIGGER forget")
    assert found.keys() == {"lost"}


def test_another_text_is_wrong(server: Server, workload: Workload) -> None:
    execute(server.database, "UPDATE tasks SET title = title || '!'")
    assert run(server, workload, "read").errors.keys() == {"wrong answer"}


def test_a_shorter_page_is_wrong(server: Server, workload: Workload) -> None:
    execute(server.database, "DELETE FROM tasks WHERE user_id < 4 AND id % 100 > 9")
    assert run(server, workload, "page").errors.keys() == {"wrong answer"}


def test_another_status_is_an_error(server: Server, workload: Workload) -> None:
    execute(server.database, "DELETE FROM tasks")
    assert run(server, workload, "read").errors.keys() == {"status 404"}
