"""Traces and metrics, as a collector receives them."""

import asyncio
import importlib
import json
import re
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from threading import enumerate as threads
from typing import Any

import pytest
from alembic import command
from fastapi.testclient import TestClient
from pwdlib import PasswordHash

from taskapi import main
from taskapi.app import VERSION, create_app
from taskapi.database import core, migrations
from taskapi.logging import logger
from taskapi.settings import ConfigurationError, Settings
from taskapi.tasks import service
from taskapi.telemetry.environment import load_telemetry
from tests.api import Api, check_problem, request_token
from tests.collector import Collector, collect
from tests.databases import execute
from tests.server import free_port
from tests.unit.test_startup import fail_to_start
from tests.waiting import HANG, wait_until

pytestmark = pytest.mark.own_database

Start = Callable[[Settings], TestClient]

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
TRACEPARENT = {"traceparent": f"00-{TRACE}-{PARENT}-01"}

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
URL = "http://127.0.0.1:4318"

FLUSH_TIMEOUT = "taskapi.telemetry.exporters.FLUSH_TIMEOUT"
"""Importing the module here would hide from coverage what it executes then."""


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """What the services that the test starts export to, at once."""
    with collect() as collector:
        monkeypatch.setenv(ENDPOINT, collector.url)
        monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "20")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
        monkeypatch.setattr(FLUSH_TIMEOUT, HANG)
        yield collector


@pytest.fixture
def service_client(collector: Collector, start: Start, settings: Settings) -> TestClient:
    assert collector.requests == 0
    return start(settings.model_copy(update={"password_hash_threads": 1}))


@pytest.fixture
def lena(service_client: TestClient) -> Api:
    return Api.register(service_client, "lena@example.com")


def wait_for(collector: Collector, metric: str, expected: dict[Any, float], *names: str) -> None:
    wait_until(lambda: collector.values(metric, *names).items() >= expected.items())


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("variables", "signals"),
    [
        ({}, set()),
        ({ENDPOINT: ""}, set()),
        ({ENDPOINT: URL}, {"TRACES", "METRICS"}),
        ({ENDPOINT: URL, "OTEL_SDK_DISABLED": "TRUE"}, set()),
        ({ENDPOINT: URL, "OTEL_TRACES_EXPORTER": "none"}, {"METRICS"}),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": URL}, {"TRACES"}),
        ({"OTEL_METRICS_EXPORTER": "otlp"}, {"METRICS"}),
        ({"OTEL_TRACES_EXPORTER": " otlp ", "OTEL_METRICS_EXPORTER": "none"}, {"TRACES"}),
        ({"OTEL_SERVICE_NAME": "tasks", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, set()),
    ],
)
def test_the_variables_say_what_is_exported(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], signals: set[str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    before = set(threads())
    assert load_telemetry("1.0").signals == signals
    assert set(threads()) <= before


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin", "OTEL_TRACES_EXPORTER must be otlp or none"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "OTEL_EXPORTER_OTLP_PROTOCOL must be http/prot"),
        ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "grpc", "_PROTOCOL must be http/protobuf"),
        (ENDPOINT, "collector:4317", f"{ENDPOINT} must be like http://127.0.0.1:4318"),
        (ENDPOINT, "http://host:port", f"{ENDPOINT} must be like http://127.0.0.1:4318"),
    ],
)
def test_variables_that_can_not_be_used_are_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    monkeypatch.setenv(ENDPOINT, URL)
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=re.escape(reason)):
        load_telemetry("1.0")


@pytest.mark.one_database
def test_variables_that_the_exporter_refuses_are_reported(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    monkeypatch.setenv(ENDPOINT, URL)
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "9999")
    message = asyncio.run(fail_to_start(create_app(settings)))
    assert message.startswith("taskapi can't start: the OTEL_ variables can't be used: max_")
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "many")
    with pytest.raises(ConfigurationError, match=r"OTEL_ variables can't be used: .*_COUNT_LIMIT"):
        create_app(settings)


def test_a_missing_exporter_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENDPOINT, URL)
    monkeypatch.setitem(sys.modules, "taskapi.telemetry.exporters", None)
    with pytest.raises(SystemExit) as exit_:
        importlib.reload(main)
    assert str(exit_.value) == (
        "taskapi can't start: the OTEL_ variables need an exporter: uv sync --extra opentelemetry"
    )


def test_a_trace_joins_that_of_the_caller(collector: Collector, lena: Api) -> None:
    path = f"/tasks/{lena.create_task()['id']}"
    lena.get(path, headers=TRACEPARENT)
    lena.get("/tasks?q=secret", headers=TRACEPARENT)
    wait_until(lambda: sum(span.trace_id == TRACE for span in collector.spans) == 2)
    one, several = [span for span in collector.spans if span.trace_id == TRACE]
    assert (one.name, one.parent_id) == ("GET /tasks/{task_id}", PARENT)
    assert one.attributes["http.route"] == "/tasks/{task_id}"
    assert one.attributes["http.response.status_code"] == 200
    assert "secret" not in str(several)
    assert one.resource["service.name"] == "taskapi"
    assert one.resource["service.version"] == VERSION


