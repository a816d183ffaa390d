"""The service works through a pooler that hands each transaction to another server connection."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.testclient import TestClient

from taskapi.settings import Settings
from tests.api import Api, check_problem
from tests.faults.pgbouncer import run_pgbouncer

pytestmark = [pytest.mark.database("postgresql"), pytest.mark.own_database]


@pytest.fixture
def pooled(settings: Settings) -> Iterator[Settings]:
    with run_pgbouncer(settings.database_url) as url:
        yield settings.model_copy(
            update={"database_url": url, "database_transaction_pooling": True}
        )


def test_the_service_works_through_pgbouncer(
    start: Callable[[Settings], TestClient], pooled: Settings
) -> None:
    anna = Api.register(start(pooled), "anna@example.com")

    def work(number: int) -> None:
        task = anna.create_task(str(number))
        path = f"/tasks/{task['id']}"
        assert anna.patch(path, json={"status": "завершена"}).json()["title"] == str(number)
        assert anna.get("/tasks?limit=1").status_code == 200
        assert anna.delete(path).status_code == 204

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(60)))
    assert anna.get("/tasks").json() == []


def test_transaction_pooling_needs_its_setting(
    start: Callable[[Settings], TestClient], pooled: Settings
) -> None:
    client = start(pooled.model_copy(update={"database_transaction_pooling": False}))
    check_problem(client.get("/readyz"), 503, "unavailable")
