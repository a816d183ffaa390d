"""The forms, answers and errors of the OAuth 2.0 endpoints."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Literal

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field, SecretStr, StringConstraints
from starlette.exceptions import HTTPException

from taskapi.exceptions import ContentTooLarge, InvalidTokenRequest, Problem
from taskapi.models import NonBlankStr

# As in the examples of users' schemas.
EMAIL = "anna@example.com"
PASSWORD = "correct horse battery staple"  # noqa: S105 -- an example
REFRESH_TOKEN = "Zb3zRk1yVQ.Xo9JqT4m"  # noqa: S105 -- an example

PARAMETERS = ("grant_type", "username", "password", "refresh_token", "token")


class PasswordGrant(BaseModel):
    """An access token request with a password (RFC 6749, section 4.3.2).

    What else a client sends, such as a scope or an empty client_id, is ignored, as section 3.2
    demands.
    """

    model_config = {"use_attribute_docstrings": True}

    grant_type: Literal["password"]
    username: Annotated[NonBlankStr, StringConstraints(max_length=254), Field(examples=[EMAIL])]
    """The e-mail."""
    password: SecretStr = Field(min_length=1, max_length=128, examples=[PASSWORD])


class RefreshGrant(BaseModel):
    """An access token request with a refresh token (RFC 6749, section 6)."""

    model_config = {"use_attribute_docstrings": True}

    grant_type: Literal["refresh_token"]
    refresh_token: SecretStr = Field(min_length=1, max_length=200, examples=[REFRESH_TOKEN])
    """The newest one; it is replaced by the one in the answer."""


class Revocation(BaseModel):
    """A revocation request (RFC 7009, section 2.1); token_type_hint is not needed."""

    model_config = {"use_attribute_docstrings": True}

    token: SecretStr = Field(min_length=1, max_length=4000, examples=[REFRESH_TOKEN])
    """An access token or a refresh token."""


class TokenResponse(BaseModel):
    """A successful answer of the token endpoint (RFC 6749, section 5.1)."""

    model_config = {"use_attribute_docstrings": True}

    access_token: str = Field(
        max_length=4000, pattern=r"^[\w-]+\.[\w-]+\.[\w-]+$", examples=["eyJh.eyJp.Kv2w"]
    )
    """To be sent as `Authorization: Bearer …`."""
    token_type: Literal["bearer"]
    expires_in: int = Field(ge=1, le=24 * 60 * 60, examples=[900])
    """Seconds for which the access token is accepted."""
    refresh_token: str = Field(
        max_length=200, pattern=r"^[\w-]+\.[\w-]+$", examples=[REFRESH_TOKEN]
    )
    """For the next access token; accepted once."""


class OAuth2Route(APIRoute):
    """A route whose errors are also those of OAuth 2.0 (RFC 6749, section 5.2)."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_form(request: Request) -> Response:
            try:
                form = await request.form()
                if any(len(form.getlist(name)) > 1 for name in PARAMETERS):
                    raise InvalidTokenRequest("A parameter is sent more than once.")
                response = await handle(request)
            except (Problem, HTTPException, RequestValidationError) as error:
                raise _complete(_problem(error)) from None
            response.headers["Pragma"] = "no-cache"
            return response

        return handle_form


def _problem(error: Problem | HTTPException | RequestValidationError) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, RequestValidationError):
        return _explain(error)
    if error.status_code == 413:
        return ContentTooLarge("The form is too large.")
    return InvalidTokenRequest("The form can't be read.")


def _explain(error: RequestValidationError) -> InvalidTokenRequest:
    faults = error.errors()
    if any(fault["type"] == "union_tag_invalid" and fault["ctx"]["tag"] for fault in faults):
        return InvalidTokenRequest(
            "grant_type must be password or refresh_token.", error="unsupported_grant_type"
        )
    places = {"grant_type" if fault["loc"] == ("body",) else fault["loc"][-1] for fault in faults}
    return InvalidTokenRequest(f"Missing or not usable: {', '.join(sorted(places))}.")


def _complete(problem: Problem) -> Problem:
    error = {"error": problem.oauth2_error, "error_description": problem.detail}
    problem.members = error | dict(problem.members)
    problem.headers = {"Pragma": "no-cache", **(problem.headers or {})}
    return problem
