import hashlib
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Header
from pydantic.json_schema import SkipJsonSchema
from sqlalchemy import Connection, bindparam, delete, insert, select
from sqlmodel import Field, SQLModel, col

from taskapi.exceptions import InvalidRequest
from taskapi.models import ID_COLUMN, utc_now

LIFETIME = timedelta(hours=24)

KEY_PATTERN = r"^[\x21-\x7e]*$"

IdempotencyKey = Annotated[
    str | SkipJsonSchema[None],
    Header(
        min_length=1,
        max_length=255,
        pattern=KEY_PATTERN,
        json_schema_extra={"format": "idempotency-key", "pattern": KEY_PATTERN},
        description=(
            "Any text of the client's own, such as a UUID. A repeat with the same key and body "
            "within 24 hours is given the first answer, and creates nothing."
        ),
    ),
]
"""The Idempotency-Key HTTP Header Field (draft-ietf-httpapi-idempotency-key-header)."""


class IdempotentAnswer(SQLModel, table=True):
    """The answer to a request with a key. It is stored in the transaction that it tells of, so that
    of requests at the same time with one key all but one wait for it.
    """

    __tablename__ = "idempotent_answers"

    user_id: int = Field(
        foreign_key="users.id", ondelete="CASCADE", primary_key=True, sa_type=ID_COLUMN
    )
    key: str = Field(primary_key=True, max_length=255)
    fingerprint: str
    """SHA-256 of the request's body, as it was understood."""
    answer: str
    created_at: datetime


_GIVEN = (
    select(col(IdempotentAnswer.fingerprint), col(IdempotentAnswer.answer))
    .where(
        col(IdempotentAnswer.user_id) == bindparam("owner_id"),
        col(IdempotentAnswer.key) == bindparam("key"),
        col(IdempotentAnswer.created_at) > bindparam("forgotten"),
    )
    # The lock makes a repeat wait for a synchronous standby, as the write that it repeats had to.
    .with_for_update()
)
_FORGET = delete(IdempotentAnswer).where(
    col(IdempotentAnswer.user_id) == bindparam("owner_id"),
    col(IdempotentAnswer.created_at) <= bindparam("forgotten"),
)


def recall(connection: Connection, user_id: int, key: str, request: str) -> str | None:
    """The answer that was given to this key.

    Raises:
        InvalidRequest: it was given to another request.
    """
    forgotten = utc_now() - LIFETIME
    parameters = {"owner_id": user_id, "key": key, "forgotten": forgotten}
    given = connection.execute(_GIVEN, parameters).one_or_none()
    if given is None:
        return None
    if given.fingerprint != _fingerprint(request):
        fault = "This key was sent with another body. Use a new one for each request."
        raise InvalidRequest.of([{"in": "header", "pointer": "/idempotency-key", "detail": fault}])
    return str(given.answer)


def remember(connection: Connection, user_id: int, key: str, request: str, answer: str) -> None:
    """Keep an answer, and forget the user's old ones."""
    now = utc_now()
    connection.execute(_FORGET, {"owner_id": user_id, "forgotten": now - LIFETIME})
    row = IdempotentAnswer(
        user_id=user_id,
        key=key,
        fingerprint=_fingerprint(request),
        answer=answer,
        created_at=now,
    )
    connection.execute(insert(IdempotentAnswer), row.model_dump())


def _fingerprint(request: str) -> str:
    return hashlib.sha256(request.encode()).hexdigest()
