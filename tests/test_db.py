import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.testclient import TestClient

from taskapi import db
from taskapi.settings import Settings
from tests.api import Api, check_problem

STATUSES = ["новая", "в процессе", "завершена"]


@pytest.fixture
def connection(settings: Settings, client: TestClient) -> Iterator[sqlite3.Connection]:
    """A connection from outside to the database of `client`."""
    assert client.get("/readyz").status_code == 200
    connection = sqlite3.connect(
        settings.database_url.removeprefix("sqlite:///"), isolation_level=None
    )
    yield connection
    connection.close()


def test_the_database_itself_refuses_any_other_status(
    anna: Api, connection: sqlite3.Connection
) -> None:
    anna.create_task(status="в процессе")
    assert connection.execute("SELECT status FROM tasks").fetchall() == [("в процессе",)]
    with pytest.raises(sqlite3.IntegrityError, match="CHECK constraint failed: ck_tasks_status"):
        connection.execute("UPDATE tasks SET status = 'IN_PROGRESS'")


def test_sqlite_is_set_up_to_lose_nothing(
    connection: sqlite3.Connection, settings: Settings
) -> None:
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    engine = db.open_engine(settings.database_url)
    with engine.connect() as own:
        pragmas = [
            own.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("foreign_keys", "synchronous", "busy_timeout")
        ]
    engine.dispose()
    assert pragmas == [1, 2, 5000]


@pytest.mark.usefixtures("anna")
def test_passwords_are_stored_as_argon2id_hashes(connection: sqlite3.Connection) -> None:
    [(stored,)] = connection.execute("SELECT password_hash FROM users").fetchall()
    assert stored.startswith("$argon2id$v=19$m=32,t=1,p=")


def test_a_locked_database_is_temporarily_unavailable(
    start: Callable[[Settings], TestClient], settings: Settings, connection: sqlite3.Connection
) -> None:
    impatient = {"database_url": settings.database_url + "?timeout=0.05"}
    anna = Api.register(start(settings.model_copy(update=impatient)), "anna@example.com")
    task = anna.create_task()
    connection.execute("BEGIN IMMEDIATE")
    answer = anna.delete(f"/tasks/{task['id']}")
    check_problem(answer, 503, "unavailable")
    assert answer.headers["retry-after"] == "1"
    assert anna.get(f"/tasks/{task['id']}").json() == task
    connection.execute("ROLLBACK")
    assert anna.delete(f"/tasks/{task['id']}").status_code == 204


def test_whoever_waits_too_long_for_a_turn_is_told_to_come_back(
    start: Callable[[Settings], TestClient],
    settings: Settings,
    connection: sqlite3.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(db, "QUEUE_SECONDS", 0.05)
    patient = {"database_url": settings.database_url + "?timeout=0.5"}
    anna = Api.register(start(settings.model_copy(update=patient)), "anna@example.com")
    connection.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: anna.post("/tasks", json={"title": "x"}), range(4)))
    details = {check_problem(answer, 503, "unavailable")["detail"] for answer in answers}
    assert "The database is too busy." in details
    connection.execute("ROLLBACK")
    assert anna.get("/tasks").json() == []


def test_racing_updates_never_tear_a_task(anna: Api) -> None:
    path = f"/tasks/{anna.create_task()['id']}"
    versions = [
        {"title": status, "description": status * 100, "status": status} for status in STATUSES
    ] * 8

    def replace(version: dict[str, str]) -> None:
        answer = anna.put(path, json=version).json()
        assert {field: answer[field] for field in version} == version

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(replace, versions))
        task = anna.get(path).json()
    assert {field: task[field] for field in versions[0]} in versions


def test_racing_patches_of_different_fields_all_stay(anna: Api) -> None:
    path = f"/tasks/{anna.create_task()['id']}"
    patches = [{"title": "new"}, {"description": "new"}, {"status": "завершена"}]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda patch: anna.patch(path, json=patch), patches))
    task = anna.get(path).json()
    assert (task["title"], task["description"], task["status"]) == ("new", "new", "завершена")


def test_of_racing_deletes_one_is_told_that_it_deleted(anna: Api) -> None:
    for _ in range(5):
        path = f"/tasks/{anna.create_task()['id']}"
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda _, path=path: anna.delete(path), range(6)))
        assert sorted(answer.status_code for answer in answers) == [204] + [404] * 5


def test_a_task_can_be_updated_while_it_is_deleted(anna: Api) -> None:
    for _ in range(5):
        path = f"/tasks/{anna.create_task()['id']}"
        with ThreadPoolExecutor(6) as pool:
            updates = [
                pool.submit(anna.patch, path, json={"title": str(number)}) for number in range(5)
            ]
            assert pool.submit(anna.delete, path).result().status_code == 204
        assert {update.result().status_code for update in updates} <= {200, 404}
        check_problem(anna.get(path), 404, "not-found")


def test_nothing_is_created_for_a_user_who_is_deleted_meanwhile(
    anna: Api, connection: sqlite3.Connection
) -> None:
    with ThreadPoolExecutor(6) as pool:
        creations = [pool.submit(anna.post, "/tasks", json={"title": "x"}) for _ in range(5)]
        assert pool.submit(anna.delete, f"/users/{anna.user_id}").result().status_code == 204
    assert {creation.result().status_code for creation in creations} <= {201, 401}
    assert connection.execute("SELECT count(*) FROM tasks").fetchone() == (0,)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite://", "must be a file"),
        ("sqlite:///:memory:", "must be a file"),
        ("sqlite:///file:x?mode=memory&uri=true", "must be a file"),
        ("postgresql://localhost/taskapi", "must be SQLite"),
    ],
)
def test_a_database_that_could_not_work_is_refused_at_the_start(
    start: Callable[[Settings], TestClient], settings: Settings, url: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        start(settings.model_copy(update={"database_url": url}))
