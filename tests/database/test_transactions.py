import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from taskapi.database.connections import Connection
from taskapi.database.core import Database
from taskapi.settings import Settings
from tests.api import Api, check_problem
from tests.databases import execute

STATUSES = ["новая", "в процессе", "завершена"]


def test_the_database_refuses_unknown_statuses(anna: Api, settings: Settings) -> None:
    anna.create_task(status="в процессе")
    assert execute(settings.database_url, "SELECT status FROM tasks") == [("в процессе",)]
    with pytest.raises(IntegrityError, match="ck_tasks_status"):
        execute(settings.database_url, "UPDATE tasks SET status = 'IN_PROGRESS'")


@pytest.mark.usefixtures("anna")
def test_passwords_are_stored_as_argon2id_hashes(settings: Settings) -> None:
    [(stored,)] = execute(settings.database_url, "SELECT password_hash FROM users")
    assert stored.startswith("$argon2id$v=19$m=32,t=1,p=")


def test_integrity_errors_are_not_unavailability(client: TestClient, settings: Settings) -> None:
    assert client.get("/readyz").status_code == 200
    database = Database(settings)

    def violate(connection: Connection) -> None:
        connection.execute(text("INSERT INTO users (id) VALUES (1)"))

    with pytest.raises(IntegrityError):
        asyncio.run(database.write(violate))
    database.close()


def test_racing_updates_do_not_mix(anna: Api) -> None:
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


def test_racing_patches_of_different_fields_all_apply(anna: Api) -> None:
    path = f"/tasks/{anna.create_task()['id']}"
    patches = [{"title": "new"}, {"description": "new"}, {"status": "завершена"}]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda patch: anna.patch(path, json=patch), patches))
    task = anna.get(path).json()
    assert (task["title"], task["description"], task["status"]) == ("new", "new", "завершена")


def test_one_of_racing_deletes_succeeds(anna: Api) -> None:
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


def test_no_task_outlives_its_deleted_user(anna: Api, settings: Settings) -> None:
    with ThreadPoolExecutor(6) as pool:
        creations = [pool.submit(anna.post, "/tasks", json={"title": "x"}) for _ in range(5)]
        assert pool.submit(anna.delete, f"/users/{anna.user_id}").result().status_code == 204
    assert {creation.result().status_code for creation in creations} <= {201, 401}
    assert execute(settings.database_url, "SELECT count(*) FROM tasks") == [(0,)]
