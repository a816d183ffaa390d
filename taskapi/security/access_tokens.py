import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt

from taskapi.exceptions import LoginTooOld
from taskapi.http.raises import raises
from taskapi.models import MAX_ID, utc_now

ALGORITHM = "HS256"
ISSUER = AUDIENCE = "taskapi"
TYPE = "at+jwt"
"""Media type of a JWT access token (RFC 9068, section 2.1). Other JWTs are refused."""

RECENT = timedelta(minutes=15)

TOKEN_CACHE_SIZE = 10_000
"""The maximum number of verified tokens to remember, because clients send a token many times."""

CLAIMS = ["iss", "aud", "sub", "iat", "exp", "jti", "sid", "auth_time"]


class InvalidToken(Exception):
    """A token is not accepted. The message is the `error_description` of RFC 6750, section 3."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    user_id: int
    session_id: int
    auth_time: datetime
    """When the user last logged in with the password (OpenID Connect Core, section 2)."""

    @raises(LoginTooOld)
    def check_recent(self) -> None:
        """Check that the user logged in recently, before a change that could take over the account
        (RFC 9470). A time in the future, after the clock was set back, is refused like an old one.

        Raises:
            LoginTooOld: the user logged in with the password too long ago.
        """
        if abs(utc_now() - self.auth_time) > RECENT:
            description = "Log in with the password again; this must follow within 15 minutes."
            raise LoginTooOld(
                description, error="insufficient_user_authentication", max_age=RECENT.seconds
            )


class AccessTokens:
    """Issue and verify JWT access tokens (RFC 9068). HS256 is the only algorithm (RFC 8725)."""

    def __init__(self, keys: Sequence[str], lifetime: int) -> None:
        """The first of `keys` signs, all of them verify. `lifetime` is in seconds."""
        self.keys = keys
        self.lifetime = lifetime
        self._verified: dict[str, tuple[AccessToken, datetime]] = {}

    def issue(self, token: AccessToken) -> str:
        now = utc_now()
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(token.user_id),
            "iat": now,
            "exp": now + timedelta(seconds=self.lifetime),
            "jti": secrets.token_urlsafe(16),
            "sid": str(token.session_id),
            "auth_time": int(token.auth_time.timestamp()),
        }
        return jwt.encode(claims, self.keys[0], ALGORITHM, headers={"typ": TYPE})

    def verify(self, encoded: str, *, may_be_expired: bool = False) -> AccessToken:
        """Verify everything except the session, which needs the database.

        Raises:
            InvalidToken: the token was not issued by this service, or has expired.
        """
        known = self._verified.get(encoded)
        if known is None:
            known = _read(self._decode(encoded))
            if len(self._verified) >= TOKEN_CACHE_SIZE:
                del self._verified[next(iter(self._verified))]
            self._verified[encoded] = known
        token, expires = known
        if not may_be_expired and utc_now() >= expires:
            raise InvalidToken("The access token has expired.")
        return token

    def _decode(self, encoded: str) -> dict[str, Any]:
        for key in self.keys:
            try:
                token = jwt.decode_complete(
                    encoded,
                    key,
                    algorithms=[ALGORITHM],
                    audience=AUDIENCE,
                    issuer=ISSUER,
                    # The clocks of replicas differ, so `iat` may be in the future. `exp` is checked
                    # by the caller.
                    options={"require": CLAIMS, "verify_iat": False, "verify_exp": False},
                )
            except jwt.InvalidSignatureError:
                continue
            except jwt.InvalidTokenError:
                break
            if token["header"].get("typ") != TYPE:
                break
            claims: dict[str, Any] = token["payload"]
            return claims
        raise InvalidToken("The access token is malformed.")


def _read(claims: dict[str, Any]) -> tuple[AccessToken, datetime]:
    """Return the token, and when it expires."""
    try:
        token = AccessToken(
            user_id=_id(claims["sub"]),
            session_id=_id(claims["sid"]),
            auth_time=datetime.fromtimestamp(claims["auth_time"], UTC),
        )
        return token, datetime.fromtimestamp(claims["exp"], UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        raise InvalidToken("The access token is malformed.") from None


def _id(claim: object) -> int:
    number = int(claim) if isinstance(claim, str) and claim.isascii() and claim.isdigit() else 0
    if not 1 <= number <= MAX_ID:
        raise ValueError
    return number
