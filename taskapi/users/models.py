from typing import Annotated, ClassVar

import email_validator
import pydantic
from pydantic import AfterValidator, SecretStr, StringConstraints
from sqlmodel import Field

from taskapi.models import (
    ID_COLUMN,
    Id,
    NonBlankStr,
    RequestModel,
    ResponseModel,
    UTCDatetime,
    table,
)

# Closed networks have e-mails such as ann@corp.local, which the library would refuse.
email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()


def normalize_email(email: str) -> str:
    """Unicode NFC, the domain in lower case and not in Punycode (RFC 6531, RFC 5891).

    Raises:
        ValueError: this is not an e-mail address.
    """
    try:
        return email_validator.validate_email(
            email, check_deliverability=False, globally_deliverable=False
        ).normalized
    except email_validator.EmailNotValidError:
        raise ValueError("not a valid e-mail address") from None


Name = Annotated[NonBlankStr, StringConstraints(max_length=100), pydantic.Field(examples=["Анна"])]
EmailText = Annotated[
    NonBlankStr,
    StringConstraints(max_length=254),
    pydantic.Field(examples=["anna@example.com"], json_schema_extra={"format": "email"}),
]
Email = Annotated[EmailText, AfterValidator(normalize_email)]


def email_key(email: str) -> str:
    """What makes two e-mails the same account: everything but case."""
    return email.lower()


Password = Annotated[
    SecretStr,
    pydantic.Field(min_length=8, max_length=128, examples=["correct horse battery staple"]),
]


class UserReplace(RequestModel):
    """All of an account that its owner can set; the password stays when it is not sent."""

    name: Name
    """How others see the user."""
    email: Email
    """The login; its case makes no difference."""
    password: Password = Field(default=None)
    """Any 8 to 128 characters."""


class UserCreate(UserReplace):
    """A new account."""

    password: Password
    """Any 8 to 128 characters."""


class UserPatch(UserReplace):
    """The fields to change; the others stay as they are."""

    name: Name = Field(default=None)
    """How others see the user."""
    email: Email = Field(default=None)
    """The login; its case makes no difference."""


class UserPublic(ResponseModel):
    """An account, as everyone who is logged in sees it."""

    id: Id
    """Given once, and never again to another account."""
    name: Name
    email: EmailText
    created_at: UTCDatetime


class User(UserPublic, table=True):
    __tablename__ = "users"
    __table_args__: ClassVar = {"sqlite_autoincrement": True}

    id: int = Field(default=None, primary_key=True, sa_type=ID_COLUMN)
    email_key: str = Field(unique=True)
    password_hash: str


users = table(User)
