from collections.abc import Callable
from operator import itemgetter
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from taskapi.http.pagination import Cursors
from taskapi.settings import Settings
from tests.api import Api, faults
from tests.fixtures import SECRET_KEY

TITLES = ["Яблоки", "apples", "Zebra", "вишни", "Bananas", "apples", "ёлка", "Ärger"]
BY_TITLE = ["apples", "apples", "Bananas", "Zebra", "Ärger", "вишни", "ёлка", "Яблоки"]


def search(api: Api, q: str) -> list[str]:
    return [task["title"] for task in api.get("/tasks", params={"q": q}).json()]


FOUND = [
    ("хлеб", ["Купить ХЛЕБ", "Тесто"]),
    ("ХЛЕБ", ["Купить ХЛЕБ", "Тесто"]),
    ("пить х", ["Купить ХЛЕБ"]),
    ("strasse", ["Straße"]),
    ("STRASSE", ["Straße"]),
    ("100%", ["100% _wool_"]),
    ("%", ["100% _wool_"]),
    ("_wool_", ["100% _wool_"]),
    ("_", ["100% _wool_"]),
    ("\\", ["back\\slash/"]),
    ("/", ["back\\slash/"]),
    ("елка", ["Ёлка"]),
    ("ЁЛКА", ["Ёлка"]),
    ("\u0435\u0308лка", ["Ёлка"]),
    ("й", []),
    ("e\u0301", ["caf\u00e9"]),
    ("'", []),
    ("nothing", []),
]


def test_search_is_case_insensitive_and_literal(anna: Api, boris: Api) -> None:
    for title in (
        "Купить ХЛЕБ",
        "Straße",
        "100% _wool_",
        "back\\slash/",
        "caf\u00e9",
        "xwoolx",
        "Ёлка",
    ):
        anna.create_task(title)
    anna.create_task("Тесто", description="Для Хлеба")
    boris.create_task("Хлеб")
    for q, found in FOUND:
        assert search(anna, q) == found, q


@pytest.mark.one_database
@pytest.mark.parametrize("q", ["\0", "x" * 201])
def test_an_invalid_search_text_is_refused(anna: Api, q: str) -> None:
    assert faults(anna.get("/tasks", params={"q": q})) == [("query", "/q")]


def test_an_empty_search_lists_all_tasks(anna: Api) -> None:
    anna.create_task("x")
    assert search(anna, "") == ["x"]


def test_a_changed_task_is_found_by_its_new_text(anna: Api) -> None:
    task = anna.create_task("old title", description="old text")
    anna.patch(f"/tasks/{task['id']}", json={"title": "new title"})
    assert [search(anna, q) for q in ("old title", "old text", "NEW")] == [
        [],
        ["new title"],
        ["new title"],
    ]


def test_search_does_not_cross_title_and_description(anna: Api) -> None:
    anna.create_task("bread", description="and butter")
    assert search(anna, "bread and") == []


def test_pages_have_every_task_once_in_any_order(anna: Api) -> None:
    tasks = [anna.create_task(title) for title in TITLES]
    for task in tasks[::3]:
        updated = anna.patch(f"/tasks/{task['id']}", json={"status": "завершена"}).json()
        tasks[tasks.index(task)] = updated
    for order in ("id", "created_at", "updated_at"):
        ordered = sorted(tasks, key=itemgetter(order))
        assert pages(anna, order) == ordered
        assert pages(anna, f"-{order}") == ordered[::-1]
    for order, titles in (("title", BY_TITLE), ("-title", BY_TITLE[::-1])):
        seen = pages(anna, order)
        assert [task["title"] for task in seen] == titles
        assert sorted(seen, key=itemgetter("id")) == sorted(tasks, key=itemgetter("id"))


def pages(api: Api, order: str) -> list[dict[str, Any]]:
    seen, path = [], f"/tasks?sort={order}&limit=3&total=true"
    while path:
        answer = api.get(path)
        assert answer.headers["x-total-count"] == "8"
        seen += answer.json()
        path = answer.links.get("next", {}).get("url", "")
    return seen


def test_a_cursor_from_before_yo_was_folded_is_accepted(anna: Api) -> None:
    for title in ("Ёж", "Еда"):
        anna.create_task(title)
    cursor = Cursors([SECRET_KEY]).encode("/tasks title", ("ёж", 1))
    assert anna.get(f"/tasks?sort=title&after={cursor}").status_code == 200


def test_equal_titles_are_ordered_by_id(anna: Api) -> None:
    ids = [anna.create_task("Same")["id"], anna.create_task("same")["id"]]
    upward = anna.get("/tasks?sort=title&limit=1")
    downward = anna.get("/tasks?sort=-title&limit=1")
    for answer, expected in ((upward, ids), (downward, ids[::-1])):
        following = anna.get(answer.links["next"]["url"])
        assert [task["id"] for task in answer.json() + following.json()] == expected


def test_the_total_counts_the_matches_when_requested(anna: Api) -> None:
    for title in TITLES:
        anna.create_task(title)
    assert "x-total-count" not in anna.get("/tasks").headers
    answer = anna.get("/tasks?q=APPLES&total=true&limit=1")
    assert answer.headers["x-total-count"] == "2"
    assert anna.get("/tasks?status=завершена&total=true").headers["x-total-count"] == "0"


@pytest.mark.one_database
@pytest.mark.parametrize("order", ["name", "status", "", "--id", "id,title", "ID"])
def test_an_unknown_order_is_refused(anna: Api, order: str) -> None:
    assert faults(anna.get("/tasks", params={"sort": order})) == [("query", "/sort")]


def next_cursor(api: Api, query: str) -> str:
    url = api.get(query).links["next"]["url"]
    return str(url.split("after=")[1].split("&")[0])


@pytest.fixture
def cursor(anna: Api) -> str:
    for title in TITLES:
        anna.create_task(title)
    return next_cursor(anna, "/tasks?sort=title&limit=3")


@pytest.mark.one_database
@pytest.mark.parametrize("path", ["/tasks?", "/tasks?sort=-title&", "/tasks?sort=id&", "/users?"])
def test_a_cursor_is_for_its_own_list_and_order_only(anna: Api, cursor: str, path: str) -> None:
    assert anna.get(f"/tasks?sort=title&after={cursor}").status_code == 200
    assert faults(anna.get(f"{path}after={cursor}")) == [("query", "/after")]


@pytest.mark.one_database
def test_a_tampered_cursor_is_refused(anna: Api, cursor: str) -> None:
    for position in range(0, len(cursor) - 1, 3):
        other = "A" if cursor[position] != "A" else "B"
        forged = cursor[:position] + other + cursor[position + 1 :]
        assert faults(anna.get(f"/tasks?sort=title&after={forged}")) == [("query", "/after")]


@pytest.mark.one_database
def test_a_cursor_of_another_service_is_refused(anna: Api, cursor: str) -> None:
    assert cursor
    foreign = Cursors(["another key"]).encode("/tasks title", ("a", 1))
    assert faults(anna.get(f"/tasks?sort=title&after={foreign}")) == [("query", "/after")]


@pytest.mark.one_database
def test_cursors_work_during_key_rotation(
    anna: Api, cursor: str, settings: Settings, start: Callable[[Settings], TestClient]
) -> None:
    keys = (SecretStr("9d7f3a1c5e8b2046f1e3d5c7b9a80214"), *settings.secret_keys)
    expected = anna.get(f"/tasks?sort=title&after={cursor}").json()
    anna.client = start(settings.model_copy(update={"secret_keys": keys}))
    assert anna.get(f"/tasks?sort=title&after={cursor}").json() == expected
