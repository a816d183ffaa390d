"""What the `OTEL_` variables ask for."""

import os
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from fastapi.telemetry import TelemetryConfig

from taskapi.settings import ConfigurationError

SIGNALS = ("TRACES", "METRICS")


@dataclass(frozen=True, slots=True)
class Telemetry:
    signals: AbstractSet[str]
    config: TelemetryConfig
    exporting: AbstractContextManager[None]
    """Exports while it is entered."""


def load_telemetry(version: str) -> Telemetry:
    """Prepare what the variables ask for. Nothing is exported yet.

    Raises:
        ConfigurationError: they can't be used, or the exporter is not installed.
    """
    signals = {signal for signal in SIGNALS if _is_exported(signal)}
    config: TelemetryConfig = {
        "tracing": "TRACES" in signals,
        "metrics": "METRICS" in signals,
        "logs": False,  # they would have the messages of exceptions
        "operation_spans": False,  # they would treble the time that traces take
        "auto_configure": False,
    }
    if not signals:
        return Telemetry(signals, config, nullcontext())
    exporters = _exporters().Exporters(signals, version)
    config |= {"tracer_provider": exporters.tracers, "meter_provider": exporters.meters}
    return Telemetry(signals, config, exporters.exporting())


def _is_exported(signal: str) -> bool:
    """Return whether a signal has an exporter. The default is OTLP if an endpoint is set, and none
    otherwise, so that a service without configuration does not look for a collector.
    """
    exporter = _read(f"OTEL_{signal}_EXPORTER")
    endpoint = _read(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    protocol = _read(f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    if _read("OTEL_SDK_DISABLED").lower() == "true" or exporter == "none":
        return False
    if not (exporter or endpoint):
        return False
    if exporter not in {"", "otlp"}:
        raise ConfigurationError(f"OTEL_{signal}_EXPORTER must be otlp or none")
    if protocol not in {"", "http/protobuf"}:
        raise ConfigurationError("OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf")
    if endpoint and not _is_address(endpoint):
        raise ConfigurationError("OTEL_EXPORTER_OTLP_ENDPOINT must be like http://127.0.0.1:4318")
    return True


def _read(*names: str) -> str:
    """Return the first value that is not empty."""
    values = (os.environ.get(name, "").strip() for name in names)
    return next(filter(None, values), "")


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _exporters() -> Any:  # noqa: ANN401 -- a module
    try:
        return import_module("taskapi.telemetry.exporters")
    except ImportError:
        raise ConfigurationError(
            "the OTEL_ variables need an exporter: uv sync --extra opentelemetry"
        ) from None
