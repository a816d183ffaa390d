"""Requests are refused before what they carry would keep the event loop busy."""

import json

import pytest
from fastapi.testclient import TestClient

from taskapi.app import MAX_TASK_BODY
from taskapi.http.request_limits import MAX_BODY_SIZE, MAX_HEAD_SIZE, MAX_PARAMETERS
from taskapi.models import MAX_FIELDS
from tests.api import Api, check_problem, faults

pytestmark = pytest.mark.one_database

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
WIDE = "\U0001f600"
"""A character that takes 12 bytes in JSON and in forms."""


def test_the_longest_task_is_accepted(anna: Api) -> None:
    task = {"title": WIDE * 200, "description": WIDE * 10_000, "status": "завершена"}
    answer = anna.post("/tasks", content=json.dumps(task, ensure_ascii=True), headers=JSON)
    assert answer.status_code == 201


def test_the_longest_account_is_accepted(client: TestClient) -> None:
    email = f"{'ы' * 64}@{'ы' * 40}.example"
    user = {"name": WIDE * 100, "email": email, "password": WIDE * 128}
    content = json.dumps(user, ensure_ascii=True)
    assert client.post("/users", content=content, headers=JSON).status_code == 201
    form = {
        "grant_type": "password",
        "username": email,
        "password": WIDE * 128,
        "scope": "x" * 1000,
    }
    assert client.post("/auth/token", data=form).status_code == 200


@pytest.mark.parametrize(
    ("path", "limit"),
    [("/tasks", MAX_TASK_BODY), ("/tasks/1", MAX_TASK_BODY), ("/users/1", MAX_BODY_SIZE)],
)
@pytest.mark.parametrize("prefix", ["", "/api"])
def test_bodies_above_the_limit_are_refused(anna: Api, prefix: str, path: str, limit: int) -> None:
    behind_proxy = TestClient(anna.client.app, root_path=prefix)
    body = b"{}" + b" " * (limit - 2)
    method = "POST" if path == "/tasks" else "PUT"
    answer = behind_proxy.request(method, prefix + path, content=body, headers=JSON)
    assert answer.status_code == 401
    answer = behind_proxy.request(method, prefix + path, content=body + b" ", headers=JSON)
    assert str(limit) in answer.json()["detail"]
    assert answer.json()["status"] == 413


@pytest.mark.parametrize("path", ["/auth/token", "/auth/revoke"])
def test_a_form_above_the_limit_is_an_oauth_error(client: TestClient, path: str) -> None:
    answer = client.post(path, content=b"&" * (MAX_BODY_SIZE + 1), headers=FORM)
    problem = check_problem(answer, 413, "content-too-large")
    assert problem["error"] == "invalid_request"
    assert problem["error_description"] == problem["detail"]


def test_many_unknown_fields_are_one_error(anna: Api) -> None:
    fields = {f"field{number}": 1 for number in range(MAX_FIELDS)}
    for path in ("/tasks", "/users"):
        answer = anna.post(path, json=fields | {"title": "x"})
        assert faults(answer) == [("body", "")]
        assert answer.json()["errors"][0]["detail"] == "There are too many fields."
    assert len(faults(anna.post("/tasks", json=fields))) == MAX_FIELDS


@pytest.mark.parametrize("path", ["/auth/token", "/auth/revoke"])
def test_a_form_of_many_fields_is_an_oauth_error(client: TestClient, path: str) -> None:
    fields = {f"field{number}": "1" for number in range(MAX_FIELDS + 1)}
    for options in ({"data": fields}, {"files": {"username": ("a.txt", b"a")}}):
        problem = check_problem(client.post(path, **options), 400, "invalid-token-request")
        assert problem["error"] == "invalid_request"
        assert str(MAX_FIELDS) in problem["detail"]


def test_a_query_of_many_parameters_is_refused(anna: Api) -> None:
    many = "&".join(["limit=1"] * MAX_PARAMETERS)
    assert anna.get(f"/tasks?{many}").status_code == 200
    problem = check_problem(anna.get(f"/tasks?{many}&x"), 431, "head-too-large")
    assert str(MAX_PARAMETERS) in problem["detail"]
    assert anna.request("HEAD", f"/tasks?{many}&x").content == b""


def test_a_large_head_is_refused(client: TestClient) -> None:
    long = "x" * MAX_HEAD_SIZE
    for path, headers in ((f"/tasks?q={long}", {}), (f"/{long}", {}), ("/livez", {"Cookie": long})):
        problem = check_problem(client.get(path, headers=headers), 431, "head-too-large")
        assert str(MAX_HEAD_SIZE) in problem["detail"]


def test_the_longest_useful_query_is_accepted(anna: Api) -> None:
    anna.create_task(WIDE * 200)
    anna.create_task(WIDE * 200)
    query = {"q": WIDE * 200, "sort": "title", "limit": "1", "status": ["новая", "завершена"]}
    page = anna.get("/tasks", params=query)
    assert page.status_code == 200
    following = anna.get(page.links["next"]["url"], headers={"Cookie": "x" * 4096})
    assert following.status_code == 200
    assert len(following.json()) == 1


def test_the_longest_form_is_read(client: TestClient) -> None:
    form = {"grant_type": "password", "username": WIDE * 254, "password": WIDE * 128}
    check_problem(client.post("/auth/token", data=form), 400, "invalid-grant")
