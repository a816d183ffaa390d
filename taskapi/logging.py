import asyncio
import json
import logging
import random
import re
import time
from typing import Literal

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from taskapi import exceptions

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")

logger = logging.getLogger("taskapi")


class LineFormatter(logging.Formatter):
    """Timestamps are UTC (RFC 3339); local time is ambiguous when DST ends."""

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
    """Log to standard error, and turn uvicorn's access log off, which would repeat each request.

    This changes the loggers `taskapi` and `uvicorn.access` of the whole process.
    """
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


class RequestLoggingMiddleware:
    """ASGI middleware: gives each request an id, and logs it when it is answered.

    The id is the client's `X-Request-ID` if that is 1 to 128 characters of `A-Z a-z 0-9 . _ -`,
    otherwise a new one. The response has it in the same header. An unhandled exception is logged
    with its traceback and answered with a problem. Queries, headers and bodies are not logged,
    because they may hold secrets.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else f"{random.getrandbits(128):032x}"
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except asyncio.CancelledError:  # the grace period of the server's shutdown is over
            if status:
                raise
            problem = exceptions.Unavailable(
                "The service stopped before this was finished.", headers={"Retry-After": "1"}
            )
            await exceptions.respond(Request(scope), problem)(scope, receive, send_with_id)
        except Exception:
            logger.exception("unhandled exception", extra={"fields": {"request_id": request_id}})
            if status:
                raise
            fault = exceptions.InternalError("The fault is in the service, not in the request.")
            await exceptions.respond(Request(scope), fault)(scope, receive, send_with_id)
        finally:
            fields = {
                "method": scope["method"],
                "path": scope["raw_path"].decode("ascii", "backslashreplace"),
                "status": status,
                "milliseconds": round((time.perf_counter() - started) * 1000, 1),
                "request_id": request_id,
            }
            logger.info(
                "%(method)s %(path)s %(status)d %(milliseconds)s ms %(request_id)s",
                fields,
                extra={"fields": fields},
            )
