from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from taskapi.settings import Settings
from tests.api import Api, check_problem, request_token
from tests.server import free_port


@pytest.mark.one_database
def test_attempts_are_counted_in_memory_while_redis_is_away(
    start: Callable[[Settings], TestClient], settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    shared = {"rate_limit_storage": f"redis://127.0.0.1:{free_port()}/0"}
    client = start(settings.model_copy(update=shared))
    Api.register(client, "anna@example.com")
    assert "rate limit storage unavailable" in caplog.text
    assert [request_token(client, "anna@example.com", "x").status_code for _ in range(10)] == [
        400
    ] * 10
    check_problem(request_token(client, "anna@example.com"), 429, "too-many-requests")


def test_an_unknown_storage_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKAPI_RATE_LIMIT_STORAGE", "mongodb://localhost")
    with pytest.raises(ValueError, match="rate_limit_storage"):
        Settings()
