import hashlib
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Header
from pydantic.json_schema import SkipJsonSchema
from sqlmodel import Field, Session, SQLModel, col, delete

from taskapi.problems import InvalidRequest
from taskapi.schemas import ID_COLUMN, utc_now

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


def recall(session: Session, user_id: int, key: str, request: str) -> str | None:
    """The answer that was given to this key.

    Raises:
        InvalidRequest: it was given to another request.
    """
    given = session.get(IdempotentAnswer, (user_id, key))
    if given is None or given.created_at <= utc_now() - LIFETIME:
        return None
    if given.fingerprint != _fingerprint(request):
        fault = "This key was sent with another body. Use a new one for each request."
        raise InvalidRequest.of([{"in": "header", "pointer": "/idempotency-key", "detail": fault}])
    return given.answer


def remember(session: Session, user_id: int, key: str, request: str, answer: str) -> None:
    """Keep an answer, and forget the user's old ones."""
    now = utc_now()
    mine = delete(IdempotentAnswer).where(col(IdempotentAnswer.user_id) == user_id)
    session.exec(mine.where(col(IdempotentAnswer.created_at) <= now - LIFETIME))
    session.add(
        IdempotentAnswer(
            user_id=user_id,
            key=key,
            fingerprint=_fingerprint(request),
            answer=answer,
            created_at=now,
        )
    )
    session.flush()


def _fingerprint(request: str) -> str:
    return hashlib.sha256(request.encode()).hexdigest()
