import re
from typing import Annotated

from fastapi import Depends, Header, Request
from pydantic.json_schema import SkipJsonSchema

from taskapi.exceptions import PreconditionFailed

ENTITY_TAG = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')


class NotModified(Exception):
    """The client has the current representation already: it is answered 304 and no content."""

    def __init__(self, tag: str) -> None:
        super().__init__(tag)
        self.tag = tag


class Preconditions:
    """The conditions of a request (RFC 9110, section 13), as far as this service knows them."""

    def __init__(self, request: Request) -> None:
        self._if_match = _field(request, "If-Match")
        self._if_none_match = _field(request, "If-None-Match")

    def check_write(self, tag: str) -> None:
        """Compare strongly: weak tags match nothing.

        Raises:
            PreconditionFailed: the client's representation is not the current one.
        """
        if self._if_match in {None, "*"}:
            return
        if ("", tag) not in ENTITY_TAG.findall(self._if_match or ""):
            raise PreconditionFailed("It was changed meanwhile, or never had this ETag.")

    def check_read(self, tag: str) -> None:
        """Compare weakly.

        Raises:
            NotModified: the client's representation is the current one.
        """
        condition = self._if_none_match
        if condition is None:
            return
        if condition == "*" or tag in {own for _, own in ENTITY_TAG.findall(condition)}:
            raise NotModified(tag)


def _field(request: Request, name: str) -> str | None:
    """Several lines of one field are one list (RFC 9110, section 5.3)."""
    lines = request.headers.getlist(name)
    return ", ".join(lines).strip() if lines else None


IfMatch = Annotated[
    str | SkipJsonSchema[None],
    Header(
        description="Change it only if its ETag is one of these.",
        max_length=2000,
        json_schema_extra={"format": "entity-tags"},
    ),
]
IfNoneMatch = Annotated[
    str | SkipJsonSchema[None],
    Header(
        description="Send it only if its ETag is none of these.",
        max_length=2000,
        json_schema_extra={"format": "entity-tags"},
    ),
]


# The parameters are for the document; the conditions are read whole, from all lines of the header.
async def get_write_preconditions(
    request: Request,
    if_match: IfMatch = None,  # noqa: ARG001
) -> Preconditions:
    return Preconditions(request)


async def get_read_preconditions(
    request: Request,
    if_none_match: IfNoneMatch = None,  # noqa: ARG001
) -> Preconditions:
    return Preconditions(request)


WritePreconditions = Annotated[Preconditions, Depends(get_write_preconditions)]
ReadPreconditions = Annotated[Preconditions, Depends(get_read_preconditions)]
