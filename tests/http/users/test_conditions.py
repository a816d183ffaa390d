"""Optimistic concurrency: users have the ETags and the conditions of tasks."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.api import PASSWORD, Api, check_problem

WRITES: list[tuple[str, dict[str, Any] | None]] = [
    ("PUT", {"name": "lost", "email": "anna@example.com"}),
    ("PATCH", {"name": "lost"}),
    ("PATCH", {"password": "another password"}),
    ("DELETE", None),
]


def path_of(api: Api) -> str:
    return f"/users/{api.user_id}"


def etag(api: Api, path: str = "/users/me") -> str:
    tag: str = api.get(path).headers["etag"]
    return tag


def test_the_etag_is_strong_and_changes_with_the_user(anna: Api, boris: Api) -> None:
    body = {"name": "Clara", "email": "clara@example.com", "password": PASSWORD}
    created = anna.client.post("/users", json=body)
    assert created.headers["etag"] == etag(anna, created.headers["location"])
    seen = [etag(anna)]
    assert seen[0].startswith('"')
    for change in ({"name": "A"}, {"email": "a@example.com"}, {"password": "another password"}):
        changed = anna.patch(path_of(anna), json=change)
        seen.append(changed.headers["etag"])
        assert etag(anna) == etag(boris, path_of(anna)) == seen[-1]
    assert len(set(seen)) == len(seen)
    same = {"name": "A", "email": "a@example.com"}
    for method, body in (("PUT", same), ("PATCH", same), ("PATCH", {})):
        assert anna.request(method, path_of(anna), json=body).headers["etag"] == seen[-1]


@pytest.mark.parametrize("path", ["/users/me", "/users/{}"])
def test_a_matching_if_none_match_is_answered_304(anna: Api, path: str) -> None:
    path = path.format(anna.user_id)
    tag = etag(anna)
    answer = anna.get(path, headers={"If-None-Match": f"W/{tag}"})
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == tag
    assert anna.get(path, headers={"If-None-Match": '"x"'}).status_code == 200


@pytest.mark.parametrize(("method", "body"), WRITES)
def test_a_write_with_an_outdated_etag_is_answered_412(
    anna: Api, method: str, body: dict[str, Any] | None
) -> None:
    outdated = etag(anna)
    anna.patch(path_of(anna), json={"name": "new"})
    for headers in ({"If-Match": outdated}, {"If-None-Match": "*"}):
        answer = anna.request(method, path_of(anna), json=body, headers=headers)
        check_problem(answer, 412, "precondition-failed")
    answer = anna.request(method, path_of(anna), json=body, headers={"If-Match": "x"})
    check_problem(answer, 400, "invalid-condition")
    assert anna.get("/users/me").json()["name"] == "new"
    current = {"If-Match": etag(anna)}
    assert anna.request(method, path_of(anna), json=body, headers=current).is_success


def test_one_of_the_racing_writers_of_a_version_wins(anna: Api) -> None:
    headers = {"If-Match": etag(anna)}

    def write(number: int) -> int:
        body = {"name": str(number)}
        return anna.patch(path_of(anna), json=body, headers=headers).status_code

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(write, range(8))) == [200] + [412] * 7


@pytest.mark.one_database
def test_another_users_account_is_forbidden_despite_conditions(anna: Api, boris: Api) -> None:
    for headers in ({"If-Match": '"x"'}, {"If-None-Match": "*"}):
        answer = boris.delete(path_of(anna), headers=headers)
        check_problem(answer, 403, "forbidden")
