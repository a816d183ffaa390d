"""Two requests of one account at the same moment, on PostgreSQL: a lock that the test holds makes
both come so far that each depends on the other.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from taskapi.database.engines import open_engine
from taskapi.settings import Settings
from tests.api import Api, log_in, refresh, request_token
from tests.databases import database_name, execute
from tests.waiting import wait_until

pytestmark = pytest.mark.database("postgresql")

Start = Callable[[Settings], TestClient]
Send = Callable[..., Response]

USER = "SELECT id FROM users FOR UPDATE"
TASK = "SELECT id FROM tasks FOR UPDATE"
LAST_SESSION = "SELECT id FROM sessions ORDER BY id DESC LIMIT 1 FOR UPDATE"


class Race:
    """Requests that are sent one after another, each when the one before it waits for a lock."""

    def __init__(self, url: str, pool: ThreadPoolExecutor) -> None:
        self._url = url
        self._pool = pool
        self._sent: list[Future[Response]] = []

    def send(self, send: Send, *arguments: object, **options: object) -> Future[Response]:
        """Return when the request waits for a lock, or has been answered."""
        future = self._pool.submit(send, *arguments, **options)
        self._sent.append(future)
        wait_until(lambda: self._waiting() >= sum(not sent.done() for sent in self._sent))
        return future

    def answers(self) -> list[Response]:
        return [future.result() for future in self._sent]

    def _waiting(self) -> int:
        statement = (
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND datname = :name"
        )
        [(count,)] = execute(self._url, statement, name=database_name(self._url))
        return int(count)


@contextmanager
def race(settings: Settings, lock: str) -> Iterator[Race]:
    """Hold a lock until the end of the context."""
    engine = open_engine(settings.database_url)
    with ThreadPoolExecutor() as pool, engine.begin() as connection:
        connection.exec_driver_sql(lock)
        yield Race(settings.database_url, pool)
    engine.dispose()


@pytest.fixture
def other(anna: Api) -> Api:
    """Another session of Anna's."""
    return Api(anna.client, anna.user_id, anna.email, log_in(anna.client, anna.email))


def statuses(race: Race) -> list[int]:
    return [answer.status_code for answer in race.answers()]


def revoke(anna: Api, tokens: dict[str, str], name: str) -> Response:
    return anna.client.post("/auth/revoke", data={"token": tokens[name]})


