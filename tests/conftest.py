import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from taskapi.app import create_app
from taskapi.settings import PREFIX, Settings
from tests.api import Api
from tests.databases import PostgreSQL

SECRET_KEY = "a key for tests, of 32 characters and more"


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever a developer has set up, in variables, files or a database, is not touched."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)
    monkeypatch.setitem(Settings.model_config, "secrets_dir", None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--database",
        choices=["sqlite", "postgresql", "all"],
        default="all",
        help="which databases the tests run on; all by default",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run whatever uses a database on each, or on the one that its `database` mark names."""
    if "database_system" not in metafunc.fixturenames:
        return
    chosen = metafunc.config.getoption("database")
    mark = metafunc.definition.get_closest_marker("database")
    systems = [mark.args[0]] if mark else ["sqlite", "postgresql"]
    metafunc.parametrize(
        "database_system", [name for name in systems if chosen in {name, "all"}], scope="session"
    )


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    with closing(PostgreSQL()) as server:
        yield server


@pytest.fixture
def create_database(
    database_system: str, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[[], str]]:
    """Make an empty database of the test's own, and return its URL."""
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


@pytest.fixture
def database_url(
    database_system: str, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[str]:
    """A database of the test's own, with the schema in it, or made at the start."""
    if database_system == "sqlite":
        yield f"sqlite:///{tmp_path}/taskapi.db"
        return
    server: PostgreSQL = request.getfixturevalue("postgresql")
    url = server.create_database()
    yield url
    server.drop_database(url)


@pytest.fixture
def settings(database_url: str) -> Settings:
    """A database of the test's own, and password hashes that are cheap."""
    return Settings(
        database_url=database_url,
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
