"""Databases, applications and users for the tests."""

import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import cache
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from limits.aio.storage import MemoryStorage
from pydantic import SecretStr

from taskapi import models
from taskapi.app import create_app
from taskapi.database import migrations
from taskapi.settings import PREFIX, Settings
from tests.accounts import Accounts
from tests.api import Api
from tests.client import Client
from tests.clock import Clock
from tests.conftest import POSTGRESQL
from tests.databases import PostgreSQL
from tests.shared import SharedDatabase

SECRET_KEY = "a key for tests, of 32 characters and more"

Start = Callable[[Settings], TestClient]


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the developer's variables, files and databases out of the tests."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith((PREFIX, "OTEL_")):
            monkeypatch.delenv(name)
    monkeypatch.setitem(Settings.model_config, "secrets_dir", None)


@pytest.fixture(scope="session", autouse=True)
def equal_priorities() -> Iterator[None]:
    """Let threads that hash passwords not wait for those of the other workers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "setpriority", lambda *_: None)
        yield


@pytest.fixture(autouse=True)
def own_log_handlers() -> Iterator[None]:
    """Undo what an application that starts in a test does to the loggers of the process."""
    names = ("taskapi", "opentelemetry", "uvicorn.access")
    loggers = [logging.getLogger(name) for name in names]
    before = [(logger.handlers, logger.propagate) for logger in loggers]
    yield
    for logger, (handlers, propagate) in zip(loggers, before, strict=True):
        logger.handlers, logger.propagate = handlers, propagate


@pytest.fixture(scope="session")
def postgresql(pytestconfig: pytest.Config) -> PostgreSQL:
    return PostgreSQL(pytestconfig.stash[POSTGRESQL])


@pytest.fixture
def create_database(
    database_system: str, request: pytest.FixtureRequest, tmp_path: Path
) -> Callable[[], str]:
    """Make an empty database and return its URL."""
    if database_system == "sqlite":
        return lambda: f"sqlite:///{tempfile.mkdtemp(dir=tmp_path)}/taskapi.db"
    server: PostgreSQL = request.getfixturevalue("postgresql")
    return lambda: server.create_database("template0")


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that has the schema in it."""
    file = tmp_path_factory.mktemp("template") / "taskapi.db"
    migrations.upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def shared_sqlite(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SharedDatabase]:
    file = shutil.copy(sqlite_template, tmp_path_factory.mktemp("shared"))
    with closing(SharedDatabase(f"sqlite:///{file}")) as database:
        yield database


@pytest.fixture(scope="session")
def shared_postgresql(postgresql: PostgreSQL) -> Iterator[SharedDatabase]:
    with closing(SharedDatabase(postgresql.create_database())) as database:
        yield database


@pytest.fixture
def shared_database(database_system: str, request: pytest.FixtureRequest) -> SharedDatabase | None:
    """The database that the test shares with others, unless it has one of its own."""
    if request.node.get_closest_marker("own_database"):
        return None
    shared: SharedDatabase = request.getfixturevalue(f"shared_{database_system}")
    return shared


@pytest.fixture
def database_url(
    database_system: str,
    shared_database: SharedDatabase | None,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> str:
    """A database that has the schema and no rows.

    Its file or server database is shared by the tests of one worker process, one after another. A
    test with the mark `own_database` gets a new one, and may damage it.
    """
    if shared_database:
        shared_database.delete()
        return shared_database.url
    if database_system == "sqlite":
        template: Path = request.getfixturevalue("sqlite_template")
        return f"sqlite:///{shutil.copy(template, tmp_path)}"
    server: PostgreSQL = request.getfixturevalue("postgresql")
    return server.create_database()


@pytest.fixture
def settings(database_url: str) -> Settings:
    """Settings for the database, with password hashes that take little time."""
    return fast_settings().model_copy(update={"database_url": database_url})


@cache
def fast_settings() -> Settings:
    return Settings(
        secret_keys=(SecretStr(SECRET_KEY),), password_hash_memory=32, password_hash_iterations=1
    )


@pytest.fixture
def start() -> Iterator[Start]:
    """Start an application of the test's own, which stops after the test."""
    with ExitStack() as stack:
        yield lambda settings: stack.enter_context(make_client(settings))


def make_client(settings: Settings) -> TestClient:
    return Client(create_app(settings))


@pytest.fixture(scope="session")
def shared_clients() -> Iterator[Callable[[Settings], TestClient]]:
    """Start one application for each shared database, and reset its rate limits for each test. The
    applications stop at the end of the run.
    """
    clients: dict[str, tuple[TestClient, list[MemoryStorage]]] = {}
    with ExitStack() as stack:

        def get(settings: Settings) -> TestClient:
            url = settings.database_url
            if url not in clients:
                with pytest.MonkeyPatch.context() as patch:
                    storages = record_storages(patch)
                    clients[url] = stack.enter_context(make_client(settings)), storages
                logging.getLogger("taskapi").handlers = []
            client, storages = clients[url]
            assert client.portal
            for storage in storages:
                client.portal.call(storage.reset)
            return client

        yield get


def record_storages(patch: pytest.MonkeyPatch) -> list[MemoryStorage]:
    """Return a list that gets the storages of the rate limits of an application that starts."""
    storages: list[MemoryStorage] = []

    def create() -> MemoryStorage:
        storages.append(MemoryStorage())
        return storages[-1]

    patch.setattr("taskapi.rate_limit.MemoryStorage", create)
    return storages


@pytest.fixture
def client(request: pytest.FixtureRequest, settings: Settings, start: Start) -> TestClient:
    """The service. It is shared by the tests of one worker process, one after another, unless the
    test has the mark `own_database`.
    """
    if request.node.get_closest_marker("own_database"):
        return start(settings)
    shared: TestClient = request.getfixturevalue("shared_clients")(settings)
    return shared


@pytest.fixture(scope="session")
def accounts() -> Accounts:
    return Accounts()


@pytest.fixture
def register(
    client: TestClient,
    accounts: Accounts,
    shared_database: SharedDatabase | None,
    request: pytest.FixtureRequest,
) -> Callable[[str], Api]:
    """Return somebody who is logged in, by the e-mail."""
    database = None if "clock" in request.fixturenames else shared_database
    return lambda email: accounts.get(client, database, email)


@pytest.fixture
def anna(register: Callable[[str], Api]) -> Api:
    return register("anna@example.com")


@pytest.fixture
def boris(
    anna: Api,  # noqa: ARG001 -- comes first, so that the ids are always the same
    register: Callable[[str], Api],
) -> Api:
    return register("boris@example.com")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The service's clock, which stands still but for a microsecond at each reading."""
    clock = Clock()
    monkeypatch.setattr(models, "datetime", clock)
    return clock
