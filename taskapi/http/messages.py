"""The words for what is wrong with a request, in place of Pydantic's, which are for programmers."""

from collections.abc import Mapping
from typing import Any

from taskapi.http.idempotency import KEY_PATTERN
from taskapi.models import TEXT_PATTERN, VISIBLE_PATTERN

MESSAGES: Mapping[tuple[str, str | int | None], str] = {
    ("enum", None): "This must be {expected}.",
    ("extra_forbidden", "body"): "There is no such field.",
    ("extra_forbidden", "query"): "There is no such parameter.",
    ("greater_than_equal", None): "This must be at least {ge}.",
    ("int_parsing_size", None): "This number is too large.",
    ("json_invalid", None): "Not JSON: {error} at character {position}.",
    ("less_than_equal", None): "This must be at most {le}.",
    ("missing", None): "This is required.",
    ("model_attributes_type", None): "This must be a JSON object.",
    ("string_pattern_mismatch", KEY_PATTERN): "This must be visible ASCII characters.",
    ("string_pattern_mismatch", TEXT_PATTERN): "There must be no NUL character.",
    ("string_pattern_mismatch", VISIBLE_PATTERN): (
        "There must be a visible character, and no NUL character."
    ),
    ("string_too_long", None): "This must have at most {max_length} characters.",
    ("string_too_short", 1): "This must not be empty.",
    ("string_type", None): "This must be text.",
    ("string_unicode", None): "There is a character that is not allowed.",
    ("too_long", "List"): "This can be sent at most {max_length} times.",
    ("too_long", "Value"): "This must have at most {max_length} characters.",
    ("too_short", 1): "This must not be empty.",
    ("too_short", "Value"): "This must have at least {min_length} characters.",
    ("value_error", None): "{error}",
}
"""By the type of Pydantic's error, and by one of its `VARIANTS` where a type has several."""


VARIANTS = ("part", "pattern", "min_length", "field_type")


def describe(error: Mapping[str, Any]) -> str:
    """Return a sentence about one of Pydantic's errors, or its own words for an unknown type."""
    context = {"part": error["loc"][0], "position": error["loc"][-1], **error.get("ctx", {})}
    variants = [context[name] for name in VARIANTS if name in context]
    for variant in (*variants, None):
        message = MESSAGES.get((error["type"], variant))
        if message:
            return message.format_map(context)
    return str(error["msg"])
