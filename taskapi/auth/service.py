import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlmodel import Session, col, delete, select, update

from taskapi.auth.models import LoginSession, SessionPublic
from taskapi.auth.refresh import RefreshToken
from taskapi.auth.tokens import AccessToken
from taskapi.db import Database
from taskapi.pagination import Page, Position
from taskapi.passwords import Passwords, Verification
from taskapi.problems import InvalidGrant, NotFound
from taskapi.schemas import utc_now
from taskapi.users.models import User
from taskapi.users.service import find_login

logger = logging.getLogger(__name__)

Login = tuple[AccessToken, RefreshToken]


async def log_in(
    database: Database, passwords: Passwords, email: str, password: str, client: str, lifetime: int
) -> Login:
    """Start a login that ends when it is not refreshed for `lifetime` seconds.

    Unknown e-mails take as long as wrong passwords. No connection is held while hashing.

    Raises:
        InvalidGrant: the e-mail or the password is wrong.
    """
    user = await database.read(find_login, email)
    verified = await passwords.verify(password, user.password_hash if user else None)
    login = None
    if user and verified.matches:
        login = await database.write(_start, user, verified, client, lifetime)
    if login is None:
        raise invalid_grant("The e-mail or the password is wrong.")
    return login


def _start(
    session: Session, user: User, verified: Verification, client: str, lifetime: int
) -> Login | None:
    """None if the account or its password has changed since it was verified."""
    unchanged = select(User).where(User.id == user.id, User.password_hash == user.password_hash)
    current = session.exec(unchanged.with_for_update(key_share=True)).one_or_none()
    if current is None:
        return None
    current.password_hash = verified.new_hash or current.password_hash
    now = utc_now()
    logins = delete(LoginSession).where(col(LoginSession.user_id) == user.id)
    session.exec(logins.where(col(LoginSession.expires_at) <= now))
    refresh_token = RefreshToken.generate()
    login = LoginSession(
        user_id=user.id,
        family_hash=refresh_token.family_hash,
        refresh_hash=refresh_token.secret_hash,
        created_at=now,
        last_used_at=now,
        expires_at=now + timedelta(seconds=lifetime),
        client=client,
    )
    session.add(login)
    session.flush()
    return _access_token(login), refresh_token


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
        raise invalid_grant("The refresh token is not valid any more.")
    return login


def _rotate(
    session: Session,
    token: RefreshToken,
    successors: Sequence[RefreshToken],
    now: datetime,
    end: datetime,
    grace: timedelta,
) -> Login | None:
    family = col(LoginSession.family_hash) == token.family_hash
    live = col(LoginSession.expires_at) > now
    rotated = session.exec(
        update(LoginSession)
        .where(family, live, col(LoginSession.refresh_hash) == token.secret_hash)
        .values(
            refresh_hash=successors[0].secret_hash,
            last_used_at=now,
            expires_at=end,
        )
    )
    login = session.exec(select(LoginSession).where(family, live)).one_or_none()
    if login is None:
        return None
    successor = {new.secret_hash: new for new in successors}.get(login.refresh_hash)
    if successor and (rotated.rowcount or now - login.last_used_at < grace):
        return _access_token(login), successor
    logger.warning("refresh token replayed: login %d of user %d is ended", login.id, login.user_id)
    session.delete(login)
    return None


def _access_token(login: LoginSession) -> AccessToken:
    return AccessToken(user_id=login.user_id, session_id=login.id, auth_time=login.created_at)


def is_live(session: Session, token: AccessToken) -> bool:
    """Whether the token's login goes on. A deleted user's logins are deleted with it."""
    live = select(LoginSession.id).where(
        LoginSession.id == token.session_id,
        LoginSession.user_id == token.user_id,
        col(LoginSession.expires_at) > utc_now(),
    )
    return session.exec(live).one_or_none() is not None


def list_sessions(
    session: Session, token: AccessToken, page: Page, position: Position | None
) -> Sequence[SessionPublic]:
    """The user's logins; one more than fits the page, if there are any more."""
    query = select(LoginSession).where(
        LoginSession.user_id == token.user_id,
        col(LoginSession.expires_at) > utc_now(),
        col(LoginSession.id) > (position[1] if position else 0),
    )
    logins = session.exec(query.order_by(col(LoginSession.id)).limit(page.limit + 1)).all()
    return [
        SessionPublic.model_validate(login, update={"current": login.id == token.session_id})
        for login in logins
    ]


def end_session(session: Session, user_id: int, session_id: int) -> None:
    """
    Raises:
        NotFound: the user has no such login.
    """
    ended = session.exec(
        delete(LoginSession).where(
            col(LoginSession.id) == session_id, col(LoginSession.user_id) == user_id
        )
    )
    if ended.rowcount == 0:
        raise NotFound("There is no such login.")


def end_other_sessions(session: Session, token: AccessToken) -> None:
    others = delete(LoginSession).where(col(LoginSession.user_id) == token.user_id)
    session.exec(others.where(col(LoginSession.id) != token.session_id))


def revoke(session: Session, token: AccessToken | RefreshToken) -> None:
    """End the login that a token belongs to, if there is one (RFC 7009, section 2.1)."""
    login = (
        col(LoginSession.id) == token.session_id
        if isinstance(token, AccessToken)
        else col(LoginSession.family_hash) == token.family_hash
    )
    session.exec(delete(LoginSession).where(login))


def invalid_grant(description: str) -> InvalidGrant:
    return InvalidGrant(description, headers={"WWW-Authenticate": 'Bearer realm="taskapi"'})
