"""A PostgreSQL server crashes and restarts under load."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from taskapi.settings import Settings
from tests.api import Api
from tests.databases import PostgreSQL, execute

pytestmark = pytest.mark.database("postgresql")


@pytest.fixture
def server() -> Iterator[PostgreSQL]:
    with closing(PostgreSQL()) as server:
        yield server


def test_a_restart_under_load_fails_requests_with_503_only(
    server: PostgreSQL, start: Callable[[Settings], TestClient], settings: Settings
) -> None:
    url = server.create_database()
    anna = Api.register(
        start(settings.model_copy(update={"database_url": url})), "anna@example.com"
    )
    stop = threading.Event()
    answers: list[Response] = []

    def work(number: int) -> None:
        while not stop.is_set():
            headers = {"Idempotency-Key": f"{number}-{len(answers)}"}
            answers.append(anna.post("/tasks", json={"title": "x"}, headers=headers))
            answers.append(anna.get("/tasks?limit=1&sort=-id"))

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(work, number) for number in range(4)]
        for _ in range(3):
            server.stop()
            server.start()
        before = len(answers)
        while len(answers) < before + 40:
            stop.wait(0.01)
        stop.set()
        for done in running:
            done.result()
    assert {answer.status_code for answer in answers} == {200, 201, 503}
    acknowledged = {answer.json()["id"] for answer in answers if answer.status_code == 201}
    stored = {task_id for (task_id,) in execute(url, "SELECT id FROM tasks")}
    assert acknowledged <= stored
