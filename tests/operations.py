"""The operations that the OpenAPI document declares, with a valid request for each.

An operation that is not named here must be private, and 404 for others than the owner.
"""

import re
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI

from taskapi.main import app
from tests.api import PASSWORD, Api

PUBLIC = {
    "GET /livez",
    "GET /readyz",
    "GET /.well-known/oauth-authorization-server",
    "POST /auth/token",
    "POST /auth/revoke",
    "POST /users",
}

STRANGERS = {
    "GET /users/{user_id}": 200,
    "PUT /users/{user_id}": 403,
    "PATCH /users/{user_id}": 403,
    "DELETE /users/{user_id}": 403,
}
"""What users who are not the owner are answered, where it is not 404."""

BODIES = {
    "POST /users": {"name": "Somebody", "email": "somebody@example.com", "password": PASSWORD}
}
"""Bodies in place of the examples in the document."""


@dataclass(frozen=True)
class Operation:
    """`body` is sent as JSON and `form` as a form; what stands in braces is the owner's."""

    method: str
    path: str
    success: int
    body: dict[str, Any] | None
    form: dict[str, Any] | None

    @property
    def options(self) -> dict[str, Any]:
        options = {"json": self.body, "data": self.form}
        return {name: value for name, value in options.items() if value is not None}

    @property
    def public(self) -> bool:
        return str(self) in PUBLIC

    @property
    def stranger(self) -> int:
        """The status for users who are not the owner."""
        return STRANGERS.get(str(self), 404 if "{" in self.path else self.success)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def documented(app: FastAPI) -> dict[str, dict[str, Any]]:
    """The document's operations by method and path, as `str(operation)` gives them."""
    return {
        f"{method.upper()} {path}": operation
        for path, methods in app.openapi()["paths"].items()
        for method, operation in methods.items()
    }


def _operation(name: str, declared: dict[str, Any]) -> Operation:
    method, path = name.split(" ")
    [success] = [int(status) for status in declared["responses"] if status < "300"]
    content = declared.get("requestBody", {}).get("content", {})
    examples = {media_type: told["example"] for media_type, told in content.items()}
    body = BODIES.get(name, examples.get("application/json"))
    return Operation(method, path, success, body, examples.get("application/x-www-form-urlencoded"))


OPERATIONS = [_operation(name, declared) for name, declared in documented(app).items()]


def path_parameters(owner: Api) -> dict[str, int]:
    """Ids for the parameters of all paths. The resources are the owner's."""
    [session] = owner.get("/auth/sessions").json()
    ids = {"user_id": owner.user_id, "session_id": session["id"]}
    bodies = {str(operation): operation.body for operation in OPERATIONS}
    for operation in OPERATIONS:
        collection = operation.path.rpartition("/")[0]
        for name in set(re.findall(r"{(\w+)}", operation.path)) - ids.keys():
            created = owner.post(collection, json=bodies[f"POST {collection}"])
            assert created.status_code == 201, created.text
            ids[name] = created.json()["id"]
    return ids
