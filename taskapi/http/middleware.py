"""ASGI middleware for all routes: request log, security headers and HEAD."""

import asyncio
import random
import time

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from taskapi.exceptions import InternalError, Problem, Unavailable
from taskapi.http.problem_details import REQUEST_ID, respond
from taskapi.logging import logger, request_id

SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""From the OWASP REST Security Cheat Sheet."""

_RAW_SECURITY_HEADERS = Headers(SECURITY_HEADERS).raw


class RequestLoggingMiddleware:
    """Give each request an id, and write a line about it to the log.

    The id is the client's X-Request-ID if that has 1 to 128 of the characters `A-Z a-z 0-9 . _ -`,
    and random otherwise. The response carries it. Queries, headers and bodies are not logged,
    because they can contain secrets.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        sent_id = Headers(scope=scope).get("x-request-id", "")
        own_id = sent_id if REQUEST_ID.fullmatch(sent_id) else f"{random.getrandbits(128):032x}"
        scope.setdefault("state", {})["request_id"] = own_id
        request_id.set(own_id)
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", own_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            fields = {
                "method": scope["method"],
                "path": scope["raw_path"].decode("ascii", "backslashreplace"),
                "status": status,
                "milliseconds": round((time.perf_counter() - started) * 1000, 1),
            }
            logger.info(
                "%(method)s %(path)s %(status)d %(milliseconds)s ms",
                fields,
                extra={"fields": fields},
            )


class UnhandledErrorMiddleware:
    """Answer 500 to an exception that nothing else handled, and log its traceback. Answer 503 to a
    request that the end of the server's grace period cancels.

    It is inside of CORS, so that web pages can read these answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_and_note(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        problem: Problem
        try:
            await self._app(scope, receive, send_and_note)
        except asyncio.CancelledError:  # uvicorn's grace period is over
            if started:
                raise
            detail = "The service stopped before this was finished."
            problem = Unavailable(detail, retry_after=1, cause="stop")
        except Exception:
            logger.exception("unhandled exception")
            if started:
                raise
            problem = InternalError("The service failed. The request is not the cause.")
        else:
            return
        await respond(Request(scope), problem)(scope, receive, send)


class SecurityHeadersMiddleware:
    """Add each of `SECURITY_HEADERS` that a response does not set itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = {name for name, _ in message["headers"]}
                missing = [field for field in _RAW_SECURITY_HEADERS if field[0] not in names]
                message["headers"] = [*message["headers"], *missing]
            await send(message)

        await self._app(scope, receive, send_with_headers)


class HeadMiddleware:
    """Answer HEAD like GET, without the content (RFC 9110, section 9.3.2)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message["body"] = b""
            await send(message)

        await self._app({**scope, "method": "GET"}, receive, send_without_body)