@pytest.mark.one_database
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_log_lines_have_the_ids_of_the_trace(
    collector: Collector,
    start: Start,
    settings: Settings,
    capfd: pytest.CaptureFixture[str],
    log_format: str,
) -> None:
    assert collector.url
    client = start(settings.model_copy(update={"log_format": log_format}))
    capfd.readouterr()
    client.get("/livez", headers={**TRACEPARENT, "X-Request-ID": "abc"})
    [line] = [line for line in capfd.readouterr().err.splitlines() if "/livez" in line]
    if log_format == "json":
        entry = json.loads(line)
        assert (entry["request_id"], entry["trace_id"]) == ("abc", TRACE)
        assert re.fullmatch("[0-9a-f]{16}", entry["span_id"])
    else:
        assert re.search(f" abc trace_id={TRACE} span_id=[0-9a-f]{{16}}$", line)


@pytest.mark.one_database
@pytest.mark.parametrize(
    "headers",
    [
        {"traceparent": "00-" + "0" * 32 + "-" + "0" * 16 + "-01"},
        {"traceparent": f"ff-{TRACE}-{PARENT}-01"},
        {"traceparent": "00-ёлка-x-01"},
        {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "a=" + "x" * 5000},
        {"tracestate": "=,=;,,"},
        {"baggage": "k=" + "%FF" * 3000 + ",=,;;"},
        {"Host": "[::1"},
        {"Host": "user@host:99999"},
    ],
)
def test_odd_headers_are_no_errors(
    collector: Collector, service_client: TestClient, headers: dict[str, str]
) -> None:
    raw = {name.encode(): value.encode() for name, value in headers.items()}
    assert service_client.get("/livez", headers=raw).status_code == 200
    wait_until(lambda: [span.name for span in collector.spans] == ["GET /livez"])


@pytest.mark.one_database
def test_metrics_of_requests_have_routes_instead_of_paths(collector: Collector, lena: Api) -> None:
    for title in ("one", "two"):
        lena.get(f"/tasks/{lena.create_task(title)['id']}")
    lena.get("/nothing/here")
    lena.request("BREW", "/tasks")
    expected: dict[Any, float] = {
        ("GET", "/tasks/{task_id}", 200): 2,
        ("POST", "/tasks", 201): 2,
        ("GET", None, 404): 1,
        ("_OTHER", "/tasks", 405): 1,
    }
    names = ("http.request.method", "http.route", "http.response.status_code")
    wait_for(collector, "http.server.request.duration", expected, *names)
    labels = str([point.attributes for point in collector.points])
    for private in ("/tasks/1", "nothing", "BREW", "lena"):
        assert private not in labels


