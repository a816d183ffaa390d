import logging
import random
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from taskapi.auth.queries import (
    DELETE_EXPIRED_SESSIONS,
    DELETE_SESSION,
    INSERT_SESSION,
    LOCK_CREDENTIALS,
    LOCK_SESSION_OF_FAMILY,
    ROTATE_REFRESH_TOKEN,
    SELECT_CREDENTIALS,
    SELECT_NEWEST_USER_ID,
    SELECT_PASSWORD_HASH,
    UPDATE_PASSWORD_HASH,
)
from taskapi.auth.sessions import live_at, session_end
from taskapi.database.connections import Connection
from taskapi.database.core import Database
from taskapi.database.timeouts import max_repeat_delay
from taskapi.exceptions import InvalidGrant
from taskapi.http.raises import raises
from taskapi.models import utc_now
from taskapi.security.access_tokens import AccessToken
from taskapi.security.passwords import Passwords, Verification
from taskapi.security.refresh_tokens import RefreshToken
from taskapi.settings import Settings

SAMPLE_SIZE = 1000
"""Accounts."""

logger = logging.getLogger(__name__)

TokenPair = tuple[AccessToken, RefreshToken]


class Credentials(NamedTuple):
    user_id: int
    email_key: str
    password_hash: str


@raises(InvalidGrant)
async def log_in(
    database: Database,
    passwords: Passwords,
    account: str,
    password: str,
    client: str,
    settings: Settings,
) -> TokenPair:
    """Start a session.

    `account` is the key of an account. An unknown one takes as long as a wrong password. No
    connection is held while hashing. The first attempt looks for the parameters of stored hashes.

    Raises:
        InvalidGrant: the e-mail or the password is wrong.
    """
    if not passwords.decoys.has_samples:
        passwords.decoys.learn(await database.read(_sample_password_hashes))
        passwords.decoys.has_samples = True
    while True:
        user = await database.read(find_credentials, account)
        verified = await passwords.verify(password, user.password_hash if user else None)
        if user is None or not verified.matches:
            raise InvalidGrant("The e-mail or the password is wrong.")
        tokens = await database.write(_start_session, user, verified, client, settings)
        if tokens:
            return tokens


def _sample_password_hashes(connection: Connection) -> Sequence[str]:
    """Return the hashes of random accounts: reading those of all could take seconds."""
    connection.begin()
    newest = connection.execute(SELECT_NEWEST_USER_ID).scalar_one() or 0
    user_ids = random.sample(range(1, newest + 1), min(newest, SAMPLE_SIZE))
    rows = [
        connection.execute(SELECT_PASSWORD_HASH, {"user_id": user_id}).one_or_none()
        for user_id in user_ids
    ]
    return [row.password_hash for row in rows if row]


def find_credentials(connection: Connection, account: str) -> Credentials | None:
    """Return None if no account has this key."""
    row = connection.execute(SELECT_CREDENTIALS, {"email_key": account}).one_or_none()
    return Credentials(*row) if row else None


def _start_session(
    connection: Connection,
    user: Credentials,
    verified: Verification,
    client: str,
    settings: Settings,
) -> TokenPair | None:
    """Return None if the credentials have changed since they were verified."""
    if connection.execute(LOCK_CREDENTIALS, user._asdict()).one_or_none() is None:
        return None
    if verified.new_hash:
        new = {"user_id": user.user_id, "new_hash": verified.new_hash}
        connection.execute(UPDATE_PASSWORD_HASH, new)
    now = utc_now()
    live = live_at(now, settings.session_max_age)
    connection.execute(DELETE_EXPIRED_SESSIONS, {"owner_id": user.user_id, **live})
    refresh_token = RefreshToken.generate()
    values = {
        "user_id": user.user_id,
        "family_hash": refresh_token.family_hash,
        "refresh_hash": refresh_token.secret_hash,
        "created_at": now,
        "last_used_at": now,
        "expires_at": now + timedelta(seconds=settings.refresh_token_lifetime),
        "client": client,
    }
    session_id = connection.execute(INSERT_SESSION, values).inserted_id()
    return AccessToken(user_id=user.user_id, session_id=session_id, auth_time=now), refresh_token


@raises(InvalidGrant)
async def refresh(
    database: Database, keys: Sequence[str], token: RefreshToken, settings: Settings
) -> TokenPair:
    """Exchange a refresh token for its successor (RFC 9700, section 4.14.2).

    For the grace period, which starts when the successor is made and outlasts the slowest repeat,
    the token gives the same successor again. After that, the token has been stolen, or is used by
    its owner after a theft: that ends the session.

    Raises:
        InvalidGrant: the token is unknown, expired or revoked.
    """
    successors = [token.successor(key) for key in keys]
    grace = timedelta(seconds=settings.refresh_token_grace)
    if grace:
        grace += timedelta(seconds=max_repeat_delay(settings.database_statement_timeout))
    tokens = await database.write(_rotate, token, successors, settings, grace)
    if tokens is None:
        raise InvalidGrant("The refresh token is not valid any more.")
    return tokens


def _rotate(
    connection: Connection,
    token: RefreshToken,
    successors: Sequence[RefreshToken],
    settings: Settings,
    grace: timedelta,
) -> TokenPair | None:
    """Take the time when the session is locked: the request may have waited long before."""
    family = {"family": token.family_hash}
    session = connection.execute(LOCK_SESSION_OF_FAMILY, family).one_or_none()
    now = utc_now()
    if session is None:
        return None
    if session_end(session.created_at, session.expires_at, settings.session_max_age) <= now:
        return None
    successor = {new.secret_hash: new for new in successors}.get(session.refresh_hash)
    if session.refresh_hash == token.secret_hash:
        successor = successors[0]
        end = now + timedelta(seconds=settings.refresh_token_lifetime)
        values = {"session_id": session.id, "successor_hash": successor.secret_hash}
        connection.execute(ROTATE_REFRESH_TOKEN, values | {"now": now, "end": end})
    elif successor is None or abs(now - session.last_used_at) >= grace:
        logger.warning(
            "refresh token replayed: session %d of user %d ended", session.id, session.user_id
        )
        connection.execute(DELETE_SESSION, {"session_id": session.id})
        return None
    access_token = AccessToken(
        user_id=session.user_id, session_id=session.id, auth_time=session.created_at
    )
    return access_token, successor
