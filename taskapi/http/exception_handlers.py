"""Answers every exception as a problem: FastAPI's, Starlette's and this package's own."""

from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match

from taskapi.exceptions import (
    ContentTooLarge,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    Problem,
    UnsupportedMediaType,
)
from taskapi.http.etags import NotModified
from taskapi.http.messages import describe
from taskapi.http.problem_details import respond
from taskapi.http.request_limits import UnacceptableBody
from taskapi.models import MAX_ERRORS, MAX_POINTER, ErrorItem

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
"""The methods of RFC 9110 and RFC 5789 that routes of this service have."""

PROBLEMS_BY_STATUS: Mapping[int, tuple[type[Problem], str]] = {
    404: (NotFound, "There is nothing at this address."),
    405: (MethodNotAllowed, "This address does not support the method."),
}


async def _handle_problem(request: Request, problem: Problem) -> Response:
    return respond(request, problem)


async def _handle_not_modified(_: Request, error: NotModified) -> Response:
    return Response(status_code=304, headers={"ETag": error.tag})


async def _handle_http_exception(request: Request, error: HTTPException) -> Response:
    if error.status_code == 413:
        return respond(request, ContentTooLarge(error.detail))
    if error.status_code == 400:  # ours, or FastAPI's answer to a body that it fails to decode
        undecodable = "This can't be read as what the Content-Type header says."
        detail = error.detail if isinstance(error, UnacceptableBody) else undecodable
        return respond(request, InvalidRequest.at("body", "", detail))
    kind, detail = PROBLEMS_BY_STATUS[error.status_code]
    headers = {"Allow": ", ".join(_allowed_methods(request))} if error.status_code == 405 else None
    return respond(request, kind(detail, headers=headers))


async def _handle_validation_error(request: Request, error: RequestValidationError) -> Response:
    if isinstance(error.body, bytes):  # FastAPI leaves a body unparsed if it isn't declared as JSON
        return respond(request, UnsupportedMediaType("The body must be application/json."))
    return respond(request, InvalidRequest(*error_items(error.errors())))


def error_items(errors: Iterable[Any]) -> list[ErrorItem]:
    """Describe Pydantic's errors. Their locations begin with the part of the request."""
    items = []
    for error in list(errors)[:MAX_ERRORS]:
        part, *location = error["loc"]
        if error["type"] == "json_invalid":  # its location ends with the position in the text
            location.pop()
        items.append(ErrorItem(part=part, pointer=_pointer(location), detail=describe(error)))
    return items


def _pointer(location: Iterable[str | int]) -> str:
    """Make a JSON pointer (RFC 6901), printable and short even if the client's names are not."""
    steps = (str(step).replace("~", "~0").replace("/", "~1") for step in location)
    pointer = "".join("/" + step for step in steps)[:MAX_POINTER]
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in pointer)


def _allowed_methods(request: Request) -> list[str]:
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
    Problem: _handle_problem,
    NotModified: _handle_not_modified,
    HTTPException: _handle_http_exception,
    RequestValidationError: _handle_validation_error,
}
