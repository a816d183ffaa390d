import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Annotated, Generic, Protocol, TypeVar
from urllib.parse import urlencode

from fastapi import Request, Response
from pydantic import Field
from sqlmodel import SQLModel

from taskapi.exceptions import InvalidRequest
from taskapi.http.urls import path_of
from taskapi.models import AddressInt

MAC_SIZE = 16

MAX_LIMIT = 100

T = TypeVar("T")

PageOf = Annotated[list[T], Field(max_length=MAX_LIMIT)]
"""The items of a page, as a response type."""

CursorPosition = tuple[str, int]
"""The sort value, as text, and the id of the row before a page."""


class Row(Protocol):
    id: int


R = TypeVar("R", bound=Row)


class PageParams(SQLModel):
    """The query parameters of a list. Unknown ones are refused, as unknown fields of bodies are."""

    model_config = {"extra": "forbid", "use_attribute_docstrings": True}

    limit: AddressInt = Field(default=50, ge=1, le=MAX_LIMIT, examples=[50])
    """The maximum number of items on the page."""

    after: str = Field(
        default="", max_length=2000, examples=[""], json_schema_extra={"format": "cursor"}
    )
    """Where the page starts: the cursor from the `Link` header of the previous page, or nothing for
    the first page."""


P = TypeVar("P", bound=PageParams)


class Cursors:
    """Encodes positions as opaque cursors, signed so that clients can't make their own."""

    def __init__(self, keys: Sequence[str]) -> None:
        """The first of `keys` signs. All of them verify."""
        self._keys = keys

    def encode(self, order: str, position: CursorPosition) -> str:
        content = json.dumps([order, *position], ensure_ascii=False).encode()
        return urlsafe_b64encode(_sign(self._keys[0], content) + content).decode().rstrip("=")

    def decode(self, order: str, cursor: str) -> CursorPosition | None:
        """Return None for the empty string, which stands for the first page.

        Raises:
            InvalidRequest: the cursor is not this service's own, or belongs to another order.
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
        detail = "This is not a cursor of this list in this order."
        raise InvalidRequest.at("query", "/after", detail)


def _sign(key: str, content: bytes) -> bytes:
    return hmac.digest(key.encode(), b"cursor " + content, "sha256")[:MAC_SIZE]


class Pager(Generic[P]):
    """Reads the query of a request for a page, and sets the headers of its response."""

    def __init__(self, cursors: Cursors, params: P, request: Request, response: Response) -> None:
        self.params = params
        self._cursors = cursors
        self._request = request
        self._response = response

    def position(self, order: str = "id") -> CursorPosition | None:
        """Decode the request's cursor.

        Raises:
            InvalidRequest: the cursor is not one of this list in this order.
        """
        return self._cursors.decode(self._scope(order), self.params.after)

    def paginate(
        self,
        rows: list[R],
        order: str = "id",
        value: Callable[[R], str] = lambda _: "",
    ) -> list[R]:
        """Return the rows of this page, and link to the next page if there is one.

        `rows` has one row more than the limit if there is a next page. `value` returns the value
        that the list is sorted by. The `Link` header (RFC 8288) has a relative reference with all
        query parameters of the request.
        """
        if len(rows) <= self.params.limit:
            return rows
        rows = rows[: self.params.limit]
        position = value(rows[-1]), rows[-1].id
        cursor = self._cursors.encode(self._scope(order), position)
        sent = self._request.query_params.multi_items()
        query = urlencode([*(item for item in sent if item[0] != "after"), ("after", cursor)])
        self._response.headers["Link"] = f'<{path_of(self._request)}?{query}>; rel="next"'
        return rows

    def set_total(self, total: int | None) -> None:
        if total is not None:
            self._response.headers["X-Total-Count"] = str(total)

    def _scope(self, order: str) -> str:
        """Bind a cursor to a list and an order, so that it is refused for others."""
        return f"{self._request.scope['route'].path} {order}"
