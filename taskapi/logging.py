import json
import logging
import time
from typing import Literal

logger = logging.getLogger("taskapi")


class LineFormatter(logging.Formatter):
    """Moments are UTC and say so (RFC 3339), since local ones come twice when summer time ends."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"


class JsonFormatter(LineFormatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": self.formatTime(record),
            "level": record.levelname,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def configure(log_format: Literal["text", "json"]) -> None:
    """Send this service's log to standard error, and let it replace uvicorn's access log."""
    handler = logging.StreamHandler()
    handler.setFormatter(
        JsonFormatter()
        if log_format == "json"
        else LineFormatter("%(asctime)s %(levelname)s %(message)s")
    )
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    access_log = logging.getLogger("uvicorn.access")
    access_log.handlers = []
    access_log.propagate = False
