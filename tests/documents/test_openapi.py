import copy
import json
import re
import tomllib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.routing import APIRoute, iter_route_contexts
from fastapi.testclient import TestClient
from jsonschema_rs import Draft202012Validator

from taskapi.app import VERSION
from taskapi.main import app
from taskapi.tasks.models import TaskCreate
from tests.documents.contract import breaking_changes
from tests.operations import OPERATIONS, documented
from tests.server import ROOT

SNAPSHOT = (ROOT / "docs/openapi.json").read_text()
Json = dict[str, Any]


def test_no_change_breaks_clients() -> None:
    assert breaking_changes(json.loads(SNAPSHOT), app.openapi()) == []


def test_breaking_changes_since_the_last_release_are_announced() -> None:
    releases = {
        tuple(map(int, file.stem.split("."))): file
        for file in (ROOT / "tests/released").glob("*.json")
    }
    version, file = max(releases.items())
    found = breaking_changes(json.loads(file.read_text()), app.openapi())
    newest = (ROOT / "docs/CHANGELOG.md").read_text().split("\n## ")[1]
    announced = newest.partition("### Breaking")[2].partition("\n### ")[0]
    for change in found:
        operation = re.match(r"[A-Z]+ \S+", change)
        assert operation
        assert f"`{operation[0]}`" in announced, change
    assert not found or int(VERSION.split(".")[0]) > version[0]


def test_the_committed_document_is_served(client: TestClient) -> None:
    assert client.get("/openapi.json").json() == json.loads(SNAPSHOT)


def test_docstrings_are_read_from_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TaskCreate, "__doc__", None)
    monkeypatch.setattr("taskapi.models.sys", SimpleNamespace(flags=SimpleNamespace(optimize=2)))
    TaskCreate.__pydantic_init_subclass__()
    assert TaskCreate.__doc__ == "A new task."


def schema(document: Json, name: str) -> Json:
    found: Json = document["components"]["schemas"][name]
    return found


def move_to_409(document: Json) -> None:
    responses = document["paths"]["/tasks"]["post"]["responses"]
    responses["409"] = responses.pop("422")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["paths"].pop("/tasks"), "GET /tasks is gone"),
        (lambda d: schema(d, "TaskPublic")["properties"].pop("title"), "no longer has title"),
        (lambda d: schema(d, "TaskPublic")["required"].remove("title"), "may lack title"),
        (
            lambda d: schema(d, "TaskCreate")["required"].append("description"),
            "now requires description",
        ),
        (lambda d: schema(d, "TaskCreate")["properties"].pop("status"), "no longer takes status"),
        (lambda d: schema(d, "TaskStatus")["enum"].pop(), "no longer takes завершена"),
        (
            lambda d: schema(d, "TaskCreate")["properties"]["title"].update(maxLength=100),
            "narrower maxLength",
        ),
        (
            lambda d: schema(d, "TaskPublic")["properties"]["id"].update(type="string"),
            "another type",
        ),
        (
            lambda d: d["paths"]["/tasks"]["get"]["parameters"].append(
                {"in": "query", "name": "x", "required": True, "schema": {}}
            ),
            "parameter x is now required",
        ),
        (lambda d: d["paths"]["/tasks"]["get"].update(parameters=[]), "no longer takes the par"),
        (
            lambda d: d["paths"]["/tasks"]["post"]["responses"]["201"]["headers"].pop("ETag"),
            "no longer has the header ETag",
        ),
        (lambda d: d["paths"]["/tasks"]["post"]["responses"].pop("201"), "no longer answers 201"),
        (
            lambda d: schema(d, "PasswordGrant")["required"].append("client_id"),
            "now requires client_id",
        ),
        (lambda d: d["paths"]["/tasks"]["get"].update(operationId="x"), "another operationId"),
        (move_to_409, "answers invalid-request with 409 instead of 422"),
    ],
)
def test_breaking_changes_are_detected(change: Callable[[Json], object], message: str) -> None:
    changed = copy.deepcopy(app.openapi())
    change(changed)
    assert message in "\n".join(breaking_changes(app.openapi(), changed))


