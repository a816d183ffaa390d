import hashlib
from datetime import datetime, timedelta
from typing import Annotated

import pydantic
from pydantic import StringConstraints
from sqlalchemy import bindparam, delete, insert, select
from sqlmodel import Field, SQLModel, col

from taskapi.database.connections import Connection
from taskapi.exceptions import InvalidRequest
from taskapi.http.parameters import HeaderParameter
from taskapi.models import ID_COLUMN, utc_now

LIFETIME = timedelta(hours=24)

KEY_PATTERN = r"^[\x21-\x7e]*$"

IDEMPOTENCY_KEY = HeaderParameter(
    "Idempotency-Key",
    Annotated[
        str,
        StringConstraints(min_length=1, max_length=255, pattern=KEY_PATTERN),
        pydantic.Field(
            description=(
                "A key that the client chooses, such as a UUID. A repeated request with the same "
                "key and body within 24 hours creates nothing and gets the first response again."
            ),
            examples=["3f2b8c1e-6d0a-4b7e-9c53-8a1f0e2d4c6b"],
            json_schema_extra={"format": "idempotency-key"},
        ),
    ],
)
"""The Idempotency-Key HTTP Header Field (draft-ietf-httpapi-idempotency-key-header)."""


class IdempotentAnswer(SQLModel, table=True):
    """The response to a request with a key.

    It is inserted in the transaction of the request, so that a concurrent request with the same key
    waits for that transaction.
    """

    __tablename__ = "idempotent_answers"

    user_id: int = Field(
        foreign_key="users.id", ondelete="CASCADE", primary_key=True, sa_type=ID_COLUMN
    )
    key: str = Field(primary_key=True, max_length=255)
    fingerprint: str
    """SHA-256 of the parsed request body."""
    answer: str
    created_at: datetime


_FIND = (
    select(col(IdempotentAnswer.fingerprint), col(IdempotentAnswer.answer))
    .where(
        col(IdempotentAnswer.user_id) == bindparam("owner_id"),
        col(IdempotentAnswer.key) == bindparam("sent_key"),
        col(IdempotentAnswer.created_at) > bindparam("cutoff"),
    )
    # A plain SELECT would not wait for a synchronous standby, as the repeated write had to.
    .with_for_update()
)
_DELETE_OLD = delete(IdempotentAnswer).where(
    col(IdempotentAnswer.user_id) == bindparam("owner_id"),
    col(IdempotentAnswer.created_at) <= bindparam("cutoff"),
)


def find_response(connection: Connection, user_id: int, key: str, request: str) -> str | None:
    """Return the stored response to a request with this key.

    Raises:
        InvalidRequest: the key was sent with another request.
    """
    parameters = {"owner_id": user_id, "sent_key": key, "cutoff": utc_now() - LIFETIME}
    row = connection.execute(_FIND, parameters).one_or_none()
    if row is None:
        return None
    if row.fingerprint != _fingerprint(request):
        detail = "This key was sent with another body. Use a new one for each request."
        raise InvalidRequest.at("header", "/Idempotency-Key", detail)
    return str(row.answer)


def store_response(
    connection: Connection, user_id: int, key: str, request: str, response: str
) -> None:
    """Store a response, and delete the user's old ones."""
    now = utc_now()
    connection.execute(_DELETE_OLD, {"owner_id": user_id, "cutoff": now - LIFETIME})
    row = IdempotentAnswer(
        user_id=user_id,
        key=key,
        fingerprint=_fingerprint(request),
        answer=response,
        created_at=now,
    )
    connection.execute(insert(IdempotentAnswer), row.model_dump())


def _fingerprint(request: str) -> str:
    return hashlib.sha256(request.encode()).hexdigest()
