import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Annotated, Protocol, TypeVar

from fastapi import Request, Response
from pydantic import BaseModel, Field

from taskapi.exceptions import InvalidRequest

MAC_SIZE = 16

MAX_LIMIT = 100

T = TypeVar("T")

PageOf = Annotated[list[T], Field(max_length=MAX_LIMIT)]
"""A page, as an operation answers with it."""

CursorPosition = tuple[str, int]
"""The row that a page starts after: the value that the list is sorted by, as text, and the id."""


class Row(Protocol):
    id: int


R = TypeVar("R", bound=Row)


class PageParams(BaseModel):
    """The query parameters of a list. Unknown ones are refused, as in bodies."""

    model_config = {"extra": "forbid", "use_attribute_docstrings": True}

    limit: int = Field(default=50, ge=1, le=MAX_LIMIT)
    """The most items to answer with."""

    after: str = Field(default="", max_length=2000, json_schema_extra={"format": "cursor"})
    """Where the page starts: the cursor in the previous page's `Link` header."""


class Cursors:
    """Opaque cursors, signed so that none but this service's own are accepted."""

    def __init__(self, keys: Sequence[str]) -> None:
        """The first of `keys` signs, all verify."""
        self._keys = keys

    def encode(self, order: str, position: CursorPosition) -> str:
        content = json.dumps([order, *position]).encode()
        return urlsafe_b64encode(_sign(self._keys[0], content) + content).decode().rstrip("=")

    def decode(self, order: str, cursor: str) -> CursorPosition | None:
        """None for no cursor.

        Raises:
            InvalidRequest: it was not made here, or for another order.
        """
        if not cursor:
            return None
        try:
            signed = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        except ValueError:
            signed = b""
        mac, content = signed[:MAC_SIZE], signed[MAC_SIZE:]
        if any(hmac.compare_digest(mac, _sign(key, content)) for key in self._keys):
            made_for, value, row_id = json.loads(content)
            if made_for == order:
                return value, row_id
        fault = "This is not a cursor of this list in this order."
        raise InvalidRequest.of([{"in": "query", "pointer": "/after", "detail": fault}])


def _sign(key: str, content: bytes) -> bytes:
    return hmac.digest(key.encode(), b"cursor " + content, "sha256")[:MAC_SIZE]


class Pager:
    """Turns a request's cursor into a position, and rows into a page that links to the next."""

    def __init__(self, cursors: Cursors, request: Request, response: Response) -> None:
        self._cursors = cursors
        self._request = request
        self._response = response

    def position(self, page: PageParams, order: str = "id") -> CursorPosition | None:
        """
        Raises:
            InvalidRequest: the cursor was not made here, or for another order.
        """
        return self._cursors.decode(self._bound(order), page.after)

    def cut(
        self,
        rows: list[R],
        page: PageParams,
        order: str = "id",
        value: Callable[[R], str] = lambda _: "",
    ) -> list[R]:
        """Cut `rows`, of which one more than the limit was asked for, and link to the next page.

        The `Link` header (RFC 8288) has a relative reference with all the query's parameters.
        `value` is what the list is sorted by, before the id.
        """
        if len(rows) <= page.limit:
            return rows
        rows = rows[: page.limit]
        position = value(rows[-1]), rows[-1].id
        cursor = self._cursors.encode(self._bound(order), position)
        url = self._request.url
        query = url.include_query_params(after=cursor).query
        self._response.headers["Link"] = f'<{url.path}?{query}>; rel="next"'
        return rows

    def count(self, total: int | None) -> None:
        if total is not None:
            self._response.headers["X-Total-Count"] = str(total)

    def _bound(self, order: str) -> str:
        """Cursors of one list are of no use for another."""
        return f"{self._request.scope['route'].path} {order}"
