"""The graphs and alerts of docs/monitoring.md, in Prometheus: each is provoked."""

import re
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.api import PASSWORD
from tests.collector import Collector, collect
from tests.documents.markdown import blocks, section
from tests.server import ROOT, serve
from tests.tools.monitoring.prometheus import Prometheus, prometheus
from tests.waiting import HANG, wait_until

DOCUMENT = (ROOT / "docs/monitoring.md").read_text()
GRAPHS = dict(re.findall(r"(?m)^\| (\w[^|]*) \| `([^`]+)` \|", section(DOCUMENT, "Graphs")))
[RULES] = blocks(section(DOCUMENT, "Alerts"), "yaml")


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collect() as collector:
        yield collector


@pytest.fixture
def url(collector: Collector, tmp_path: Path) -> Iterator[str]:
    """The service, whose requests may wait as long as the test takes."""
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_METRIC_EXPORT_INTERVAL": "100",
        "QUEUE_TIMEOUT": str(HANG),
        "TASKAPI_DATABASE_STATEMENT_TIMEOUT": f"{HANG:.0f}",
    }
    with serve(tmp_path, application="tests.faults.app:app", **variables) as url:
        yield url


@pytest.fixture
def anna(url: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=url, timeout=HANG) as client:
        email = "anna@example.com"
        user = {"name": "Anna", "email": email, "password": PASSWORD}
        assert client.post("/users", json=user).status_code == 201
        form = {"username": email, "password": PASSWORD}
        token = client.post("/auth/token", data=form).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


@pytest.fixture
def watching(anna: httpx2.Client, collector: Collector, tmp_path: Path) -> Iterator[Prometheus]:
    """Prometheus, which has seen the service in order."""
    create(anna)
    fail_to_log_in(anna, 11)
    with prometheus(tmp_path, collector, RULES) as running:
        wait_for(running, "count_over_time(taskapi_refusals_total[5m]) >= 2")
        assert running.alerts() == set()
        yield running


def create(anna: httpx2.Client) -> None:
    assert anna.post("/tasks", json={"title": "Buy bread"}).status_code == 201


def fail_to_log_in(client: httpx2.Client, times: int) -> None:
    for _ in range(times):
        form = {"username": "boris@example.com", "password": "a wrong password"}
        assert client.post("/auth/token", data=form).status_code in {400, 429}


def wait_for(running: Prometheus, query: str) -> list[dict[str, Any]]:
    return wait_until(lambda: running.query(query))


def test_there_are_four_graphs_and_three_alerts() -> None:
    assert len(GRAPHS) == 4
    assert len(re.findall("alert: ", RULES)) == 3


def test_graphs_show_the_load(watching: Prometheus, anna: httpx2.Client) -> None:
    create(anna)
    fail_to_log_in(anna, 1)
    shown = {title: wait_for(watching, f"({query}) > 0") for title, query in GRAPHS.items()}
    labels = {title: [series["metric"] for series in found] for title, found in shown.items()}
    assert {"http_route": "/tasks", "http_response_status_code": "201"} in labels["Requests"]
    assert {"http_route": "/tasks"} in labels["Slowest requests"]
    assert {"pool": "write"} in labels["Wait for the database"]
    assert labels["Refusals"] == [{"cause": "login", "http_response_status_code": "429"}]


def test_guessed_passwords_are_alerted(watching: Prometheus, anna: httpx2.Client) -> None:
    fail_to_log_in(anna, 60)
    wait_until(lambda: watching.alerts() == {"PasswordGuessing"})


def test_errors_are_alerted(watching: Prometheus, anna: httpx2.Client, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "taskapi.db")) as database:
        database.execute("ALTER TABLE tasks RENAME TO gone")

    def is_alerted() -> bool:
        assert anna.get("/tasks").status_code == 500
        return "ServerErrors" in watching.alerts()

    wait_until(is_alerted)


def test_a_database_that_is_too_slow_is_alerted(
    watching: Prometheus, anna: httpx2.Client, collector: Collector, tmp_path: Path
) -> None:
    """A transaction of another process keeps the writer waiting."""

    def begun() -> float:
        return collector.values("taskapi.database.job.wait", "pool")[("write",)]

    with (
        closing(sqlite3.connect(tmp_path / "taskapi.db", isolation_level=None)) as database,
        ThreadPoolExecutor(8) as pool,
    ):
        before = begun()
        database.execute("BEGIN IMMEDIATE")
        writes = [pool.submit(create, anna)]
        wait_until(lambda: begun() > before)  # those that come now are not of the same batch
        writes += [pool.submit(create, anna) for _ in range(7)]
        waiting = 'taskapi_database_jobs_waiting{pool="write"} > 5'
        wait_for(watching, f"count_over_time(({waiting})[5m:1s]) >= 3")
        database.execute("ROLLBACK")
        for write in writes:
            write.result()
    wait_until(lambda: watching.alerts() == {"DatabaseQueue"})
