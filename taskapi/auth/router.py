from typing import Annotated

from fastapi import APIRouter, Form, Request, Response

from taskapi.auth import service, sessions
from taskapi.auth.deps import CurrentUserDep
from taskapi.auth.models import SessionPublic
from taskapi.auth.oauth2 import (
    AuthorizationServer,
    GrantType,
    PasswordGrant,
    RefreshGrant,
    Revocation,
    TokenResponse,
)
from taskapi.auth.oauth2_route import OAuth2Route
from taskapi.deps import (
    AccessTokensDep,
    DatabaseDep,
    LoginThrottleDep,
    PagerDep,
    PasswordsDep,
    SettingsDep,
)
from taskapi.http.openapi import with_headers
from taskapi.http.pagination import PageOf
from taskapi.http.raises import raises
from taskapi.http.routes import StrictQueryRoute
from taskapi.http.urls import base_url
from taskapi.models import PathId
from taskapi.rate_limit import client_address
from taskapi.security.access_tokens import AccessToken, AccessTokens, InvalidToken
from taskapi.security.emails import account_key
from taskapi.security.refresh_tokens import RefreshToken

oauth2 = APIRouter(prefix="/auth", tags=["auth"], route_class=OAuth2Route)
session_router = APIRouter(prefix="/auth/sessions", tags=["auth"], route_class=StrictQueryRoute)
metadata = APIRouter(prefix="/.well-known", tags=["auth"], route_class=StrictQueryRoute)


@oauth2.post(
    "/token",
    summary="Log in, or refresh a session",
    description=(
        "Send an e-mail and a password, or a refresh token, and get new tokens.\n\n"
        "The password grant is for this service's own clients. RFC 9700, section 2.4, advises "
        "against it for others. A form with `username` and `password` and without `grant_type` is "
        "a password grant."
    ),
)
@raises(service.log_in, service.refresh)
async def create_token(
    database: DatabaseDep,
    passwords: PasswordsDep,
    tokens: AccessTokensDep,
    throttle: LoginThrottleDep,
    settings: SettingsDep,
    request: Request,
    form: Annotated[PasswordGrant | RefreshGrant, Form(discriminator="grant_type")],
) -> TokenResponse:
    if isinstance(form, RefreshGrant):
        presented = RefreshToken.parse(form.refresh_token.get_secret_value())
        session = await service.refresh(database, tokens.keys, presented, settings)
    else:
        account = account_key(form.username)
        async with throttle.attempt(account, client_address(request)):
            session = await service.log_in(
                database,
                passwords,
                account,
                form.password.get_secret_value(),
                _client_name(request),
                settings,
            )
    return _token_response(tokens, *session)


@oauth2.post(
    "/revoke",
    response_class=Response,
    summary="Log out",
    description=(
        "The session ends that the access token or refresh token belongs to (RFC 7009).\n\n"
        "A token that is not valid is not an error."
    ),
)
async def revoke_token(
    database: DatabaseDep, tokens: AccessTokensDep, form: Annotated[Revocation, Form()]
) -> Response:
    text = form.token.get_secret_value()
    try:
        token: AccessToken | RefreshToken = tokens.verify(text, may_be_expired=True)
    except InvalidToken:
        token = RefreshToken.parse(text)
    await database.write(sessions.revoke, token)
    return Response()


@session_router.get(
    "",
    summary="List your sessions",
    description="The order is that of the ids. The `Link` header leads to the next page.",
    responses={200: with_headers("Link")},
)
async def list_sessions(current_user: CurrentUserDep, pager: PagerDep) -> PageOf[SessionPublic]:
    position = pager.position()
    rows = await current_user.read(
        sessions.list_sessions, current_user.token, current_user.max_age, pager.params, position
    )
    return pager.paginate(rows)


@session_router.delete(
    "",
    status_code=204,
    summary="End your other sessions",
    description="All your sessions end except the one that this request belongs to.",
)
async def end_other_sessions(current_user: CurrentUserDep) -> None:
    await current_user.write_account(sessions.end_other_sessions, current_user.token)


@session_router.delete(
    "/{session_id}",
    status_code=204,
    summary="End a session",
    description="Its tokens stop working at once.",
)
@raises(sessions.end_session)
async def end_session(current_user: CurrentUserDep, session_id: PathId) -> None:
    await current_user.write_account(sessions.end_session, current_user.user_id, session_id)


@metadata.get(
    "/oauth-authorization-server",
    summary="Find the OAuth 2.0 endpoints",
    description=(
        "Clients look here for addresses and grants (RFC 8414).\n\n"
        "The addresses begin as the one that this request was sent to."
    ),
)
async def read_authorization_server(request: Request) -> AuthorizationServer:
    issuer = base_url(request)
    return AuthorizationServer(
        issuer=issuer,
        token_endpoint=f"{issuer}/auth/token",
        revocation_endpoint=f"{issuer}/auth/revoke",
        service_documentation=f"{issuer}/docs",
        grant_types_supported=list(GrantType),
        response_types_supported=[],
        token_endpoint_auth_methods_supported=["none"],
        revocation_endpoint_auth_methods_supported=["none"],
    )


router = APIRouter(routes=[*oauth2.routes, *session_router.routes, *metadata.routes])


def _client_name(request: Request) -> str:
    """Return the User-Agent, by which users recognize their sessions."""
    user_agent = request.headers.get("User-Agent", "")
    return "".join(character for character in user_agent if character.isprintable())[:200]


def _token_response(
    tokens: AccessTokens, access_token: AccessToken, refresh_token: RefreshToken
) -> TokenResponse:
    return TokenResponse(
        access_token=tokens.issue(access_token),
        token_type="bearer",  # noqa: S106 -- a kind of token, not a secret
        expires_in=tokens.lifetime,
        refresh_token=str(refresh_token),
    )
