"""The service behind nginx and Caddy, as docs/deployment configures them."""

import os
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import httpx2
import pytest
from fastapi.testclient import TestClient

from tests.api import PASSWORD, Api, check_problem
from tests.requirements import require_programs
from tests.server import ROOT, free_port, serve
from tests.waiting import HANG, wait_until

DOCUMENTED = ROOT / "docs/deployment"

MAIN = """
daemon off;
{user}
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    scgi_temp_path {folder}/scgi;
    uwsgi_temp_path {folder}/uwsgi;
    {site}
}}
"""

PROTOCOL = ("--http", "taskapi.http.protocol:HTTPProtocol")


@dataclass
class Place:
    """Where a proxy runs, and what it needs there."""

    folder: Path
    upstream: str
    """The service's address and port."""
    port: int = field(default_factory=free_port)
    tls_port: int = field(default_factory=free_port)

    @property
    def certificate(self) -> Path:
        return self.folder / "certificate.pem"

    @property
    def key(self) -> Path:
        return self.folder / "key.pem"


def nginx(place: Place) -> list[str | Path]:
    """Write the configuration, and return the command."""
    program = require_programs("nginx", install="apt-get install nginx-light")
    site = replace(
        DOCUMENTED / "nginx.conf",
        {
            "127.0.0.1:8000": place.upstream,
            "listen 80;": f"listen 127.0.0.1:{place.port};",
            "listen 443 ": f"listen 127.0.0.1:{place.tls_port} ",
            "/etc/ssl/certs/tasks.example.com.pem": str(place.certificate),
            "/etc/ssl/private/tasks.example.com.key": str(place.key),
        },
    )
    user = "user root;" if os.geteuid() == 0 else ""
    configuration = place.folder / "nginx.conf"
    configuration.write_text(MAIN.format(folder=place.folder, site=site, user=user))
    return [program, "-p", place.folder, "-c", configuration]


def caddy(place: Place) -> list[str | Path]:
    """Write the configuration, and return the command."""
    program = require_programs("caddy", install="uv sync --group judges")
    ports = (
        f"admin off\nhttp_port {place.port}\nhttps_port {place.tls_port}\ndefault_bind 127.0.0.1"
    )
    certificate = f"tls {place.certificate} {place.key}"
    site = replace(
        DOCUMENTED / "Caddyfile",
        {
            "127.0.0.1:8000": place.upstream,
            ".\n{\n": f".\n{{\n{ports}\n",
            "tasks.example.com {\n": f"https://127.0.0.1 {{\n{certificate}\n",
        },
    )
    configuration = place.folder / "Caddyfile"
    configuration.write_text(site)
    return [program, "run", "--config", configuration]


def replace(file: Path, values: dict[str, str]) -> str:
    text = file.read_text()
    for documented, used in values.items():
        assert text.count(documented) == 1, documented
        text = text.replace(documented, used)
    return text


Proxy = Callable[[Place], list[str | Path]]


@contextmanager
def running(proxy: Proxy, folder: Path, upstream: str) -> Iterator[tuple[httpx2.Client, int]]:
    """Run a proxy; yields a client of its TLS port, and its other port."""
    require_programs("openssl", install="apt-get install openssl")
    place = Place(folder, upstream)
    _make_certificate(place.certificate, place.key)
    command, environment = proxy(place), {**os.environ, "HOME": str(folder)}
    with (folder / "proxy.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        wait_until(lambda: accepts(place.tls_port) or process.poll() is not None)
        context = ssl.create_default_context(cafile=place.certificate)
        url = f"https://127.0.0.1:{place.tls_port}"
        with httpx2.Client(base_url=url, verify=context, timeout=HANG) as client:
            yield client, place.port
    finally:
        process.terminate()
        process.wait(timeout=HANG)


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _make_certificate(certificate: Path, key: Path) -> None:
    command = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=tasks.example.com -days 1"
    subprocess.run(
        [*command.split(), "-addext", "subjectAltName=IP:127.0.0.1", "-out", certificate,
         "-keyout", key],
        check=True,
        capture_output=True,
    )  # fmt: skip


@pytest.fixture(scope="module", params=[nginx, caddy])
def proxy(request: pytest.FixtureRequest) -> Proxy:
    chosen: Proxy = request.param
    return chosen


@pytest.fixture(scope="module")
def ports(
    tmp_path_factory: pytest.TempPathFactory, proxy: Proxy
) -> Iterator[tuple[httpx2.Client, int]]:
    folder = tmp_path_factory.mktemp("proxy")
    with serve(folder, *PROTOCOL) as url, running(proxy, folder, url[len("http://") :]) as ports:
        yield ports


@pytest.fixture
def client(ports: tuple[httpx2.Client, int]) -> TestClient:
    return cast("TestClient", ports[0])  # which has the same methods, and no server in it


def test_plain_http_is_redirected(ports: tuple[httpx2.Client, int]) -> None:
    answer = httpx2.get(f"http://127.0.0.1:{ports[1]}/tasks?limit=1")
    assert answer.status_code == 308
    assert answer.headers["location"] == "https://127.0.0.1/tasks?limit=1"


def test_etags_stay_strong(client: TestClient) -> None:
    """`gzip on` would answer the second request with 412."""
    anna = Api.register(client, "anna@example.com")
    created = anna.post("/tasks", json={"title": "Long " * 30, "description": "x" * 10_000})
    path = created.headers["location"]
    read = anna.get(path, headers={"Accept-Encoding": "gzip"})
    headers = {"If-Match": read.headers["etag"]}
    assert anna.patch(path, json={"status": "завершена"}, headers=headers).status_code == 200
    assert "strict-transport-security" in read.headers


def test_clients_cannot_choose_their_address(client: TestClient) -> None:
    statuses = []
    for number in range(11):
        form = {"grant_type": "password", "username": "vera@example.com", "password": "wrong"}
        headers = {"X-Forwarded-For": f"192.0.2.{number}", "Forwarded": f"for=192.0.2.{number}"}
        statuses.append(client.post("/auth/token", data=form, headers=headers).status_code)
    assert statuses.count(429) == 1
    assert statuses[-1] == 429


def test_an_offered_upgrade_is_not_passed_on(client: TestClient) -> None:
    user = {"name": "Vera", "email": "vera@example.com", "password": PASSWORD}
    headers = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMA"}
    assert client.post("/users", json=user, headers=headers).status_code == 201


def test_the_service_answers_bodies_that_are_too_large(client: TestClient) -> None:
    check_problem(client.post("/users", content=bytes(250_000)), 413, "content-too-large")
    for size in (270_000, 10_000_000):
        refused = client.post("/users", content=bytes(size))
        assert refused.status_code == 413
        assert refused.json()["status"] == 413
        assert refused.headers["content-type"] == "application/problem+json"


def test_the_service_is_unavailable_while_it_does_not_run(proxy: Proxy, tmp_path: Path) -> None:
    with running(proxy, tmp_path, f"127.0.0.1:{free_port()}") as (client, _):
        answer = client.get("/livez")
    assert answer.status_code == 503
    assert answer.json()["status"] == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "5"
