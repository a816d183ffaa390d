"""The statements on sessions and credentials, each built once."""

from typing import Any

from sqlalchemy import Select, and_, bindparam, delete, func, insert, not_, update
from sqlmodel import col, select

from taskapi.auth.models import UserSession
from taskapi.users.models import User

_WITH_ID = col(UserSession.id) == bindparam("session_id")
_WITH_FAMILY = col(UserSession.family_hash) == bindparam("family")
_OF_OWNER = col(UserSession.user_id) == bindparam("owner_id")
NOT_EXPIRED = and_(
    col(UserSession.expires_at) > bindparam("now"),
    col(UserSession.created_at) > bindparam("oldest"),
)
"""The parameters are those of `sessions.live_at`."""

SELECT_CREDENTIALS = select(User.id, User.email_key, User.password_hash).where(
    col(User.email_key) == bindparam("email_key")
)
SELECT_NEWEST_USER_ID = select(func.max(User.id))
SELECT_PASSWORD_HASH = select(User.password_hash).where(col(User.id) == bindparam("user_id"))
LOCK_USER = (
    select(User.id).where(col(User.id) == bindparam("owner_id")).with_for_update(key_share=True)
)
LOCK_CREDENTIALS = SELECT_CREDENTIALS.where(
    col(User.id) == bindparam("user_id"), col(User.password_hash) == bindparam("password_hash")
).with_for_update(key_share=True)
UPDATE_PASSWORD_HASH = (
    update(User)
    .where(col(User.id) == bindparam("user_id"))
    .values(password_hash=bindparam("new_hash"))
)

SELECT_SESSION_ID = select(UserSession.id).where(_WITH_ID, _OF_OWNER, NOT_EXPIRED)
LOCK_SESSION_ID = SELECT_SESSION_ID.with_for_update(read=True, key_share=True)
"""FOR KEY SHARE: it waits for a transaction that ends the session, and makes such ones wait."""
LOCK_SESSION_OF_FAMILY: Select[Any] = select(UserSession).where(_WITH_FAMILY).with_for_update()
SELECT_PAGE: Select[Any] = (
    select(UserSession)
    .where(_OF_OWNER, NOT_EXPIRED, col(UserSession.id) > bindparam("start"))
    .order_by(col(UserSession.id))
    .limit(bindparam("limit"))
)
INSERT_SESSION = insert(UserSession)
ROTATE_REFRESH_TOKEN = (
    update(UserSession)
    .where(_WITH_ID)
    .values(
        refresh_hash=bindparam("successor_hash"),
        last_used_at=bindparam("now"),
        expires_at=bindparam("end"),
    )
)
DELETE_SESSION = delete(UserSession).where(_WITH_ID)
DELETE_OWN_SESSION = DELETE_SESSION.where(_OF_OWNER)
DELETE_ALL_SESSIONS = delete(UserSession).where(_OF_OWNER)
DELETE_OTHER_SESSIONS = DELETE_ALL_SESSIONS.where(col(UserSession.id) != bindparam("session_id"))
DELETE_EXPIRED_SESSIONS = DELETE_ALL_SESSIONS.where(not_(NOT_EXPIRED))
DELETE_FAMILY = delete(UserSession).where(_WITH_FAMILY)
