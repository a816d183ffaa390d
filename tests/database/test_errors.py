"""Which errors of a database are answered 503, and which are faults of the code."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from psycopg import errors
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError

from taskapi.database.engines import open_engine
from taskapi.database.errors import is_temporary
from taskapi.settings import Settings
from tests.api import Api, check_problem
from tests.databases import execute

Start = Callable[[Settings], TestClient]

NEW: dict[str, Any] = {"json": {"title": "x"}}


@pytest.mark.own_database
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_missing_column_is_a_fault_with_its_traceback_in_the_log(
    start: Start, settings: Settings, capfd: pytest.CaptureFixture[str], method: str
) -> None:
    """Failed: 503, and one line."""
    anna = Api.register(start(settings), "anna@example.com")
    execute(settings.database_url, "ALTER TABLE tasks RENAME COLUMN title_key TO other")
    path, options = ("/tasks?sort=title", {}) if method == "GET" else ("/tasks", NEW)
    answer = anna.request(method, path, headers={"X-Request-ID": "the-id"}, **options)
    check_problem(answer, 500, "internal-error")
    log = capfd.readouterr().err
    assert "ERROR unhandled exception the-id" in log
    assert re.search("no such column|has no column|does not exist", log)
    assert "Traceback" in log
    assert anna.get("/users/me").status_code == 200


def test_log_lines_of_worker_threads_have_the_id_of_the_request(
    start: Start,
    settings: Settings,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_: Connection) -> None:
        raise error(OperationalError, errors.DiskFull("no space"))

    anna = Api.register(start(settings), "anna@example.com")
    monkeypatch.setattr("taskapi.database.migrations.compare", fail)
    assert anna.client.get("/readyz", headers={"X-Request-ID": "the-id"}).status_code == 503
    lines = capfd.readouterr().err.splitlines()
    assert any(line.endswith("WARNING database unavailable: no space the-id") for line in lines)


@pytest.mark.database("sqlite")
def test_log_lines_of_batched_writes_have_the_ids_of_their_requests(
    start: Start, settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    url = settings.database_url + "?timeout=0.05"
    anna = Api.register(start(settings.model_copy(update={"database_url": url})), "a@example.com")
    engine = open_engine(settings.database_url).execution_options(begin="IMMEDIATE")
    with engine.begin():
        answer = anna.post("/tasks", json={"title": "x"}, headers={"X-Request-ID": "the-id"})
    engine.dispose()
    check_problem(answer, 503, "unavailable")
    assert "WARNING database unavailable: database is locked the-id\n" in capfd.readouterr().err


def error(
    kind: type[DBAPIError], original: Exception, statement: str | None = "SELECT 1"
) -> DBAPIError:
    return kind(statement, None, original)


@pytest.mark.parametrize(
    ("problem", "temporary"),
    [
        (error(OperationalError, errors.DiskFull()), True),
        (error(OperationalError, errors.QueryCanceled()), True),
        (error(OperationalError, errors.LockNotAvailable()), True),
        (error(InternalError, errors.ReadOnlySqlTransaction()), True),
        (error(OperationalError, errors.OperationalError("the connection is closed")), True),
        (error(OperationalError, errors.InvalidPassword(), None), True),
        (error(OperationalError, errors.StatementTooComplex()), False),
        (error(DBAPIError, errors.UndefinedColumn()), False),
        (error(DBAPIError, errors.InsufficientPrivilege()), False),
        (error(InternalError, errors.DataCorrupted()), False),
        (error(InterfaceError, errors.InterfaceError("the cursor is closed")), False),
    ],
)
def test_sqlstates_say_what_is_temporary(problem: DBAPIError, *, temporary: bool) -> None:
    assert is_temporary(problem) is temporary
