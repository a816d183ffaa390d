"""What a client of the service does, for tests to say in one line."""

from dataclasses import dataclass
from typing import Any, Self

from fastapi.testclient import TestClient
from httpx2 import Response

from tests.client import Client

PASSWORD = "correct horse battery staple"


@dataclass
class Api:
    """The service, as somebody who is logged in uses it."""

    client: TestClient
    user_id: int
    email: str
    token: str

    @classmethod
    def register(cls, client: TestClient, email: str, name: str = "Somebody") -> Self:
        body = {"name": name, "email": email, "password": PASSWORD}
        created = client.post("/users", json=body)
        assert created.status_code == 201, created.text
        return cls(client, created.json()["id"], email, log_in(client, email))

    def request(self, method: str, path: str, **options: Any) -> Response:
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        return self.client.request(method, path, headers=headers, **options)

    def get(self, path: str, **options: Any) -> Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> Response:
        return self.request("POST", path, **options)

    def put(self, path: str, **options: Any) -> Response:
        return self.request("PUT", path, **options)

    def patch(self, path: str, **options: Any) -> Response:
        return self.request("PATCH", path, **options)

    def delete(self, path: str, **options: Any) -> Response:
        return self.request("DELETE", path, **options)

    def create_task(self, title: str = "Buy bread", **fields: str) -> dict[str, Any]:
        created = self.post("/tasks", json={"title": title, **fields})
        assert created.status_code == 201, created.text
        task: dict[str, Any] = created.json()
        return task


def from_address(client: TestClient, address: str) -> TestClient:
    """Return a client of the same running service that has another address."""
    other = Client(client.app, (address, 50000))
    other.portal = client.portal
    return other


def request_token(client: TestClient, email: str, password: str = PASSWORD) -> Response:
    form = {"grant_type": "password", "username": email, "password": password}
    return client.post("/auth/token", data=form)


def refresh(client: TestClient, refresh_token: str) -> Response:
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    return client.post("/auth/token", data=form)


def log_in(client: TestClient, email: str, password: str = PASSWORD) -> str:
    answer = request_token(client, email, password)
    assert answer.status_code == 200, answer.text
    token: str = answer.json()["access_token"]
    return token


def check_problem(answer: Response, status: int, slug: str) -> dict[str, Any]:
    """Check that the answer is this problem, whole, and return it."""
    assert answer.status_code == status, answer.text
    problem: dict[str, Any] = answer.json()
    media_type = "application/json" if "error" in problem else "application/problem+json"
    assert answer.headers["content-type"] == media_type
    assert problem["type"] == f"/problems/{slug}"
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert problem["instance"] == answer.headers["x-request-id"]
    return problem


def faults(answer: Response) -> list[tuple[str, str]]:
    """Where an invalid request is said to be wrong."""
    problem = check_problem(answer, 422, "invalid-request")
    return [(fault["in"], fault["pointer"]) for fault in problem["errors"]]
