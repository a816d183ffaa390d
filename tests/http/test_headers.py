from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from taskapi.settings import Settings
from tests.api import Api, request_token

pytestmark = pytest.mark.one_database

Start = Callable[[Settings], TestClient]

HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


@pytest.mark.parametrize("path", ["/users/me", "/tasks", "/livez", "/nothing", "/tasks/x", "/"])
def test_responses_have_security_headers(anna: Api, path: str) -> None:
    answer = anna.get(path, follow_redirects=False)
    assert HEADERS.items() <= dict(answer.headers).items()


def test_internal_errors_have_security_headers(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskapi.health.Health", None)
    answer = client.get("/livez")
    assert answer.status_code == 500
    assert HEADERS.items() <= dict(answer.headers).items()


def test_token_responses_are_not_stored(anna: Api) -> None:
    for password in ("wrong password", "correct horse battery staple"):
        answer = request_token(anna.client, anna.email, password)
        assert HEADERS.items() <= dict(answer.headers).items()
        assert answer.headers["pragma"] == "no-cache"


def test_docs_assets_are_revalidated(client: TestClient) -> None:
    answer = client.get("/docs/docs.js")
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["etag"]


PREFLIGHT = {
    "Origin": "https://app.example",
    "Access-Control-Request-Method": "PATCH",
    "Access-Control-Request-Headers": "authorization, content-type, if-match, idempotency-key",
}


def test_cors_is_off_by_default(client: TestClient) -> None:
    preflight = client.options("/tasks/1", headers=PREFLIGHT)
    answer = client.get("/livez", headers={"Origin": "https://app.example"})
    assert preflight.status_code == 405
    for headers in (preflight.headers, answer.headers):
        assert not [name for name in headers if name.startswith("access-control")]


def test_cors_allows_the_configured_origins(start: Start, settings: Settings) -> None:
    origins = ("https://app.example", "https://admin.example")
    client = start(settings.model_copy(update={"cors_origins": origins}))
    preflight = client.options("/tasks/1", headers=PREFLIGHT)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "https://app.example"
    assert "PATCH" in preflight.headers["access-control-allow-methods"]
    assert "authorization" in preflight.headers["access-control-allow-headers"].lower()
    answer = client.get("/tasks", headers={"Origin": "https://admin.example"})
    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == "https://admin.example"
    for header in ("ETag", "Link", "Location", "Retry-After", "X-Total-Count"):
        assert header in answer.headers["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in answer.headers
    other = client.get("/tasks", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers


def test_origins_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKAPI_CORS_ORIGINS", "https://a.example, https://b.example")
    assert Settings().cors_origins == ("https://a.example", "https://b.example")
