"""What the load finds in a record with a planted fault."""

import pytest

from tests.tools.failover.judgement import Findings, judge
from tests.tools.failover.load import COMPLETED, DELETED, IN_PROGRESS, NEW, Ledger


@pytest.fixture
def ledger() -> Ledger:
    ledger = Ledger("anna@example.com")
    ledger.acknowledge("completed", COMPLETED)
    ledger.deleting.add("deleted")
    ledger.acknowledge("deleted", DELETED)
    return ledger


def test_nothing_is_found_where_all_is_well(ledger: Ledger) -> None:
    assert judge(ledger, [("completed", COMPLETED)]) == Findings()


def test_a_lost_task_is_found(ledger: Ledger) -> None:
    assert judge(ledger, []).lost == 1


def test_a_lost_change_is_found(ledger: Ledger) -> None:
    assert judge(ledger, [("completed", IN_PROGRESS)]).lost == 1


def test_a_lost_deletion_is_found(ledger: Ledger) -> None:
    assert judge(ledger, [("completed", COMPLETED), ("deleted", NEW)]).lost == 1


def test_a_duplicate_is_found(ledger: Ledger) -> None:
    assert judge(ledger, [("completed", COMPLETED)] * 2).duplicates == 1


def test_an_unacknowledged_task_is_found(ledger: Ledger) -> None:
    assert judge(ledger, [("completed", COMPLETED), ("other", NEW)]).unacknowledged == 1


def test_an_unexplained_answer_is_found(ledger: Ledger) -> None:
    ledger.unexplained["GET 502"] += 1
    assert judge(ledger, [("completed", COMPLETED)]).unexplained == 1


@pytest.mark.parametrize(
    ("title", "acknowledged", "shown", "stale"),
    [
        ("completed", COMPLETED, IN_PROGRESS, 1),
        ("completed", COMPLETED, DELETED, 1),
        ("completed", COMPLETED, COMPLETED, 0),
        ("deleted", DELETED, COMPLETED, 1),
        ("deleted", COMPLETED, DELETED, 0),
    ],
)
def test_a_stale_read_is_found(
    ledger: Ledger, title: str, acknowledged: str | None, shown: str | None, stale: int
) -> None:
    ledger.compare(title, acknowledged, shown)
    assert judge(ledger, [("completed", COMPLETED)]).stale == stale
