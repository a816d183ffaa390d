"""The role of docs/deployment/service_role.sql, as which the service runs in compose.yaml."""

from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.exc import ProgrammingError

from taskapi.settings import Settings
from tests.api import Api
from tests.databases import PostgreSQL, database_name, execute
from tests.operations import OPERATIONS, path_parameters
from tests.server import ROOT

pytestmark = [pytest.mark.database("postgresql"), pytest.mark.own_database]

SCRIPT = ROOT / "docs/deployment/service_role.sql"

Start = Callable[[Settings], TestClient]


@pytest.fixture
def role(settings: Settings, postgresql: PostgreSQL) -> str:
    """The URL of the database, for the role. The script has been run twice."""
    name = f"role of {database_name(settings.database_url)}"
    for password in ("first", "it's \\ second"):
        postgresql.psql(settings.database_url, SCRIPT, ROLE_NAME=name, ROLE_PASSWORD=password)
    return settings.database_url.replace("//postgres@", f"//{name.replace(' ', '%20')}@")


def test_the_role_can_do_all_that_the_service_does(
    role: str, start: Start, settings: Settings
) -> None:
    client = start(settings.model_copy(update={"database_url": role}))
    for operation in OPERATIONS:
        anna = Api.register(client, "anna@example.com")
        path = operation.path.format(**path_parameters(anna))
        answer = anna.request(operation.method, path, **operation.options)
        assert answer.status_code == operation.success, operation
        execute(settings.database_url, "DELETE FROM users")


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE more (id int)",
        "CREATE TEMPORARY TABLE more (id int)",
        "CREATE SCHEMA more",
        "ALTER TABLE tasks ADD COLUMN more int",
        "CREATE INDEX more ON tasks (id)",
        "DROP TABLE tasks",
        "TRUNCATE tasks",
        "UPDATE alembic_version SET version_num = 'x'",
        "DELETE FROM alembic_version",
        "CREATE ROLE more",
        "SELECT rolpassword FROM pg_authid",
    ],
)
def test_the_role_cannot_change_the_schema(role: str, statement: str) -> None:
    with pytest.raises(ProgrammingError, match=r"permission denied|must be owner of"):
        execute(role, statement)


def test_tables_of_later_migrations_are_included(role: str, settings: Settings) -> None:
    execute(settings.database_url, "CREATE TABLE more (id bigserial PRIMARY KEY, text text)")
    execute(role, "INSERT INTO more (text) VALUES ('x')")
    assert execute(role, "SELECT id, text FROM more") == [(1, "x")]


def test_compose_runs_the_script() -> None:
    compose = Path(ROOT / "compose.yaml").read_text()
    assert f"./{SCRIPT.relative_to(ROOT)}:" in compose
