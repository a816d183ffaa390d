import re
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import Request, Response
from pydantic import Field, StringConstraints

from taskapi.exceptions import InvalidCondition, PreconditionFailed
from taskapi.http.parameters import HeaderParameter, reads
from taskapi.http.raises import raises
from taskapi.models import VersionedModel

F = TypeVar("F", bound=Callable[..., Any])
V = TypeVar("V", bound=VersionedModel)

ENTITY_TAG = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*+")')
_MEMBER = rf"[ \t]*+(?:{ENTITY_TAG.pattern})?+[ \t]*+"
ENTITY_TAGS = re.compile(f"{_MEMBER}(?:,{_MEMBER})*+")
"""A list may have empty members (RFC 9110, section 5.6.1). No text takes more than linear time."""

Condition = list[tuple[str, str]] | None
"""The entity tags of a list, each with its prefix. `("", "*")` stands for any tag."""

ANY = [("", "*")]

EntityTags = Annotated[
    str, StringConstraints(max_length=2000), Field(json_schema_extra={"format": "entity-tags"})
]

IF_MATCH = HeaderParameter(
    "If-Match",
    Annotated[
        EntityTags,
        Field(
            description="Do this only if the current ETag is one of these. `*` is any ETag.",
            examples=["*"],
        ),
    ],
)
IF_NONE_MATCH = HeaderParameter(
    "If-None-Match",
    Annotated[
        EntityTags,
        Field(
            description=(
                "Do this only if the current ETag is none of these. "
                "Otherwise, reading is answered 304 without content."
            ),
            examples=['"0"'],
        ),
    ],
)


class NotModified(Exception):
    """The client already has the current representation. It is answered 304 without content."""

    def __init__(self, tag: str) -> None:
        super().__init__(tag)
        self.tag = tag


class Preconditions:
    """The If-Match and If-None-Match conditions of a request (RFC 9110, section 13).

    Raises:
        InvalidCondition: one of them is not a list of entity tags.
    """

    def __init__(self, request: Request) -> None:
        self._if_match = _parse(request, IF_MATCH)
        self._if_none_match = _parse(request, IF_NONE_MATCH)

    def __bool__(self) -> bool:
        """Return whether there are conditions."""
        return self._if_match is not None or self._if_none_match is not None

    def check_write(self, tag: str) -> None:
        """
        Raises:
            PreconditionFailed: one of the conditions is false.
        """
        self._check_match(tag)
        if self._is_listed(tag):
            raise PreconditionFailed("If-None-Match has the current ETag.")

    def check_read(self, tag: str) -> None:
        """
        Raises:
            PreconditionFailed: If-Match is false.
            NotModified: If-None-Match is false.
        """
        self._check_match(tag)
        if self._is_listed(tag):
            raise NotModified(tag)

    def _check_match(self, tag: str) -> None:
        """Compare strongly: weak tags match nothing."""
        if self._if_match not in (None, ANY) and ("", tag) not in (self._if_match or ()):
            raise PreconditionFailed("The current ETag is not one of those in If-Match.")

    def _is_listed(self, tag: str) -> bool:
        """Compare If-None-Match weakly."""
        listed = self._if_none_match
        return listed == ANY or tag in {each for _, each in listed or ()}


def _parse(request: Request, header: HeaderParameter) -> Condition:
    sent = header.read(request)
    if sent is None:
        return None
    condition = sent.strip()
    if condition == "*":
        return ANY
    if not ENTITY_TAGS.fullmatch(condition):
        raise InvalidCondition(f"{header.name} is neither * nor a list of entity tags.")
    return ENTITY_TAG.findall(condition)


def conditional_write(operation: F) -> F:
    """Declare what an operation reads and raises that checks `Preconditions`."""
    return reads(IF_MATCH, IF_NONE_MATCH)(raises(InvalidCondition, PreconditionFailed)(operation))


def conditional_read(operation: F) -> F:
    """Do the same for an operation that only reads."""
    return raises(NotModified)(conditional_write(operation))


def with_etag(response: Response, resource: V) -> V:
    response.headers["ETag"] = resource.etag
    return resource
