import asyncio
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient
from pydantic import ValidationError

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


def test_pages_can_read_errors_of_the_service_and_of_its_end(
    start: Start, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Failed: for a page, a 500 and the 503 of a shutdown were network errors."""
    client = start(settings.model_copy(update={"cors_origins": ("https://app.example",)}))
    for error, status in ((RuntimeError, 500), (asyncio.CancelledError, 503)):

        def fail(error: type[BaseException] = error) -> None:
            raise error

        monkeypatch.setattr("taskapi.health.Health", fail)
        answer = client.get("/livez", headers={"Origin": "https://app.example"})
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        assert answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("value", "origins"),
    [
        ("https://a.example, https://b.example", ("https://a.example", "https://b.example")),
        ('["https://a.example", "http://[::1]:8080"]', ("https://a.example", "http://[::1]:8080")),
        ("HTTPS://App.Example:443/", ("https://app.example",)),
        ("http://localhost:443,http://x:80", ("http://localhost:443", "http://x")),
        ("https://пример.рф", ("https://xn--e1afmkfd.xn--p1ai",)),
        ("capacitor://localhost", ("capacitor://localhost",)),
        ("*", ("*",)),
        ("", ()),
    ],
)
def test_origins_are_written_as_browsers_send_them(
    monkeypatch: pytest.MonkeyPatch, value: str, origins: tuple[str, ...]
) -> None:
    monkeypatch.setenv("TASKAPI_CORS_ORIGINS", value)
    assert Settings().cors_origins == origins


@pytest.mark.parametrize(
    "value",
    [
        "app.example.com",
        "localhost:3000",
        "https://app.example.com/tasks",
        "https://app.example.com?x",
        "https://me@app.example.com",
        "https://*.example.com",
        "https://app.example.com:port",
        "https:///x",
        "https://a..example",
        "null",
        '["https://a.example"',
    ],
)
def test_what_is_no_origin_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Failed: it was accepted, and matched no page."""
    monkeypatch.setenv("TASKAPI_CORS_ORIGINS", value)
    with pytest.raises(ValidationError, match="cors_origins"):
        Settings()
