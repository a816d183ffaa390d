"""Every field of every JSON request body is stored, also one that is added tomorrow.

The fields are those of the OpenAPI document. Each is sent with a value that is neither its default
nor its current value, and read back; a password, by logging in with it.
"""

from itertools import count
from typing import Any

import pytest

from taskapi.main import app
from tests.api import Api, log_in
from tests.operations import documented

Json = dict[str, Any]

SCHEMAS: dict[str, Json] = app.openapi()["components"]["schemas"]
JSON_BODIES: dict[str, Json] = {
    name: operation["requestBody"]["content"]["application/json"]["schema"]
    for name, operation in documented(app).items()
    if "application/json" in operation.get("requestBody", {}).get("content", {})
}

BY_FORMAT = {
    "email": "somebody.{}@example.com",
    "date": "2{:03}-01-01",
    "date-time": "2{:03}-01-01T00:00:00Z",
    "uuid": "00000000-0000-4000-8000-{:012}",
    None: "Text {}",
    "password": "a password with number {}",
}

numbers = count(1)


def resolve(schema: Json) -> Json:
    """Follow references, and take the first alternative of a field that may also be null."""
    if "anyOf" in schema:
        schema = next(each for each in schema["anyOf"] if each.get("type") != "null")
    return resolve(SCHEMAS[schema["$ref"].rpartition("/")[2]]) if "$ref" in schema else schema


def new_value(field: Json, current: object) -> object:
    """A valid value that is neither the default nor the current one."""
    schema = resolve(field)
    match schema:
        case {"enum": values}:
            return next(each for each in values if each not in {field.get("default"), current})
        case {"type": "boolean"}:
            return not (field.get("default", False) if current is None else current)
        case {"type": "integer" | "number"}:
            return schema.get("minimum", 0) + next(numbers)
        case {"type": "string"}:
            return BY_FORMAT[schema.get("format")].format(next(numbers))
    raise NotImplementedError(f"no value is known for {schema}")


def new_body(operation: str, current: Json) -> Json:
    properties = resolve(JSON_BODIES[operation])["properties"]
    return {name: new_value(field, current.get(name)) for name, field in properties.items()}


def check_stored(api: Api, path: str, body: Json) -> None:
    body = dict(body)
    stored = api.get(path).json()
    if password := body.pop("password", None):
        log_in(api.client, stored["email"], password)
    assert {name: stored[name] for name in body} == body


def create(api: Api, collection: str, body: Json) -> str:
    created = api.post(collection, json=body)
    assert created.status_code == 201, created.text
    return created.headers["location"]


def own(api: Api, path: str) -> str:
    """The path of a resource that the caller may change, where `path` has a parameter."""
    collection = path.rpartition("/")[0]
    if collection == "/users":
        return f"/users/{api.user_id}"
    return create(api, collection, new_body(f"POST {collection}", {}))


def change(api: Api, method: str, path: str, body: Json) -> None:
    changed = api.request(method, path, json=body)
    assert changed.status_code == 200, changed.text
    check_stored(api, path, body)


@pytest.mark.parametrize("operation", [name for name in JSON_BODIES if name.startswith("POST ")])
def test_every_field_of_a_new_resource_is_stored(anna: Api, operation: str) -> None:
    body = new_body(operation, {})
    check_stored(anna, create(anna, operation.removeprefix("POST "), body), body)


@pytest.mark.parametrize("operation", [n for n in JSON_BODIES if not n.startswith("POST ")])
def test_every_field_of_a_change_is_stored(anna: Api, operation: str) -> None:
    method, _, template = operation.partition(" ")
    path = own(anna, template)
    change(anna, method, path, new_body(operation, anna.get(path).json()))


@pytest.mark.parametrize("operation", [name for name in JSON_BODIES if name.startswith("PATCH ")])
def test_every_field_can_be_changed_alone(anna: Api, operation: str) -> None:
    path = own(anna, operation.removeprefix("PATCH "))
    for name, value in new_body(operation, anna.get(path).json()).items():
        change(anna, "PATCH", path, {name: value})
