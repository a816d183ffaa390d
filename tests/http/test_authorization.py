"""Every operation without a token, as the owner, as another user and as a deleted user."""

from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx2 import Response

from tests.api import Api, check_problem, faults
from tests.operations import (
    BODIES,
    OPERATIONS,
    PUBLIC,
    STRANGERS,
    Operation,
    documented,
    path_parameters,
)

each_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=str)


@pytest.fixture
def paths(anna: Api) -> dict[str, int]:
    """Ids of what Anna has, for the parameters of paths."""
    return path_parameters(anna)


def everything_of(user: Api) -> list[Any]:
    """What the user can read without an id."""
    return [
        user.get(each.path).json()
        for each in OPERATIONS
        if each.method == "GET" and not each.public and "{" not in each.path
    ]


def call(operation: Operation, caller: Api, paths: dict[str, int]) -> Response:
    path = operation.path.format(**paths)
    return caller.request(operation.method, path, **operation.options)


def test_exceptions_are_for_operations_that_exist() -> None:
    assert PUBLIC | STRANGERS.keys() | BODIES.keys() <= set(map(str, OPERATIONS))


def test_the_document_names_private_operations(client: TestClient) -> None:
    assert isinstance(client.app, FastAPI)
    declared = documented(client.app)
    for operation in OPERATIONS:
        private = not operation.public
        assert bool(declared[str(operation)].get("security")) is private, operation
        assert ("401" in declared[str(operation)]["responses"]) is private, operation


@pytest.mark.one_database
@each_operation
def test_owners_may_call_every_operation(
    anna: Api, paths: dict[str, int], operation: Operation
) -> None:
    assert call(operation, anna, paths).status_code == operation.success


def test_private_operations_require_a_token(anna: Api, paths: dict[str, int]) -> None:
    for operation in OPERATIONS:
        path = operation.path.format(**paths)
        answer = anna.client.request(operation.method, path, **operation.options)
        if operation.public:
            assert answer.status_code == operation.success, operation
        else:
            check_problem(answer, 401, "unauthorized")
            assert answer.headers["www-authenticate"] == 'Bearer realm="taskapi"', operation


def test_strangers_cannot_reach_what_an_owner_has(
    anna: Api, boris: Api, paths: dict[str, int]
) -> None:
    before = everything_of(anna)
    for operation in (each for each in OPERATIONS if not each.public):
        answer = call(operation, boris, paths)
        assert answer.status_code == operation.stranger, operation
    assert everything_of(anna) == before


@pytest.mark.one_database
def test_unknown_query_parameters_are_refused(anna: Api, paths: dict[str, int]) -> None:
    before = everything_of(anna)
    for operation in OPERATIONS:
        path = operation.path.format(**paths)
        answer = anna.request(operation.method, f"{path}?if_match=1&x", **operation.options)
        if operation.form:
            assert check_problem(answer, 400, "invalid-token-request")["error"] == "invalid_request"
        else:
            assert faults(answer) == [("query", "/if_match"), ("query", "/x")], operation
    assert everything_of(anna) == before


def test_tokens_of_deleted_users_are_refused(anna: Api, boris: Api) -> None:
    paths = path_parameters(boris)
    anna.delete(f"/users/{anna.user_id}")
    for operation in (each for each in OPERATIONS if not each.public):
        problem = check_problem(answer := call(operation, anna, paths), 401, "unauthorized")
        assert problem["detail"] == "The session has ended.", operation
        assert 'error="invalid_token"' in answer.headers["www-authenticate"], operation
