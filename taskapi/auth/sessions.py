"""The check of the session in every request, and the locks that keep it."""

from taskapi.auth.queries import LOCK_SESSION_ID, LOCK_USER, SELECT_SESSION_ID
from taskapi.database.connections import Connection
from taskapi.database.guards import Guard
from taskapi.exceptions import Unauthorized
from taskapi.models import utc_now
from taskapi.security.access_tokens import AccessToken


def guard_session(connection: Connection, token: AccessToken) -> None:
    """Raise Unauthorized with each statement that reads after the session has ended. Deleting
    a user deletes the sessions.
    """
    connection.guard(Guard(SELECT_SESSION_ID, _session_values(token), _session_ended))


def lock_session(connection: Connection, token: AccessToken) -> None:
    """Keep the session from ending between the first statement and the commit. That statement
    raises Unauthorized if the session has ended.
    """
    connection.guard(Guard(LOCK_SESSION_ID, _session_values(token), _session_ended))


def lock_account(connection: Connection, token: AccessToken) -> None:
    """Do the same as `lock_session`, after all other changes of the account and its sessions.

    The account is locked first, because two sessions that end each other would deadlock.
    """
    connection.execute(LOCK_USER, {"owner_id": token.user_id})
    lock_session(connection, token)


def _session_values(token: AccessToken) -> dict[str, object]:
    return {"session_id": token.session_id, "owner_id": token.user_id, "now": utc_now()}


def _session_ended() -> Unauthorized:
    return Unauthorized("The session has ended.", error="invalid_token")