def test_additions_are_not_breaking() -> None:
    grown = copy.deepcopy(app.openapi())
    for parameter in parameters(grown).values():
        if parameter["in"] == "header":
            parameter["name"] = parameter["name"].lower()
    grown["paths"]["/new"] = {"get": {"operationId": "x", "responses": {}}}
    schema(grown, "TaskPublic")["properties"]["new"] = {"type": "string"}
    schema(grown, "TaskPublic")["required"].append("new")
    schema(grown, "TaskCreate")["properties"]["new"] = {"type": "string"}
    schema(grown, "TaskCreate")["properties"]["title"]["maxLength"] = 300
    grown["paths"]["/tasks"]["get"]["parameters"].append(
        {"in": "query", "name": "x", "required": False, "schema": {"type": "string"}}
    )
    assert breaking_changes(app.openapi(), grown) == []


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_operations_are_fully_documented(operation: object) -> None:
    told = documented(app)[str(operation)]
    tags = {tag["name"] for tag in app.openapi()["tags"] if tag["description"]}
    assert told["description"]
    assert set(told["tags"]) <= tags
    for status, answer in told["responses"].items():
        assert answer["description"]
        assert "X-Request-ID" in answer["headers"]
        assert ("Retry-After" in answer["headers"]) is (status in {"429", "503"})
        assert ("WWW-Authenticate" in answer["headers"]) is (status == "401")


def test_summaries_are_written_for_people() -> None:
    operations = documented(app).values()
    summaries = [told["summary"] for told in operations]
    assert len(set(summaries)) == len(summaries)
    for told in operations:
        assert told["summary"] != told["operationId"].replace("_", " ").title()
        assert told["summary"] not in told["description"]
        assert re.fullmatch(r"[A-Z].{5,40}[^.]", told["summary"])


def test_links_lead_to_operations_that_take_the_values() -> None:
    operations = {told["operationId"]: told for told in documented(app).values()}
    links = [
        (link, operations[link["operationId"]])
        for told in operations.values()
        for answer in told["responses"].values()
        for link in answer.get("links", {}).values()
    ]
    assert {target["operationId"] for _, target in links} >= {"update_task", "delete_user"}
    for link, target in links:
        names = {parameter["name"] for parameter in target.get("parameters", [])}
        assert link["parameters"].keys() <= names
        assert "requestBody" not in link  # openapi-generator refuses one that is an object


def test_descriptions_do_not_come_from_docstrings() -> None:
    """PYTHONOPTIMIZE=2 removes docstrings."""
    for route in iter_route_contexts(app.routes):
        if isinstance(route.original_route, APIRoute) and route.include_in_schema:
            assert route.description
            assert route.endpoint
            assert route.endpoint.__doc__ is None


def test_the_document_has_metadata() -> None:
    document = app.openapi()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert document["info"]["version"] == project["version"]
    assert document["info"]["license"]["identifier"] == project["license"]
    assert document["info"]["contact"]
    assert document["servers"][0]["url"] == "/"


def test_statuses_have_latin_names() -> None:
    status = schema(app.openapi(), "TaskStatus")
    assert status["enum"] == ["новая", "в процессе", "завершена"]
    assert status["x-enum-varnames"] == ["NEW", "IN_PROGRESS", "DONE"]
    assert len(status["x-enum-descriptions"]) == 3


def test_enumerations_have_names() -> None:
    order = schema(app.openapi(), "TaskOrder")
    names = [value.removeprefix("-").upper() for value in order["enum"]]
    descending = ["_DESC" if value.startswith("-") else "" for value in order["enum"]]
    assert order["x-enum-varnames"] == list(map("".join, zip(names, descending, strict=True)))


