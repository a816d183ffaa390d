from collections import namedtuple
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Self, TypeVar

from fastapi import Path
from pydantic import Field, StringConstraints, TypeAdapter
from sqlalchemy import BigInteger, Column, Connection, Integer, Row, String, Table
from sqlmodel import SQLModel

SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

MAX_ID = 2**53 - 1
"""The largest integer that every JSON client reads exactly (RFC 8259, section 6)."""

# SQLite numbers rows by itself, and never twice, in an INTEGER column only; that has 64 bits there.
ID_COLUMN = BigInteger().with_variant(Integer, "sqlite")

# Ordered by code points, as SQLite does, and not by the rules of some language.
CodePointString = String().with_variant(String(collation="C"), "postgresql")

Id = Annotated[int, Field(ge=1, le=MAX_ID, examples=[1])]
PathId = Annotated[int, Path(ge=1, le=MAX_ID, examples=[1])]

UTCDatetime = Annotated[
    datetime,
    Field(examples=["2026-11-24T11:20:32.017634Z"], json_schema_extra={"maxLength": 40}),
]
"""A point in time: aware, and UTC in answers (RFC 3339)."""


Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]
"""Text that every database stores: no NUL, which PostgreSQL refuses; lone surrogates, which no
encoding knows, are refused by Pydantic."""

NonBlankStr = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, min_length=1, pattern=r"^[^\x00]*[^\s\x00\x85][^\x00]*$"
    ),
]
"""Text that says something: trimmed, and not empty after that."""


def _drop_null_defaults(schema: dict[str, Any]) -> None:
    for field in schema["properties"].values():
        if field.get("default", ...) is None:
            del field["default"]


class RequestModel(SQLModel):
    """A request body: unknown fields are refused, so that a typo is never silently dropped.

    A field that may be left out, but not be null, has its plain type and the default None, which
    the document does not show.
    """

    model_config = {
        "extra": "forbid",
        "json_schema_extra": _drop_null_defaults,
        "use_attribute_docstrings": True,
    }


class ResponseModel(SQLModel):
    """A response, made from a row by `model_validate`. Its table derives from it."""

    model_config = {"from_attributes": True, "use_attribute_docstrings": True}

    @classmethod
    def of_rows(cls, rows: Iterable[Row[Any]]) -> list[Self]:
        """What `model_validate` makes of each row of `columns(…, cls)`, in half the time: reading
        attributes of SQLAlchemy's rows takes longer than validating them.
        """
        fields, adapter = _reader(cls)
        return adapter.validate_python([fields._make(row) for row in rows])


R = TypeVar("R", bound=ResponseModel)


@cache
def _reader(model: type[R]) -> tuple[Any, TypeAdapter[list[R]]]:
    fields = namedtuple("Fields", model.model_fields)  # type: ignore[misc] # noqa: PYI024 -- made at run time
    return fields, TypeAdapter(list[model])  # type: ignore[valid-type] # as above


def table(model: type[SQLModel]) -> Table:
    """The table that a model declares, for statements."""
    return SQLModel.metadata.tables[str(model.__tablename__)]


def columns(source: Table, model: type[SQLModel]) -> list[Column[Any]]:
    """The columns of a table that a model has fields for."""
    return [source.c[name] for name in model.model_fields]


def add(connection: Connection, target: Table, row: Mapping[str, object]) -> int:
    """Insert a row, and return the id that it was given."""
    key = connection.execute(target.insert(), row).inserted_primary_key
    return int(next(iter(key or ())))


def utc_now() -> datetime:
    return datetime.now(UTC)
