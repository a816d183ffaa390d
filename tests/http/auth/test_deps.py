"""Every fault of an access token is a 401 with a challenge."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from taskapi.security import access_tokens
from taskapi.settings import Settings
from tests.api import Api, check_problem, log_in
from tests.clock import Clock
from tests.fixtures import SECRET_KEY

pytestmark = pytest.mark.one_database

CLAIMS = ["iss", "aud", "sub", "iat", "exp", "jti", "sid", "auth_time"]


def decode(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def sign(claims: dict[str, Any], key: str = SECRET_KEY, typ: str = "at+jwt") -> str:
    return jwt.encode(claims, key, "HS256", headers={"typ": typ})


def check_refused(api: Api, token: str) -> None:
    answer = api.client.get("/users/me", headers={"Authorization": f"Bearer {token}"})
    problem = check_problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"] == (
        f'Bearer realm="taskapi", error="invalid_token", error_description="{problem["detail"]}"'
    )


@pytest.mark.usefixtures("clock")
def test_an_access_token_is_a_jwt_of_rfc_9068(client: TestClient) -> None:
    anna = Api.register(client, "anna@example.com")
    claims = decode(anna.token)
    assert jwt.get_unverified_header(anna.token) == {"alg": "HS256", "typ": "at+jwt"}
    assert sorted(claims) == sorted(CLAIMS)
    assert (claims["iss"], claims["aud"]) == ("taskapi", "taskapi")
    assert claims["sub"] == str(anna.user_id)
    assert claims["exp"] - claims["iat"] == 900
    assert claims["auth_time"] == claims["iat"]
    assert decode(log_in(anna.client, anna.email))["jti"] != claims["jti"]


@pytest.mark.parametrize("header", [None, "", "Basic YTpi", "Bearer", "Token x"])
def test_without_a_token_the_challenge_names_no_error(anna: Api, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = anna.client.get("/users/me", headers=headers)
    check_problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"] == 'Bearer realm="taskapi"'


@pytest.mark.parametrize("token", ["x", "a.b.c", "....", "e30.e30.", "x" * 10_000, '"', "null"])
def test_a_malformed_token_is_refused(anna: Api, token: str) -> None:
    check_refused(anna, token)


def test_a_non_ascii_token_is_refused(anna: Api) -> None:
    answer = anna.client.get("/users/me", headers={b"Authorization": b"Bearer \xff\xd0"})
    check_problem(answer, 401, "unauthorized")


def test_a_resigned_token_is_accepted(anna: Api) -> None:
    anna.token = sign(decode(anna.token))
    assert anna.get("/users/me").status_code == 200


def test_an_expired_token_is_refused(anna: Api) -> None:
    check_refused(anna, sign({**decode(anna.token), "exp": int(time.time()) - 1}))


def test_a_token_expires_after_its_lifetime(clock: Clock, client: TestClient) -> None:
    anna = Api.register(client, "anna@example.com")
    for _ in range(2):  # the second time from the cache of verified tokens
        assert anna.get("/users/me").status_code == 200
        clock.advance(seconds=449)
    clock.advance(seconds=2)
    check_refused(anna, anna.token)


def test_a_token_signed_with_another_key_is_refused(anna: Api) -> None:
    check_refused(anna, sign(decode(anna.token), key="another key" * 5))


def test_a_token_signed_with_another_algorithm_is_refused(anna: Api) -> None:
    claims = decode(anna.token)
    key = SECRET_KEY * 2
    check_refused(anna, jwt.encode(claims, key, "HS512", headers={"typ": "at+jwt"}))


@pytest.mark.parametrize("alg", ["none", "None", "NONE", ""])
def test_an_unsigned_token_is_refused(anna: Api, alg: str) -> None:
    header = base64.urlsafe_b64encode(json.dumps({"alg": alg, "typ": "at+jwt"}).encode()).decode()
    payload = anna.token.split(".")[1]
    check_refused(anna, f"{header.rstrip('=')}.{payload}.")


@pytest.mark.parametrize("typ", ["JWT", "", "refresh+jwt"])
def test_a_jwt_of_another_type_is_refused(anna: Api, typ: str) -> None:
    check_refused(anna, sign(decode(anna.token), typ=typ))


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_token_without_a_claim_is_refused(anna: Api, claim: str) -> None:
    claims = decode(anna.token)
    del claims[claim]
    check_refused(anna, sign(claims))


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        *[("sub", sub) for sub in ["", "x", "-1", "0", "1.0", "१", " 1", str(2**63), "9" * 5000]],
        *[("sid", sid) for sid in ["", "x", "0", 1, True, [1], {}, str(2**64)]],
        *[("auth_time", moment) for moment in ["x", None, 1e300, -1e300, 10**30]],
        ("aud", "another"),
        ("iss", "another"),
        ("exp", "soon"),
        ("nbf", 2**40),
    ],
)
def test_a_token_with_an_invalid_claim_is_refused(anna: Api, claim: str, value: object) -> None:
    check_refused(anna, sign({**decode(anna.token), claim: value}))


def test_a_token_of_an_unknown_session_is_refused(anna: Api) -> None:
    check_refused(anna, sign({**decode(anna.token), "sid": "99"}))


def test_a_token_of_another_users_session_is_refused(anna: Api, boris: Api) -> None:
    check_refused(anna, sign({**decode(anna.token), "sid": decode(boris.token)["sid"]}))


def test_a_token_ends_with_its_user(anna: Api) -> None:
    anna.delete(f"/users/{anna.user_id}")
    check_refused(anna, anna.token)


def test_a_session_ends_after_its_lifetime(
    clock: Clock, start: Callable[[Settings], TestClient], settings: Settings
) -> None:
    client = start(settings.model_copy(update={"refresh_token_lifetime": 60}))
    anna = Api.register(client, "anna@example.com")
    clock.advance(seconds=59)
    assert anna.get("/users/me").status_code == 200
    clock.advance(seconds=1)
    check_refused(anna, anna.token)
    anna.token = log_in(client, anna.email)
    assert anna.get("/users/me").status_code == 200


def test_former_keys_still_verify(
    start: Callable[[Settings], TestClient], settings: Settings, anna: Api
) -> None:
    keys = (SecretStr("a new key" * 5), SecretStr(SECRET_KEY))
    rotated = Api(
        start(settings.model_copy(update={"secret_keys": keys})),
        anna.user_id,
        anna.email,
        anna.token,
    )
    assert rotated.get("/users/me").status_code == 200
    rotated.token = log_in(rotated.client, rotated.email)
    assert rotated.get("/users/me").status_code == 200
    check_refused(anna, rotated.token)


def test_more_tokens_than_the_cache_holds_are_verified(
    anna: Api, boris: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_tokens, "TOKEN_CACHE_SIZE", 1)
    for _ in range(2):
        for user in (anna, boris):
            assert user.get("/users/me").json()["id"] == user.user_id
            check_refused(user, user.token[:-4] + "AAAA")
