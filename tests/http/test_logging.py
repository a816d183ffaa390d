import asyncio
import json
import logging
import re
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from taskapi.http.middleware import RequestLoggingMiddleware, UnhandledErrorMiddleware
from taskapi.settings import Settings
from tests.api import PASSWORD, Api

pytestmark = pytest.mark.one_database

Start = Callable[[Settings], TestClient]

MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


def lines(captured: pytest.CaptureFixture[str]) -> list[str]:
    return captured.readouterr().err.splitlines()


def test_each_request_gets_an_id(client: TestClient) -> None:
    ids = {client.get("/livez").headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3


def test_the_clients_request_id_is_kept(client: TestClient) -> None:
    answer = client.get("/livez", headers={"X-Request-ID": "trace-1.a_B"})
    assert answer.headers["x-request-id"] == "trace-1.a_B"


def test_each_request_is_logged_in_one_line(
    start: Start, settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    client = start(settings)
    client.get("/livez", headers={"X-Request-ID": "abc"})
    [line] = [line for line in lines(capfd) if "/livez" in line]
    assert re.match(f"{MOMENT} INFO GET /livez 200 ", line)
    assert line.endswith(" abc")


def test_log_lines_can_be_json(
    start: Start,
    settings: Settings,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = start(settings.model_copy(update={"log_format": "json"}))
    lines(capfd)
    client.get("/nothing", headers={"X-Request-ID": "abc"})
    [line] = lines(capfd)
    entry = json.loads(line)
    assert entry.pop("milliseconds") > 0
    assert re.fullmatch(MOMENT, entry.pop("time"))
    assert entry.pop("message").startswith("GET /nothing 404 ")
    assert entry == {
        "level": "INFO",
        "method": "GET",
        "path": "/nothing",
        "status": 404,
        "request_id": "abc",
    }
    monkeypatch.setattr("taskapi.health.Health", None)
    client.get("/livez")
    assert "TypeError" in json.loads(lines(capfd)[0])["exception"]


def test_paths_cannot_forge_log_lines(
    start: Start, settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    client = start(settings)
    client.get("/a%0Ab")
    [line] = [line for line in lines(capfd) if "b" in line and "GET" in line]
    assert "/a%0Ab" in line


def test_secrets_are_not_logged(
    start: Start,
    settings: Settings,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = start(settings)
    caplog.set_level(logging.DEBUG)
    anna = Api.register(client, "anna@example.com")
    anna.post("/tasks", json={"title": "the title"})
    anna.get("/tasks?after=the-cursor")
    anna.patch(f"/users/{anna.user_id}", json={"password": "another password"})
    logged = capfd.readouterr().err + "".join(
        record.getMessage() for record in caplog.records if record.name.startswith("taskapi")
    )
    assert "POST /auth/token 200" in logged
    for secret in (PASSWORD, anna.token, anna.email, "the title", "the-cursor", "another"):
        assert secret not in logged


def test_an_error_after_the_response_started_is_raised() -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("broken off")

    with pytest.raises(RuntimeError, match="broken off"):
        TestClient(RequestLoggingMiddleware(UnhandledErrorMiddleware(app))).get("/")


@pytest.mark.parametrize("begun", [True, False])
def test_a_cancelled_request_is_unavailable(*, begun: bool) -> None:
    """As uvicorn does when it stops and the grace period is over."""
    sent: list[Message] = []

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        if begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.Event().wait()

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    async def cancel() -> None:
        scope = {"type": "http", "method": "GET", "path": "/", "raw_path": b"/", "headers": []}
        service = RequestLoggingMiddleware(UnhandledErrorMiddleware(app))
        task = asyncio.create_task(service(scope, receive, send))
        await asyncio.sleep(0)
        task.cancel()
        await task

    if begun:
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(cancel())
        assert [message["type"] for message in sent] == ["http.response.start"]
    else:
        asyncio.run(cancel())
        assert sent[0]["status"] == 503
        assert (b"retry-after", b"1") in sent[0]["headers"]
        assert b"/problems/unavailable" in sent[1]["body"]
