from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field, SecretStr, StringConstraints
from starlette.exceptions import HTTPException

from taskapi.auth import service
from taskapi.auth.deps import AccessTokensDep
from taskapi.deps import DatabaseDep, PasswordsDep, SettingsDep
from taskapi.openapi import responses
from taskapi.problems import (
    ContentTooLarge,
    InvalidGrant,
    InvalidTokenRequest,
    Unavailable,
)


class PasswordGrant(BaseModel):
    """An access token request with the password grant (RFC 6749, section 4.3.2).

    What else a client sends, such as a scope or an empty client_id, is ignored, as section 3.2
    demands.
    """

    model_config = {"use_attribute_docstrings": True}

    grant_type: Literal["password"]
    username: Annotated[str, StringConstraints(strip_whitespace=True, max_length=254)]
    """The e-mail."""
    password: SecretStr = Field(max_length=128)


class TokenResponse(BaseModel):
    """A successful response of the token endpoint (RFC 6749, section 5.1)."""

    model_config = {"use_attribute_docstrings": True}

    access_token: str
    """To be sent as `Authorization: Bearer …`."""
    token_type: Literal["bearer"]
    expires_in: int
    """Seconds for which the access token is accepted."""


class TokenRoute(APIRoute):
    """A route whose errors are those of OAuth 2.0 (RFC 6749, section 5.2)."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_token_request(request: Request) -> Response:
            try:
                form = await request.form()
                if len(form.multi_items()) > len(form):
                    raise _invalid("invalid_request", "A parameter is sent more than once.")
                return await handle(request)
            except RequestValidationError as error:
                raise _explain(error) from None
            except HTTPException as error:
                if error.status_code == 400:
                    raise _invalid("invalid_request", "The form can't be read.") from None
                raise

        return handle_token_request


router = APIRouter(
    prefix="/auth", tags=["auth"], responses=responses(Unavailable), route_class=TokenRoute
)


@router.post("/token", responses=responses(InvalidGrant, InvalidTokenRequest, ContentTooLarge))
async def create_token(
    database: DatabaseDep,
    passwords: PasswordsDep,
    tokens: AccessTokensDep,
    settings: SettingsDep,
    response: Response,
    form: Annotated[PasswordGrant, Form()],
) -> TokenResponse:
    """Log in with an e-mail and a password.

    The password grant is for the service's own clients; RFC 9700, section 2.4, advises others
    against it.
    """
    password = form.password.get_secret_value()
    lifetime = settings.session_lifetime
    token = await service.log_in(database, passwords, form.username, password, lifetime)
    response.headers["Cache-Control"] = "no-store"
    return TokenResponse(
        access_token=tokens.issue(token),
        token_type="bearer",  # noqa: S106 -- a kind of token, not a secret
        expires_in=tokens.lifetime,
    )


def _explain(error: RequestValidationError) -> InvalidTokenRequest:
    faults = error.errors()
    if any(fault["type"] == "literal_error" for fault in faults):
        return _invalid("unsupported_grant_type", "grant_type must be password.")
    places = ", ".join(str(fault["loc"][-1]) for fault in faults)
    return _invalid("invalid_request", f"Missing or not usable: {places}.")


def _invalid(error: str, description: str) -> InvalidTokenRequest:
    return InvalidTokenRequest(description, error=error, error_description=description)
