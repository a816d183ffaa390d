"""The answers to errors, built from the models that document them."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from fastapi import Request
from opentelemetry.util.types import Attributes
from pydantic import Field
from sqlmodel import SQLModel
from starlette.responses import JSONResponse

from taskapi.exceptions import InvalidRequest, Problem, RetryableProblem
from taskapi.models import MAX_ERRORS, DocstringMixin, ErrorItem, Text
from taskapi.telemetry.metrics import metrics

ProblemKind = type[Problem]

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
EXAMPLE_ID = "5f0c6a52b3a94a0e8f1f7a3f1b0c9d2e"


class ProblemDetails(DocstringMixin, SQLModel):
    """Problem details for HTTP APIs (RFC 9457)."""

    model_config = {"title": "Problem", "use_attribute_docstrings": True}

    media_type: ClassVar = "application/problem+json"

    type: str = Field(
        max_length=500,
        examples=["/problems/not-found"],
        json_schema_extra={"format": "uri-reference"},
    )
    """The kind of problem, and the address of a page about it."""
    title: Text = Field(max_length=100, examples=["Not found"])
    """The kind of problem in a few words."""
    status: int = Field(ge=400, le=599, examples=[404])
    """The HTTP status code."""
    detail: Text = Field(max_length=10_000, examples=["There is no such task."])
    """What was wrong with this request."""
    instance: str = Field(max_length=128, pattern=f"^{REQUEST_ID.pattern}$", examples=[EXAMPLE_ID])
    """The request id, as in the X-Request-ID header and in the service's log."""

    @classmethod
    def build(
        cls,
        kind: ProblemKind,
        detail: str,
        instance: str,
        members: Mapping[str, Any],
        root_path: str = "",
    ) -> Self:
        """`members` are those that the model has beside RFC 9457's."""
        return cls(
            type=f"{root_path}/problems/{kind.slug}",
            title=kind.title,
            status=kind.status,
            detail=detail,
            instance=instance,
            **members,
        )


class InvalidRequestDetails(ProblemDetails):
    """Problem details of an invalid request, with everything that was found to be wrong."""

    model_config = {"title": "InvalidRequest"}

    errors: list[ErrorItem] = Field(
        max_length=MAX_ERRORS, examples=[InvalidRequest.example["errors"]]
    )
    """Everything that was found to be wrong."""


MODELS: Mapping[ProblemKind, type[ProblemDetails]] = {InvalidRequest: InvalidRequestDetails}
"""The models of the kinds that have members beside those of RFC 9457."""

Model = type[ProblemDetails]


def model_of(kind: ProblemKind, override: Model | None = None) -> Model:
    return override or MODELS.get(kind, ProblemDetails)


def respond(request: Request, problem: Problem, override: Model | None = None) -> JSONResponse:
    """`override` is the model to use in place of the kind's own."""
    kind = type(problem)
    if isinstance(problem, RetryableProblem):
        labels: Attributes = {"http.response.status_code": problem.status, "cause": problem.cause}
        metrics.refusals.add(1, labels)
    details = model_of(kind, override).build(
        kind,
        problem.detail,
        request.state.request_id,
        problem.members,
        request.scope.get("root_path", "").rstrip("/"),
    )
    return JSONResponse(
        details.model_dump(),
        status_code=problem.status,
        headers=problem.headers,
        media_type=details.media_type,
    )


def example(kind: ProblemKind, override: Model | None = None) -> dict[str, Any]:
    details = model_of(kind, override).build(kind, kind.description, EXAMPLE_ID, kind.example)
    return details.model_dump()
