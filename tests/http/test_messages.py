"""Each thing that is wrong with a request is said in words for a person, not in Pydantic's."""

import json
from datetime import date
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from taskapi.http.messages import describe
from tests.api import PASSWORD, Api

pytestmark = pytest.mark.one_database

USER = {"name": "Anna", "email": "a@example.com", "password": PASSWORD}
TASK = {"title": "Buy bread"}
VISIBLE = "There must be a visible character, and no NUL character."
OBJECT = "This must be a JSON object."
NUMBER = "This must be a whole number in digits, such as 1."
STATUS = "This must be 'новая', 'в процессе' or 'завершена'."
ORDERS = (
    "'id', '-id', 'created_at', '-created_at', 'updated_at', '-updated_at', 'title' or '-title'"
)


def details(answer: Any) -> list[str]:
    return [error["detail"] for error in answer.json()["errors"]]


@pytest.mark.parametrize(
    ("path", "body", "detail"),
    [
        ("/users", {**USER, "password": "x" * 7}, "This must have at least 8 characters."),
        ("/users", {**USER, "password": "x" * 129}, "This must have at most 128 characters."),
        ("/users", {**USER, "password": 12345678}, "This must be text."),
        ("/users", {**USER, "password": "\ud800" * 8}, "There is a character that is not allowed."),
        ("/users", {**USER, "email": "anna"}, "This is not a valid e-mail address."),
        ("/users", {**USER, "email": "a" * 255}, "This must have at most 254 characters."),
        ("/users", {**USER, "name": ""}, "This must not be empty."),
        ("/users", {**USER, "name": "\u200b"}, VISIBLE),
        ("/users", {**USER, "name": "a\0"}, VISIBLE),
        ("/users", {**USER, "admin": True}, "There is no such field."),
        ("/users", dict.fromkeys("abcdefghijklmnopqrstu", 1), "There are too many fields."),
        ("/users", {"name": "x", "email": "a@example.com"}, "This is required."),
        ("/users", None, OBJECT),
        ("/tasks", [], OBJECT),
        ("/tasks", "x", OBJECT),
        ("/tasks", {**TASK, "title": None}, "This must be text."),
        ("/tasks", {**TASK, "title": "\ud800"}, "There is a character that is not allowed."),
        ("/tasks", {**TASK, "status": 1}, STATUS),
        ("/tasks", {**TASK, "description": "\0"}, "There must be no NUL character."),
    ],
)
def test_what_is_wrong_with_a_body(anna: Api, path: str, body: object, detail: str) -> None:
    content = json.dumps(body)  # which can write half a character
    answer = anna.post(path, content=content, headers={"Content-Type": "application/json"})
    assert details(answer) == [detail]


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("/tasks?limit=x", NUMBER),
        ("/tasks?limit=0", "This must be at least 1."),
        ("/tasks?limit=101", "This must be at most 100."),
        ("/tasks?limit=" + "9" * 5000, "This number is too large."),
        ("/tasks?total=yes", "This must be true or false."),
        ("/tasks?status=x", STATUS),
        ("/tasks?sort=x", f"This must be {ORDERS}."),
        ("/tasks?q=%00", "There must be no NUL character."),
        ("/tasks?q=" + "x" * 201, "This must have at most 200 characters."),
        ("/tasks?" + "&".join(["status=новая"] * 4), "This can be sent at most 3 times."),
        ("/tasks?x=1", "There is no such parameter."),
        ("/users/me?x=1", "There is no such parameter."),
        ("/tasks/x", NUMBER),
        ("/tasks/0", "This must be at least 1."),
        (f"/tasks/{2**53}", f"This must be at most {2**53 - 1}."),
    ],
)
def test_what_is_wrong_with_an_address(anna: Api, path: str, detail: str) -> None:
    assert details(anna.get(path)) == [detail]


@pytest.mark.parametrize(
    ("key", "detail"),
    [
        ("", "This must not be empty."),
        ("a b", "This must be visible ASCII characters."),
        ("x" * 256, "This must have at most 255 characters."),
    ],
)
def test_what_is_wrong_with_a_header(anna: Api, key: str, detail: str) -> None:
    assert details(anna.post("/tasks", json=TASK, headers={"Idempotency-Key": key})) == [detail]


def test_an_error_without_words_of_its_own_has_those_of_pydantic() -> None:
    """A new field can have a type that no field has had before."""
    with pytest.raises(ValidationError) as raised:
        TypeAdapter(dict[str, date]).validate_python({"body": "x"})
    [error] = raised.value.errors()
    assert describe(error) == error["msg"]
