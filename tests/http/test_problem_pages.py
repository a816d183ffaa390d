from html import escape

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from taskapi.exceptions import PROBLEMS, Problem
from tests.api import check_problem
from tests.operations import documented

pytestmark = pytest.mark.one_database

each_problem = pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)


@each_problem
def test_every_problem_has_a_page(client: TestClient, problem: type[Problem]) -> None:
    page = client.get(f"/problems/{problem.slug}")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert problem.description
    for text in (problem.title, problem.description, problem.advice, str(problem.status)):
        assert escape(text) in page.text


def test_unknown_problems_have_no_page(client: TestClient) -> None:
    check_problem(client.get("/problems/nothing"), 404, "not-found")


def test_problem_types_have_the_root_path(client: TestClient) -> None:
    behind_proxy = TestClient(client.app, root_path="/api")
    assert behind_proxy.get("/api/nothing").json()["type"] == "/api/problems/not-found"


def test_documented_errors_have_schema_and_example(
    client: TestClient,
) -> None:
    assert isinstance(client.app, FastAPI)
    schemas = client.app.openapi()["components"]["schemas"]
    for operation in documented(client.app).values():
        for status, response in operation["responses"].items():
            if status >= "400":
                [(media_type, content)] = response["content"].items()
                schema = schemas[content["schema"]["$ref"].rsplit("/", 1)[1]]
                for example in content["examples"].values():
                    assert str(example["value"]["status"]) == status
                    assert set(schema["required"]) == set(example["value"])
                    oauth2 = "error" in example["value"]
                    assert (media_type == "application/json") is oauth2
                    assert oauth2 or media_type == "application/problem+json"
    assert "HTTPValidationError" not in schemas
