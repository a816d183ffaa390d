import re
from typing import Annotated

from fastapi import Depends, Header, Request
from pydantic.json_schema import SkipJsonSchema

from taskapi.exceptions import PreconditionFailed
from taskapi.http.raises import raises

ENTITY_TAG = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')


class NotModified(Exception):
    """The client already has the current representation. It is answered 304 without content."""

    def __init__(self, tag: str) -> None:
        super().__init__(tag)
        self.tag = tag


class Preconditions:
    """The If-Match and If-None-Match conditions of a request (RFC 9110, section 13)."""

    def __init__(self, request: Request) -> None:
        self._if_match = _field_value(request, "If-Match")
        self._if_none_match = _field_value(request, "If-None-Match")

    def check_write(self, tag: str) -> None:
        """Check If-Match by strong comparison: weak tags match nothing.

        Raises:
            PreconditionFailed: `tag` is not in the list.
        """
        if self._if_match in {None, "*"}:
            return
        if ("", tag) not in ENTITY_TAG.findall(self._if_match or ""):
            raise PreconditionFailed("The current ETag is not one of those in If-Match.")

    def check_read(self, tag: str) -> None:
        """Check If-None-Match by weak comparison.

        Raises:
            NotModified: `tag` is in the list.
        """
        condition = self._if_none_match
        if condition is None:
            return
        if condition == "*" or tag in {listed for _, listed in ENTITY_TAG.findall(condition)}:
            raise NotModified(tag)


def _field_value(request: Request, name: str) -> str | None:
    """Combine the lines of a field into one list (RFC 9110, section 5.3)."""
    lines = request.headers.getlist(name)
    return ", ".join(lines).strip() if lines else None


IfMatch = Annotated[
    str | SkipJsonSchema[None],
    Header(
        description="Do this only if the task's current ETag is one of these.",
        max_length=2000,
        json_schema_extra={"format": "entity-tags"},
    ),
]
IfNoneMatch = Annotated[
    str | SkipJsonSchema[None],
    Header(
        description="Answer 304 without content if the task's current ETag is one of these.",
        max_length=2000,
        json_schema_extra={"format": "entity-tags"},
    ),
]


# The parameters are for the document. FastAPI reads only one line of a header into them.
@raises(PreconditionFailed)
async def get_write_preconditions(
    request: Request,
    if_match: IfMatch = None,  # noqa: ARG001
) -> Preconditions:
    return Preconditions(request)


@raises(NotModified)
async def get_read_preconditions(
    request: Request,
    if_none_match: IfNoneMatch = None,  # noqa: ARG001
) -> Preconditions:
    return Preconditions(request)


WritePreconditions = Annotated[Preconditions, Depends(get_write_preconditions)]
ReadPreconditions = Annotated[Preconditions, Depends(get_read_preconditions)]
