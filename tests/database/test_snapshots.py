"""All that an answer says is of one moment."""

from typing import Any

import pytest

from taskapi.settings import Settings
from taskapi.tasks import service
from taskapi.tasks.queries import Statement, count_tasks, select_page
from tests.api import Api
from tests.databases import execute


@pytest.mark.parametrize("tasks", [0, 1])
def test_the_total_and_the_page_are_of_one_moment(
    anna: Api, monkeypatch: pytest.MonkeyPatch, tasks: int
) -> None:
    """Failed on PostgreSQL: the total was of a moment before the page."""
    for _ in range(tasks):
        anna.create_task()

    def count_after_creation(*arguments: Any) -> Statement:
        anna.create_task()
        return count_tasks(*arguments)

    monkeypatch.setattr(service, "count_tasks", count_after_creation)
    answer = anna.get("/tasks?total=true")
    assert answer.headers["x-total-count"] == str(len(answer.json()))


@pytest.mark.parametrize("query", ["", "?total=true"])
def test_a_list_and_the_check_of_the_session_are_of_one_moment(
    anna: Api, settings: Settings, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    """Failed on PostgreSQL: an account that was being deleted had no tasks."""
    anna.create_task()

    def select_after_deletion(*arguments: Any) -> Statement:
        execute(settings.database_url, "DELETE FROM users")
        return select_page(*arguments)

    monkeypatch.setattr(service, "select_page", select_after_deletion)
    assert anna.get(f"/tasks{query}").status_code == 401
