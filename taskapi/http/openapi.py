"""Completes the OpenAPI document that FastAPI generates."""

from collections.abc import Iterable, Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from pydantic.json_schema import models_json_schema

from taskapi.exceptions import (
    PROBLEMS,
    ContentTooLarge,
    InvalidRequest,
    UnsupportedMediaType,
)
from taskapi.http.declarations import declared
from taskapi.http.etags import NotModified
from taskapi.http.problem_details import (
    MODELS,
    REQUEST_ID,
    Model,
    ProblemDetails,
    ProblemKind,
    example,
    model_of,
)
from taskapi.models import MAX_ID

FORM = "application/x-www-form-urlencoded"

TEXT = {"type": "string", "pattern": r"^[^\x00]*$", "maxLength": 10_000}
COUNT = {"type": "integer", "minimum": 0, "maximum": MAX_ID}

HEADERS: dict[str, dict[str, Any]] = {
    "Access-Control-Allow-Origin": {
        "description": "The origin of the calling page, if TASKAPI_CORS_ORIGINS contains it.",
        "schema": TEXT,
    },
    "ETag": {
        "description": "The version of the resource, for If-Match and If-None-Match.",
        "required": True,
        "schema": {"type": "string", "pattern": '^"[0-9]+"$', "maxLength": 100},
    },
    "Link": {
        "description": 'The next page, as rel="next" (RFC 8288). The last page has no such link.',
        "schema": {"type": "string", "pattern": '^<[^>]+>; rel="next"$', "maxLength": 10_000},
    },
    "Location": {
        "description": "The address of the created resource.",
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
        "description": "The number of items on all pages together, if `total` is true.",
        "schema": COUNT,
    },
}
COMMON_HEADERS = ("Access-Control-Allow-Origin", "X-Request-ID")

Json = dict[str, Any]


def with_headers(*names: str) -> Json:
    """Document the headers of a response, in the `responses` of an operation."""
    return {"headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names}}


def with_links(parameter: str, *operation_ids: str) -> Json:
    """Document which operations take the id of a created resource, in the `responses`."""
    parameters = {parameter: "$response.body#/id"}
    return {
        "links": {name: {"operationId": name, "parameters": parameters} for name in operation_ids}
    }


class DocumentedAPI(FastAPI):
    """A FastAPI application whose document has its errors, headers and examples.

    The errors of an operation are those that it and its dependencies declare with `raises`, and
    those that follow from its query and its body. A route class can replace the model of its
    errors (`problem_model`) and the error for invalid parameters (`invalid_request`).
    """

    def openapi(self) -> Json:
        if self.openapi_schema:
            return self.openapi_schema
        document = super().openapi()
        schemas = document["components"]["schemas"]
        document["components"]["headers"] = HEADERS
        models: set[Model] = {ProblemDetails, *MODELS.values()}
        for route in iter_route_contexts(self.routes):
            if isinstance(route.original_route, APIRoute) and route.include_in_schema:
                override = getattr(route.original_route, "problem_model", None)
                models |= {override} if override else set()
                for method in route.methods or ():
                    operation = document["paths"][route.path_format][method.lower()]
                    for source in declared(route.dependant, "reads"):
                        operation.setdefault("parameters", []).extend(source.document(schemas))
                    _add_errors(operation, route, override)
                    _complete(operation, schemas)
        del schemas["HTTPValidationError"], schemas["ValidationError"]
        schemas.update(_schemas(models))
        _set_integer_formats(document)
        return document


def _add_errors(operation: Json, route: RouteContext, override: Model | None) -> None:
    answers = operation["responses"]
    errors = set(_errors(operation, route))
    if NotModified in errors:
        answers["304"] = {"description": "Not modified", **with_headers("ETag")}
    for kind in PROBLEMS.values():
        if kind not in errors:
            continue
        documented = answers.setdefault(str(kind.status), _answer(kind, override))
        examples = documented["content"][model_of(kind, override).media_type]["examples"]
        examples[kind.slug] = {"value": example(kind, override)}
    operation["responses"] = dict(sorted(answers.items()))


def _errors(operation: Json, route: RouteContext) -> Iterator[type[Exception]]:
    yield from declared(route.dependant, "raises")
    content = operation.get("requestBody", {}).get("content", {})
    if content:
        yield ContentTooLarge
    if "application/json" in content:
        yield UnsupportedMediaType
    operation["responses"].pop("422", None)  # FastAPI's own, where there are parameters
    yield getattr(route.original_route, "invalid_request", InvalidRequest)


def _answer(kind: ProblemKind, override: Model | None) -> Json:
    model = model_of(kind, override)
    content = {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}, "examples": {}}
    return {
        "description": kind.title,
        **with_headers(*([kind.header] if kind.header else [])),
        "content": {model.media_type: content},
    }


def _complete(operation: Json, schemas: Json) -> None:
    """Add what every operation has."""
    operation.setdefault("security", [])
    answers = operation["responses"].values()
    for answer in answers:
        answer.setdefault("headers", {}).update(with_headers(*COMMON_HEADERS)["headers"])
    for message in (operation.get("requestBody", {}), *answers):
        for content in message.get("content", {}).values():
            if "examples" not in content:
                content["example"] = _example(content["schema"], schemas)
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        if media_type == FORM:  # Postman looks for the example of a form in its schema
            _resolve(content["schema"], schemas)["examples"] = [content["example"]]


def _schemas(models: Iterable[Model]) -> Json:
    ordered = sorted(models, key=lambda model: model.__name__)
    _, schema = models_json_schema(
        [(model, "serialization") for model in ordered],
        ref_template="#/components/schemas/{model}",
    )
    definitions: Json = schema["$defs"]
    return definitions


def _set_integer_formats(node: object) -> None:
    """Generated clients in some languages take 32 bits without it, too few for ids."""
    if isinstance(node, dict):
        if node.get("type") == "integer":
            node["format"] = "int64"
        for child in node.values():
            _set_integer_formats(child)
    elif isinstance(node, list):
        for child in node:
            _set_integer_formats(child)


def _resolve(schema: Json, schemas: Json) -> Json:
    resolved: Json = schemas[schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema
    return resolved


def _example(schema: Json, schemas: Json) -> Any:  # noqa: ANN401 -- of any type
    """Put an example together from those of the fields."""
    if "examples" in schema:
        return schema["examples"][0]
    schema = _resolve(schema, schemas)
    if "oneOf" in schema:
        return _example(schema["oneOf"][0], schemas)
    if "items" in schema:
        return [_example(schema["items"], schemas)]
    return {name: _example(field, schemas) for name, field in schema["properties"].items()}