@contextmanager
def blocked(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> Iterator[Event]:
    """Let a function wait; yields the event that it is called."""
    begun, go_on = Event(), Event()
    function = getattr(owner, name)

    def block(*arguments: Any) -> Any:
        begun.set()
        assert go_on.wait(HANG)
        return function(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, block)
        try:
            yield begun
        finally:
            go_on.set()


@pytest.mark.database("sqlite")
def test_metrics_show_the_queue_of_the_database(
    collector: Collector, lena: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = "taskapi.database.jobs.waiting"
    path = f"/tasks/{lena.create_task()['id']}"
    with ThreadPoolExecutor(4) as pool:
        with blocked(monkeypatch, service, "delete_task") as begun:
            pool.submit(lena.delete, path)
            assert begun.wait(HANG)
            answers = [pool.submit(lena.post, "/tasks", json={"title": "x"}) for _ in range(3)]
            wait_for(collector, jobs, {("write",): 3, ("read",): 0, ("check",): 0}, "pool")
            with monkeypatch.context() as patch:
                patch.setattr(core, "QUEUE_TIMEOUT", 0.01)
                refused = lena.post("/tasks", json={"title": "x"})
        assert [answer.result().status_code for answer in answers] == [201] * 3
    check_problem(refused, 503, "unavailable")
    wait_for(collector, "taskapi.refusals", {("database-queue", 503): 1}, *CAUSE)
    wait_for(collector, jobs, {("write",): 0}, "pool")
    # Two for the account, then the task, its deletion, and those that waited.
    wait_for(collector, "taskapi.database.job.wait", {("write",): 7}, "pool")
    [batches] = [point for point in collector.points if point.metric.endswith("commit.jobs")]
    assert (batches.count, batches.value, batches.unit) == (5, 7, "{job}")
    assert dict(batches.buckets)[4] == 1


CAUSE = ("cause", "http.response.status_code")


@pytest.mark.one_database
def test_metrics_show_the_passwords_that_wait(
    collector: Collector, service_client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = [
        {"name": "x", "email": f"{n}@example.com", "password": "a good password"} for n in range(9)
    ]
    with (
        ThreadPoolExecutor(8) as pool,
        blocked(monkeypatch, PasswordHash, "hash") as begun,
    ):
        for user in users[:8]:
            pool.submit(service_client.post, "/users", json=user)
        assert begun.wait(HANG)
        wait_for(collector, "taskapi.passwords.waiting", {(): 7})
        check_problem(service_client.post("/users", json=users[8]), 503, "unavailable")
    wait_for(collector, "taskapi.refusals", {("passwords", 503): 1}, *CAUSE)
    wait_for(collector, "taskapi.passwords.waiting", {(): 0})


@pytest.mark.one_database
def test_metrics_show_what_the_throttle_refuses(
    collector: Collector, service_client: TestClient
) -> None:
    for _ in range(12):
        request_token(service_client, "nobody@example.com", "wrong password")
    wait_for(collector, "taskapi.refusals", {("login", 429): 2}, *CAUSE)


def test_metrics_show_errors_of_the_database(
    collector: Collector, lena: Api, settings: Settings, database_system: str
) -> None:
    execute(settings.database_url, "ALTER TABLE tasks RENAME TO gone")
    assert lena.get("/tasks").status_code == 500
    code = "SQLITE_ERROR" if database_system == "sqlite" else "42P01"
    wait_for(collector, "taskapi.database.errors", {(code,): 1}, "error.type")


@pytest.mark.database("sqlite")
def test_metrics_and_the_log_show_a_database_that_is_away(
    collector: Collector,
    start: Start,
    settings: Settings,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "mounted"
    folder.mkdir()
    client = start(settings.model_copy(update={"database_url": f"sqlite:///{folder}/taskapi.db"}))
    folder.rename(tmp_path / "unmounted")
    capfd.readouterr()
    check_problem(client.get("/readyz", headers=TRACEPARENT), 503, "unavailable")
    lines = capfd.readouterr().err.splitlines()
    assert [f" trace_id={TRACE}" in line for line in lines] == [True, True], lines
    wait_for(collector, "taskapi.refusals", {("database", 503): 1}, *CAUSE)
    wait_for(collector, "taskapi.database.errors", {("SQLITE_CANTOPEN",): 1}, "error.type")


def test_metrics_show_an_outdated_schema(
    collector: Collector, service_client: TestClient, settings: Settings
) -> None:
    command.downgrade(migrations.config_for(settings.database_url), "base")
    check_problem(service_client.get("/readyz"), 503, "unavailable")
    wait_for(collector, "taskapi.refusals", {("schema", 503): 1}, *CAUSE)


@pytest.mark.one_database
def test_the_stop_exports_what_is_left(
    collector: Collector, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OTEL_METRIC_EXPORT_INTERVAL", "OTEL_BSP_SCHEDULE_DELAY"):
        monkeypatch.setenv(name, "3600000")
    with TestClient(create_app(settings)) as client:
        assert client.get("/livez").status_code == 200
        assert collector.requests == 0
    assert [span.name for span in collector.spans] == ["GET /livez"]
    assert collector.values("http.server.request.duration", "http.route") == {("/livez",): 1}


@pytest.mark.one_database
@pytest.mark.parametrize(("off", "exported"), [("METRICS", (1, 0)), ("TRACES", (0, 1))])
def test_each_signal_can_be_exported_alone(
    collector: Collector,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    off: str,
    exported: tuple[int, int],
) -> None:
    monkeypatch.setenv(f"OTEL_{off}_EXPORTER", "none")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
    with TestClient(create_app(settings)) as client:
        assert client.get("/livez").status_code == 200
    durations = collector.values("http.server.request.duration")
    assert (len(collector.spans), len(durations)) == exported
    assert {span.resource["service.name"] for span in collector.spans} <= {"mine"}


@pytest.mark.one_database
def test_a_collector_that_hangs_delays_neither_requests_nor_the_stop(
    collector: Collector, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FLUSH_TIMEOUT, 0.01)
    collector.answering.clear()
    with TestClient(create_app(settings)) as client:
        assert client.get("/livez").status_code == 200
        wait_until(lambda: collector.requests == 2)
        assert client.get("/livez").status_code == 200
    assert not collector.answering.is_set()
    assert (collector.spans, collector.points) == ([], [])


@pytest.mark.one_database
def test_a_collector_that_is_away_is_logged(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(ENDPOINT, f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.1")  # no time for a second attempt
    monkeypatch.setattr(FLUSH_TIMEOUT, HANG)
    with TestClient(create_app(settings)) as client:
        assert client.get("/livez").status_code == 200
    assert re.search(r"Z ERROR Failed to export (spans|metrics) batch", capfd.readouterr().err)
    assert logger.handlers
