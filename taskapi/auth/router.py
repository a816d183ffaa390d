from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, Response

from taskapi.auth import service
from taskapi.auth.deps import CurrentUserDep
from taskapi.auth.models import SessionPublic
from taskapi.auth.oauth2 import (
    OAuth2Route,
    PasswordGrant,
    RefreshGrant,
    Revocation,
    TokenResponse,
)
from taskapi.deps import (
    AccessTokensDep,
    DatabaseDep,
    LoginThrottleDep,
    PagerDep,
    PasswordsDep,
    SettingsDep,
)
from taskapi.exceptions import (
    ContentTooLarge,
    InvalidGrant,
    InvalidRequest,
    InvalidTokenRequest,
    NotFound,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)
from taskapi.http.openapi import responses
from taskapi.http.pagination import PageOf, PageParams
from taskapi.models import PathId
from taskapi.rate_limit import client_address
from taskapi.security.access_tokens import AccessToken, AccessTokens, InvalidToken
from taskapi.security.refresh_tokens import RefreshToken

router = APIRouter(prefix="/auth", tags=["auth"])

FORM = (InvalidTokenRequest, ContentTooLarge, Unavailable)
OWN = (Unauthorized, InvalidRequest, Unavailable)

oauth2 = APIRouter(route_class=OAuth2Route, responses=responses(*FORM, oauth2=True))
sessions = APIRouter(prefix="/sessions", responses=responses(*OWN))


@oauth2.post("/token", responses=responses(InvalidGrant, TooManyRequests, oauth2=True))
async def create_token(
    database: DatabaseDep,
    passwords: PasswordsDep,
    tokens: AccessTokensDep,
    throttle: LoginThrottleDep,
    settings: SettingsDep,
    request: Request,
    form: Annotated[PasswordGrant | RefreshGrant, Form(discriminator="grant_type")],
) -> TokenResponse:
    """Log in with an e-mail and a password, or refresh a login.

    The password grant is for the service's own clients; RFC 9700, section 2.4, advises others
    against it.
    """
    lifetime = settings.refresh_token_lifetime
    if isinstance(form, RefreshGrant):
        presented = RefreshToken.parse(form.refresh_token.get_secret_value())
        login = await service.refresh(
            database, tokens.keys, presented, lifetime, settings.refresh_token_grace
        )
    else:
        async with throttle.attempt(form.username, client_address(request)):
            login = await service.log_in(
                database,
                passwords,
                form.username,
                form.password.get_secret_value(),
                _client(request),
                lifetime,
            )
    return _answer(tokens, *login)


@oauth2.post("/revoke", response_class=Response)
async def revoke_token(
    database: DatabaseDep, tokens: AccessTokensDep, form: Annotated[Revocation, Form()]
) -> Response:
    """Log out: end the login that an access token or a refresh token belongs to (RFC 7009).

    A token that is not valid any more is no error.
    """
    text = form.token.get_secret_value()
    try:
        token: AccessToken | RefreshToken = tokens.verify(text, may_be_expired=True)
    except InvalidToken:
        token = RefreshToken.parse(text)
    await database.write(service.revoke, token)
    return Response()


@sessions.get("", responses=responses(headers={200: ("Link",)}))
async def list_sessions(
    caller: CurrentUserDep, page: Annotated[PageParams, Query()], pager: PagerDep
) -> PageOf[SessionPublic]:
    """List one's own logins, by id. The `Link` header leads to the next page."""
    position = pager.position(page)
    logins = await caller.read(service.list_sessions, caller.token, page, position)
    return pager.cut(logins, page)


@sessions.delete("", status_code=204)
async def end_other_sessions(caller: CurrentUserDep) -> None:
    """End all of one's own logins but the one that the request is made with."""
    await caller.write(service.end_other_sessions, caller.token)


@sessions.delete("/{session_id}", status_code=204, responses=responses(NotFound))
async def end_session(caller: CurrentUserDep, session_id: PathId) -> None:
    """End a login of one's own: its tokens are not accepted from now on."""
    await caller.write(service.end_session, caller.user_id, session_id)


router.include_router(oauth2)
router.include_router(sessions)


def _client(request: Request) -> str:
    """The client's own word, for its user to recognize it by."""
    words = request.headers.get("User-Agent", "")
    return "".join(character for character in words if character.isprintable())[:200]


def _answer(tokens: AccessTokens, login: AccessToken, refresh_token: RefreshToken) -> TokenResponse:
    return TokenResponse(
        access_token=tokens.issue(login),
        token_type="bearer",  # noqa: S106 -- a kind of token, not a secret
        expires_in=tokens.lifetime,
        refresh_token=str(refresh_token),
    )
