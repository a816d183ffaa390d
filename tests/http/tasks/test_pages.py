"""Pages of a list, while tasks are created, changed and deleted."""

import pytest

from tests.api import Api


def follow(api: Api, path: str) -> list[str]:
    """Return the titles on this page and all that follow."""
    titles = []
    while path:
        page = api.get(path)
        titles += [task["title"] for task in page.json()]
        path = page.links.get("next", {}).get("url", "")
    return titles


def test_links_lead_through_all_pages_with_the_filter(anna: Api) -> None:
    wanted = [anna.create_task(str(number), status="завершена") for number in range(5)]
    anna.create_task("another")
    seen, path = [], "/tasks?status=завершена&limit=2"
    for size in (2, 2, 1):
        answer = anna.get(path)
        assert len(answer.json()) == size
        seen += answer.json()
        path = answer.links.get("next", {}).get("url", "")
    assert seen == wanted
    assert path == ""


def test_pages_neither_skip_nor_repeat_rows(anna: Api) -> None:
    tasks = [anna.create_task(str(number)) for number in range(4)]
    first = anna.get("/tasks?limit=2")
    anna.delete(f"/tasks/{tasks[0]['id']}")
    new = anna.create_task("new")
    second = anna.get(first.links["next"]["url"])
    assert [*first.json(), *second.json()] == tasks
    third = anna.get(second.links["next"]["url"])
    assert third.json() == [new]


@pytest.mark.parametrize(("old", "new", "times"), [("b", "y", 2), ("y", "b", 0), ("d", "e", 1)])
def test_a_task_whose_sort_key_changes_can_be_skipped_or_repeated(
    anna: Api, old: str, new: str, times: int
) -> None:
    """It is on both pages if it moves down past the cursor, and on neither if it moves up."""
    changing = anna.create_task(old)
    for title in ("a", "c", "x", "z"):
        anna.create_task(title)
    first = anna.get("/tasks?sort=title&limit=2")
    anna.patch(f"/tasks/{changing['id']}", json={"title": new})
    rest = follow(anna, first.links["next"]["url"])
    titles = [*(task["title"] for task in first.json()), *rest]
    assert titles.count(old) + titles.count(new) == times
    assert [title for title in titles if title in "acxz"] == ["a", "c", "x", "z"]


def test_other_changes_do_not_matter_to_a_list_sorted_by_id(anna: Api) -> None:
    tasks = [anna.create_task(title) for title in "abcd"]
    first = anna.get("/tasks?limit=2")
    for task in tasks:
        anna.patch(f"/tasks/{task['id']}", json={"title": task["title"] * 2})
    assert [task["title"] for task in first.json()] == ["a", "b"]
    assert follow(anna, first.links["next"]["url"]) == ["cc", "dd"]
