import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from limits.aio.storage import MemoryStorage
from pydantic import SecretStr

from taskapi import models
from taskapi.app import create_app
from taskapi.database import migrations
from taskapi.settings import PREFIX, Settings
from tests.api import Api
from tests.clock import Clock
from tests.databases import PostgreSQL, delete_rows

POSTGRESQL = pytest.StashKey[Path]()

SECRET_KEY = "a key for tests, of 32 characters and more"

Start = Callable[[Settings], TestClient]


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the developer's variables, files and databases out of the tests."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)
    monkeypatch.setitem(Settings.model_config, "secrets_dir", None)


@pytest.fixture(autouse=True)
def own_log_handlers() -> Iterator[None]:
    """Undo what an application that starts in a test does to the loggers of the process."""
    loggers = [logging.getLogger(name) for name in ("taskapi", "uvicorn.access")]
    before = [(logger.handlers, logger.propagate) for logger in loggers]
    yield
    for logger, (handlers, propagate) in zip(loggers, before, strict=True):
        logger.handlers, logger.propagate = handlers, propagate


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--database",
        choices=["sqlite", "postgresql", "all"],
        default="all",
        help="which databases the tests run on; all by default",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Choose a folder for the PostgreSQL server that all workers of this run share."""
    worker: dict[str, str] | None = getattr(config, "workerinput", None)
    folder = worker["postgresql"] if worker else tempfile.mkdtemp(prefix="taskapi-")
    config.stash[POSTGRESQL] = Path(folder)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["postgresql"] = str(node.config.stash[POSTGRESQL])


def pytest_unconfigure(config: pytest.Config) -> None:
    folder = config.stash[POSTGRESQL]
    if hasattr(config, "workerinput"):
        return
    if (folder / "ready").exists():
        PostgreSQL(folder).stop()
    shutil.rmtree(folder)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that uses a database on both systems, or on those that its marks name."""
    if "database_system" not in metafunc.fixturenames:
        return
    chosen = metafunc.config.getoption("database")
    mark = metafunc.definition.get_closest_marker("database")
    systems = [mark.args[0]] if mark else ["sqlite", "postgresql"]
    systems = [name for name in systems if chosen in {name, "all"}]
    if metafunc.definition.get_closest_marker("one_database"):
        systems = systems[:1]
    metafunc.parametrize("database_system", systems)


@pytest.fixture(scope="session")
def postgresql(pytestconfig: pytest.Config) -> PostgreSQL:
    return PostgreSQL(pytestconfig.stash[POSTGRESQL])


@pytest.fixture
def create_database(
    database_system: str, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[[], str]]:
    """Make an empty database and return its URL."""
    created: list[str] = []
    if database_system == "sqlite":
        yield lambda: f"sqlite:///{tempfile.mkdtemp(dir=tmp_path)}/taskapi.db"
        return
    server: PostgreSQL = request.getfixturevalue("postgresql")

    def create() -> str:
        created.append(server.create_database("template0"))
        return created[-1]

    yield create
    for url in created:
        server.drop_database(url)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that has the schema in it."""
    file = tmp_path_factory.mktemp("template") / "taskapi.db"
    migrations.upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def shared_sqlite(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path_factory.mktemp('shared'))}"


@pytest.fixture(scope="session")
def shared_postgresql(postgresql: PostgreSQL) -> str:
    return postgresql.create_database()


@pytest.fixture
def database_url(
    database_system: str, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[str]:
    """A database that has the schema and no rows.

    Its file or server database is shared by the tests of one worker process, one after another. A
    test with the mark `own_database` gets a new one, and may damage it.
    """
    if not request.node.get_closest_marker("own_database"):
        url: str = request.getfixturevalue(f"shared_{database_system}")
        delete_rows(url)
        yield url
    elif database_system == "sqlite":
        template: Path = request.getfixturevalue("sqlite_template")
        yield f"sqlite:///{shutil.copy(template, tmp_path)}"
    else:
        server: PostgreSQL = request.getfixturevalue("postgresql")
        url = server.create_database()
        yield url
        server.drop_database(url)


@pytest.fixture
def settings(database_url: str) -> Settings:
    """Settings for the database, with password hashes that take little time."""
    return Settings(
        database_url=database_url,
        secret_keys=(SecretStr(SECRET_KEY),),
        password_hash_memory=32,
        password_hash_iterations=1,
    )


@pytest.fixture
def start() -> Iterator[Start]:
    """Start an application of the test's own, which stops after the test."""
    with ExitStack() as stack:
        yield lambda settings: stack.enter_context(make_client(settings))


def make_client(settings: Settings) -> TestClient:
    return TestClient(create_app(settings), raise_server_exceptions=False)


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


@pytest.fixture
def anna(client: TestClient) -> Api:
    return Api.register(client, "anna@example.com")


@pytest.fixture
def boris(client: TestClient) -> Api:
    return Api.register(client, "boris@example.com")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The service's clock, which stands still but for a microsecond at each reading."""
    clock = Clock()
    monkeypatch.setattr(models, "datetime", clock)
    return clock
