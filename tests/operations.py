"""The operations that the OpenAPI document declares, with a valid request for each.

Tests that go through all operations fail for one that is not known here.
"""

from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI

from tests.api import PASSWORD, Api

USER = {"name": "Somebody", "email": "somebody@example.com"}
TASK = {"title": "Buy bread", "description": "", "status": "новая"}


@dataclass(frozen=True)
class Operation:
    """`body` is sent as JSON and `form` as a form; what stands in braces is the owner's."""

    method: str
    path: str
    success: int
    public: bool = False
    body: dict[str, Any] | None = None
    form: dict[str, Any] | None = None
    stranger: int | None = None
    """What another user is answered; None where everyone has their own."""

    @property
    def options(self) -> dict[str, Any]:
        options = {"json": self.body, "data": self.form}
        return {name: value for name, value in options.items() if value is not None}

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


TOKEN_FORM = {"grant_type": "password", "username": "anna@example.com", "password": PASSWORD}

OPERATIONS = [
    Operation("GET", "/livez", 200, public=True),
    Operation("GET", "/readyz", 200, public=True),
    Operation("GET", "/.well-known/oauth-authorization-server", 200, public=True),
    Operation("POST", "/auth/token", 200, public=True, form=TOKEN_FORM),
    Operation("POST", "/auth/revoke", 200, public=True, form={"token": "unknown"}),
    Operation("GET", "/auth/sessions", 200),
    Operation("DELETE", "/auth/sessions", 204),
    Operation("DELETE", "/auth/sessions/{session_id}", 204, stranger=404),
    Operation("POST", "/users", 201, public=True, body={**USER, "password": PASSWORD}),
    Operation("GET", "/users", 200),
    Operation("GET", "/users/me", 200),
    Operation("GET", "/users/{user_id}", 200, stranger=200),
    Operation("PUT", "/users/{user_id}", 200, body=USER, stranger=403),
    Operation("PATCH", "/users/{user_id}", 200, body={"name": "Else"}, stranger=403),
    Operation("DELETE", "/users/{user_id}", 204, stranger=403),
    Operation("GET", "/tasks", 200),
    Operation("POST", "/tasks", 201, body=TASK),
    Operation("GET", "/tasks/{task_id}", 200, stranger=404),
    Operation("PUT", "/tasks/{task_id}", 200, body=TASK, stranger=404),
    Operation("PATCH", "/tasks/{task_id}", 200, body={"title": "Else"}, stranger=404),
    Operation("DELETE", "/tasks/{task_id}", 204, stranger=404),
]


def path_parameters(owner: Api) -> dict[str, int]:
    """Ids for the parameters of all paths. The resources are the owner's."""
    [session] = owner.get("/auth/sessions").json()
    task = owner.create_task()
    return {"user_id": owner.user_id, "session_id": session["id"], "task_id": task["id"]}


def documented(app: FastAPI) -> dict[str, dict[str, Any]]:
    """The document's operations by method and path, as `str(operation)` gives them."""
    return {
        f"{method.upper()} {path}": operation
        for path, methods in app.openapi()["paths"].items()
        for method, operation in methods.items()
    }
