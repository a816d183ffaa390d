"""The errors of the OAuth 2.0 endpoints."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import Field
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from taskapi.exceptions import (
    ContentTooLarge,
    InvalidGrant,
    InvalidTokenRequest,
    Problem,
    TooManyRequests,
    Unavailable,
)
from taskapi.http.openapi import FORM
from taskapi.http.problem_details import ProblemDetails, respond
from taskapi.http.request_limits import UnacceptableBody
from taskapi.http.routes import Handler, StrictQueryRoute
from taskapi.models import MAX_FIELDS, Text

BEYOND_ASCII = re.compile(rb"[\x80-\xff]")

PARAMETERS = ("grant_type", "username", "password", "refresh_token", "token")

ERROR_CODES: Mapping[type[Problem], str] = {
    InvalidGrant: "invalid_grant",
    TooManyRequests: "temporarily_unavailable",
    Unavailable: "temporarily_unavailable",
}
"""The codes of RFC 6749, sections 5.2 and 4.1.2.1. Other problems are `invalid_request`."""


class TokenProblemDetails(ProblemDetails):
    """An OAuth 2.0 error response (RFC 6749, section 5.2), with the members of problem details."""

    model_config = {"title": "TokenProblem"}  # noqa: RUF012 -- what Pydantic reads

    media_type: ClassVar = "application/json"

    error: str = Field(max_length=100, pattern="^[a-z_]+$", examples=["invalid_grant"])
    """The code of RFC 6749, sections 5.2 and 4.1.2.1."""
    error_description: Text = Field(
        max_length=10_000, examples=["The e-mail or the password is wrong."]
    )
    """The same as `detail`."""

    @classmethod
    def build(
        cls,
        kind: type[Problem],
        detail: str,
        instance: str,
        members: Mapping[str, Any],
        root_path: str = "",
    ) -> Self:
        error = {"error": ERROR_CODES.get(kind, "invalid_request"), "error_description": detail}
        return super().build(kind, detail, instance, error | dict(members), root_path)


class OAuth2Route(StrictQueryRoute):
    """A route whose errors are OAuth 2.0 error responses as well."""

    problem_model: ClassVar = TokenProblemDetails
    invalid_request: ClassVar = InvalidTokenRequest

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def handle_form(request: Request) -> Response:
            if request.headers.get("Content-Type", "").lower().startswith(FORM):
                request = Request(request.scope, _percent_encoded(request.receive))
            try:
                form = await request.form(max_files=0, max_fields=MAX_FIELDS)
                if any(len(form.getlist(name)) > 1 for name in PARAMETERS):
                    raise InvalidTokenRequest("A parameter is sent more than once.")
                # FastAPI's handler finds the parsed form there.
                request._form = _with_grant_type(form)  # noqa: SLF001 -- no other place to put it
                response = await handle(request)
            except (Problem, HTTPException, RequestValidationError) as error:
                response = respond(request, _problem_of(error), self.problem_model)
            response.headers["Pragma"] = "no-cache"
            return response

        return handle_form


def _percent_encoded(receive: Receive) -> Receive:
    """Encode bytes beyond ASCII, which `curl -d` does not. Starlette would read them as Latin-1.

    Percent-encoded bytes are read as UTF-8 (WHATWG URL, section 5.1).
    """

    async def receive_encoded() -> Message:
        message = await receive()
        body: bytes = message.get("body", b"")
        return {**message, "body": BEYOND_ASCII.sub(lambda byte: b"%%%02X" % byte[0][0], body)}

    return receive_encoded


def _with_grant_type(form: FormData) -> FormData:
    """Take a username and a password for a password grant, as FastAPI's form does. An empty
    parameter is an omitted one (RFC 6749, section 3.2).
    """
    if form.get("grant_type") or not (form.get("username") and form.get("password")):
        return form
    others = [(name, value) for name, value in form.multi_items() if name != "grant_type"]
    return FormData([("grant_type", "password"), *others])


def _problem_of(error: Problem | HTTPException | RequestValidationError) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, RequestValidationError):
        return _invalid_form(error)
    if error.status_code == 413:
        return ContentTooLarge(error.detail)
    if isinstance(error, UnacceptableBody):
        return InvalidTokenRequest(error.detail)
    return InvalidTokenRequest(f"The form can't be read, or has more than {MAX_FIELDS} fields.")


def _invalid_form(error: RequestValidationError) -> InvalidTokenRequest:
    errors = error.errors()
    if any(item["loc"][0] == "query" for item in errors):
        return InvalidTokenRequest("Send the parameters in the form instead of the query.")
    if any(item["type"] == "union_tag_invalid" and item["ctx"]["tag"] for item in errors):
        return InvalidTokenRequest(
            "grant_type must be password or refresh_token.", error="unsupported_grant_type"
        )
    names = {"grant_type" if item["loc"] == ("body",) else item["loc"][-1] for item in errors}
    return InvalidTokenRequest(f"Missing or invalid: {', '.join(sorted(names))}.")
