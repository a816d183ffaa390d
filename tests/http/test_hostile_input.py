"""Nothing that a client sends makes the service fail: never a 5xx, never a traceback."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx2 import Response

from tests.api import Api, faults
from tests.operations import OPERATIONS, Operation, documented, path_parameters

pytestmark = pytest.mark.one_database

JSON = {"Content-Type": "application/json"}

IDS = [
    "0",
    "-1",
    "1.5",
    "1e3",
    "x",
    "null",
    "NaN",
    "१",
    "%00",
    "%ed%a0%80",
    "%ff",
    "..%2f",
    "' OR 1",
]
IDS += [str(number) for number in (2**31, 2**53, 2**63 - 1, 2**63, 2**64, 10**30)] + ["9" * 5000]

JSON_VALUES = [
    b"null",
    b"true",
    b"0",
    b"-1",
    b"1e400",
    b"NaN",
    b"-Infinity",
    str(2**53).encode(),
    str(2**63).encode(),
    b"1" + b"0" * 30,
    b"1" * 5000,
    b'""',
    b'"\\u0000"',
    b'"\\ud800"',
    b'"\\udfff\\ud800"',
    b'"\xed\xa0\x80"',
    b'"\xff"',
    b'"' + b"x" * 200_000 + b'"',
    b"[]",
    b"[" * 100_000,
    b"{}",
    b'{"a":1}',
]

BODIES = [
    b"",
    b" ",
    b"{",
    b"{}",
    b"[]",
    b"null",
    b"x",
    b"\xff\xfe{\x00}\x00",
    b"\xef\xbb\xbf{}",
    b'{"\\ud800":1}',
    b'{"\xff":1}',
    b'{"__proto__":1,"":2,"~/":3}',
    b"{" + b",".join(b'"%d":1' % number for number in range(2_000)) + b"}",
    b'{"a":' * 50_000,
]

TYPES = [None, "", "text/plain", "application/json", "application/jsonx", "multipart/form-data"]
TYPES += ["application/x-www-form-urlencoded", "application/json; charset=utf-16", "\u00ff/x", ";"]


def check_answered(answer: Response) -> None:
    assert answer.status_code < 500, answer.text
    assert "Traceback" not in answer.text
    assert answer.headers["x-request-id"]
    if answer.status_code >= 400:
        media_type = "application/json" if "error" in answer.json() else "application/problem+json"
        assert answer.headers["content-type"] == media_type
        assert len(answer.content) < 10_000
        for error in answer.json().get("errors", []):  # in words for a person, not in Pydantic's
            assert not re.search("should|Input|Field|items", error["detail"])


def hostile_bodies(operation: Operation) -> Iterator[bytes]:
    """Bodies in which one field at a time is hostile, or is sent twice."""
    yield from BODIES
    for field in operation.body or {}:
        name = b'"%s"' % field.encode()
        yield from (b"{%s:%s}" % (name, value) for value in JSON_VALUES)
        yield b'{%s:"x",%s:1}' % (name, name)


with_body = pytest.mark.parametrize(
    "operation", [each for each in OPERATIONS if each.body or each.form], ids=str
)
with_id = pytest.mark.parametrize(
    "operation", [each for each in OPERATIONS if "{" in each.path], ids=str
)


@pytest.fixture
def paths(anna: Api) -> dict[str, Any]:
    return path_parameters(anna)


NUMBERS = [
    "01",
    "+1",
    "%2B1",
    "1.0",
    "%201",
    "1%20",
    "1%0A",
    "1_0",
    "1e0",
    "0x1",
    "-0",
    "١",
    "１",
    "",
]


@with_id
def test_an_id_has_one_spelling(anna: Api, operation: Operation) -> None:
    """The resource exists: the first of each kind has the id 1."""
    assert set(path_parameters(anna).values()) == {1}
    [name] = re.findall(r"{(\w+)}", operation.path)
    for number in filter(None, NUMBERS):
        path = operation.path.format(**{name: number})
        answer = anna.request(operation.method, path, **operation.options)
        assert faults(answer) == [("path", f"/{name}")], number


@pytest.mark.parametrize(
    ("name", "values"),
    [("limit", NUMBERS), ("total", ["yes", "1", "0", "True", "TRUE", "on", "t", "%20true", ""])],
)
def test_a_query_parameter_has_one_spelling(anna: Api, name: str, values: list[str]) -> None:
    for value in values:
        assert faults(anna.get(f"/tasks?{name}={value}")) == [("query", f"/{name}")], value


def test_numbers_and_booleans_are_read(anna: Api) -> None:
    anna.create_task()
    assert len(anna.get("/tasks?limit=10&total=false").json()) == 1
    assert anna.get("/tasks?total=true").headers["x-total-count"] == "1"


@pytest.mark.parametrize(
    "operation", {each.path: each for each in OPERATIONS if "{" in each.path}.values(), ids=str
)
def test_ids(anna: Api, paths: dict[str, Any], operation: Operation) -> None:
    for hostile in IDS:
        path = operation.path.format(**dict.fromkeys(paths, hostile))
        check_answered(anna.request(operation.method, path, **operation.options))


def test_queries(anna: Api, paths: dict[str, Any]) -> None:
    assert isinstance(anna.client.app, FastAPI)
    declared = documented(anna.client.app)
    for operation in (each for each in OPERATIONS if each.method != "DELETE"):
        queries = [
            f"{parameter['name']}={value}"
            for parameter in declared[str(operation)].get("parameters", [])
            if parameter["in"] == "query"
            for value in [*IDS, "", "&".join([f"{parameter['name']}=1"] * 500)]
        ]
        path = operation.path.format(**paths)
        for query in [*queries, "%00=%ff", "&" * 1000]:
            check_answered(anna.request(operation.method, f"{path}?{query}", **operation.options))


@with_body
def test_bodies(anna: Api, paths: dict[str, Any], operation: Operation) -> None:
    path = operation.path.format(**paths)
    for body in hostile_bodies(operation):
        check_answered(anna.request(operation.method, path, content=body, headers=JSON))


@pytest.mark.parametrize("body", [b"{}", b"\xff", b"[" * 1000])
def test_bodies_that_no_operation_reads(anna: Api, paths: dict[str, Any], body: bytes) -> None:
    for operation in (each for each in OPERATIONS if not each.body and not each.form):
        path = operation.path.format(**dict.fromkeys(paths, 0))
        check_answered(anna.request(operation.method, path, content=body, headers=JSON))


@with_body
def test_content_types(anna: Api, paths: dict[str, Any], operation: Operation) -> None:
    path = operation.path.format(**paths)
    for content_type in TYPES:
        for body in (b"", b"{}", b"\xff=\x00&%ff"):
            headers = {} if content_type is None else {b"Content-Type": content_type.encode()}
            check_answered(anna.request(operation.method, path, content=body, headers=headers))


def test_form_fields(client: TestClient) -> None:
    values = [b"", b"%00", b"%ff", b"%ed%a0%80", b"%", b"+", b"x" * 1_000_000, b"x" * 200_000]
    content_type = {"Content-Type": "application/x-www-form-urlencoded"}
    forms = (
        b"username=a@b.c&password=12345678&grant_type=%s",
        b"grant_type=password&password=12345678&username=%s",
        b"grant_type=password&username=a@b.c&password=%s",
        b"grant_type=password&username=a@b.c&password=12345678&%%00=%s",
        b"grant_type=refresh_token&refresh_token=%s",
        b"token=%s",
    )
    for form in forms:
        for value in values:
            path = "/auth/revoke" if form.startswith(b"token") else "/auth/token"
            check_answered(client.post(path, content=form % value, headers=content_type))


def test_a_thousand_form_fields(client: TestClient) -> None:
    form = {f"field{number}": "x" for number in range(2000)}
    check_answered(client.post("/auth/token", data=form))


@pytest.mark.parametrize(
    "path", ["/%00", "/%ff", "//", "/..", "/tasks/", "/users/me/", "/tasks/1/2", "/x" * 5000, "/?"]
)
def test_paths_and_methods(client: TestClient, path: str) -> None:
    for method in ("GET", "HEAD", "POST", "OPTIONS", "TRACE", "BREW"):
        answer = client.request(method, path, follow_redirects=False)
        assert answer.status_code < 500
        assert answer.headers["x-request-id"]


@pytest.mark.parametrize("request_id", ["x" * 129, "a b", "a\tb", "", "é", '"', "<script>"])
def test_request_ids(client: TestClient, request_id: str) -> None:
    answer = client.get("/x", headers={b"X-Request-ID": request_id.encode()})
    assert len(answer.headers["x-request-id"]) == 32
