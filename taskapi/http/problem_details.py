"""The schemas of errors in the OpenAPI document, and an example of each."""

from typing import Any

from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from taskapi.exceptions import MAX_FAULTS, MAX_POINTER, Problem
from taskapi.logging import REQUEST_ID
from taskapi.models import Text


class ProblemDetails(BaseModel):
    """Problem details for HTTP APIs (RFC 9457)."""

    model_config = {"title": "Problem", "use_attribute_docstrings": True}

    type: str = Field(max_length=500, json_schema_extra={"format": "uri-reference"})
    """Address of a page about this kind of problem; tell kinds apart by it."""
    title: Text = Field(max_length=100)
    """The kind of problem in a few words."""
    status: int = Field(ge=400, le=599)
    """The HTTP status code."""
    detail: Text = Field(max_length=10_000)
    """What was wrong with this request."""
    instance: str = Field(max_length=128, pattern=f"^{REQUEST_ID.pattern}$")
    """The request id, as in the X-Request-ID header and in the service's log."""


class ErrorItem(BaseModel):
    """One thing that is wrong with a request."""

    model_config = {
        "serialize_by_alias": True,
        "use_attribute_docstrings": True,
        "validate_by_name": True,
    }

    part: str = Field(alias="in", json_schema_extra={"enum": ["path", "query", "header", "body"]})
    """The part of the request: `path`, `query`, `header` or `body`."""
    pointer: Text = Field(max_length=MAX_POINTER)
    """JSON pointer (RFC 6901) into that part; empty for all of it."""
    detail: Text = Field(max_length=500)
    """What is wrong there."""


class InvalidRequestDetails(ProblemDetails):
    """Problem details of a request that is invalid, with every fault that was found."""

    model_config = {"title": "InvalidRequest"}

    errors: list[ErrorItem] = Field(max_length=MAX_FAULTS)


class TokenProblemDetails(ProblemDetails):
    """Problem details that are an OAuth 2.0 error response as well (RFC 6749, section 5.2)."""

    model_config = {"title": "TokenProblem"}

    error: str = Field(max_length=100, pattern="^[a-z_]+$")
    """The code of RFC 6749, sections 5.2 and 4.1.2.1."""
    error_description: Text = Field(max_length=10_000)
    """The same as `detail`."""


def schemas() -> dict[str, Any]:
    """Of all these models, for `components/schemas`."""
    models: list[type[BaseModel]] = [InvalidRequestDetails, TokenProblemDetails, ProblemDetails]
    _, schema = models_json_schema(
        [(model, "serialization") for model in models],
        ref_template="#/components/schemas/{model}",
    )
    definitions: dict[str, Any] = schema["$defs"]
    return definitions


def example(problem: type[Problem], *, oauth2: bool = False) -> dict[str, Any]:
    detail = problem.__doc__
    members: dict[str, object] = {}
    if oauth2:
        members = {"error": problem.oauth2_error, "error_description": detail}
    return {
        "type": f"/problems/{problem.slug}",
        "title": problem.title,
        "status": problem.status,
        "detail": detail,
        "instance": "5f0c6a52b3a94a0e8f1f7a3f1b0c9d2e",
        **members,
        **problem.example,
    }
