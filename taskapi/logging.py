import json
import logging
import time
from contextvars import ContextVar
from typing import Literal

from opentelemetry.trace import INVALID_SPAN, format_span_id, format_trace_id, get_current_span

logger = logging.getLogger("taskapi")


request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request that is being answered, which its log lines carry."""


class LineFormatter(logging.Formatter):
    """Timestamps are UTC (RFC 3339); local time is ambiguous when DST ends."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 -- the library's name
        line = f"{super().formatMessage(record)} {request_id.get()}".rstrip()
        for name, value in trace_context().items():
            line += f" {name}={value}"
        return line


def trace_context() -> dict[str, str]:
    """Return the ids of the current span, as OpenTelemetry names them in logs, or nothing."""
    span = get_current_span()
    if span is INVALID_SPAN:
        return {}
    ids = span.get_span_context()
    return {"trace_id": format_trace_id(ids.trace_id), "span_id": format_span_id(ids.span_id)}


class JsonFormatter(LineFormatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": self.formatTime(record),
            "level": record.levelname,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if request_id.get():
            entry["request_id"] = request_id.get()
        entry |= trace_context()
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def configure(log_format: Literal["text", "json"]) -> None:
    """Log to standard error, and turn uvicorn's access log off, which would repeat each request.

    This changes the loggers `taskapi`, `opentelemetry` and `uvicorn.access` of the whole process.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(
        JsonFormatter()
        if log_format == "json"
        else LineFormatter("%(asctime)s %(levelname)s %(message)s")
    )
    logger.handlers = [handler]
    exporters = logging.getLogger("opentelemetry")
    exporters.handlers = [handler]
    exporters.propagate = False
    logger.setLevel(logging.INFO)
    access_log = logging.getLogger("uvicorn.access")
    access_log.handlers = []
    access_log.propagate = False
