from datetime import datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from tests.api import Api, check_problem, faults, log_in, refresh, request_token


def revoke(client: TestClient, token: str, **fields: str) -> Response:
    return client.post("/auth/revoke", data={"token": token, **fields})


def check_over(api: Api, tokens: dict[str, Any]) -> None:
    access = {"Authorization": f"Bearer {tokens['access_token']}"}
    check_problem(api.client.get("/users/me", headers=access), 401, "unauthorized")
    check_problem(refresh(api.client, tokens["refresh_token"]), 400, "invalid-grant")


@pytest.mark.one_database
@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "nonsense"])
def test_revoking_either_token_ends_its_session_only(anna: Api, kind: str, hint: str) -> None:
    tokens = request_token(anna.client, anna.email).json()
    answer = revoke(anna.client, tokens[kind], token_type_hint=hint)
    assert (answer.status_code, answer.content) == (200, b"")
    check_over(anna, tokens)
    assert anna.get("/users/me").status_code == 200


def test_revoking_an_outdated_refresh_token_ends_its_session(anna: Api) -> None:
    tokens = request_token(anna.client, anna.email).json()
    newer = refresh(anna.client, tokens["refresh_token"]).json()
    assert revoke(anna.client, tokens["refresh_token"]).status_code == 200
    check_over(anna, newer)


@pytest.mark.one_database
@pytest.mark.parametrize("token", ["x", "a.b", "a.b.c", "\0", "é"])
def test_revoking_an_unknown_token_is_no_error(anna: Api, token: str) -> None:
    assert revoke(anna.client, token).status_code == 200
    assert anna.get("/users/me").status_code == 200


def test_revoking_twice_succeeds(anna: Api) -> None:
    assert [revoke(anna.client, anna.token).status_code for _ in range(2)] == [200, 200]


@pytest.mark.one_database
def test_revoking_without_a_token_is_an_oauth2_error(client: TestClient) -> None:
    answer = client.post("/auth/revoke", data={})
    problem = check_problem(answer, 400, "invalid-token-request")
    assert problem["error"] == "invalid_request"


def test_own_sessions_are_listed(anna: Api, boris: Api) -> None:
    headers = {"User-Agent": "phone\x7f" + "x" * 300}
    form = {"grant_type": "password", "username": anna.email, "password": "wrong password"}
    anna.client.post("/auth/token", data=form, headers=headers)
    form["password"] = "correct horse battery staple"
    anna.client.post("/auth/token", data=form, headers=headers)
    first, second = anna.get("/auth/sessions").json()
    created = datetime.fromisoformat(second["created_at"])
    assert second == {
        "id": second["id"],
        "created_at": second["created_at"],
        "last_used_at": second["created_at"],
        "expires_at": second["expires_at"],
        "client": "phone" + "x" * 195,
        "current": False,
    }
    assert datetime.fromisoformat(second["expires_at"]) - created == timedelta(days=30)
    assert first["current"] is True
    assert first["client"] == "testclient"
    assert [session["id"] for session in boris.get("/auth/sessions").json()] != [first["id"]]


def test_the_list_of_sessions_has_pages(anna: Api) -> None:
    log_in(anna.client, anna.email)
    first = anna.get("/auth/sessions?limit=1")
    second = anna.get(first.links["next"]["url"])
    assert [session["current"] for session in first.json() + second.json()] == [True, False]


def test_one_session_can_be_ended(anna: Api) -> None:
    tokens = request_token(anna.client, anna.email).json()
    other = anna.get("/auth/sessions").json()[1]
    answer = anna.delete(f"/auth/sessions/{other['id']}")
    assert (answer.status_code, answer.content) == (204, b"")
    check_over(anna, tokens)
    check_problem(anna.delete(f"/auth/sessions/{other['id']}"), 404, "not-found")
    assert len(anna.get("/auth/sessions").json()) == 1


def test_the_current_session_can_be_ended(anna: Api) -> None:
    [own] = anna.get("/auth/sessions").json()
    assert anna.delete(f"/auth/sessions/{own['id']}").status_code == 204
    check_problem(anna.get("/users/me"), 401, "unauthorized")


def test_all_other_sessions_can_be_ended(anna: Api, boris: Api) -> None:
    others = [request_token(anna.client, anna.email).json() for _ in range(2)]
    assert anna.delete("/auth/sessions").status_code == 204
    for tokens in others:
        check_over(anna, tokens)
    assert [session["current"] for session in anna.get("/auth/sessions").json()] == [True]
    assert boris.get("/users/me").status_code == 200


def test_another_users_session_is_not_found(anna: Api, boris: Api) -> None:
    [hers] = anna.get("/auth/sessions").json()
    check_problem(boris.delete(f"/auth/sessions/{hers['id']}"), 404, "not-found")
    assert faults(boris.delete("/auth/sessions/0")) == [("path", "/session_id")]
    assert anna.get("/users/me").status_code == 200