ENDS: dict[str, Callable[[Api, dict[str, str]], Response]] = {
    "refresh token": lambda anna, tokens: revoke(anna, tokens, "refresh_token"),
    "access token": lambda anna, tokens: revoke(anna, tokens, "access_token"),
    "other sessions": lambda anna, _: anna.delete("/auth/sessions"),
    "session": lambda anna, _: anna.delete("/auth/sessions/2"),
    "password": lambda anna, _: anna.patch("/users/1", json={"password": "another password"}),
    "account": lambda anna, _: anna.delete("/users/1"),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_session_ends_after_the_writes_that_it_let_through(
    anna: Api, settings: Settings, end: str
) -> None:
    """Failed: the end of the session was answered, and then the write took place."""
    path = f"/tasks/{anna.create_task()['id']}"
    tokens = request_token(anna.client, anna.email).json()
    other = Api(anna.client, anna.user_id, anna.email, tokens["access_token"])
    with race(settings, TASK) as requests:
        requests.send(other.patch, path, json={"title": "x"})
        ending = requests.send(ENDS[end], anna, tokens)
        assert not ending.done()
    assert all(answer.is_success for answer in requests.answers())
    assert other.patch(path, json={"title": "y"}).status_code == 401


def test_a_write_after_the_end_of_its_session_is_refused(
    anna: Api, other: Api, settings: Settings
) -> None:
    task = anna.create_task()
    with race(settings, LAST_SESSION) as requests:
        requests.send(anna.delete, "/auth/sessions")
        requests.send(other.patch, f"/tasks/{task['id']}", json={"title": "x"})
        requests.send(other.post, "/tasks", json={"title": "x"})
    assert statuses(requests) == [204, 401, 401]
    assert anna.get("/tasks").json() == [task]


def test_of_two_new_passwords_one_is_refused(anna: Api, other: Api, settings: Settings) -> None:
    """Failed: 200 and 200, both sessions ended, and the password was the other one."""
    path = f"/users/{anna.user_id}"
    with race(settings, USER) as requests:
        requests.send(anna.patch, path, json={"password": "the first password"})
        requests.send(other.patch, path, json={"password": "the second password"})
    assert statuses(requests) == [200, 401]
    assert anna.get("/users/me").status_code == 200
    assert request_token(anna.client, anna.email, "the second password").status_code == 400
    log_in(anna.client, anna.email, "the first password")


def test_an_account_is_deleted_once(anna: Api, other: Api, settings: Settings) -> None:
    """Failed: 204 and 204."""
    with race(settings, USER) as requests:
        requests.send(anna.delete, f"/users/{anna.user_id}")
        requests.send(other.delete, f"/users/{anna.user_id}")
    assert statuses(requests) == [204, 401]


def test_two_sessions_do_not_end_each_other(anna: Api, other: Api, settings: Settings) -> None:
    """Failed: 204 and 204, and no session was left."""
    log_in(anna.client, anna.email)
    with race(settings, LAST_SESSION) as requests:
        requests.send(anna.delete, "/auth/sessions")
        requests.send(other.delete, "/auth/sessions")
    assert statuses(requests) == [204, 401]
    assert len(anna.get("/auth/sessions").json()) == 1


def test_a_change_of_an_account_that_is_being_deleted_is_refused(
    anna: Api, other: Api, settings: Settings
) -> None:
    """Failed: 500, because the row was missing."""
    with race(settings, USER) as requests:
        requests.send(anna.delete, f"/users/{anna.user_id}")
        requests.send(other.patch, f"/users/{anna.user_id}", json={"name": "Ann"})
    assert statuses(requests) == [204, 401]


@pytest.mark.parametrize("change", ["delete", "patch"])
def test_tasks_and_changes_of_the_account_do_not_deadlock(
    anna: Api, settings: Settings, start: Start, change: str
) -> None:
    """The server must not resolve it, which takes a second and a repeat."""
    option = f"&options={quote('-c deadlock_timeout=1h')}"
    patient = {"database_url": settings.database_url + option, "database_statement_timeout": 20}
    anna.client = start(settings.model_copy(update=patient))
    other = Api(anna.client, anna.user_id, anna.email, log_in(anna.client, anna.email))
    body = {"email": "other@example.com", "password": "another password"}
    options = {"json": body} if change == "patch" else {}
    with race(settings, "LOCK TABLE tasks IN EXCLUSIVE MODE") as requests:
        requests.send(other.post, "/tasks", json={"title": "x"})
        requests.send(anna.request, change.upper(), f"/users/{anna.user_id}", **options)
    assert statuses(requests) == [201, 200 if change == "patch" else 204]


@pytest.mark.parametrize("level", ["read committed", "repeatable read", "serializable"])
def test_a_new_password_ends_a_session_that_starts_meanwhile_with_the_old_one(
    anna: Api, settings: Settings, start: Start, level: str
) -> None:
    """The default isolation level of the server does not matter."""
    escaped = level.replace(" ", "\\ ")
    option = quote(f"-c default_transaction_isolation={escaped}")
    url = f"{settings.database_url}&options={option}"
    anna.client = start(settings.model_copy(update={"database_url": url}))
    with race(settings, USER) as requests:
        requests.send(request_token, anna.client, anna.email)
        requests.send(anna.patch, f"/users/{anna.user_id}", json={"password": "another password"})
    assert statuses(requests) == [200, 200]
    assert len(anna.get("/auth/sessions").json()) == 1


def test_a_refresh_and_the_end_of_its_session_come_one_after_the_other(
    anna: Api, settings: Settings
) -> None:
    tokens = request_token(anna.client, anna.email).json()
    with race(settings, LAST_SESSION) as requests:
        requests.send(refresh, anna.client, tokens["refresh_token"])
        requests.send(anna.delete, "/auth/sessions")
    first, ended = requests.answers()
    assert (first.status_code, ended.status_code) == (200, 204)
    assert refresh(anna.client, first.json()["refresh_token"]).status_code == 400
