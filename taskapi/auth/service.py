import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, Row, bindparam, delete, select, update

from taskapi.auth.models import SessionPublic, end_sessions, sessions
from taskapi.database.core import Database
from taskapi.exceptions import InvalidGrant, NotFound
from taskapi.http.pagination import CursorPosition, PageParams
from taskapi.http.raises import raises
from taskapi.models import add, utc_now
from taskapi.security.access_tokens import AccessToken
from taskapi.security.passwords import Passwords, Verification
from taskapi.security.refresh_tokens import RefreshToken
from taskapi.users.models import users
from taskapi.users.service import Credentials, find_credentials

logger = logging.getLogger(__name__)

Login = tuple[AccessToken, RefreshToken]

_LIVE = select(sessions.c.id).where(
    sessions.c.id == bindparam("session_id"),
    sessions.c.user_id == bindparam("owner_id"),
    sessions.c.expires_at > bindparam("now"),
)


@raises(InvalidGrant)
async def log_in(
    database: Database, passwords: Passwords, email: str, password: str, client: str, lifetime: int
) -> Login:
    """Start a login that ends when it is not refreshed for `lifetime` seconds.

    Unknown e-mails take as long as wrong passwords. No connection is held while hashing.

    Raises:
        InvalidGrant: the e-mail or the password is wrong.
    """
    user = await database.read(find_credentials, email)
    verified = await passwords.verify(password, user.password_hash if user else None)
    login = None
    if user and verified.matches:
        login = await database.write(_start, user, verified, client, lifetime)
    if login is None:
        raise InvalidGrant("The e-mail or the password is wrong.")
    return login


def _start(
    connection: Connection, user: Credentials, verified: Verification, client: str, lifetime: int
) -> Login | None:
    """None if the account or its password has changed since it was verified."""
    unchanged = select(users.c.id).where(
        users.c.id == user.user_id, users.c.password_hash == user.password_hash
    )
    if connection.execute(unchanged.with_for_update(key_share=True)).one_or_none() is None:
        return None
    if verified.new_hash:
        rehash = update(users).where(users.c.id == user.user_id)
        connection.execute(rehash.values(password_hash=verified.new_hash))
    now = utc_now()
    old = delete(sessions).where(sessions.c.user_id == user.user_id)
    connection.execute(old.where(sessions.c.expires_at <= now))
    refresh_token = RefreshToken.generate()
    session_id = add(
        connection,
        sessions,
        {
            "user_id": user.user_id,
            "family_hash": refresh_token.family_hash,
            "refresh_hash": refresh_token.secret_hash,
            "created_at": now,
            "last_used_at": now,
            "expires_at": now + timedelta(seconds=lifetime),
            "client": client,
        },
    )
    return AccessToken(user_id=user.user_id, session_id=session_id, auth_time=now), refresh_token


@raises(InvalidGrant)
async def refresh(
    database: Database, keys: Sequence[str], token: RefreshToken, lifetime: int, grace: int
) -> Login:
    """Exchange a refresh token for the next (RFC 9700, section 4.14.2).

    One that was used in the last `grace` seconds gives the same again. One that was used before is
    a replay, by a thief or by the owner after a thief, and ends the login.

    Raises:
        InvalidGrant: the token is not valid, or not any more.
    """
    now = utc_now()
    successors = [token.successor(key) for key in keys]
    end = now + timedelta(seconds=lifetime)
    login = await database.write(_rotate, token, successors, now, end, timedelta(seconds=grace))
    if login is None:
        raise InvalidGrant("The refresh token is not valid any more.")
    return login


def _rotate(
    connection: Connection,
    token: RefreshToken,
    successors: Sequence[RefreshToken],
    now: datetime,
    end: datetime,
    grace: timedelta,
) -> Login | None:
    live = (sessions.c.family_hash == token.family_hash, sessions.c.expires_at > now)
    unused = sessions.c.refresh_hash == token.secret_hash
    rotated = connection.execute(
        update(sessions)
        .where(*live, unused)
        .values(refresh_hash=successors[0].secret_hash, last_used_at=now, expires_at=end)
    )
    login = connection.execute(select(sessions).where(*live)).one_or_none()
    if login is None:
        return None
    successor = {new.secret_hash: new for new in successors}.get(login.refresh_hash)
    if successor and (rotated.rowcount or abs(now - login.last_used_at) < grace):
        return _access_token(login), successor
    logger.warning("refresh token replayed: login %d of user %d is ended", login.id, login.user_id)
    connection.execute(delete(sessions).where(sessions.c.id == login.id))
    return None


def _access_token(login: Row[tuple[object, ...]]) -> AccessToken:
    return AccessToken(user_id=login.user_id, session_id=login.id, auth_time=login.created_at)


def is_live(connection: Connection, token: AccessToken) -> bool:
    """Whether the token's login goes on. A deleted user's logins are deleted with it."""
    parameters = {"session_id": token.session_id, "owner_id": token.user_id, "now": utc_now()}
    return connection.execute(_LIVE, parameters).one_or_none() is not None


def list_sessions(
    connection: Connection, token: AccessToken, page: PageParams, position: CursorPosition | None
) -> list[SessionPublic]:
    """The user's logins; one more than fits the page, if there are any more."""
    mine = select(sessions).where(
        sessions.c.user_id == token.user_id,
        sessions.c.expires_at > utc_now(),
        sessions.c.id > (position[1] if position else 0),
    )
    logins = connection.execute(mine.order_by(sessions.c.id).limit(page.limit + 1))
    return [
        SessionPublic.model_validate(login, update={"current": login.id == token.session_id})
        for login in logins
    ]


@raises(NotFound)
def end_session(connection: Connection, user_id: int, session_id: int) -> None:
    """
    Raises:
        NotFound: the user has no such login.
    """
    ended = connection.execute(
        delete(sessions).where(sessions.c.id == session_id, sessions.c.user_id == user_id)
    )
    if ended.rowcount == 0:
        raise NotFound("There is no such login.")


def end_other_sessions(connection: Connection, token: AccessToken) -> None:
    end_sessions(connection, token.user_id, but=token.session_id)


def revoke(connection: Connection, token: AccessToken | RefreshToken) -> None:
    """End the login that a token belongs to, if there is one (RFC 7009, section 2.1)."""
    login = (
        sessions.c.id == token.session_id
        if isinstance(token, AccessToken)
        else sessions.c.family_hash == token.family_hash
    )
    connection.execute(delete(sessions).where(login))
