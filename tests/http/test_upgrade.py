"""Requests that offer another protocol: none of their body is taken for a request."""

import re
import socket
from collections.abc import Iterator
from uuid import uuid4

import pytest
import uvicorn
from pydantic import SecretStr

from taskapi.app import create_app
from taskapi.settings import Settings
from tests.fixtures import SECRET_KEY
from tests.server import ROOT, serve_in_thread

OURS = "taskapi.http.protocol:HTTPProtocol"

H2C = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__"
WEBSOCKET = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13"
)
OFFERS = {"h2c": H2C, "websocket": WEBSOCKET, "split": "Connection: upgrade\r\nX: 1\r\nUpgrade: x"}

SMUGGLED = b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Request-ID: smuggled\r\n\r\n"
LAST = b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Request-ID: last\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module", params=[OURS, "httptools", "h11"])
def protocol(request: pytest.FixtureRequest) -> str:
    """uvicorn's `--http`: `fastapi dev` and `fastapi run` start it with httptools."""
    return str(request.param)


@pytest.fixture(scope="module", autouse=True)
def no_websockets() -> None:
    """uvicorn would hand over each connection that offers a websocket, and never answer some."""
    config = uvicorn.Config(lambda: None, log_config=None)
    config.load()
    assert config.ws_protocol_class is None, "run: uv sync --group judges"


