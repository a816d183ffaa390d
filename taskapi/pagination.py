import base64
import binascii
import re
from collections.abc import Sequence
from typing import Annotated, Protocol, TypeVar

from fastapi import Request, Response
from pydantic import AfterValidator, BaseModel, Field

from taskapi.schemas import MAX_ID


class Row(Protocol):
    id: int


R = TypeVar("R", bound=Row)


def _cursor(row_id: int) -> str:
    return base64.urlsafe_b64encode(b"id:%d" % row_id).decode().rstrip("=")


def _position(cursor: str) -> int:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except (binascii.Error, ValueError):
        text = b""
    position = re.fullmatch(rb"id:([0-9]{1,16})", text)
    if position is None or int(position[1]) > MAX_ID:
        raise ValueError("not a cursor of this service")
    return int(position[1])


def _check(cursor: str) -> str:
    if cursor:
        _position(cursor)
    return cursor


class Page(BaseModel):
    """The query parameters of a list. Unknown ones are refused, as in bodies."""

    model_config = {"extra": "forbid", "use_attribute_docstrings": True}

    limit: int = Field(default=50, ge=1, le=100)
    """The most items to answer with."""

    after: Annotated[str, Field(max_length=100), AfterValidator(_check)] = ""
    """Where the page starts: the cursor in the previous page's `Link` header."""

    @property
    def position(self) -> int:
        """The id after which the page starts; ids start at 1."""
        return _position(self.after) if self.after else 0


def paginate(rows: Sequence[R], page: Page, request: Request, response: Response) -> Sequence[R]:
    """Cut `rows`, of which one more than the limit was asked for, and link to the next page.

    The `Link` header (RFC 8288) holds a relative reference with all the query's other parameters.
    """
    if len(rows) <= page.limit:
        return rows
    rows = rows[: page.limit]
    query = request.url.include_query_params(after=_cursor(rows[-1].id)).query
    response.headers["Link"] = f'<{request.url.path}?{query}>; rel="next"'
    return rows
