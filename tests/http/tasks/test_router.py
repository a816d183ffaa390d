from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from taskapi.settings import Settings
from tests.api import PASSWORD, Api, check_problem, faults
from tests.databases import execute

STATUSES = ["новая", "в процессе", "завершена"]


def test_a_new_task_has_a_title_and_defaults(anna: Api) -> None:
    answer = anna.post("/tasks", json={"title": "Buy bread"})
    task = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/tasks/{task['id']}"
    expected = {
        "title": "Buy bread",
        "description": "",
        "status": "новая",
        "user_id": anna.user_id,
        "updated_at": task["created_at"],
    }
    assert task.items() >= expected.items()
    assert anna.get(answer.headers["location"]).content == answer.content


def test_timestamps_are_utc_with_an_offset(anna: Api) -> None:
    before = datetime.now(UTC)
    created = datetime.fromisoformat(anna.create_task()["created_at"])
    assert created.utcoffset() == UTC.utcoffset(None)
    assert before <= created <= datetime.now(UTC)


@pytest.mark.parametrize("status", STATUSES)
def test_statuses_are_stored_by_value(anna: Api, status: str) -> None:
    task = anna.create_task(status=status)
    assert anna.get(f"/tasks/{task['id']}").json()["status"] == status


@pytest.mark.one_database
@pytest.mark.parametrize("status", ["NEW", "Новая", "новая ", "done", "", None, 1])
def test_unknown_statuses_are_refused(anna: Api, status: object) -> None:
    answer = anna.post("/tasks", json={"title": "Buy bread", "status": status})
    assert faults(answer) == [("body", "/status")]


@pytest.mark.one_database
def test_titles_are_trimmed(anna: Api) -> None:
    assert anna.create_task("  Buy bread\n")["title"] == "Buy bread"


@pytest.mark.one_database
def test_a_title_and_a_name_need_a_visible_character(anna: Api) -> None:
    names = (
        "\xad \u034f \u061c \u115f \u1160 \u17b4 \u180e \u200b \u200d \u2028 \u202e \u2060 \u2066"
    )
    names += " \u206f \u2800 \u3164 \ufe0f \ufeff \uffa0 \ufff9 \x07 \x7f \U0001d173 \U000e0041"
    user = {"name": "x", "email": "x@example.com", "password": PASSWORD}
    for blank in [*names.split(" "), "\u202e\u200b \u2069"]:
        assert faults(anna.post("/tasks", json={"title": blank})) == [("body", "/title")], blank
        answer = anna.client.post("/users", json={**user, "name": blank})
        assert faults(answer) == [("body", "/name")], blank


@pytest.mark.one_database
@pytest.mark.parametrize("title", ["👨‍👩‍👧", "❤️", "می‌خواهم", "\u202eabc", "☐", "1\u20e3", "é"])
def test_text_keeps_its_invisible_characters(anna: Api, title: str) -> None:
    assert anna.create_task(title)["title"] == title


def test_a_blank_title_of_an_older_release_stays_readable(anna: Api, settings: Settings) -> None:
    path = f"/tasks/{anna.create_task()['id']}"
    execute(settings.database_url, "UPDATE tasks SET title = :blank", blank="\u200b")
    execute(settings.database_url, "UPDATE users SET name = :blank", blank="\u200b")
    assert anna.get("/tasks").json() == [anna.get(path).json()]
    assert anna.get("/users/me").json()["name"] == "\u200b"
    assert anna.patch(path, json={"status": "завершена"}).json()["title"] == "\u200b"


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, "/title"),
        ({"title": None}, "/title"),
        ({"title": 1}, "/title"),
        ({"title": ""}, "/title"),
        ({"title": " \t\n"}, "/title"),
        ({"title": "\u0085\u2003"}, "/title"),
        ({"title": "x" * 201}, "/title"),
        ({"title": "a\0b"}, "/title"),
        ({"title": "x", "description": None}, "/description"),
        ({"title": "x", "description": "x" * 10_001}, "/description"),
        ({"title": "x", "id": 5}, "/id"),
        ({"title": "x", "user_id": 1}, "/user_id"),
        ({"title": "x", "Status": "новая"}, "/Status"),
        ([], ""),
        ("x", ""),
    ],
)
def test_an_invalid_body_is_refused_with_the_place(anna: Api, body: object, place: str) -> None:
    assert faults(anna.post("/tasks", json=body)) == [("body", place)]
    assert anna.get("/tasks").json() == []


def test_lengths_count_characters(anna: Api) -> None:
    task = anna.create_task("щ" * 200, description="🙂" * 10_000)
    assert anna.get(f"/tasks/{task['id']}").json()["description"] == "🙂" * 10_000


def test_put_sets_every_field(anna: Api) -> None:
    task = anna.create_task("Buy bread", description="Rye")
    new = {"title": "Sell bread", "description": "", "status": "завершена"}
    answer = anna.put(f"/tasks/{task['id']}", json=new)
    assert answer.status_code == 200
    assert answer.json() == {**task, **new, "updated_at": answer.json()["updated_at"]}
    assert anna.get(f"/tasks/{task['id']}").json() == answer.json()


def test_put_requires_every_field(anna: Api) -> None:
    task = anna.create_task("Buy bread", description="Rye")
    answer = anna.put(f"/tasks/{task['id']}", json={"title": "Sell bread"})
    assert faults(answer) == [("body", "/description"), ("body", "/status")]
    assert anna.get(f"/tasks/{task['id']}").json() == task


