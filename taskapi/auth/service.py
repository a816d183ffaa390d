from datetime import timedelta

from sqlmodel import Session, col, delete, select

from taskapi.auth.models import LoginSession
from taskapi.auth.tokens import AccessToken
from taskapi.db import Database
from taskapi.passwords import Passwords
from taskapi.problems import InvalidGrant
from taskapi.schemas import utc_now
from taskapi.users.models import User
from taskapi.users.service import find_login


async def log_in(
    database: Database, passwords: Passwords, email: str, password: str, lifetime: int
) -> AccessToken:
    """Start a login of `lifetime` seconds.

    Unknown e-mails take as long as wrong passwords. No connection is held while hashing.

    Raises:
        InvalidGrant: the e-mail or the password is wrong.
    """
    user = await database.read(find_login, email)
    right = await passwords.verify(password, user.password_hash if user else None)
    token = await database.write(_start_session, user, lifetime) if user and right else None
    if token is None:
        raise _invalid_grant()
    return token


def _start_session(session: Session, verified: User, lifetime: int) -> AccessToken | None:
    """None if the account or its password has changed since it was verified."""
    unchanged = select(User.id).where(
        User.id == verified.id, User.password_hash == verified.password_hash
    )
    if session.exec(unchanged.with_for_update()).one_or_none() is None:
        return None
    now = utc_now()
    logins = delete(LoginSession).where(col(LoginSession.user_id) == verified.id)
    session.exec(logins.where(col(LoginSession.expires_at) <= now))
    login = LoginSession(
        user_id=verified.id, created_at=now, expires_at=now + timedelta(seconds=lifetime)
    )
    session.add(login)
    session.flush()
    return AccessToken(user_id=verified.id, session_id=login.id, auth_time=now)


def is_live(session: Session, token: AccessToken) -> bool:
    """Whether the token's login goes on. A deleted user's logins are deleted with it."""
    live = select(LoginSession.id).where(
        LoginSession.id == token.session_id,
        LoginSession.user_id == token.user_id,
        col(LoginSession.expires_at) > utc_now(),
    )
    return session.exec(live).one_or_none() is not None


def _invalid_grant() -> InvalidGrant:
    description = "The e-mail or the password is wrong."
    return InvalidGrant(
        description,
        headers={"WWW-Authenticate": 'Bearer realm="taskapi"'},
        error="invalid_grant",
        error_description=description,
    )
