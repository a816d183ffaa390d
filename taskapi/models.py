import ast
import inspect
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Literal, Self, TypeVar, cast

from fastapi import Path
from pydantic import (
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    SecretStr,
    StringConstraints,
    TypeAdapter,
    model_validator,
)
from pydantic_core import CoreSchema
from sqlalchemy import BigInteger, Integer, String
from sqlalchemy.orm import InstrumentedAttribute
from sqlmodel import SQLModel

SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

MAX_FIELDS = 20
"""The most fields in a request body."""

MAX_ID = 2**53 - 1
"""The largest integer that every JSON client reads exactly (RFC 8259, section 6)."""

# SQLite's AUTOINCREMENT, which never reuses an id, needs an INTEGER column (of 64 bits there).
ID_COLUMN = BigInteger().with_variant(Integer, "sqlite")

# Sorted by code points, as SQLite sorts, instead of by the rules of a language.
CodePointString = String().with_variant(String(collation="C"), "postgresql")

Id = Annotated[int, Field(ge=1, le=MAX_ID, examples=[1])]


def _check_integer(value: object) -> object:
    """
    Raises:
        ValueError: the text is not the shortest spelling of an integer.
    """
    if isinstance(value, str) and not re.fullmatch("0|-?[1-9][0-9]*", value):
        raise ValueError("This must be a whole number in digits, such as 1.")
    return value


def _check_boolean(value: object) -> object:
    """
    Raises:
        ValueError: the text is neither `true` nor `false`.
    """
    if isinstance(value, str) and value not in {"true", "false"}:
        raise ValueError("This must be true or false.")
    return value


# Of an address or a query. Pydantic also reads 01, +1, 1_0, 1.0 and spaces, and yes, on and T.
AddressInt = Annotated[int, BeforeValidator(_check_integer)]
AddressBool = Annotated[bool, BeforeValidator(_check_boolean)]
PathId = Annotated[
    int,
    Path(ge=1, le=MAX_ID, description="The `id` of the resource.", examples=[1]),
    BeforeValidator(_check_integer),
]

UTCDatetime = Annotated[
    datetime,
    Field(examples=["2026-11-24T11:20:32.017634Z"], json_schema_extra={"maxLength": 40}),
]
"""An aware datetime in UTC (RFC 3339)."""

TEXT_PATTERN = r"^[^\x00]*$"

Text = Annotated[str, StringConstraints(pattern=TEXT_PATTERN)]
"""Text without NUL, which PostgreSQL refuses. Pydantic refuses lone surrogates."""

# White space, controls, Unicode's Default_Ignorable_Code_Point, the annotation characters and the
# empty Braille pattern.
_INVISIBLE = (
    r"\s\x00-\x20\x7f-\xa0\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    r"\u2028-\u202f\u205f-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
)
_INVISIBLE_BEYOND_BMP = r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"

VISIBLE_PATTERN = rf"^[^\x00]*[^{_INVISIBLE}{_INVISIBLE_BEYOND_BMP}][^\x00]*$"

NonBlankStr = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True,
        min_length=1,
        pattern=VISIBLE_PATTERN,
    ),
    # JavaScript reads characters beyond the BMP only with a flag that many clients do not set.
    Field(json_schema_extra={"pattern": rf"^[^\x00]*[^{_INVISIBLE}][^\x00]*$"}),
]
"""Text that is trimmed, and has a visible character."""


def check_encodable(secret: SecretStr) -> SecretStr:
    """Refuse lone surrogates, which Pydantic refuses in `str` but not in SecretStr.

    Raises:
        ValueError: there is one.
    """
    try:
        secret.get_secret_value().encode()
    except UnicodeEncodeError:
        raise ValueError("There is a character that is not allowed.") from None
    return secret


class DocstringMixin:
    """Keeps the docstrings of models, which describe them in the OpenAPI document, when Python
    drops them (`-OO`, PYTHONOPTIMIZE=2).
    """

    @classmethod
    def __pydantic_init_subclass__(cls, **_: object) -> None:
        if sys.flags.optimize > 1:
            [definition] = ast.parse(inspect.getsource(cls)).body
            cls.__doc__ = ast.get_docstring(cast("ast.ClassDef", definition))


class NamedEnum(StrEnum):
    """An enumeration whose names are in the document, for values that can't be names themselves."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), "x-enum-varnames": [member.name for member in cls]}


class RequestModel(DocstringMixin, SQLModel):
    """A request body. Unknown fields are refused, so that a misspelled field is an error.

    A field that may be omitted but not be null has the type `T | MISSING` and the default MISSING.
    `model_dump` leaves it out.
    """

    model_config = {"extra": "forbid", "use_attribute_docstrings": True}

    @model_validator(mode="before")
    @classmethod
    def _limit_fields(cls, body: object) -> object:
        """Refuse thousands of unknown fields with one error; one for each would take 400 ms."""
        if isinstance(body, dict) and len(body) > MAX_FIELDS:
            raise ValueError("There are too many fields.")
        return body


class ResponseModel(DocstringMixin, SQLModel):
    """A response body. Columns that the model has no field for are ignored."""

    model_config = {"from_attributes": True, "use_attribute_docstrings": True}

    @classmethod
    def of_row(cls, row: object) -> Self:
        """Validate a row. SQLModel's `model_validate` takes three times as long."""
        adapter: TypeAdapter[Self] = _adapter(cls)
        return adapter.validate_python(row)

    @classmethod
    def of_rows(cls, rows: Sequence[Any]) -> list[Self]:
        return _list_adapter(cls).validate_python(rows)


class IdentifiedModel(ResponseModel):
    """A response body with an id, which comes first."""

    id: Id
    """Assigned by the service; never reused after deletion."""


class VersionedModel(ResponseModel):
    """A response body with the version that its ETag is made from."""

    version: int = 1
    """Starts at 1 and grows by 1 with each change."""

    @property
    def etag(self) -> str:
        return f'"{self.version}"'


# An answer stays small, even if the request has thousands of unknown fields with long names.
MAX_ERRORS = 20
MAX_POINTER = 200

RequestPart = Literal["path", "query", "header", "body"]


class ErrorItem(DocstringMixin, SQLModel):
    """One thing that is wrong with a request."""

    model_config = {"serialize_by_alias": True, "use_attribute_docstrings": True}

    part: RequestPart = Field(serialization_alias="in", examples=["body"])
    """The part of the request: `path`, `query`, `header` or `body`."""
    pointer: Text = Field(max_length=MAX_POINTER, examples=["/title"])
    """JSON pointer (RFC 6901) into that part. It is empty for the whole part."""
    detail: Text = Field(max_length=500, examples=["This is required."])
    """What is wrong there."""


T = TypeVar("T")
R = TypeVar("R", bound=ResponseModel)


@cache
def _adapter(model: type[R]) -> TypeAdapter[R]:
    return TypeAdapter(model)


@cache
def _list_adapter(model: type[R]) -> TypeAdapter[list[R]]:
    return TypeAdapter(list[model])  # type: ignore[valid-type] # a variable, known at run time only


def attribute(field: T) -> InstrumentedAttribute[T]:
    """Tell the type checker what a field is on the class of a table.

    `sqlmodel.col` does so too, but as a `Mapped`, which has no column and suits no loader option.
    """
    return cast("InstrumentedAttribute[T]", field)


def utc_now() -> datetime:
    return datetime.now(UTC)
