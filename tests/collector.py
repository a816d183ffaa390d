"""A collector of OpenTelemetry's protocol over HTTP, in the process of the test."""

import gzip
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Span:
    name: str
    trace_id: str
    parent_id: str
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any]


@dataclass(frozen=True)
class Point:
    """A number, or of a histogram the sum, the count and the buckets."""

    metric: str
    unit: str
    is_counter: bool
    attributes: Mapping[str, Any]
    value: float
    count: int
    buckets: tuple[tuple[float, int], ...]
    """Upper boundaries, and numbers of values between each and the one before."""


class Collector:
    """Keeps what it receives: all spans, and the newest points."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.points: list[Point] = []
        self.requests = 0
        self.answering = Event()
        """Cleared, it reads requests without answering."""
        self.answering.set()
        self.url = ""

    def receive(self, path: str, body: bytes) -> None:
        self.requests += 1
        if not self.answering.is_set():
            self.answering.wait()
        elif path == "/v1/traces":
            self.spans += _spans(ExportTraceServiceRequest.FromString(body))
        else:
            self.points = list(_points(ExportMetricsServiceRequest.FromString(body)))

    def roots(self) -> list[Span]:
        """The spans of requests, without FastAPI's of their parts."""
        return [span for span in self.spans if not span.name.startswith("fastapi.")]

    def values(self, metric: str, *attributes: str) -> dict[Any, float]:
        """The value of each point, or the count if it is a histogram, by its attributes."""
        found = [point for point in self.points if point.metric == metric]
        return {
            tuple(point.attributes.get(name) for name in attributes): point.count or point.value
            for point in found
        }


@contextmanager
def collect() -> Iterator[Collector]:
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers["Content-Encoding"] == "gzip":
                body = gzip.decompress(body)
            collector.receive(self.path, body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Be silent."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        collector.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield collector
        finally:
            collector.answering.set()
            server.shutdown()
            thread.join()


def _spans(request: ExportTraceServiceRequest) -> Iterator[Span]:
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Span(
                    span.name,
                    span.trace_id.hex(),
                    span.parent_span_id.hex(),
                    _attributes(span.attributes),
                    _attributes(resource.resource.attributes),
                )


def _points(request: ExportMetricsServiceRequest) -> Iterator[Point]:
    for resource in request.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                is_counter = metric.sum.is_monotonic
                for number in (*metric.sum.data_points, *metric.gauge.data_points):
                    value = number.as_int or number.as_double
                    labels = _attributes(number.attributes)
                    yield Point(metric.name, metric.unit, is_counter, labels, value, 0, ())
                for data in metric.histogram.data_points:
                    bounds = (*data.explicit_bounds, float("inf"))
                    buckets = tuple(zip(bounds, data.bucket_counts, strict=True))
                    labels = _attributes(data.attributes)
                    numbers = data.sum, data.count, buckets
                    yield Point(metric.name, metric.unit, is_counter, labels, *numbers)


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
