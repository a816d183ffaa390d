"""Requests that wait take no threads from the requests of others."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event, Semaphore

import pytest
from httpx2 import Response

from taskapi.database import core
from taskapi.database.connections import Connection
from taskapi.settings import Settings
from taskapi.tasks import service
from tests.api import Api, check_problem
from tests.waiting import HANG

Send = Callable[[], Response]


class Blocked:
    """Replaces a function of the service, which waits in its thread until the test goes on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, user: Api) -> None:
        self.started = Semaphore(0)
        self._go_on = Event()
        function = getattr(service, name)

        def block(connection: Connection, owner_id: int, *arguments: object) -> object:
            if owner_id == user.user_id:
                self.started.release()
                self._go_on.wait(HANG)
            return function(connection, owner_id, *arguments)

        monkeypatch.setattr(service, name, block)

    @contextmanager
    def sent(self, send: Send, most: int) -> Iterator[list[Future[Response]]]:
        """Send more requests than there are threads; `most` of them get one."""
        with ThreadPoolExecutor(12) as pool:
            try:
                answers = [pool.submit(send) for _ in range(12)]
                for _ in range(most):
                    assert self.started.acquire(timeout=HANG)
                yield answers
            finally:
                self._go_on.set()


@pytest.fixture
def readers(settings: Settings, database_system: str) -> int:
    connections = settings.database_connections
    return connections if database_system == "sqlite" else connections // 2


def test_one_user_reads_in_half_of_the_threads(
    anna: Api, boris: Api, readers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = Blocked(monkeypatch, "list_tasks", anna)
    with blocked.sent(lambda: anna.get("/tasks"), readers // 2) as answers:
        assert boris.get("/tasks").status_code == 200
        assert not blocked.started.acquire(blocking=False)
    assert {answer.result().status_code for answer in answers} == {200}


def test_reads_of_one_user_that_wait_too_long_are_unavailable(
    anna: Api, readers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = Blocked(monkeypatch, "list_tasks", anna)
    monkeypatch.setattr(core, "QUEUE_TIMEOUT", 0.05)
    with blocked.sent(lambda: anna.get("/tasks"), readers // 2):
        answer = anna.get("/tasks")
    check_problem(answer, 503, "unavailable")
    assert answer.headers["retry-after"] == "1"
    assert anna.get("/tasks").status_code == 200


def test_the_service_is_ready_while_all_threads_for_reads_are_taken(
    anna: Api, boris: Api, readers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Blocked(monkeypatch, "list_tasks", anna)
    second = Blocked(monkeypatch, "list_tasks", boris)
    with (
        first.sent(lambda: anna.get("/tasks"), readers // 2),
        second.sent(lambda: boris.get("/tasks"), readers // 2),
    ):
        assert anna.client.get("/readyz").status_code == 200


@pytest.mark.database("postgresql")
def test_waiting_writes_leave_threads_for_reads(
    anna: Api, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Failed: eight writes that waited for a lock took all threads."""
    blocked = Blocked(monkeypatch, "create_task", anna)
    writers = (settings.database_connections - 1) // 2
    with blocked.sent(lambda: anna.post("/tasks", json={"title": "x"}), writers) as answers:
        assert anna.get("/tasks").json() == []
        assert anna.client.get("/readyz").status_code == 200
        assert not blocked.started.acquire(blocking=False)
    assert {answer.result().status_code for answer in answers} == {201}
