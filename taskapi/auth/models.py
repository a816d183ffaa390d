from typing import ClassVar

from sqlalchemy import Connection, delete
from sqlmodel import Field

from taskapi.models import ID_COLUMN, Id, ResponseModel, Text, UTCDatetime, table


class SessionFields(ResponseModel):
    id: Id
    created_at: UTCDatetime
    """When the user logged in with the password."""
    last_used_at: UTCDatetime
    """When the login was last refreshed."""
    expires_at: UTCDatetime
    """When the login ends, unless it is refreshed before."""
    client: Text = Field(max_length=200, schema_extra={"examples": ["curl/8.5.0"]})
    """What the client called itself when logging in (its User-Agent)."""


class SessionPublic(SessionFields):
    """A login, as its user sees it."""

    current: bool = Field(schema_extra={"examples": [True]})
    """Whether it is the login that this request was made with."""


class LoginSession(SessionFields, table=True):
    """A login. Access tokens name it and are worth nothing without it."""

    __tablename__ = "sessions"
    __table_args__: ClassVar = {"sqlite_autoincrement": True}

    id: int = Field(default=None, primary_key=True, sa_type=ID_COLUMN)
    user_id: int = Field(foreign_key="users.id", ondelete="CASCADE", index=True, sa_type=ID_COLUMN)
    family_hash: str = Field(unique=True)
    refresh_hash: str


sessions = table(LoginSession)


def end_sessions(connection: Connection, user_id: int, *, but: int) -> None:
    """End all logins of a user but one."""
    connection.execute(delete(sessions).where(sessions.c.user_id == user_id, sessions.c.id != but))
