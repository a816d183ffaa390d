"""Every error becomes a problem: FastAPI's, Starlette's and our own."""

from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match

from taskapi import exceptions
from taskapi.http.etags import NotModified

# Those of RFC 9110 and PATCH (RFC 5789), as far as any route here can know them.
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

# Where Pydantic speaks of regular expressions or of extra inputs.
MESSAGES = {
    "extra_forbidden": "There is no such field.",
    "string_pattern_mismatch": "There is a character that is not allowed.",
}

BY_STATUS: Mapping[int, tuple[type[exceptions.Problem], str]] = {
    404: (exceptions.NotFound, "There is nothing at this address."),
    405: (exceptions.MethodNotAllowed, "This address doesn't know the method."),
    413: (exceptions.ContentTooLarge, "The body is too large."),
}


async def _answer_problem(request: Request, problem: exceptions.Problem) -> Response:
    return exceptions.respond(request, problem)


async def _answer_not_modified(_: Request, error: NotModified) -> Response:
    return Response(status_code=304, headers={"ETag": error.tag})


async def _answer_http_exception(request: Request, error: HTTPException) -> Response:
    if error.status_code == 400:  # FastAPI's answer to a body that can't even be read
        fault = _fault("body", (), "This can't be read as what the Content-Type header says.")
        return exceptions.respond(request, exceptions.InvalidRequest.of([fault]))
    problem, detail = BY_STATUS[error.status_code]
    headers = {"Allow": ", ".join(_allowed(request))} if error.status_code == 405 else None
    return exceptions.respond(request, problem(detail, headers=headers))


async def _answer_validation_error(request: Request, error: RequestValidationError) -> Response:
    if isinstance(error.body, bytes):  # FastAPI leaves what is not declared as JSON unparsed
        return exceptions.respond(
            request, exceptions.UnsupportedMediaType("The body must be application/json.")
        )
    return exceptions.respond(request, exceptions.InvalidRequest.of(_faults(error.errors())))


def _faults(errors: Iterable[Any]) -> list[dict[str, str]]:
    faults = []
    for error in list(errors)[: exceptions.MAX_FAULTS]:
        part, *place = error["loc"]
        detail = MESSAGES.get(error["type"], error["msg"].removeprefix("Value error, "))
        if error["type"] == "json_invalid":
            detail = f"Not JSON: {error['ctx']['error']} at character {place.pop()}."
        faults.append(_fault(part, place, detail))
    return faults


def _fault(part: str, place: Iterable[str | int], detail: str) -> dict[str, str]:
    """`place` may hold names that the client chose, of any length and characters."""
    steps = (str(step).replace("~", "~0").replace("/", "~1") for step in place)
    pointer = "".join("/" + step for step in steps)[: exceptions.MAX_POINTER]
    pointer = "".join(letter if letter.isprintable() else "\ufffd" for letter in pointer)
    return {"in": part, "pointer": pointer, "detail": detail}


def _allowed(request: Request) -> list[str]:
    routes: list[BaseRoute] = request.app.router.routes
    return [
        method
        for method in METHODS
        if any(
            route.matches({**request.scope, "method": "GET" if method == "HEAD" else method})[0]
            is Match.FULL
            for route in routes
        )
    ]


HANDLERS: dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]] = {
    exceptions.Problem: _answer_problem,
    NotModified: _answer_not_modified,
    HTTPException: _answer_http_exception,
    RequestValidationError: _answer_validation_error,
}
