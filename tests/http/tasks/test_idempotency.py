from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from httpx2 import Response

from taskapi.models import utc_now
from taskapi.settings import Settings
from tests.api import Api, faults
from tests.databases import execute

KEY = "8e03978e-40d5-43dd-bc93-6894a57f9324"


def create(api: Api, title: str = "Buy bread", key: str = KEY, **fields: str) -> Response:
    body = {"title": title, **fields}
    return api.post("/tasks", json=body, headers={"Idempotency-Key": key})


def count_answers(settings: Settings) -> int:
    [(count,)] = execute(settings.database_url, "SELECT count(*) FROM idempotent_answers")
    return int(count)


def test_a_repeat_gets_the_first_answer_and_creates_nothing(anna: Api) -> None:
    first = create(anna)
    anna.patch(first.headers["location"], json={"status": "завершена"})
    again = create(anna)
    assert first.status_code == again.status_code == 201
    assert again.content == first.content
    for header in ("location", "etag"):
        assert again.headers[header] == first.headers[header]
    assert len(anna.get("/tasks").json()) == 1


def test_a_repeat_may_name_the_defaults(anna: Api) -> None:
    first = create(anna, " Buy bread ")
    assert create(anna, description="", status="новая").content == first.content


def test_a_repeat_after_a_delete_creates_nothing(anna: Api) -> None:
    first = create(anna)
    anna.delete(first.headers["location"])
    assert create(anna).content == first.content
    assert anna.get("/tasks").json() == []


def test_a_key_with_another_body_is_refused(anna: Api) -> None:
    create(anna)
    answer = create(anna, "Sell bread")
    assert faults(answer) == [("header", "/Idempotency-Key")]
    assert len(anna.get("/tasks").json()) == 1


def test_racing_repeats_create_one_task_and_get_one_answer(anna: Api) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: create(anna), range(8)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert len(anna.get("/tasks").json()) == 1


def test_a_corrected_request_may_reuse_the_key_of_a_failed_one(anna: Api) -> None:
    assert create(anna, "").status_code == 422
    assert create(anna, "Buy bread").status_code == 201


def test_a_key_belongs_to_one_user(anna: Api, boris: Api) -> None:
    hers, his = create(anna), create(boris, "Sell bread")
    assert (hers.status_code, his.status_code) == (201, 201)
    assert his.json()["user_id"] == boris.user_id


def test_a_key_expires_after_a_day(anna: Api, settings: Settings) -> None:
    first = create(anna)
    day_ago = f"{utc_now() - timedelta(hours=24):%F %T.%f}"
    change = "UPDATE idempotent_answers SET created_at = :then"
    execute(settings.database_url, change, then=day_ago)
    assert create(anna, "Sell bread").json()["id"] != first.json()["id"]
    assert count_answers(settings) == 1


@pytest.mark.one_database
@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "\x7f", "é"])
def test_a_malformed_key_is_refused(anna: Api, key: str) -> None:
    headers = {b"Idempotency-Key": key.encode(), b"Authorization": f"Bearer {anna.token}".encode()}
    answer = anna.client.post("/tasks", json={"title": "x"}, headers=headers)
    assert faults(answer) == [("header", "/Idempotency-Key")]


@pytest.mark.one_database
def test_two_keys_are_refused(anna: Api) -> None:
    keys = [("Idempotency-Key", "one"), ("Idempotency-Key", "two")]
    fields = [("Authorization", f"Bearer {anna.token}"), *keys]
    answer = anna.client.post("/tasks", json={"title": "x"}, headers=fields)
    assert faults(answer) == [("header", "/Idempotency-Key")]


def test_keys_are_deleted_with_the_account(anna: Api, settings: Settings) -> None:
    create(anna)
    anna.delete(f"/users/{anna.user_id}")
    assert count_answers(settings) == 0
