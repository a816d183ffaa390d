"""All that an answer says is of one moment."""

from typing import Any

import pytest

from taskapi.settings import Settings
from taskapi.tasks import service
from taskapi.tasks.queries import Statement, select_page
from tests.api import Api
from tests.databases import execute


def test_the_total_and_the_page_are_of_one_moment(
    anna: Api, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Failed on PostgreSQL: the total was of a moment before the page."""
    task = anna.create_task()

    def select_after_deletion(*arguments: Any) -> Statement:
        execute(settings.database_url, "DELETE FROM tasks")
        return select_page(*arguments)

    monkeypatch.setattr(service, "select_page", select_after_deletion)
    answer = anna.get("/tasks?total=true")
    assert answer.json() == [task]
    assert answer.headers["x-total-count"] == "1"


def test_a_list_and_the_check_of_the_session_are_of_one_moment(
    anna: Api, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Failed on PostgreSQL: an account that was being deleted had no tasks."""
    task = anna.create_task()

    def select_after_deletion(*arguments: Any) -> Statement:
        execute(settings.database_url, "DELETE FROM users")
        return select_page(*arguments)

    monkeypatch.setattr(service, "select_page", select_after_deletion)
    assert anna.get("/tasks?total=true").json() == [task]
    assert anna.get("/tasks").status_code == 401
