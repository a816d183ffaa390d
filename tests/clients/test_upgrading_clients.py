"""Clients that offer HTTP/2 over plain HTTP: Java's, with its defaults, and curl --http2.

Skipped where they are missing, but not where CI is set: Debian's packages default-jdk-headless and
curl.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from taskapi.app import create_app
from taskapi.settings import Settings
from tests.fixtures import SECRET_KEY
from tests.server import ROOT, serve_in_thread

pytestmark = pytest.mark.filterwarnings(
    # Sockets that the tests of this folder before left to the collector.
    "ignore::pytest.PytestUnraisableExceptionWarning"
)

USER = '{"name":"Anna","email":"anna@example.com","password":"correct horse battery staple"}'


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    settings = Settings(
        database_url=f"sqlite:///{tmp_path}/taskapi.db",
        secret_keys=(SecretStr(SECRET_KEY),),
        password_hash_memory=32,
        password_hash_iterations=1,
    )
    with serve_in_thread(create_app(settings), "taskapi.http.protocol:HTTPProtocol") as port:
        yield f"http://127.0.0.1:{port}"


def run(program: str, *arguments: str | Path) -> str:
    path = shutil.which(program)
    if not path and not os.environ.get("CI"):
        pytest.skip(f"needs {program}: apt install default-jdk-headless curl")
    assert path, f"{program} is not installed"
    done = subprocess.run(
        [path, *arguments], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_java_with_its_defaults(url: str) -> None:
    printed = run("java", ROOT / "tests/clients/Session.java", url)
    assert printed.splitlines()[-1] == "POST 422 HTTP_1_1"


def test_curl_that_offers_http_2(url: str) -> None:
    options = "--silent", "--show-error", "--max-time", "300", "--http2", "--include"
    json = "--header", "Content-Type: application/json"
    printed = run("curl", *options, *json, "--data", USER, f"{url}/users")
    assert "HTTP/1.1 201 Created" in printed


def test_curl_that_offers_a_websocket(url: str) -> None:
    offer = "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"
    lines = (*offer, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")
    headers = [argument for line in lines for argument in ("--header", line)]
    printed = run("curl", "--silent", "--max-time", "300", "--include", *headers, f"{url}/tasks")
    assert "HTTP/1.1 401 Unauthorized" in printed
