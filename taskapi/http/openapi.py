"""What the OpenAPI document says beside what FastAPI finds out by itself."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI

from taskapi.exceptions import MEDIA_TYPE, InvalidRequest, Problem
from taskapi.http import problem_details
from taskapi.http.problem_details import (
    InvalidRequestDetails,
    ProblemDetails,
    TokenProblemDetails,
    example,
)
from taskapi.logging import REQUEST_ID
from taskapi.models import MAX_ID

TEXT = {"type": "string", "pattern": r"^[^\x00]*$", "maxLength": 10_000}
COUNT = {"type": "integer", "minimum": 0, "maximum": MAX_ID}

HEADERS: dict[str, dict[str, Any]] = {
    "Access-Control-Allow-Origin": {
        "description": "The origin of the page that asks, where TASKAPI_CORS_ORIGINS has it.",
        "schema": TEXT,
    },
    "ETag": {
        "description": "The version of the task, for If-Match and If-None-Match.",
        "required": True,
        "schema": {"type": "string", "pattern": '^"[0-9]+"$', "maxLength": 100},
    },
    "Link": {
        "description": 'The next page, as rel="next" (RFC 8288); there is none on the last.',
        "schema": {"type": "string", "pattern": '^<[^>]+>; rel="next"$', "maxLength": 10_000},
    },
    "Location": {
        "description": "The address of what was created.",
        "required": True,
        "schema": {"type": "string", "format": "uri-reference", "maxLength": 10_000},
    },
    "Retry-After": {
        "description": "Seconds to wait before trying again.",
        "required": True,
        "schema": COUNT,
    },
    "WWW-Authenticate": {
        "description": "What is wrong with the token (RFC 6750, RFC 9470).",
        "required": True,
        "schema": {"type": "string", "pattern": "^Bearer ", "maxLength": 1000},
    },
    "X-Request-ID": {
        "description": "The request id, as in the service's log.",
        "required": True,
        "schema": {"type": "string", "pattern": f"^{REQUEST_ID.pattern}$", "maxLength": 128},
    },
    "X-Total-Count": {
        "description": "How many items all pages have together, if `total` asks for it.",
        "schema": COUNT,
    },
}
OF_EVERY_ANSWER = ("Access-Control-Allow-Origin", "X-Request-ID")
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
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


class DocumentedAPI(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """The document, with what holds for every operation.

        FastAPI's own 422 is left out, which operations answer in their own way.
        """
        if self.openapi_schema:
            return self.openapi_schema
        document = super().openapi()
        document["components"]["headers"] = HEADERS
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
                    answer.setdefault("headers", {}).update(_headers(*OF_EVERY_ANSWER))
                for message in (operation.get("requestBody", {}), *answers.values()):
                    for content in message.get("content", {}).values():
                        if "examples" not in content:
                            content["example"] = _example(content["schema"], schemas)
        _name_integer_formats(document)
        return document


def _name_integer_formats(node: object) -> None:
    """Ids need 64 bits, which clients in some languages have to be told."""
    if isinstance(node, dict):
        if node.get("type") == "integer":
            node["format"] = "int64"
        for child in node.values():
            _name_integer_formats(child)
    elif isinstance(node, list):
        for child in node:
            _name_integer_formats(child)


def _example(schema: dict[str, Any], schemas: dict[str, Any]) -> Any:  # noqa: ANN401 -- of any type
    """An example put together from those of the fields."""
    if "$ref" in schema:
        return _example(schemas[schema["$ref"].rsplit("/", 1)[1]], schemas)
    if "examples" in schema:
        return schema["examples"][0]
    if "oneOf" in schema:
        return _example(schema["oneOf"][0], schemas)
    if "items" in schema:
        return [_example(schema["items"], schemas)]
    if "properties" in schema:
        return {name: _example(field, schemas) for name, field in schema["properties"].items()}
    return schema.get("const", schema.get("enum", [None])[0])
