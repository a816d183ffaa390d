from datetime import datetime
from typing import Annotated, ClassVar

import pydantic
from pydantic import MISSING, AfterValidator, SecretStr, StringConstraints
from sqlmodel import Field, SQLModel

from taskapi.models import (
    ID_COLUMN,
    IdentifiedModel,
    NonBlankStr,
    RequestModel,
    Text,
    UTCDatetime,
    VersionedModel,
    check_encodable,
)
from taskapi.security.emails import normalize_email

Name = Annotated[NonBlankStr, StringConstraints(max_length=100), pydantic.Field(examples=["Анна"])]
StoredName = Annotated[
    Text, StringConstraints(min_length=1, max_length=100), pydantic.Field(examples=["Анна"])
]
"""A name that was accepted once, by this release or an older one."""
EmailText = Annotated[
    NonBlankStr,
    StringConstraints(max_length=254),
    pydantic.Field(examples=["anna@example.com"], json_schema_extra={"format": "email"}),
]
Email = Annotated[EmailText, AfterValidator(normalize_email)]


Password = Annotated[
    SecretStr,
    pydantic.Field(min_length=8, max_length=128, examples=["correct horse battery staple"]),
    AfterValidator(check_encodable),
]


class UserBase(SQLModel):
    """The fields that others see and the owner sets."""

    model_config = {"use_attribute_docstrings": True}

    name: Name
    """The name that other users see."""
    email: Email
    """The e-mail to log in with, without regard to case."""


class UserCreate(UserBase, RequestModel):
    """A new account."""

    password: Password
    """Any 8 to 128 characters."""


class UserReplace(UserBase, RequestModel):
    """All fields of an account that its owner can set. The password stays if it is omitted."""

    password: Password | MISSING = MISSING
    """Any 8 to 128 characters."""


class UserPatch(RequestModel):
    """The fields to change; the others stay as they are."""

    name: Name | MISSING = MISSING
    """The name that other users see."""
    email: Email | MISSING = MISSING
    """The e-mail to log in with, without regard to case."""
    password: Password | MISSING = MISSING
    """Any 8 to 128 characters."""


class UserPublic(UserBase, IdentifiedModel):
    """An account, as all logged-in users see it."""

    name: StoredName
    """The name that other users see."""
    email: EmailText  # stored e-mails are not validated again
    """The e-mail to log in with, without regard to case."""
    created_at: UTCDatetime
    """When the account was registered."""


class VersionedUser(UserPublic, VersionedModel):
    pass


class User(UserBase, table=True):
    __tablename__ = "users"
    __table_args__: ClassVar = {"sqlite_autoincrement": True}

    id: int = Field(primary_key=True, sa_type=ID_COLUMN)
    created_at: datetime
    email_key: str = Field(unique=True)
    """The account key of the e-mail: accounts are found by it."""
    password_hash: str
    version: int = Field(sa_column_kwargs={"server_default": "1"})
