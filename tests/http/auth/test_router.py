import base64
from functools import partial
from typing import Any

import pytest
from anyio import to_thread
from fastapi.testclient import TestClient
from httpx2 import Response

from taskapi.security.passwords import Passwords, Verification
from tests.api import PASSWORD, Api, check_problem, request_token

# RFC 6749, section 5.2
ERROR_DESCRIPTION_CHARACTERS = {chr(code) for code in range(0x20, 0x7F)} - {'"', "\\"}

FORM = {"grant_type": "password", "username": "anna@example.com", "password": PASSWORD}


def check_oauth2_error(answer: Response, status: int, slug: str, error: str) -> None:
    problem = check_problem(answer, status, slug)
    assert answer.headers["content-type"] == "application/json"
    assert "www-authenticate" not in answer.headers
    assert problem["error"] == error
    assert problem["error_description"] == problem["detail"]
    assert set(problem["error_description"]) <= ERROR_DESCRIPTION_CHARACTERS
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["pragma"] == "no-cache"


def test_the_right_password_gives_a_bearer_token(anna: Api) -> None:
    answer = request_token(anna.client, anna.email)
    token = answer.json()
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["pragma"] == "no-cache"
    assert token == {
        "access_token": token["access_token"],
        "token_type": "bearer",
        "expires_in": 900,
        "refresh_token": token["refresh_token"],
    }
    anna.token = token["access_token"]
    assert anna.get("/users/me").json()["id"] == anna.user_id


@pytest.mark.one_database
@pytest.mark.parametrize("username", ["ANNA@example.com", "anna@EXAMPLE.COM", " anna@example.com "])
def test_usernames_match_in_any_case(anna: Api, username: str) -> None:
    assert request_token(anna.client, username).status_code == 200


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("anna@example.com", "wrong password"),
        ("anna@example.com", PASSWORD.upper()),
        ("anna@example.com", PASSWORD + " "),
        ("nobody@example.com", PASSWORD),
        ("%", PASSWORD),
        ("anna%", PASSWORD),
        ("anna@example.com' --", PASSWORD),
        ("a@b@c", PASSWORD),
    ],
)
def test_a_wrong_email_and_a_wrong_password_get_the_same_answer(
    anna: Api, username: str, password: str
) -> None:
    answer = request_token(anna.client, username, password)
    check_oauth2_error(answer, 400, "invalid-grant", "invalid_grant")
    assert answer.json()["detail"] == "The e-mail or the password is wrong."


def test_passwords_are_compared_after_nfc(client: TestClient) -> None:
    body = {"name": "Zoë", "email": "zoe@example.com", "password": "Zoe\u0308 Zoe\u0308"}
    client.post("/users", json=body)
    assert request_token(client, "zoe@example.com", "Zo\u00eb Zo\u00eb").status_code == 200


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({"grant_type": "", "username": None}, "invalid_request"),
        ({"grant_type": None, "password": ""}, "invalid_request"),
        ({"grant_type": None, "username": None, "refresh_token": "x"}, "invalid_request"),
        ({"grant_type": "Password"}, "unsupported_grant_type"),
        ({"username": None}, "invalid_request"),
        ({"username": "x" * 255}, "invalid_request"),
        ({"password": None}, "invalid_request"),
        ({"password": ""}, "invalid_request"),
        ({"username": ""}, "invalid_request"),
        ({"username": "anna@example.com\0"}, "invalid_request"),
        ({"grant_type": "refresh_token"}, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": ""}, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": "x" * 201}, "invalid_request"),
        ({"password": "x" * 129}, "invalid_request"),
        ({"password": [PASSWORD, "another"]}, "invalid_request"),
        ({"username": ["anna@example.com", "anna@example.com"]}, "invalid_request"),
    ],
)
def test_an_invalid_form_is_an_oauth2_error(anna: Api, change: dict[str, Any], error: str) -> None:
    form = {name: value for name, value in {**FORM, **change}.items() if value is not None}
    answer = anna.client.post("/auth/token", data=form)
    check_oauth2_error(answer, 400, "invalid-token-request", error)
    assert PASSWORD not in answer.text


@pytest.mark.one_database
@pytest.mark.parametrize("grant_type", [{}, {"grant_type": ""}])
def test_a_grant_without_a_type_is_a_password_grant(anna: Api, grant_type: dict[str, str]) -> None:
    form = {"username": anna.email, "password": PASSWORD, **grant_type}
    assert anna.client.post("/auth/token", data=form).status_code == 200
    answer = anna.client.post("/auth/token", data={**form, "password": "wrong"})
    check_oauth2_error(answer, 400, "invalid-grant", "invalid_grant")


@pytest.mark.one_database
@pytest.mark.parametrize(
    "request_options",
    [
        {"json": FORM},
        {},
        {
            "content": b"--x\r\nbroken",
            "headers": {"Content-Type": "multipart/form-data; boundary=x"},
        },
        {"content": b"\xff\xfe", "headers": {"Content-Type": "multipart/form-data"}},
    ],
)
def test_a_body_that_is_no_form_is_an_oauth2_error(
    client: TestClient, request_options: dict[str, Any]
) -> None:
    answer = client.post("/auth/token", **request_options)
    check_oauth2_error(answer, 400, "invalid-token-request", "invalid_request")


@pytest.mark.one_database
def test_unknown_parameters_of_a_grant_are_ignored(anna: Api) -> None:
    form = {**FORM, "scope": "", "client_id": "", "client_secret": "", "audience": ["x", "y"]}
    basic = base64.b64encode(b":").decode()
    answer = anna.client.post("/auth/token", data=form, headers={"Authorization": f"Basic {basic}"})
    assert answer.status_code == 200


@pytest.mark.one_database
def test_an_endless_form_is_refused(client: TestClient) -> None:
    answer = client.post("/auth/token", data={**FORM, "password": "x" * 300_000})
    check_oauth2_error(answer, 413, "content-too-large", "invalid_request")


def test_a_password_changed_while_it_is_verified_is_refused(
    anna: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = Passwords.verify

    async def verify_slowly(
        self: Passwords, password: str, password_hash: str | None
    ) -> Verification:
        verified = await verify(self, password, password_hash)
        change = partial(anna.patch, f"/users/{anna.user_id}", json={"password": "another one"})
        await to_thread.run_sync(change)
        return verified

    monkeypatch.setattr(Passwords, "verify", verify_slowly)
    answer = request_token(anna.client, anna.email)
    check_oauth2_error(answer, 400, "invalid-grant", "invalid_grant")
