"""Reads what a client accepts (RFC 9110, section 12.5)."""

import re
from collections.abc import Sequence

from fastapi import Request

MEMBER = re.compile(r"[ \t]*([a-z0-9*-]+)[ \t]*(?:;[ \t]*q=([01](?:\.[0-9]*)?)[ \t]*)?")


def accepts_gzip(request: Request) -> bool:
    weights = _weights(request, "Accept-Encoding")
    return weights.get("gzip", weights.get("*", 0)) > 0


def choose_language(request: Request, languages: Sequence[str]) -> str:
    """Return the language with the highest weight; of equal ones, the one that is named first.

    If the client accepts none of `languages`, return the first of them.
    """
    weights: dict[str, float] = {}
    for tag, weight in _weights(request, "Accept-Language").items():
        language = tag.partition("-")[0]
        weights[language] = max(weight, weights.get(language, 0))
    others = weights.get("*", 0)
    known = [language for language in (*weights, *languages) if language in languages]
    best = max(known, key=lambda language: weights.get(language, others))
    return best if weights.get(best, others) else languages[0]


def _weights(request: Request, name: str) -> dict[str, float]:
    """The members of a header field, in lower case. Malformed ones are left out."""
    members = ",".join(request.headers.getlist(name)).lower().split(",")
    found = (MEMBER.fullmatch(member) for member in members)
    return {match[1]: float(match[2] or 1) for match in found if match}
