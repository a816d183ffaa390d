from typing import ClassVar

from sqlmodel import Field, SQLModel

from taskapi.models import ID_COLUMN, IdentifiedModel, Text, UTCDatetime


class SessionBase(SQLModel):
    """The fields of a session that its user sees."""

    model_config = {"use_attribute_docstrings": True}

    created_at: UTCDatetime
    """When the user logged in with the password."""
    last_used_at: UTCDatetime
    """When the session was last refreshed."""
    expires_at: UTCDatetime
    """When the session ends, unless a refresh extends it, up to a maximum age if there is one."""
    client: Text = Field(max_length=200, schema_extra={"examples": ["curl/8.5.0"]})
    """The User-Agent header that was sent when logging in."""


class SessionPublic(SessionBase, IdentifiedModel):
    """A session, as its user sees it."""

    current: bool = Field(schema_extra={"examples": [True]})
    """Whether this request was made in this session."""


class UserSession(SessionBase, table=True):
    """A session starts when a user logs in. Its tokens are accepted as long as the row exists.

    The class is not called Session, which is SQLAlchemy's name for something else.
    """

    __tablename__ = "sessions"
    __table_args__: ClassVar = {"sqlite_autoincrement": True}

    id: int = Field(primary_key=True, sa_type=ID_COLUMN)
    user_id: int = Field(foreign_key="users.id", ondelete="CASCADE", index=True, sa_type=ID_COLUMN)
    family_hash: str = Field(unique=True)
    """Hash of the part that all refresh tokens of the session have in common."""
    refresh_hash: str
    """Hash of the secret part of the newest refresh token."""
