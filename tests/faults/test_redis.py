"""Counting in Redis, for several processes."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from fastapi.testclient import TestClient

from taskapi import rate_limit
from taskapi.settings import Settings
from tests.api import PASSWORD, Api, check_problem, request_token
from tests.requirements import require_programs
from tests.server import free_port
from tests.waiting import HANG, wait_until

pytestmark = pytest.mark.own_database

Start = Callable[[Settings], TestClient]


@contextmanager
def run_redis(port: int, folder: Path) -> Iterator[redis.Redis]:
    require_programs("redis-server", install="apt-get install redis-server")
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    server = redis.Redis(port=port)
    try:
        wait_until(lambda: answers(server))
        yield server
    finally:
        server.close()
        process.terminate()
        process.wait(HANG)


def answers(server: redis.Redis) -> bool:
    try:
        return bool(server.ping())
    except redis.ConnectionError:
        return False


def fail(client: TestClient) -> int:
    return request_token(client, "anna@example.com", "wrong password").status_code


def test_processes_count_together_in_redis(
    start: Start, settings: Settings, tmp_path: Path
) -> None:
    port = free_port()
    with run_redis(port, tmp_path) as server:
        shared = {"rate_limit_storage": f"redis://127.0.0.1:{port}/0"}
        first, second = (start(settings.model_copy(update=shared)) for _ in range(2))
        Api.register(first, "anna@example.com")
        assert [fail(first) for _ in range(5)] + [fail(second) for _ in range(5)] == [400] * 10
        for client in (first, second):
            answer = request_token(client, "anna@example.com")
            check_problem(answer, 429, "too-many-requests")
            assert 0 < int(answer.headers["retry-after"]) <= 60
        keys = server.keys()
        assert isinstance(keys, list)
        assert len(keys) == 4
        assert "anna" not in str(keys)
        assert -1 not in [server.ttl(key) for key in keys]


def test_processes_count_together_again_when_redis_is_back(
    start: Start, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limit, "STORAGE_RETRY_SECONDS", 0.0)
    port = free_port()
    shared = {"rate_limit_storage": f"redis://127.0.0.1:{port}/0"}
    client = start(settings.model_copy(update=shared))
    Api.register(client, "anna@example.com")
    with run_redis(port, tmp_path) as server:
        assert request_token(client, "anna@example.com", PASSWORD).status_code == 200
        assert fail(client) == 400
        assert server.keys() != []
