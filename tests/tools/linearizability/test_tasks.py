"""The model of tasks answers as the service should, and the check finds other answers."""

import pytest

from tests.tools.linearizability.accounts import NEW, Account, Task
from tests.tools.linearizability.checker import Answer, is_linearizable
from tests.tools.linearizability.histories import DONE, UNAUTHORIZED, Step, call, refutes
from tests.tools.linearizability.tasks import (
    NOT_FOUND,
    PRECONDITION_FAILED,
    CreateTask,
    DeleteTask,
    DescribeTask,
    ListTasks,
    MoveTask,
    ReadTask,
    ReplaceTask,
)

DONE_STATUS = "завершена"
OWNER = Account(
    email="anna@example.com",
    password="first",
    sessions=frozenset({(1, 0), (2, 0)}),
    tasks=frozenset({Task("a")}),
)
CREATED: Answer = (201, Task("b"))
SECOND_TITLE = "b, with the id 7"
"""How the clients call another task with the same title."""
SECOND: Answer = (201, Task(SECOND_TITLE))


def answered(title: str, description: str, status: str, version: int) -> Answer:
    return 200, Task(title, description, status, version)


def listed(*tasks: tuple[str, str, str]) -> Answer:
    return 200, (len(tasks), tasks)


@pytest.mark.parametrize(
    "steps",
    [
        [(ReadTask(1, "a"), answered("a", "", NEW, 1))],
        [(ReadTask(1, "a", none_match=1), (304, 1))],
        [
            (MoveTask(2, "a", DONE_STATUS), answered("a", "", DONE_STATUS, 2)),
            (ReadTask(1, "a", none_match=1), answered("a", "", DONE_STATUS, 2)),
        ],
        [(MoveTask(1, "a", NEW), answered("a", "", NEW, 1))],
        [
            (DescribeTask(1, "a", "x"), answered("a", "x", NEW, 2)),
            (MoveTask(2, "a", DONE_STATUS), answered("a", "x", DONE_STATUS, 3)),
            (ReplaceTask(1, "a", "", NEW, match=2), PRECONDITION_FAILED),
            (ReplaceTask(1, "a", "", NEW, match=3), answered("a", "", NEW, 4)),
        ],
        [
            (DeleteTask(1, "a", match=2), PRECONDITION_FAILED),
            (DeleteTask(1, "a", match=1), DONE),
            (DeleteTask(2, "a", match=1), NOT_FOUND),
            (ReadTask(2, "a"), NOT_FOUND),
            (MoveTask(2, "a", NEW, match=9), NOT_FOUND),
        ],
        [
            (CreateTask(1, "b", "key"), CREATED),
            (DescribeTask(1, "b", "x"), answered("b", "x", NEW, 2)),
            (CreateTask(2, "b", "key"), CREATED),
            (ListTasks(2), listed(("a", "", NEW), ("b", "x", NEW))),
            (DeleteTask(2, "b"), DONE),
            (CreateTask(1, "b", "key"), CREATED),
            (ListTasks(2), listed(("a", "", NEW))),
            (CreateTask(1, "c", "key"), (422, None)),
            (CreateTask(3, "b", "key"), UNAUTHORIZED),
        ],
    ],
)
def test_a_sequence_has_these_answers_only(steps: list[Step[Account]]) -> None:
    assert refutes(steps, OWNER)


@pytest.mark.parametrize(
    "pair",
    [
        [
            (DescribeTask(1, "a", "x", match=1), answered("a", "x", NEW, 2)),
            (ReplaceTask(2, "a", "y", NEW, match=1), answered("a", "y", NEW, 3)),
        ],
        [(DeleteTask(1, "a"), DONE), (DeleteTask(2, "a"), DONE)],
        [(CreateTask(1, "b", "key"), CREATED), (CreateTask(2, "b", "key"), SECOND)],
        [
            (CreateTask(1, "b", "key"), CREATED),
            (ListTasks(2), listed(("a", "", NEW), ("b", "", NEW), (SECOND_TITLE, "", NEW))),
        ],
        [
            (ReplaceTask(1, "a", "x", DONE_STATUS), answered("a", "x", DONE_STATUS, 2)),
            (ListTasks(2), listed(("a", "x", NEW))),
        ],
    ],
)
def test_concurrent_calls_that_no_order_explains_are_found(pair: list[Step[Account]]) -> None:
    assert not is_linearizable([call(*step) for step in pair], OWNER)


def test_a_repeat_of_an_unanswered_creation_creates_at_most_one_task() -> None:
    lost = call(CreateTask(1, "b", "key"), None)
    again = call(CreateTask(1, "b", "key"), CREATED, 2, 3)
    one = call(ListTasks(2), listed(("a", "", NEW), ("b", "", NEW)), 4, 5)
    none = call(ListTasks(2), listed(("a", "", NEW)), 4, 5)
    assert is_linearizable([lost, one], OWNER)
    assert is_linearizable([lost, none], OWNER)
    assert is_linearizable([lost, again, one], OWNER)
    assert not is_linearizable([lost, again, none], OWNER)


def test_a_key_that_was_used_by_an_unanswered_call_may_be_taken_later() -> None:
    lost = call(CreateTask(1, "c", "key"), None)
    refused = call(CreateTask(1, "b", "key"), (422, None), 2, 3)
    created = call(CreateTask(1, "b", "key"), CREATED, 2, 3)
    assert is_linearizable([lost, refused], OWNER)
    assert is_linearizable([lost, created], OWNER)
    without = call(ListTasks(2), listed(("a", "", NEW)), 4, 5)
    assert not is_linearizable([lost, refused, without], OWNER)
