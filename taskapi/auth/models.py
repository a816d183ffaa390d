from datetime import datetime
from typing import ClassVar

from sqlmodel import Field, SQLModel

from taskapi.schemas import ID_COLUMN


class LoginSession(SQLModel, table=True):
    """A login. Access tokens name it and are worth nothing without it."""

    __tablename__ = "sessions"
    __table_args__: ClassVar = {"sqlite_autoincrement": True}

    id: int = Field(default=None, primary_key=True, sa_type=ID_COLUMN)
    user_id: int = Field(foreign_key="users.id", ondelete="CASCADE", index=True, sa_type=ID_COLUMN)
    created_at: datetime
    expires_at: datetime
