"""Checks, locks, lists and ends sessions."""

from datetime import UTC, datetime, timedelta

from taskapi.auth.models import SessionPublic
from taskapi.auth.queries import (
    DELETE_ALL_SESSIONS,
    DELETE_FAMILY,
    DELETE_OTHER_SESSIONS,
    DELETE_OWN_SESSION,
    DELETE_SESSION,
    LOCK_SESSION_ID,
    LOCK_USER,
    SELECT_PAGE,
    SELECT_SESSION_ID,
)
from taskapi.database.connections import Connection
from taskapi.database.guards import Guard
from taskapi.exceptions import NotFound, Unauthorized
from taskapi.http.pagination import CursorPosition, PageParams
from taskapi.http.raises import raises
from taskapi.models import utc_now
from taskapi.security.access_tokens import AccessToken
from taskapi.security.refresh_tokens import RefreshToken

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def live_at(now: datetime, max_age: int) -> dict[str, datetime]:
    """Return the parameters of `NOT_EXPIRED`. `max_age` is in seconds, 0 for no limit."""
    return {"now": now, "oldest": now - timedelta(seconds=max_age) if max_age else EPOCH}


def session_end(created_at: datetime, expires_at: datetime, max_age: int) -> datetime:
    """Return when a session ends if it is not refreshed."""
    return min(expires_at, created_at + timedelta(seconds=max_age)) if max_age else expires_at


def guard_session(connection: Connection, token: AccessToken, max_age: int) -> None:
    """Raise Unauthorized with each statement that reads after the session has ended. Deleting
    a user deletes the sessions.
    """
    connection.guard(Guard(SELECT_SESSION_ID, _session_values(token, max_age), _session_ended))


def lock_session(connection: Connection, token: AccessToken, max_age: int) -> None:
    """Keep the session from ending between the first statement and the commit. That statement
    raises Unauthorized if the session has ended.
    """
    connection.guard(Guard(LOCK_SESSION_ID, _session_values(token, max_age), _session_ended))


def lock_account(connection: Connection, token: AccessToken, max_age: int) -> None:
    """Do the same as `lock_session`, after all other changes of the account and its sessions.

    The account is locked first, because two sessions that end each other would deadlock.
    """
    connection.execute(LOCK_USER, {"owner_id": token.user_id})
    lock_session(connection, token, max_age)


def _session_values(token: AccessToken, max_age: int) -> dict[str, object]:
    live = live_at(utc_now(), max_age)
    return {"session_id": token.session_id, "owner_id": token.user_id, **live}


def _session_ended() -> Unauthorized:
    return Unauthorized("The session has ended.", error="invalid_token")


def list_sessions(
    connection: Connection,
    token: AccessToken,
    max_age: int,
    page: PageParams,
    position: CursorPosition | None,
) -> list[SessionPublic]:
    """Return the user's sessions of a page, and one more if there is a next page."""
    values = {
        "owner_id": token.user_id,
        **live_at(utc_now(), max_age),
        "start": position[1] if position else 0,
        "limit": page.limit + 1,
    }
    sessions = connection.execute(SELECT_PAGE, values).all()
    return [
        SessionPublic.model_validate(
            session,
            update={
                "current": session.id == token.session_id,
                "expires_at": session_end(session.created_at, session.expires_at, max_age),
            },
        )
        for session in sessions
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


def end_all_sessions(connection: Connection, user_id: int) -> int:
    """Return how many there were, expired ones included."""
    return connection.execute(DELETE_ALL_SESSIONS, {"owner_id": user_id}).rowcount


def revoke(connection: Connection, token: AccessToken | RefreshToken) -> None:
    """End the session that a token belongs to, if there is one (RFC 7009, section 2.1)."""
    if isinstance(token, AccessToken):
        connection.execute(DELETE_SESSION, {"session_id": token.session_id})
    else:
        connection.execute(DELETE_FAMILY, {"family": token.family_hash})
