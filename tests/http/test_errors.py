import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from taskapi import models
from tests.api import Api, check_problem, faults

pytestmark = pytest.mark.one_database


def test_unknown_paths_are_not_found(client: TestClient) -> None:
    check_problem(client.get("/nothing/here"), 404, "not-found")


@pytest.mark.parametrize("path", ["/tasks/", "/users/me/", "/docs/docs.js/"])
def test_a_trailing_slash_does_not_redirect_to_the_host(client: TestClient, path: str) -> None:
    answer = client.get(path, headers={"Host": "evil.example"}, follow_redirects=False)
    check_problem(answer, 404, "not-found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/tasks", "GET, HEAD, POST"),
        ("POST", "/tasks/1", "GET, HEAD, PUT, PATCH, DELETE"),
        ("PATCH", "/users", "GET, HEAD, POST"),
        ("GET", "/auth/token", "POST"),
        ("HEAD", "/auth/token", "POST"),
        ("OPTIONS", "/livez", "GET, HEAD"),
        ("BREW", "/", "GET, HEAD"),
        ("POST", "/openapi.json", "GET, HEAD"),
        ("PUT", "/users/me", "GET, HEAD"),
        ("DELETE", "/users/me", "GET, HEAD"),
        ("OPTIONS", "/users/me", "GET, HEAD"),
    ],
)
def test_method_not_allowed_lists_all_methods(
    client: TestClient, method: str, path: str, allowed: str
) -> None:
    answer = client.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == allowed
    if method != "HEAD":
        check_problem(answer, 405, "method-not-allowed")


def test_head_is_get_without_content(anna: Api) -> None:
    task = anna.create_task()
    own = f"/tasks/{task['id']}"
    for path in ("/tasks", own, "/livez", "/docs", "/openapi.json", "/problems", "/x"):
        get = anna.get(path, headers={"X-Request-ID": "same"})
        head = anna.request("HEAD", path, headers={"X-Request-ID": "same"})
        assert head.content == b""
        assert (head.status_code, head.headers) == (get.status_code, get.headers)


def post(api: Api, content: bytes, content_type: str | None) -> Response:
    headers = {} if content_type is None else {"Content-Type": content_type}
    return api.post("/tasks", content=content, headers=headers)


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/xml"]
)
def test_other_media_types_are_unsupported(anna: Api, content_type: str | None) -> None:
    answer = post(anna, b'{"title":"x"}', content_type)
    check_problem(answer, 415, "unsupported-media-type")


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json; charset=utf-8", "application/x+json"]
)
def test_json_media_types_are_accepted(anna: Api, content_type: str) -> None:
    assert post(anna, '{"title":"хлеб"}'.encode(), content_type).status_code == 201


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b'{"title":', "Not JSON: Expecting value at character 9."),
        (b'{"title":"x"}}', "Not JSON: Extra data at character 13."),
        (b"\xff", "This can't be read as what the Content-Type header says."),
        (b"[" * 100_000, "This can't be read as what the Content-Type header says."),
        (b"", "This is required."),
    ],
)
def test_malformed_json_is_invalid(anna: Api, body: bytes, detail: str) -> None:
    answer = post(anna, body, "application/json")
    assert faults(answer) == [("body", "")]
    assert answer.json()["errors"][0]["detail"] == detail


def test_pointers_are_escaped(anna: Api) -> None:
    answer = anna.post("/tasks", json={"title": "x", "a/b~c": 1})
    assert faults(answer) == [("body", "/a~1b~0c")]


def test_pointers_have_no_control_characters(anna: Api) -> None:
    answer = anna.get("/tasks?%13%00x%1b=1")
    assert faults(answer) == [("query", "/\ufffd\ufffdx\ufffd")]
    assert answer.json()["detail"] == "Not accepted: query /\ufffd\ufffdx\ufffd."


def test_names_that_cannot_be_encoded_are_refused(anna: Api) -> None:
    answer = post(anna, rb'{"title":"x","\ud800":1}', "application/json")
    assert faults(answer) == [("body", "")]


def test_the_number_of_errors_is_bounded(anna: Api) -> None:
    answer = anna.get("/tasks", params={"x" * 250 + str(number): 1 for number in range(50)})
    places = faults(answer)
    assert len(places) == models.MAX_ERRORS
    assert all(len(pointer) <= models.MAX_POINTER for _, pointer in places)


def test_internal_errors_do_not_leak_details(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise RuntimeError("the secret cause")

    monkeypatch.setattr("taskapi.health.Health", fail)
    answer = client.get("/livez", headers={"X-Request-ID": "abc"})
    problem = check_problem(answer, 500, "internal-error")
    assert problem["instance"] == "abc"
    assert "secret" not in answer.text
    assert "the secret cause" in caplog.text
