"""What the OpenAPI document says of errors."""

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from taskapi.problems import (
    MEDIA_TYPE,
    InvalidGrant,
    InvalidRequest,
    InvalidTokenRequest,
    Problem,
)


class ProblemDetails(BaseModel):
    """Problem details for HTTP APIs (RFC 9457)."""

    model_config = {"title": "Problem", "use_attribute_docstrings": True}

    type: str = Field(json_schema_extra={"format": "uri-reference"})
    """Address of a page about this kind of problem; tell kinds apart by it."""
    title: str
    """The kind of problem in a few words."""
    status: int
    """The HTTP status code."""
    detail: str
    """What was wrong with this request."""
    instance: str
    """The request id, as in the X-Request-ID header and in the service's log."""


class Fault(BaseModel):
    """One thing that is wrong with a request."""

    model_config = {
        "serialize_by_alias": True,
        "use_attribute_docstrings": True,
        "validate_by_name": True,
    }

    part: str = Field(alias="in", json_schema_extra={"enum": ["path", "query", "header", "body"]})
    """The part of the request: `path`, `query`, `header` or `body`."""
    pointer: str
    """JSON pointer (RFC 6901) into that part; empty for all of it."""
    detail: str
    """What is wrong there."""


class InvalidRequestDetails(ProblemDetails):
    """Problem details of a request that is invalid, with every fault that was found."""

    model_config = {"title": "InvalidRequest"}

    errors: list[Fault]


class TokenProblemDetails(ProblemDetails):
    """Problem details that are an OAuth 2.0 error response as well (RFC 6749, section 5.2)."""

    model_config = {"title": "TokenProblem"}

    error: str
    error_description: str


_DETAILS: dict[type[Problem], type[ProblemDetails]] = {
    InvalidRequest: InvalidRequestDetails,
    InvalidGrant: TokenProblemDetails,
    InvalidTokenRequest: TokenProblemDetails,
}


def _problem_schemas() -> dict[str, Any]:
    models: set[type[BaseModel]] = {ProblemDetails, *_DETAILS.values()}
    _, schema = models_json_schema(
        [(model, "serialization") for model in models],
        ref_template="#/components/schemas/{model}",
    )
    definitions: dict[str, Any] = schema["$defs"]
    return definitions


def example(problem: type[Problem]) -> dict[str, Any]:
    return {
        "type": f"/problems/{problem.slug}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.__doc__,
        "instance": "5f0c6a52b3a94a0e8f1f7a3f1b0c9d2e",
    } | problem.example


def responses(*problems: type[Problem]) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of an operation that can answer with these problems."""
    documented: dict[int | str, dict[str, Any]] = {}
    for problem in problems:
        model = _DETAILS.get(problem, ProblemDetails).__name__
        documented[problem.status] = {
            "description": problem.title,
            "content": {
                MEDIA_TYPE: {
                    "schema": {"$ref": f"#/components/schemas/{model}"},
                    "examples": {problem.slug: {"value": example(problem)}},
                }
            },
        }
    return documented


class DocumentedAPI(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """The document without FastAPI's own 422, which operations answer in their own way."""
        document = super().openapi()
        schemas = document["components"]["schemas"]
        schemas.update(_problem_schemas())
        if schemas.pop("HTTPValidationError", None):
            del schemas["ValidationError"]
            for operations in document["paths"].values():
                for operation in operations.values():
                    if "application/json" in operation["responses"].get("422", {}).get(
                        "content", {}
                    ):
                        del operation["responses"]["422"]
        return document