@pytest.mark.parametrize(
    "change",
    [
        {"title": "Sell bread"},
        {"description": "Rye"},
        {"status": "в процессе"},
        {"title": "Sell bread", "status": "завершена"},
    ],
)
def test_patch_changes_only_what_is_sent(anna: Api, change: dict[str, Any]) -> None:
    task = anna.create_task("Buy bread", description="White")
    answer = anna.patch(f"/tasks/{task['id']}", json=change)
    assert answer.status_code == 200
    assert answer.json() == {**task, **change, "updated_at": answer.json()["updated_at"]}
    assert answer.json()["updated_at"] > task["updated_at"]
    assert anna.get(f"/tasks/{task['id']}").json() == answer.json()


@pytest.mark.parametrize("change", [{}, {"title": "Buy bread"}])
def test_a_patch_without_changes_is_no_update(anna: Api, change: dict[str, Any]) -> None:
    task = anna.create_task("Buy bread")
    assert anna.patch(f"/tasks/{task['id']}", json=change).json() == task


@pytest.mark.one_database
@pytest.mark.parametrize("field", ["title", "description", "status"])
def test_patch_refuses_null(anna: Api, field: str) -> None:
    task = anna.create_task()
    answer = anna.patch(f"/tasks/{task['id']}", json={field: None})
    assert faults(answer) == [("body", f"/{field}")]


def test_a_deleted_task_is_gone(anna: Api) -> None:
    task = anna.create_task()
    answer = anna.delete(f"/tasks/{task['id']}")
    assert (answer.status_code, answer.content) == (204, b"")
    check_problem(anna.get(f"/tasks/{task['id']}"), 404, "not-found")
    check_problem(anna.delete(f"/tasks/{task['id']}"), 404, "not-found")


def test_the_id_of_a_deleted_task_is_not_reused(anna: Api) -> None:
    task = anna.create_task()
    anna.delete(f"/tasks/{task['id']}")
    assert anna.create_task()["id"] > task["id"]


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_another_users_task_is_not_found(anna: Api, boris: Api, method: str) -> None:
    task = anna.create_task()
    body = {"title": "x", "description": "", "status": "новая"}
    options = {"json": body} if method in {"PUT", "PATCH"} else {}
    headers = {"X-Request-ID": "the-same"}
    hers = boris.request(method, f"/tasks/{task['id']}", headers=headers, **options)
    none = boris.request(method, f"/tasks/{task['id'] + 1}", headers=headers, **options)
    check_problem(hers, 404, "not-found")
    assert hers.content == none.content
    assert hers.headers == none.headers
    assert anna.get(f"/tasks/{task['id']}").json() == task


@pytest.mark.one_database
@pytest.mark.parametrize("task_id", ["0", "-1", str(2**53), str(2**63), str(10**30), "x", "1.5"])
def test_an_invalid_id_is_refused(anna: Api, task_id: str) -> None:
    assert faults(anna.get(f"/tasks/{task_id}")) == [("path", "/task_id")]


def test_the_largest_id_is_not_found(anna: Api) -> None:
    check_problem(anna.get(f"/tasks/{2**53 - 1}"), 404, "not-found")


def test_a_list_has_own_tasks_only(anna: Api, boris: Api) -> None:
    hers = [anna.create_task("hers 1"), anna.create_task("hers 2")]
    his = [boris.create_task("his")]
    assert anna.get("/tasks").json() == hers
    assert boris.get("/tasks").json() == his


def test_an_empty_list_is_an_empty_array(anna: Api) -> None:
    answer = anna.get("/tasks")
    assert (answer.status_code, answer.json()) == (200, [])
    assert "link" not in answer.headers


def test_tasks_are_filtered_by_status(anna: Api) -> None:
    tasks = [anna.create_task(status=status) for status in STATUSES]
    assert anna.get("/tasks", params={"status": "в процессе"}).json() == [tasks[1]]
    both = {"status": ["новая", "завершена"]}
    assert anna.get("/tasks", params=both).json() == [tasks[0], tasks[2]]


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("query", "place"),
    [
        ("limit=0", "/limit"),
        ("limit=101", "/limit"),
        ("limit=-1", "/limit"),
        (f"limit={10**30}", "/limit"),
        ("limit=x", "/limit"),
        ("status=done", "/status/0"),
        ("statsu=новая", "/statsu"),
        ("after=x", "/after"),
        ("after=%00", "/after"),
        ("after=" + "x" * 2001, "/after"),
        ("after=aWQ6OTk5OTk5OTk5OTk5OTk5OQ", "/after"),  # id:9999999999999999
    ],
)
def test_an_invalid_query_is_refused_with_the_place(anna: Api, query: str, place: str) -> None:
    assert faults(anna.get(f"/tasks?{query}")) == [("query", place)]


def test_references_are_percent_encoded(anna: Api) -> None:
    """Failed: a root path with Cyrillic letters could not be sent in a header."""
    client = TestClient(anna.client.app, root_path="/задачи")
    behind_proxy = Api(client, anna.user_id, anna.email, anna.token)
    path = quote("/задачи/tasks")
    for title in ("x", "y"):
        created = behind_proxy.post("/задачи/tasks", json={"title": title})
        assert created.headers["location"].startswith(f"{path}/")
    link = behind_proxy.get("/задачи/tasks?limit=1").headers["link"]
    assert link.startswith(f"<{path}?limit=1&after=")