@pytest.fixture(scope="module")
def address(protocol: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    settings = Settings(
        database_url=f"sqlite:///{tmp_path_factory.mktemp('upgrade')}/taskapi.db",
        secret_keys=(SecretStr(SECRET_KEY),),
        password_hash_memory=32,
        password_hash_iterations=1,
    )
    with serve_in_thread(create_app(settings), protocol) as port:
        yield "127.0.0.1", port


def head(method: str, path: str, *lines: str) -> bytes:
    start = f"{method} {path} HTTP/1.1", "Host: x", "X-Request-ID: first"
    return "\r\n".join([*start, "Content-Type: application/json", *lines, "", ""]).encode()


def user() -> bytes:
    text = b'{"name":"Anna","email":"%s@example.com","password":"correct horse battery staple"}'
    return text % uuid4().hex.encode()


def framed(body: bytes, *, chunked: bool) -> tuple[str, bytes]:
    if chunked:
        return "Transfer-Encoding: chunked", b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    return f"Content-Length: {len(body)}", body


def exchange(address: tuple[str, int], *parts: bytes) -> bytes:
    """Send each part after something was answered to the one before; all answers until the end."""
    answers = b""
    with socket.create_connection(address, timeout=60) as connection:
        try:
            for part in parts:
                connection.sendall(part)
                answers += connection.recv(1)
            while received := connection.recv(65536):
                answers += received
        except (BrokenPipeError, ConnectionResetError):  # it was closed with something unread
            pass
    return answers


def answered(answers: bytes) -> list[str]:
    """The request ids."""
    return re.findall(r"(?m)^x-request-id: (\w+)\r$", answers.decode())


@pytest.mark.parametrize("late", [False, True], ids=["at_once", "late"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_no_byte_of_a_body_is_executed(
    address: tuple[str, int], protocol: str, method: str, offer: str, *, chunked: bool, late: bool
) -> None:
    framing, body = framed(SMUGGLED, chunked=chunked)
    path = "/users" if method == "POST" else "/livez"
    if late and method == "POST":
        parts = [head(method, path, offer, framing, "Expect: 100-continue"), body + LAST]
    elif late:
        parts = [head(method, path, offer, framing), body + LAST]
    else:
        parts = [head(method, path, offer, framing) + body + LAST]
    answers = exchange(address, *parts)
    assert answered(answers) == (["first", "last"] if protocol == OURS else ["first"])


@pytest.mark.parametrize("protocol", ["httptools", "h11"], indirect=True)
@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)
def test_a_body_after_an_offer_is_refused_and_the_connection_closed(
    address: tuple[str, int], offer: str
) -> None:
    framing, body = framed(user(), chunked=False)
    answer = exchange(address, head("POST", "/users", offer, framing) + body)
    assert answer.startswith(b"HTTP/1.1 422 ")
    assert b"\r\ncontent-type: application/problem+json\r\n" in answer
    assert b"\r\nconnection: close\r\n" in answer
    assert b"A request with an Upgrade header can't have a body here." in answer


@pytest.mark.parametrize("protocol", ["httptools"], indirect=True)
def test_a_form_after_an_offer_is_refused_in_the_words_of_oauth(address: tuple[str, int]) -> None:
    form = head("POST", "/auth/token", H2C, "Content-Length: 1").replace(
        b"application/json", b"application/x-www-form-urlencoded"
    )
    answer = exchange(address, form + b"x")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"error":"invalid_request"' in answer
    assert b"A request with an Upgrade header can't have a body here." in answer


@pytest.mark.parametrize("protocol", [OURS], indirect=True)
@pytest.mark.parametrize("late", [False, True], ids=["at_once", "late"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)
def test_our_protocol_reads_a_body_after_an_offer(
    address: tuple[str, int], offer: str, *, chunked: bool, late: bool
) -> None:
    framing, body = framed(user(), chunked=chunked)
    if late:
        parts = [head("POST", "/users", offer, framing, "Expect: 100-continue"), body + LAST]
    else:
        parts = [head("POST", "/users", offer, framing) + body + LAST]
    answers = exchange(address, *parts)
    assert b"HTTP/1.1 201 Created" in answers
    assert answered(answers) == ["first", "last"]


@pytest.mark.parametrize("protocol", [OURS], indirect=True)
def test_our_protocol_takes_a_head_in_pieces(address: tuple[str, int]) -> None:
    framing, body = framed(user(), chunked=False)
    offer = head("POST", "/users", H2C, framing)
    whole = LAST.replace(b"Connection: close\r\n", b"") + offer
    answers = exchange(address, whole[:-20], whole[-20:] + body + LAST)
    assert answered(answers) == ["last", "first", "last"]
    assert b"HTTP/1.1 201 Created" in answers


@pytest.mark.parametrize("protocol", [OURS], indirect=True)
def test_our_protocol_answers_pipelined_offers_in_turn(address: tuple[str, int]) -> None:
    answers = exchange(address, head("GET", "/livez", H2C) * 100 + LAST)
    assert answered(answers) == ["first"] * 100 + ["last"]


@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)
def test_an_offer_without_a_body_is_answered_at_once(
    address: tuple[str, int], protocol: str, offer: str
) -> None:
    answers = exchange(address, head("GET", "/livez", offer), LAST)
    assert answers.startswith(b"HTTP/1.1 200 OK")
    assert answered(answers) == (["first", "last"] if protocol == OURS else ["first"])


def test_connect_is_refused_and_the_connection_closed(address: tuple[str, int]) -> None:
    framing, body = framed(SMUGGLED, chunked=False)
    answers = exchange(address, head("CONNECT", "/users", framing) + body, LAST)
    assert answers.startswith(b"HTTP/1.1 405 ")
    assert b"\r\nconnection: close\r\n" in answers
    assert answered(answers) == ["first"]


@pytest.mark.parametrize("protocol", [OURS], indirect=True)
@pytest.mark.parametrize("offer", ["X: 1", H2C], ids=["alone", "after_an_offer"])
def test_what_is_not_http_is_answered_with_400(address: tuple[str, int], offer: str) -> None:
    chunks = head("GET", "/livez", offer, "Transfer-Encoding: chunked") + SMUGGLED
    answers = exchange(address, chunks)
    assert b"HTTP/1.1 400 Bad Request" in answers
    assert "smuggled" not in answered(answers)


def test_what_is_said_to_start_the_service_starts_our_protocol() -> None:
    for name in ("Dockerfile", "docs/operations.md"):
        text = re.sub(r"\\\n", "", (ROOT / name).read_text())
        commands = re.findall(r"uvicorn taskapi\.main:app.*", re.sub(r'",\s*"', " ", text))
        assert commands, name
        assert all(f" --http {OURS} " in command for command in commands)
