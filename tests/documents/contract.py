"""Which changes of an OpenAPI document break the clients of the older one."""

import json
from collections.abc import Iterator
from typing import Any

from taskapi.main import app

Json = dict[str, Any]

LIMITS = {"minLength": 1, "minimum": 1, "minItems": 1, "maxLength": -1, "maximum": -1}
"""Bounds of an input, with the direction in which they get narrower."""


def breaking_changes(old: Json, new: Json) -> list[str]:
    return list(_operations(old, new))


def _operations(old: Json, new: Json) -> Iterator[str]:
    for path, methods in old["paths"].items():
        for method, before in methods.items():
            name = f"{method.upper()} {path}"
            after = new["paths"].get(path, {}).get(method)
            if after is None:
                yield f"{name} is gone"
                continue
            if before["operationId"] != after["operationId"]:
                yield f"{name} has another operationId"
            yield from _parameters(name, before, after, old, new)
            yield from _bodies(name, before, after, old, new)
            yield from _answers(name, before, after, old, new)


def _parameters(name: str, before: Json, after: Json, old: Json, new: Json) -> Iterator[str]:
    known = {_key(parameter): parameter for parameter in before.get("parameters", [])}
    given = {_key(parameter): parameter for parameter in after.get("parameters", [])}
    for key in known.keys() - given.keys():
        yield f"{name} no longer takes the parameter {key[1]}"
    for key, parameter in given.items():
        where = f"{name} parameter {key[1]}"
        if parameter.get("required") and not known.get(key, {}).get("required"):
            yield f"{where} is now required"
        if key in known:
            yield from _input(where, known[key]["schema"], parameter["schema"], old, new)


def _key(parameter: Json) -> tuple[str, str]:
    """Header names are the same in upper and lower case."""
    name = parameter["name"]
    return parameter["in"], name.lower() if parameter["in"] == "header" else name


def _bodies(name: str, before: Json, after: Json, old: Json, new: Json) -> Iterator[str]:
    given = after.get("requestBody", {}).get("content", {})
    for media_type, body in before.get("requestBody", {}).get("content", {}).items():
        if media_type not in given:
            yield f"{name} no longer takes {media_type}"
        else:
            yield from _input(f"{name} body", body["schema"], given[media_type]["schema"], old, new)


def _answers(name: str, before: Json, after: Json, old: Json, new: Json) -> Iterator[str]:
    moved = _statuses(after)
    for slug, status in _statuses(before).items():
        if moved.get(slug, status) != status:
            yield f"{name} answers {slug} with {moved[slug]} instead of {status}"
    for status, answer in before["responses"].items():
        other = after["responses"].get(status)
        if other is None:
            if status < "300":
                yield f"{name} no longer answers {status}"
            continue
        for header in answer.get("headers", {}).keys() - other.get("headers", {}).keys():
            yield f"{name} {status} no longer has the header {header}"
        for media_type, content in answer.get("content", {}).items():
            if media_type not in other.get("content", {}):
                yield f"{name} {status} is no longer {media_type}"
            else:
                there = other["content"][media_type]["schema"]
                yield from _output(f"{name} {status}", content["schema"], there, old, new)


def _statuses(operation: Json) -> dict[str, str]:
    """The status of each kind of problem."""
    return {
        slug: status
        for status, answer in operation["responses"].items()
        if status >= "400"
        for content in answer["content"].values()
        for slug in content["examples"]
    }


def _resolve(schema: Json, document: Json) -> Json:
    if "$ref" in schema:
        resolved: Json = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        return resolved
    return schema


def _input(where: str, before: Json, after: Json, old: Json, new: Json) -> Iterator[str]:
    before, after = _resolve(before, old), _resolve(after, new)
    if before.get("type") != after.get("type"):
        yield f"{where} has another type"
        return
    taken = before.get("enum") or []
    for gone in set(taken) - set(after.get("enum") or taken):
        yield f"{where} no longer takes {gone}"
    for bound, direction in LIMITS.items():
        if bound in after and (
            bound not in before or (after[bound] - before[bound]) * direction > 0
        ):
            yield f"{where} has a narrower {bound}"
    for field in set(after.get("required", [])) - set(before.get("required", [])):
        yield f"{where} now requires {field}"
    for field, schema in before.get("properties", {}).items():
        if field not in after["properties"]:
            yield f"{where} no longer takes {field}"
        else:
            there = after["properties"][field]
            yield from _input(f"{where} {field}", schema, there, old, new)
    for one, other in zip(before.get("oneOf", []), after.get("oneOf", []), strict=False):
        yield from _input(where, one, other, old, new)


def _output(where: str, before: Json, after: Json, old: Json, new: Json) -> Iterator[str]:
    before, after = _resolve(before, old), _resolve(after, new)
    if before.get("type") != after.get("type"):
        yield f"{where} has another type"
        return
    for field in set(before.get("required", [])) - set(after.get("required", [])):
        yield f"{where} may lack {field}"
    for field, schema in before.get("properties", {}).items():
        if field not in after["properties"]:
            yield f"{where} no longer has {field}"
        else:
            there = after["properties"][field]
            yield from _output(f"{where} {field}", schema, there, old, new)
    if "items" in before:
        yield from _output(f"{where} items", before["items"], after["items"], old, new)


def render() -> str:
    return json.dumps(app.openapi(), ensure_ascii=False, indent=2) + "\n"
