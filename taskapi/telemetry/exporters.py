"""Export with OpenTelemetry's SDK. This module is imported only if it is asked for."""

import time
import uuid
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from threading import Thread

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import Span, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from taskapi.settings import ConfigurationError
from taskapi.telemetry.metrics import metrics

FLUSH_TIMEOUT = 1.5
"""Seconds that the last export may take. Docker kills what has not stopped after 10 seconds, and
requests may take 8 of them."""


class SpanProcessor(BatchSpanProcessor):
    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Queries can contain secrets."""
        super().on_start(span, parent_context)
        if span.attributes and "url.query" in span.attributes:
            span.set_attribute("url.query", "REDACTED")


@contextmanager
def _variables_reported() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ConfigurationError(f"the OTEL_ variables can't be used: {error}") from None


class Exporters:
    def __init__(self, signals: AbstractSet[str], version: str) -> None:
        """
        Raises:
            ConfigurationError: a variable can't be used.
        """
        defaults = {
            "service.name": "taskapi",
            "service.version": version,
            "service.instance.id": str(uuid.uuid4()),  # several processes may share a host
        }
        resource = Resource.create(defaults).merge(OTELResourceDetector().detect())
        self._signals = signals
        with _variables_reported():
            self.tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
            self.meters = MeterProvider(resource=resource, shutdown_on_exit=False)

    @contextmanager
    def exporting(self) -> Iterator[None]:
        """Export in threads. At the exit, export what is left, for at most `FLUSH_TIMEOUT` seconds.

        Raises:
            ConfigurationError: a variable can't be used.
        """
        components: list[SpanProcessor | PeriodicExportingMetricReader] = []
        with _variables_reported():
            if "TRACES" in self._signals:
                components.append(processor := SpanProcessor(OTLPSpanExporter()))
                self.tracers.add_span_processor(processor)
            if "METRICS" in self._signals:
                components.append(reader := PeriodicExportingMetricReader(OTLPMetricExporter()))
                self.meters.add_metric_reader(reader)
                metrics.use(self.meters)
        try:
            yield
        finally:
            metrics.use(NoOpMeterProvider())
            threads = [Thread(target=part.shutdown, daemon=True) for part in components]
            for thread in threads:
                thread.start()
            deadline = time.monotonic() + FLUSH_TIMEOUT
            for thread in threads:
                thread.join(max(0.0, deadline - time.monotonic()))
