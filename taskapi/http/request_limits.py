"""ASGI middleware that limits what a request can carry, before it is parsed."""

from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from taskapi.exceptions import HeadTooLarge
from taskapi.http.problem_details import respond

MAX_BODY_SIZE = 64 * 1024
"""In bytes. The longest possible revocation takes 48 KiB if each character is percent-encoded."""

MAX_HEAD_SIZE = 40 * 1024
"""In bytes, of the path, the query and the header fields together."""

MAX_PARAMETERS = 50
"""In a query."""


class UnacceptableBody(HTTPException):
    """A body that is refused before it is parsed. `detail` is for the client.

    It is an HTTPException because FastAPI turns any other exception while it reads into a 400.
    """


class HeadLimitMiddleware:
    """Answer 431 if the path, query or header fields are too large.

    uvicorn's httptools protocol accepts them at any length. FastAPI would parse a query or a
    Content-Type of 256 KiB for 150 to 350 ms on the event loop.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        if scope["type"] == "http" and (detail := _excess_of_head(scope)):
            app = respond(Request(scope), HeadTooLarge(detail))
        await app(scope, receive, send)


def _excess_of_head(scope: Scope) -> str | None:
    query: bytes = scope["query_string"]
    if query.count(b"&") >= MAX_PARAMETERS:
        return f"The query has more than {MAX_PARAMETERS} parameters."
    fields = sum(len(name) + len(value) for name, value in scope["headers"])
    if len(scope["path"]) + len(query) + fields > MAX_HEAD_SIZE:
        return f"The address and the header fields have more than {MAX_HEAD_SIZE} bytes."
    return None


class BodyLimitMiddleware:
    """Raise 413 when more bytes are read than the route accepts, with or without Content-Length.

    FastAPI's `max_body_size` answers in plain text and bypasses the exception handlers.
    """

    def __init__(self, app: ASGIApp, limits: Mapping[str, int]) -> None:
        """`limits` are in bytes, by the first segment of the path. Others are MAX_BODY_SIZE."""
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = left = self._limit(scope)

        async def receive_within_limit() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise UnacceptableBody(413, f"The body has more than {limit} bytes.")
            return message

        await self._app(scope, receive_within_limit, send)

    def _limit(self, scope: Scope) -> int:
        path: str = scope["path"].removeprefix(scope.get("root_path", ""))
        return self._limits.get(path.lstrip("/").partition("/")[0], MAX_BODY_SIZE)
