from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient

from taskapi.settings import Settings
from tests.api import PASSWORD, Api, check_problem, faults, log_in, request_token

Start = Callable[[Settings], TestClient]

ANNA = {"name": "Anna", "email": "anna@example.com", "password": PASSWORD}


def test_anyone_can_register(client: TestClient) -> None:
    answer = client.post("/users", json=ANNA)
    user = answer.json()
    assert answer.status_code == 201
    assert user == {
        "id": user["id"],
        "name": "Anna",
        "email": "anna@example.com",
        "created_at": user["created_at"],
    }
    assert answer.headers["location"] == f"/users/{user['id']}"


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("Anna@Example.COM", "Anna@example.com"),
        ("  anna@example.com ", "anna@example.com"),
        ("anna@corp.local", "anna@corp.local"),
        ("anna@localhost", "anna@localhost"),
        ("anna@service.test", "anna@service.test"),
        ("анна@пример.рф", "анна@пример.рф"),
        ("anna@xn--e1afmkfd.xn--p1ai", "anna@пример.рф"),
        ("anna+tasks@example.com", "anna+tasks@example.com"),
    ],
)
def test_the_domain_of_an_email_is_normalized(client: TestClient, sent: str, kept: str) -> None:
    assert client.post("/users", json={**ANNA, "email": sent}).json()["email"] == kept
    log_in(client, sent)


@pytest.mark.parametrize("email", ["anna@example.com", "ANNA@EXAMPLE.COM", " Anna@example.com"])
def test_emails_are_unique_in_any_case(client: TestClient, email: str) -> None:
    client.post("/users", json=ANNA)
    check_problem(client.post("/users", json={**ANNA, "email": email}), 409, "email-taken")


def test_cyrillic_emails_are_unique_in_any_case(client: TestClient) -> None:
    client.post("/users", json={**ANNA, "email": "анна@example.com"})
    again = client.post("/users", json={**ANNA, "email": "АННА@example.com"})
    check_problem(again, 409, "email-taken")


@pytest.mark.parametrize(
    ("email", "again"),
    [("ασ@x.gr", "ΑΣ@x.gr"), ("ας@x.gr", "ΑΣ@x.gr"), ("\u01f0@x.gr", "J\u030c@x.gr")],
)
def test_case_folds_where_lower_case_has_two_spellings(
    client: TestClient, email: str, again: str
) -> None:
    client.post("/users", json={**ANNA, "email": email})
    answer = client.post("/users", json={**ANNA, "email": again})
    check_problem(answer, 409, "email-taken")
    log_in(client, again)


def test_sharp_s_and_double_s_are_different_emails(client: TestClient) -> None:
    client.post("/users", json={**ANNA, "email": "weiß@example.com"})
    assert client.post("/users", json={**ANNA, "email": "weiss@example.com"}).status_code == 201


def test_one_of_ten_racing_registrations_of_an_email_wins(client: TestClient) -> None:
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: client.post("/users", json=ANNA), range(10)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 9


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"name": ""}, "/name"),
        ({"name": " "}, "/name"),
        ({"name": "x" * 101}, "/name"),
        ({"name": "a\0b"}, "/name"),
        ({"name": None}, "/name"),
        ({"email": "anna"}, "/email"),
        ({"email": "anna@"}, "/email"),
        ({"email": "Anna <anna@example.com>"}, "/email"),
        ({"email": "a b@example.com"}, "/email"),
        ({"email": "anna@example.com\0"}, "/email"),
        ({"email": "a" * 243 + "@example.com"}, "/email"),
        ({"email": None}, "/email"),
        ({"password": "x" * 7}, "/password"),
        ({"password": "x" * 129}, "/password"),
        ({"password": None}, "/password"),
        ({"password": 12345678}, "/password"),
        ({"id": 7}, "/id"),
        ({"is_admin": True}, "/is_admin"),
    ],
)
def test_an_invalid_registration_is_refused_with_the_place(
    client: TestClient, change: dict[str, Any], place: str
) -> None:
    answer = client.post("/users", json={**ANNA, **change})
    assert faults(answer) == [("body", place)]


@pytest.mark.one_database
@pytest.mark.parametrize("body", [ANNA, {}])
def test_registration_can_be_closed(start: Start, settings: Settings, body: dict[str, Any]) -> None:
    client = start(settings.model_copy(update={"registration": "closed"}))
    check_problem(client.post("/users", json=body), 403, "registration-closed")
    assert request_token(client, ANNA["email"]).status_code != 200


@pytest.mark.one_database
def test_missing_fields_are_named(client: TestClient) -> None:
    missing = [("body", "/name"), ("body", "/email"), ("body", "/password")]
    assert faults(client.post("/users", json={})) == missing


@pytest.mark.one_database
def test_refused_passwords_are_not_echoed(client: TestClient) -> None:
    secret = "hunter2" * 50
    answer = client.post("/users", json={**ANNA, "password": secret})
    assert "hunter2" not in answer.text


@pytest.mark.one_database
@pytest.mark.parametrize("password", ["x" * 8, "🙂" * 128, "  spaces count  ", "a\0b\tc\nd!!"])
def test_passwords_are_any_8_to_128_characters(client: TestClient, password: str) -> None:
    assert client.post("/users", json={**ANNA, "password": password}).status_code == 201
    log_in(client, "anna@example.com", password)


