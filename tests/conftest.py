import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from taskapi.app import create_app
from taskapi.settings import PREFIX, Settings
from tests.api import Api

SECRET_KEY = "a key for tests, of 32 characters and more"


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever a developer has set up, in variables, `.env` or a database, is not touched."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A database of the test's own, and password hashes that are cheap."""
    return Settings(
        database_url=f"sqlite:///{tmp_path}/taskapi.db",
        secret_keys=(SecretStr(SECRET_KEY),),
        password_hash_memory=32,
        password_hash_iterations=1,
    )


@pytest.fixture
def start() -> Iterator[Callable[[Settings], TestClient]]:
    """Start an application; it is stopped after the test."""
    with ExitStack() as stack:

        def start(settings: Settings) -> TestClient:
            return stack.enter_context(
                TestClient(create_app(settings), raise_server_exceptions=False)
            )

        yield start


@pytest.fixture
def client(start: Callable[[Settings], TestClient], settings: Settings) -> TestClient:
    return start(settings)


@pytest.fixture
def anna(client: TestClient) -> Api:
    return Api.register(client, "anna@example.com")


@pytest.fixture
def boris(client: TestClient) -> Api:
    return Api.register(client, "boris@example.com")
