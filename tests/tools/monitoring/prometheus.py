"""Prometheus, which reads what a collector has received."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx2

from tests.collector import Collector, Point
from tests.requirements import require_programs
from tests.server import free_port
from tests.waiting import HANG, wait_until

CONFIGURATION = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [rules.yaml]
scrape_configs: [{{job_name: taskapi, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}]
"""


class Prometheus:
    def __init__(self, client: httpx2.Client) -> None:
        self._client = client

    def is_ready(self) -> bool:
        try:
            return self._client.get("/-/ready").status_code == 200
        except httpx2.TransportError:
            return False

    def query(self, query: str) -> list[dict[str, Any]]:
        """The series of a result that have a number."""
        answer = self._client.get("/api/v1/query", params={"query": query})
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return [series for series in found if series["value"][1] != "NaN"]

    def alerts(self) -> set[str]:
        """The names of those whose condition is true."""
        alerts = self._client.get("/api/v1/alerts").json()["data"]["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts}


@contextmanager
def prometheus(folder: Path, collector: Collector, rules: str) -> Iterator[Prometheus]:
    program = require_programs("prometheus", install="apt-get install prometheus")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with _exposed(collector) as exposed, httpx2.Client(base_url=url, timeout=HANG) as client:
        (folder / "rules.yaml").write_text(rules)
        (folder / "prometheus.yaml").write_text(CONFIGURATION.format(port=exposed))
        command = [
            program,
            f"--config.file={folder}/prometheus.yaml",
            f"--storage.tsdb.path={folder}/prometheus",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        with (folder / "prometheus.log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            running = Prometheus(client)
            wait_until(lambda: running.is_ready() or process.poll() is not None)
            assert process.poll() is None, (folder / "prometheus.log").read_text()
            yield running
        finally:
            process.terminate()
            process.wait(timeout=HANG)


@contextmanager
def _exposed(collector: Collector) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            lines = [line for point in collector.points for line in _lines(point)]
            self.wfile.write("".join(line + "\n" for line in lines).encode())

        def log_message(self, *_: object) -> None:
            """Be silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def _lines(point: Point) -> Iterator[str]:
    """The series of a point, as OpenTelemetry's specification translates names and units."""
    name = re.sub(r"\W", "_", point.metric) + ("_seconds" if point.unit == "s" else "")
    labels = {re.sub(r"\W", "_", key): str(value) for key, value in point.attributes.items()}
    if not point.buckets:
        yield _series(name + ("_total" if point.is_counter else ""), labels, point.value)
        return
    count = 0
    for boundary, number in point.buckets:
        count += number
        bucket = {**labels, "le": "+Inf" if boundary == float("inf") else f"{boundary:g}"}
        yield _series(name + "_bucket", bucket, count)
    yield _series(name + "_count", labels, count)
    yield _series(name + "_sum", labels, point.value)


def _series(name: str, labels: dict[str, str], value: float) -> str:
    joined = ",".join(f'{key}="{label}"' for key, label in labels.items())
    return f"{name}{{{joined}}} {value}"
