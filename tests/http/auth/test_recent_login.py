"""Changing the e-mail or password and deleting the account need a recent login (RFC 9470)."""

import time
from typing import Any

import jwt
import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from tests.api import Api, check_problem, log_in, refresh, request_token
from tests.clock import Clock
from tests.fixtures import SECRET_KEY

SENSITIVE: list[tuple[str, dict[str, str] | None]] = [
    ("PATCH", {"password": "another password"}),
    ("PATCH", {"email": "anna.k@example.com"}),
    ("PATCH", {"email": "ANNA@example.com"}),
    ("PUT", {"name": "Anna", "email": "anna.k@example.com"}),
    ("PUT", {"name": "Anna", "email": "anna@example.com", "password": "another password"}),
    ("DELETE", None),
]


def age(api: Api, seconds: int) -> None:
    """Make the login that old, as a refreshed access token says it."""
    claims = jwt.decode(api.token, options={"verify_signature": False})
    claims["auth_time"] = int(time.time()) - seconds
    api.token = jwt.encode(claims, SECRET_KEY, "HS256", headers={"typ": "at+jwt"})


def request(api: Api, method: str, body: dict[str, Any] | None) -> Response:
    return api.request(method, f"/users/{api.user_id}", json=body)


@pytest.mark.one_database
@pytest.mark.parametrize(("method", "body"), SENSITIVE)
def test_a_change_long_after_logging_in_is_challenged(
    anna: Api, method: str, body: dict[str, str] | None
) -> None:
    before = anna.get("/users/me").json()
    age(anna, 901)
    answer = request(anna, method, body)
    problem = check_problem(answer, 401, "login-too-old")
    assert answer.headers["www-authenticate"] == (
        'Bearer realm="taskapi", error="insufficient_user_authentication", '
        f'error_description="{problem["detail"]}", max_age=900'
    )
    assert anna.get("/users/me").json() == before
    log_in(anna.client, anna.email)


@pytest.mark.one_database
@pytest.mark.parametrize(("method", "body"), SENSITIVE)
def test_a_change_soon_after_logging_in_is_accepted(
    anna: Api, method: str, body: dict[str, str] | None
) -> None:
    age(anna, 890)
    assert request(anna, method, body).is_success


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("PATCH", {"name": "Anna K."}),
        ("PATCH", {"name": "Anna K.", "email": "anna@example.com"}),
        ("PUT", {"name": "Anna K.", "email": "anna@example.com"}),
    ],
)
def test_a_new_name_is_accepted_long_after_logging_in(
    anna: Api, method: str, body: dict[str, str]
) -> None:
    age(anna, 10**6)
    assert request(anna, method, body).json()["name"] == "Anna K."


def test_another_users_account_is_forbidden_before_that(anna: Api, boris: Api) -> None:
    age(boris, 901)
    for method, body in SENSITIVE:
        answer = boris.request(method, f"/users/{anna.user_id}", json=body)
        check_problem(answer, 403, "forbidden")


def test_refreshing_does_not_renew_auth_time(clock: Clock, client: TestClient) -> None:
    anna = Api.register(client, "anna@example.com")
    tokens = request_token(anna.client, anna.email).json()
    logged_in = jwt.decode(tokens["access_token"], options={"verify_signature": False})
    clock.advance(minutes=10)
    new = refresh(anna.client, tokens["refresh_token"]).json()
    refreshed = jwt.decode(new["access_token"], options={"verify_signature": False})
    assert refreshed["auth_time"] == logged_in["auth_time"]
    assert refreshed["iat"] > logged_in["iat"]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_new_password_ends_all_other_sessions(anna: Api, boris: Api, method: str) -> None:
    others = [request_token(anna.client, anna.email).json() for _ in range(2)]
    body = {"name": "Anna", "email": anna.email, "password": "another password"}
    assert request(anna, method, body).status_code == 200
    for tokens in others:
        access = {"Authorization": f"Bearer {tokens['access_token']}"}
        check_problem(anna.client.get("/users/me", headers=access), 401, "unauthorized")
        check_problem(refresh(anna.client, tokens["refresh_token"]), 400, "invalid-grant")
    assert anna.get("/users/me").status_code == 200
    assert boris.get("/users/me").status_code == 200


def test_a_new_email_ends_no_session(anna: Api) -> None:
    other = Api(anna.client, anna.user_id, anna.email, log_in(anna.client, anna.email))
    request(anna, "PATCH", {"email": "anna.k@example.com"})
    assert other.get("/users/me").status_code == 200
