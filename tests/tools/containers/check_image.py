"""The image by itself, on SQLite."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx2
import pytest

from tests.api import PASSWORD
from tests.server import free_port
from tests.tools.containers.docker import docker, fails, inspect, wait_until_ready
from tests.waiting import HANG, wait_until

HARDENED = ["--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
ANNA = {"name": "Anna", "email": "anna@example.com", "password": PASSWORD}


def in_image(script: str) -> str:
    return docker("run", "--rm", "--network=none", "taskapi", "sh", "-c", script)


def test_the_image_is_small() -> None:
    assert inspect("taskapi")["Size"] < 230e6


def test_the_image_does_not_run_as_root() -> None:
    assert inspect("taskapi")["Config"]["User"] == "10001:10001"
    assert in_image("id -u") == "10001"


def test_the_image_has_no_build_tools() -> None:
    tools = "uv uvx pip pip3 gcc cc make curl wget git"
    assert in_image(f"for tool in {tools}; do command -v $tool; done; true") == ""
    assert fails("run", "--rm", "taskapi", "python", "-c", "import pip")


def test_the_code_is_read_only_and_compiled() -> None:
    assert in_image("find /app ! -user root -o ! -type l -perm /022") == ""
    assert in_image("ls -A /app").split() == [".venv", "alembic", "alembic.ini", "taskapi"]
    loaded = in_image("python -v -c 'import taskapi.app' 2>&1 | grep 'code object from'")
    assert "from '/app/taskapi/__pycache__/app." in loaded
    assert "from /app/" not in loaded  # it would be source that Python had to compile


def test_the_image_limits_the_arenas_of_malloc() -> None:
    assert in_image("printenv MALLOC_ARENA_MAX") == "2"


@pytest.fixture
def volume() -> str:
    return docker("volume", "create")


@contextmanager
def _serve(volume: str, *more: str) -> Iterator[tuple[str, httpx2.Client]]:
    """Run the image; yields the container's id and a client."""
    port = free_port()
    options = [*HARDENED, *more, f"--publish=127.0.0.1:{port}:8000", f"--volume={volume}:/data"]
    container = docker("run", "--detach", *options, "taskapi")
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=HANG) as client:
        wait_until_ready(client)
        yield container, client
    docker("rm", "--force", container)


def test_data_and_sessions_outlive_the_container(volume: str) -> None:
    with _serve(volume) as (container, client):
        created = client.post("/users", json=ANNA)
        assert created.status_code == 201
        assert "server" not in created.headers
        form = {"grant_type": "password", "username": ANNA["email"], "password": PASSWORD}
        token = client.post("/auth/token", data=form).json()["access_token"]
        login = {"Authorization": f"Bearer {token}"}
        title = {"title": "Купить хлеб"}
        assert client.post("/tasks", json=title, headers=login).status_code == 201
        docker("stop", container)
    with _serve(volume) as (_, client):
        tasks = client.get("/tasks", headers=login).json()
    assert [task["title"] for task in tasks] == ["Купить хлеб"]


def test_an_account_is_created_by_command(volume: str) -> None:
    command = f"echo '{PASSWORD}' | python -m taskapi accounts create anna@example.com --name Анна"
    with _serve(volume, "--env=TASKAPI_REGISTRATION=closed") as (container, client):
        assert client.post("/users", json=ANNA).status_code == 403
        said = docker("exec", container, "sh", "-c", command)
        assert said == "account 1 was created: anna@example.com"
        assert "Анна" in docker("exec", container, "python", "-m", "taskapi", "accounts", "list")
        form = {"grant_type": "password", "username": ANNA["email"], "password": PASSWORD}
        assert client.post("/auth/token", data=form).status_code == 200


def test_stopping_finishes_requests_in_progress(volume: str) -> None:
    body = httpx2.Request("POST", "http://taskapi/users", json=ANNA).content
    head = f"POST /users HTTP/1.1\r\nHost: taskapi\r\nContent-Length: {len(body)}\r\n"
    head += "Content-Type: application/json\r\nConnection: close\r\nExpect: 100-continue\r\n\r\n"
    with (
        _serve(volume) as (container, client),
        ThreadPoolExecutor() as pool,
        socket.create_connection((client.base_url.host, client.base_url.port or 0)) as connection,
    ):
        connection.sendall(head.encode() + body[:10])
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        began = time.monotonic()
        stop = pool.submit(docker, "stop", container)
        wait_until(lambda: "Shutting down" in docker("logs", container))
        connection.sendall(body[10:])
        assert connection.recv(100).startswith(b"HTTP/1.1 201")
        stop.result()
        print(f"stopped in {time.monotonic() - began:.1f} s")
        assert inspect(container)["State"]["ExitCode"] == 0  # it is 137 if it had to be killed


def test_the_health_check_detects_a_hang(volume: str) -> None:
    def health() -> str:
        status: str = inspect(container)["State"]["Health"]["Status"]
        return status

    with _serve(volume, "--health-interval=1s", "--health-timeout=3s") as (container, _):
        wait_until(lambda: health() == "healthy")
        docker("kill", "--signal=STOP", container)
        wait_until(lambda: health() == "unhealthy")
