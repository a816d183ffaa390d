"""What schemathesis can't know of the values of some formats (loaded by SCHEMATHESIS_HOOKS)."""

import re
from typing import Any
from uuid import uuid4

import schemathesis
from hypothesis import strategies as st

KEY = "Idempotency-Key"
NONE_MATCH = "If-None-Match"

# Only the service makes cursors; a made-up one is a 422 on purpose.
schemathesis.openapi.format("cursor", st.just(""))
# A tag that is not the current one is a 412 on purpose.
schemathesis.openapi.format("entity-tags", st.just("*"))
schemathesis.openapi.format("idempotency-key", st.uuids().map(str))


BLANK_BEYOND_BMP = re.compile("[\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]")


@schemathesis.hook
def filter_body(_context: object, body: object) -> bool:
    """The pattern of titles in the document does not name these invisible characters."""
    return not BLANK_BEYOND_BMP.search(str(body))


@schemathesis.hook
def filter_case(_context: object, case: schemathesis.Case[Any]) -> bool:
    """A form without grant_type is a password grant. The document requires it, as RFC 6749 does."""
    names = case.body.keys() if isinstance(case.body, dict) else set()
    return "grant_type" in names or not {"username", "password"} <= names


WRITES = ("PUT", "PATCH", "DELETE")


@schemathesis.hook
def before_call(_context: object, case: schemathesis.Case[Any], _options: object) -> None:
    """A key that comes again with another body is a 422 on purpose: each request has its own.

    A write that any current tag prevents is a 412 on purpose.
    """
    headers: dict[str, str] = dict(case.headers or {})
    if re.fullmatch(r"[\x21-\x7e]{1,255}", headers.get(KEY, "")):
        case.headers[KEY] = str(uuid4())
    if case.method.upper() in WRITES and headers.get(NONE_MATCH) == "*":
        case.headers[NONE_MATCH] = '"x"'
