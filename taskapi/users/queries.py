"""The statements on accounts, each built once."""

from typing import Any

from sqlalchemy import Select, bindparam, delete, insert, update
from sqlalchemy.orm import defer
from sqlmodel import col, select

from taskapi.models import attribute
from taskapi.users.models import User

_WITH_ID = col(User.id) == bindparam("user_id")

_USERS: Select[Any] = select(User).options(
    defer(attribute(User.email_key)), defer(attribute(User.password_hash))
)
"""All columns except those that only serve to log in."""

SELECT_USER = _USERS.where(_WITH_ID)
LOCK_USER_WITH_KEY = _USERS.where(col(User.email_key) == bindparam("key")).with_for_update(
    key_share=True
)
SELECT_PAGE = (
    _USERS.where(col(User.id) > bindparam("start")).order_by(col(User.id)).limit(bindparam("limit"))
)
INSERT_USER = insert(User)
UPDATE_USER = update(User).where(_WITH_ID)
DELETE_USER = delete(User).where(_WITH_ID)