def test_logged_in_users_see_all_accounts_without_passwords(anna: Api, boris: Api) -> None:
    users = anna.get("/users").json()
    assert [user["id"] for user in users] == [anna.user_id, boris.user_id]
    assert all(set(user) == {"id", "name", "email", "created_at"} for user in users)
    assert anna.get(f"/users/{boris.user_id}").json() == users[1]


def test_users_are_listed_in_pages(anna: Api, boris: Api) -> None:
    first = anna.get("/users?limit=1")
    second = anna.get(first.links["next"]["url"])
    assert [user["id"] for user in first.json() + second.json()] == [anna.user_id, boris.user_id]
    assert "next" not in second.links


def test_me_is_the_logged_in_user(anna: Api, boris: Api) -> None:
    assert anna.get("/users/me").json() == boris.get(f"/users/{anna.user_id}").json()


def test_an_unknown_user_is_not_found(anna: Api) -> None:
    check_problem(anna.get(f"/users/{anna.user_id + 1}"), 404, "not-found")


def test_put_keeps_the_password_when_none_is_sent(anna: Api) -> None:
    new = {"name": "Anna K.", "email": "anna.k@example.com"}
    before = anna.get("/users/me").json()
    answer = anna.put(f"/users/{anna.user_id}", json=new)
    assert answer.status_code == 200
    assert answer.json() == {**before, **new}
    assert anna.get("/users/me").json() == answer.json()
    log_in(anna.client, "anna.k@example.com")


@pytest.mark.one_database
def test_put_requires_name_and_email(anna: Api) -> None:
    answer = anna.put(f"/users/{anna.user_id}", json={"password": PASSWORD})
    assert faults(answer) == [("body", "/name"), ("body", "/email")]


def test_patch_changes_only_the_fields_sent(anna: Api) -> None:
    before = anna.get("/users/me").json()
    answer = anna.patch(f"/users/{anna.user_id}", json={"name": "Anna K."})
    assert answer.json() == {**before, "name": "Anna K."}
    log_in(anna.client, anna.email)


@pytest.mark.one_database
@pytest.mark.parametrize("field", ["name", "email", "password"])
def test_patch_refuses_null(anna: Api, field: str) -> None:
    answer = anna.patch(f"/users/{anna.user_id}", json={field: None})
    assert faults(answer) == [("body", f"/{field}")]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_new_password_replaces_the_old_one(anna: Api, method: str) -> None:
    body = {"name": "Anna", "email": anna.email, "password": "another password"}
    assert anna.request(method, f"/users/{anna.user_id}", json=body).status_code == 200
    assert request_token(anna.client, anna.email).status_code == 400
    log_in(anna.client, anna.email, "another password")


@pytest.mark.parametrize("also", [{}, {"password": "another password"}])
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_email_cannot_be_changed_to_a_taken_one(
    anna: Api, boris: Api, method: str, also: dict[str, str]
) -> None:
    before = anna.get("/users/me").json()
    body = {"name": "Thief", "email": boris.email.upper(), **also}
    answer = anna.request(method, f"/users/{anna.user_id}", json=body)
    check_problem(answer, 409, "email-taken")
    assert anna.get("/users/me").json() == before
    log_in(anna.client, anna.email)


def test_the_case_of_an_email_can_be_changed(anna: Api) -> None:
    answer = anna.patch(f"/users/{anna.user_id}", json={"email": "ANNA@example.com"})
    assert answer.json()["email"] == "ANNA@example.com"


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("PUT", {"name": "x", "email": "x@example.com"}),
        ("PATCH", {"name": "x"}),
        ("PATCH", {"password": "a new password"}),
        ("DELETE", None),
    ],
)
def test_another_users_account_can_not_be_changed(
    anna: Api, boris: Api, method: str, body: dict[str, str] | None
) -> None:
    before = anna.get("/users/me").json()
    answer = boris.request(method, f"/users/{anna.user_id}", json=body)
    check_problem(answer, 403, "forbidden")
    nobody = boris.request(method, f"/users/{boris.user_id + 1}", json=body)
    check_problem(nobody, 404, "not-found")
    assert anna.get("/users/me").json() == before
    log_in(anna.client, anna.email)


def test_a_deleted_account_is_gone_with_its_tasks_and_sessions(anna: Api, boris: Api) -> None:
    task = anna.create_task()
    second_login = log_in(anna.client, anna.email)
    answer = anna.delete(f"/users/{anna.user_id}")
    assert (answer.status_code, answer.content) == (204, b"")
    check_problem(boris.get(f"/users/{anna.user_id}"), 404, "not-found")
    check_problem(anna.get(f"/tasks/{task['id']}"), 401, "unauthorized")
    anna.token = second_login
    check_problem(anna.get("/users/me"), 401, "unauthorized")
    assert request_token(anna.client, anna.email).status_code == 400


def test_the_id_of_a_deleted_account_is_not_reused(anna: Api) -> None:
    anna.delete(f"/users/{anna.user_id}")
    successor = Api.register(anna.client, anna.email)
    assert successor.user_id > anna.user_id
    check_problem(anna.get("/users/me"), 401, "unauthorized")