def test_grants_are_members_of_one_enumeration() -> None:
    document = app.openapi()
    assert schema(document, "GrantType")["enum"] == ["password", "refresh_token"]
    for name, value in (("PasswordGrant", "password"), ("RefreshGrant", "refresh_token")):
        grant = schema(document, name)["properties"]["grant_type"]
        assert grant["$ref"] == "#/components/schemas/GrantType"
        assert grant["const"] == value


def parameters(document: Json) -> dict[str, Json]:
    return {
        f"{method} {path} {parameter['name']}": parameter
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        for parameter in operation.get("parameters", [])
    }


def test_properties_and_parameters_have_descriptions_and_examples() -> None:
    document = app.openapi()
    properties = {
        f"{name} {field}": declared
        for name, told in document["components"]["schemas"].items()
        for field, declared in told.get("properties", {}).items()
    }
    found = parameters(document)
    schemas = properties | {name: parameter["schema"] for name, parameter in found.items()}
    assert [name for name, told in schemas.items() if not told.get("examples")] == []
    described = properties | found
    assert [name for name, told in described.items() if not told.get("description")] == []


def schemas_with_examples(node: Any) -> list[Json]:
    """Schemas have a list of them, and contents a map."""
    if isinstance(node, list):
        return [found for child in node for found in schemas_with_examples(child)]
    if not isinstance(node, dict):
        return []
    own = [node] if isinstance(node.get("examples"), list) else []
    return own + schemas_with_examples(list(node.values()))


def test_examples_of_schemas_are_valid() -> None:
    document = app.openapi()
    for told in schemas_with_examples(document):
        validator = Draft202012Validator({**told, "components": document["components"]})
        for example in told["examples"]:
            assert validator.is_valid(example), (told, example)


def test_headers_are_named_in_the_usual_case() -> None:
    named = {p["name"] for p in parameters(app.openapi()).values() if p["in"] == "header"}
    assert named == {"Idempotency-Key", "If-Match", "If-None-Match"}


def unbounded(node: Any, path: str = "") -> list[str]:
    """Strings, integers and arrays that say no limit."""
    found = []
    if isinstance(node, dict):
        match node.get("type"):
            case "string" if not node.keys() & {"maxLength", "enum", "const", "format"}:
                found.append(path)
            case "integer" if not {"minimum", "maximum"} <= node.keys():
                found.append(path)
            case "array" if "maxItems" not in node:
                found.append(path)
        for key, value in node.items():
            found += unbounded(value, f"{path}/{key}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            found += unbounded(value, f"{path}/{index}")
    return found


def test_schemas_are_bounded() -> None:
    assert unbounded(app.openapi()) == []


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_requests_and_responses_have_examples(operation: object) -> None:
    told = documented(app)[str(operation)]
    for message in (told.get("requestBody", {}), *told["responses"].values()):
        for content in message.get("content", {}).values():
            examples = [example["value"] for example in content.get("examples", {}).values()]
            for example in examples or [content["example"]]:
                assert None not in json_values(example)


def test_forms_have_their_example_in_the_schema() -> None:
    """Postman's import looks there."""
    document = app.openapi()
    for path in ("/auth/token", "/auth/revoke"):
        [content] = document["paths"][path]["post"]["requestBody"]["content"].values()
        reference = content["schema"].get("$ref", "/").rsplit("/", 1)[1]
        told = schema(document, reference) if reference else content["schema"]
        assert told["examples"] == [content["example"]]


def json_values(value: object) -> list[object]:
    if isinstance(value, dict):
        return [leaf for child in value.values() for leaf in json_values(child)]
    if isinstance(value, list):
        return [leaf for child in value for leaf in json_values(child)]
    return [value]


def test_examples_of_tasks_have_russian_statuses() -> None:
    post = app.openapi()["paths"]["/tasks"]["post"]
    sent = post["requestBody"]["content"]["application/json"]["example"]
    answered = post["responses"]["201"]["content"]["application/json"]["example"]
    russian = {
        "title": "Купить хлеб",
        "description": "Ржаной, два батона",
        "status": "новая",
    }
    assert sent.items() >= russian.items()
    assert answered.items() >= sent.items()
