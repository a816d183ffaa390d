"""What the OpenAPI document says beside what FastAPI finds out by itself."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI

from taskapi import problem_details
from taskapi.problem_details import (
    InvalidRequestDetails,
    ProblemDetails,
    TokenProblemDetails,
    example,
)
from taskapi.problems import MEDIA_TYPE, InvalidRequest, Problem

HEADERS = {
    "ETag": ("The version of the task, for If-Match and If-None-Match.", '"1"'),
    "Link": ('The next page, as rel="next" (RFC 8288); absent on the last.', '</x>; rel="next"'),
    "Location": ("The address of what was created.", "/tasks/1"),
    "Retry-After": ("Seconds to wait before trying again.", "5"),
    "WWW-Authenticate": ("What is wrong with the token (RFC 6750, RFC 9470).", "Bearer"),
    "X-Request-ID": ("The request id, as in the service's log.", "5f0c6a52b3a94a0e"),
    "X-Total-Count": ("How many items all pages have, if `total` asks for it.", "42"),
}
OPTIONAL = {"Link", "X-Total-Count"}
OF_STATUS = {401: ["WWW-Authenticate"], 429: ["Retry-After"], 503: ["Retry-After"]}

Documented = dict[int | str, dict[str, Any]]


def responses(
    *problems: type[Problem],
    headers: Mapping[int, tuple[str, ...]] | None = None,
    oauth2: bool = False,
) -> Documented:
    """The `responses=` of an operation that can answer with these problems.

    `headers` are those of its other answers, by status; `oauth2` tells that the problems are OAuth
    2.0 errors as well.
    """
    documented: Documented = {}
    for problem in problems:
        answer = documented.setdefault(problem.status, _problem(problem, oauth2=oauth2))
        examples = answer["content"][MEDIA_TYPE]["examples"]
        examples[problem.slug] = {"value": example(problem, oauth2=oauth2)}
    for status, names in (headers or {}).items():
        documented[status] = {"headers": _headers(*names)}
    return documented


def _problem(problem: type[Problem], *, oauth2: bool) -> dict[str, Any]:
    model: type[ProblemDetails] = ProblemDetails
    if oauth2:
        model = TokenProblemDetails
    elif problem is InvalidRequest:
        model = InvalidRequestDetails
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {
        "description": problem.title,
        "headers": _headers(*OF_STATUS.get(problem.status, [])),
        "content": {MEDIA_TYPE: {"schema": schema, "examples": {}}},
    }


def _headers(*names: str) -> dict[str, Any]:
    return {
        name: {
            "description": HEADERS[name][0],
            "required": name not in OPTIONAL,
            "schema": {"type": "string", "maxLength": 10_000},
            "example": HEADERS[name][1],
        }
        for name in names
    }


class DocumentedAPI(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """The document, with what holds for every operation.

        FastAPI's own 422 is left out, which operations answer in their own way.
        """
        if self.openapi_schema:
            return self.openapi_schema
        document = super().openapi()
        schemas = document["components"]["schemas"]
        del schemas["HTTPValidationError"], schemas["ValidationError"]
        schemas.update(problem_details.schemas())
        for operations in document["paths"].values():
            for operation in operations.values():
                operation.setdefault("security", [])
                answers = operation["responses"]
                if "application/json" in answers.get("422", {}).get("content", {}):
                    del answers["422"]
                for answer in answers.values():
                    answer.setdefault("headers", {}).update(_headers("X-Request-ID"))
        return document
