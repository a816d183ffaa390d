import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection

from taskapi.auth.models import SessionPublic
from taskapi.auth.queries import (
    DELETE_EXPIRED_SESSIONS,
    DELETE_FAMILY,
    DELETE_OTHER_SESSIONS,
    DELETE_OWN_SESSION,
    DELETE_SESSION,
    INSERT_SESSION,
    LOCK_CREDENTIALS,
    ROTATE_REFRESH_TOKEN,
    SELECT_CREDENTIALS,
    SELECT_PAGE,
    SELECT_SESSION_ID,
    SELECT_SESSION_OF_FAMILY,
    UPDATE_PASSWORD_HASH,
)
from taskapi.database.core import Database
from taskapi.exceptions import InvalidGrant, NotFound
from taskapi.http.pagination import CursorPosition, PageParams
from taskapi.http.raises import raises
from taskapi.models import inserted_id, utc_now
from taskapi.security.access_tokens import AccessToken
from taskapi.security.passwords import Passwords, Verification
from taskapi.security.refresh_tokens import RefreshToken

logger = logging.getLogger(__name__)

TokenPair = tuple[AccessToken, RefreshToken]


class Credentials(NamedTuple):
    user_id: int
    password_hash: str


@raises(InvalidGrant)
async def log_in(
    database: Database,
    passwords: Passwords,
    account: str,
    password: str,
    client: str,
    lifetime: int,
) -> TokenPair:
    """Start a session, which ends when it is not refreshed for `lifetime` seconds.

    `account` is the key of an account. An unknown one takes as long as a wrong password. No
    connection is held while hashing.

    Raises:
        InvalidGrant: the e-mail or the password is wrong.
    """
    user = await database.read(find_credentials, account)
    verified = await passwords.verify(password, user.password_hash if user else None)
    tokens = None
    if user and verified.matches:
        tokens = await database.write(_start_session, user, verified, client, lifetime)
    if tokens is None:
        raise InvalidGrant("The e-mail or the password is wrong.")
    return tokens


def find_credentials(connection: Connection, account: str) -> Credentials | None:
    """Return None if no account has this key."""
    row = connection.execute(SELECT_CREDENTIALS, {"email_key": account}).one_or_none()
    return Credentials(*row) if row else None


def _start_session(
    connection: Connection, user: Credentials, verified: Verification, client: str, lifetime: int
) -> TokenPair | None:
    """Return None if the account or its password has changed since it was verified."""
    if connection.execute(LOCK_CREDENTIALS, user._asdict()).one_or_none() is None:
        return None
    if verified.new_hash:
        new = {"user_id": user.user_id, "new_hash": verified.new_hash}
        connection.execute(UPDATE_PASSWORD_HASH, new)
    now = utc_now()
    connection.execute(DELETE_EXPIRED_SESSIONS, {"owner_id": user.user_id, "now": now})
    refresh_token = RefreshToken.generate()
    values = {
        "user_id": user.user_id,
        "family_hash": refresh_token.family_hash,
        "refresh_hash": refresh_token.secret_hash,
        "created_at": now,
        "last_used_at": now,
        "expires_at": now + timedelta(seconds=lifetime),
        "client": client,
    }
    session_id = inserted_id(connection.execute(INSERT_SESSION, values))
    return AccessToken(user_id=user.user_id, session_id=session_id, auth_time=now), refresh_token


@raises(InvalidGrant)
async def refresh(
    database: Database, keys: Sequence[str], token: RefreshToken, lifetime: int, grace: int
) -> TokenPair:
    """Exchange a refresh token for its successor (RFC 9700, section 4.14.2).

    A token that was exchanged in the last `grace` seconds gives the same successor again. A token
    that was exchanged before has been stolen, or is used by its owner after a theft: that ends the
    session.

    Raises:
        InvalidGrant: the token is unknown, expired or revoked.
    """
    now = utc_now()
    successors = [token.successor(key) for key in keys]
    end = now + timedelta(seconds=lifetime)
    tokens = await database.write(_rotate, token, successors, now, end, timedelta(seconds=grace))
    if tokens is None:
        raise InvalidGrant("The refresh token is not valid any more.")
    return tokens


def _rotate(
    connection: Connection,
    token: RefreshToken,
    successors: Sequence[RefreshToken],
    now: datetime,
    end: datetime,
    grace: timedelta,
) -> TokenPair | None:
    family = {"family": token.family_hash, "now": now}
    rotation = {
        "presented_hash": token.secret_hash,
        "successor_hash": successors[0].secret_hash,
        "end": end,
    }
    rotated = connection.execute(ROTATE_REFRESH_TOKEN, family | rotation).rowcount == 1
    session = connection.execute(SELECT_SESSION_OF_FAMILY, family).one_or_none()
    if session is None:
        return None
    successor = {new.secret_hash: new for new in successors}.get(session.refresh_hash)
    if successor and (rotated or abs(now - session.last_used_at) < grace):
        access_token = AccessToken(
            user_id=session.user_id, session_id=session.id, auth_time=session.created_at
        )
        return access_token, successor
    logger.warning(
        "refresh token replayed: session %d of user %d ended", session.id, session.user_id
    )
    connection.execute(DELETE_SESSION, {"session_id": session.id})
    return None


def is_live(connection: Connection, token: AccessToken) -> bool:
    """Tell whether the token's session goes on. Deleting a user deletes the sessions."""
    values = {"session_id": token.session_id, "owner_id": token.user_id, "now": utc_now()}
    return connection.execute(SELECT_SESSION_ID, values).one_or_none() is not None


def list_sessions(
    connection: Connection, token: AccessToken, page: PageParams, position: CursorPosition | None
) -> list[SessionPublic]:
    """Return the user's sessions of a page, and one more if there is a next page."""
    values = {
        "owner_id": token.user_id,
        "now": utc_now(),
        "start": position[1] if position else 0,
        "limit": page.limit + 1,
    }
    return [
        SessionPublic.model_validate(session, update={"current": session.id == token.session_id})
        for session in connection.execute(SELECT_PAGE, values)
    ]


@raises(NotFound)
def end_session(connection: Connection, user_id: int, session_id: int) -> None:
    """
    Raises:
        NotFound: for missing and foreign sessions alike, so that ids can't be probed.
    """
    values = {"owner_id": user_id, "session_id": session_id}
    if connection.execute(DELETE_OWN_SESSION, values).rowcount == 0:
        raise NotFound("There is no such session.")


def end_other_sessions(connection: Connection, token: AccessToken) -> None:
    """End all sessions of the token's user except the token's own."""
    values = {"owner_id": token.user_id, "session_id": token.session_id}
    connection.execute(DELETE_OTHER_SESSIONS, values)


def revoke(connection: Connection, token: AccessToken | RefreshToken) -> None:
    """End the session that a token belongs to, if there is one (RFC 7009, section 2.1)."""
    if isinstance(token, AccessToken):
        connection.execute(DELETE_SESSION, {"session_id": token.session_id})
    else:
        connection.execute(DELETE_FAMILY, {"family": token.family_hash})
