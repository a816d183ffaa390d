import asyncio
from collections.abc import Callable

import pytest
from sqlalchemy import text

from taskapi.database import connections
from taskapi.database.connections import Connection
from taskapi.database.core import Database
from taskapi.settings import Settings
from tests.api import PASSWORD, Api, check_problem
from tests.databases import end_connections
from tests.fixtures import Start
from tests.waiting import HANG


def test_several_statements_need_a_transaction(anna: Api, settings: Settings) -> None:
    anna.create_task()
    database = Database(settings)

    def read(connection: Connection, begin: Callable[[Connection], None]) -> list[int]:
        begin(connection)
        count = text("SELECT count(*) FROM tasks")
        return [connection.execute(count).scalar_one() for _ in range(2)]

    assert asyncio.run(database.read(read, Connection.begin)) == [1, 1]
    with pytest.raises(RuntimeError, match="begin a transaction"):
        asyncio.run(database.read(read, lambda _: None))
    database.close()


@pytest.mark.database("postgresql")
@pytest.mark.own_database
def test_idle_connections_that_the_server_closed_are_replaced(
    anna: Api, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MAX_PAUSE", 0)
    task = anna.create_task()
    for _ in range(3):
        end_connections(settings.database_url)
        assert anna.get(f"/tasks/{task['id']}").status_code == 200
        assert anna.get("/tasks?total=true").headers["x-total-count"] == "1"
        assert anna.patch(f"/tasks/{task['id']}", json={"title": "x"}).status_code == 200
        assert anna.put(f"/tasks/{task['id']}", json={**BODY, "title": "x"}).status_code == 200
        created = anna.create_task()
        assert anna.delete(f"/tasks/{created['id']}").status_code == 204


BODY = {"description": "", "status": "новая"}


@pytest.mark.database("postgresql")
@pytest.mark.own_database
def test_a_connection_that_has_only_refused_requests_is_replaced(
    anna: Api, settings: Settings
) -> None:
    """Failed: 503, as if the connection had never worked."""
    user = {"name": "Anna", "email": anna.email, "password": PASSWORD}
    for _ in range(3):
        end_connections(settings.database_url)
        assert anna.get("/tasks/9").status_code == 404
        assert anna.delete("/tasks/9").status_code == 404
        assert anna.client.post("/users", json=user).status_code == 409


@pytest.mark.database("postgresql")
@pytest.mark.own_database
def test_a_write_that_may_have_been_committed_is_not_repeated(
    start: Start, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MAX_PAUSE", HANG)
    one_writer = {"database_connections": 3}
    anna = Api.register(start(settings.model_copy(update=one_writer)), "anna@example.com")
    path = f"/tasks/{anna.create_task()['id']}"
    end_connections(settings.database_url)
    check_problem(anna.put(path, json={**BODY, "title": "x"}), 503, "unavailable")
    assert anna.put(path, json={**BODY, "title": "x"}).json()["title"] == "x"
