"""Whatever a request reads, it is found by an index, and in order: a page costs what it shows."""

import re
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Connection, event
from sqlalchemy.sql import Executable

from taskapi.database.engines import is_postgresql, open_engine
from taskapi.settings import Settings
from taskapi.tasks.models import TaskListParams, TaskOrder, TaskStatus
from taskapi.tasks.queries import select_page
from tests.api import Api
from tests.fixtures import Start
from tests.rows import fill_tasks, fill_users

USERS = 20
TASKS_OF_EACH = 1000

POSITIONS = {"id": "", "title": "title 500"}
MOMENT = "2026-06-01T00:00:00+00:00"


@pytest.fixture
def connection(client: TestClient, settings: Settings) -> Iterator[Connection]:
    """Statements that are executed on it are explained instead."""
    assert client.get("/readyz").status_code == 200
    url = settings.database_url
    fill_users(url, USERS)
    fill_tasks(url, USERS * TASKS_OF_EACH, f"n % {USERS} + 1")
    engine = open_engine(url)
    how = "EXPLAIN " if is_postgresql(url) else "EXPLAIN QUERY PLAN "

    @event.listens_for(engine, "before_cursor_execute", retval=True)
    def explain(*arguments: Any) -> tuple[str, object]:
        _, _, statement, parameters, *_ = arguments
        return (how + statement if statement.startswith("SELECT") else statement), parameters

    with engine.connect() as connection:
        yield connection
    engine.dispose()


def plan(connection: Connection, statement: Executable, parameters: dict[str, object]) -> str:
    rows = connection.execute(statement, parameters).cursor.fetchall()
    return "\n".join(str(row[-1]) for row in rows)


def test_a_page_is_one_range_of_an_index_on_the_users_tasks(connection: Connection) -> None:
    for order, statuses, after, total in product(
        TaskOrder, (0, 1, 2), (False, True), (False, True)
    ):
        wanted = list(TaskStatus)[:statuses]
        page = TaskListParams(sort=order, status=wanted, limit=20, total=total)
        value = POSITIONS.get(order.removeprefix("-"), MOMENT)
        explained = plan(connection, *select_page(7, page, (value, 5000) if after else None))
        assert re.search(r"(Index Scan|SEARCH).* ix_tasks_user_id_\w+", explained), explained
        assert re.search(r"Index Cond: .*user_id|\(user_id=\?", explained), explained
        counted = "" if total else "|Bitmap"
        assert not re.search(f"Seq Scan|Sort|SCAN|TEMP B-TREE{counted}", explained), explained


def test_statements_are_compiled_once(
    start: Start, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    anna = Api.register(start(settings), "anna@example.com")
    with caplog.at_level("DEBUG", "taskapi.database.statements"):
        for _ in range(2):
            assert anna.get("/tasks?total=true&q=x&status=новая").json() == []
    assert caplog.text.count("ORDER BY") == 1


def test_a_search_does_not_use_like(
    start: Start, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Failed: the time of LIKE is the product of the lengths of both texts."""
    anna = Api.register(start(settings), "anna@example.com")
    with caplog.at_level("DEBUG", "taskapi.database.statements"):
        assert anna.get("/tasks?total=true&q=x").json() == []
    assert caplog.text.count("instr(") + caplog.text.count("strpos(") == 3
