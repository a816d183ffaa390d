"""Who may do what: every operation, tried as nobody, as its owner, as another and after the end."""

from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx2 import Response

from tests.api import Api, check_problem, faults
from tests.operations import OPERATIONS, Operation, documented, path_parameters

each_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=str)


@pytest.fixture
def task_id(anna: Api) -> int:
    task_id: int = anna.create_task()["id"]
    return task_id


def path_of(operation: Operation, owner: Api, task_id: int) -> str:
    return operation.path.format(**path_parameters(owner) | {"task_id": task_id})


def call(operation: Operation, caller: Api, owner: Api, task_id: int) -> Response:
    path = path_of(operation, owner, task_id)
    return caller.request(operation.method, path, **operation.options)


def test_the_table_has_every_operation(client: TestClient) -> None:
    assert isinstance(client.app, FastAPI)
    assert sorted(documented(client.app)) == sorted(map(str, OPERATIONS))


@each_operation
def test_the_document_names_private_operations(client: TestClient, operation: Operation) -> None:
    assert isinstance(client.app, FastAPI)
    declared = documented(client.app)[str(operation)]
    assert bool(declared.get("security")) is not operation.public
    answers_401 = not operation.public or operation.path == "/auth/token"
    assert ("401" in declared["responses"]) is answers_401


@each_operation
def test_owners_may_call_every_operation(anna: Api, task_id: int, operation: Operation) -> None:
    assert call(operation, anna, anna, task_id).status_code == operation.success


@each_operation
def test_private_operations_require_a_token(anna: Api, task_id: int, operation: Operation) -> None:
    path = path_of(operation, anna, task_id)
    answer = anna.client.request(operation.method, path, **operation.options)
    if operation.public:
        assert answer.status_code == operation.success
    else:
        check_problem(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"] == 'Bearer realm="taskapi"'


@each_operation
def test_strangers_cannot_reach_what_an_owner_has(
    anna: Api, boris: Api, task_id: int, operation: Operation
) -> None:
    before = anna.get(f"/tasks/{task_id}").json(), anna.get("/users/me").json()
    answer = call(operation, boris, anna, task_id)
    assert answer.status_code == (operation.stranger or operation.success)
    assert (anna.get(f"/tasks/{task_id}").json(), anna.get("/users/me").json()) == before


def everything_seen_by(user: Api) -> list[Any]:
    return [user.get(path).json() for path in ("/users", "/tasks", "/auth/sessions")]


@pytest.mark.one_database
@each_operation
def test_unknown_query_parameters_are_refused(
    anna: Api, task_id: int, operation: Operation
) -> None:
    path = path_of(operation, anna, task_id)
    before = everything_seen_by(anna)
    answer = anna.request(operation.method, f"{path}?if_match=1&x", **operation.options)
    if operation.form:
        assert check_problem(answer, 400, "invalid-token-request")["error"] == "invalid_request"
    else:
        assert faults(answer) == [("query", "/if_match"), ("query", "/x")]
    assert everything_seen_by(anna) == before


@each_operation
def test_tokens_of_deleted_users_are_refused(anna: Api, boris: Api, operation: Operation) -> None:
    task_id = boris.create_task()["id"]
    anna.delete(f"/users/{anna.user_id}")
    answer = call(operation, anna, boris, task_id)
    if not operation.public:
        problem = check_problem(answer, 401, "unauthorized")
        assert problem["detail"] == "The session has ended."
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
