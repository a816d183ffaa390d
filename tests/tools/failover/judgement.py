"""Compare what was acknowledged with what the database has in the end."""

from collections.abc import Iterable
from dataclasses import dataclass

from tests.databases import execute
from tests.tools.failover.load import Ledger


@dataclass
class Findings:
    lost: int = 0
    """Tasks that are not as it was acknowledged: not there, not completed, not deleted."""
    duplicates: int = 0
    unacknowledged: int = 0
    """Tasks that are there although nobody was told so."""
    stale: int = 0
    """Reads that did not show a write that had been acknowledged before they began."""
    unexplained: int = 0
    """Answers that nothing explains but a fault, or a write that was lost."""


def judge(ledger: Ledger, rows: Iterable[tuple[str, str]]) -> Findings:
    """`rows` are the titles and statuses of the tasks in the database."""
    titles_and_statuses = list(rows)
    found = dict(titles_and_statuses)
    return Findings(
        lost=sum(found.get(title) != status for title, status in ledger.tasks.items()),
        duplicates=len(titles_and_statuses) - len(found),
        unacknowledged=len(found.keys() - ledger.tasks.keys()),
        stale=ledger.stale,
        unexplained=ledger.unexplained.total(),
    )


def audit(ledger: Ledger, url: str) -> Findings:
    """Print the counts of the load and what the database has of it."""
    rows = execute(
        url,
        "SELECT title, status FROM tasks JOIN users ON users.id = user_id WHERE email = :email",
        email=ledger.email,
    )
    found = judge(ledger, ((row.title, row.status) for row in rows))
    print(
        f"{len(ledger.moments)} writes acknowledged, to {len(ledger.tasks)} tasks; "
        f"writes: {_counts(ledger.writes)}; reads: {_counts(ledger.reads)}\n"
        f"    lost: {found.lost}, duplicates: {found.duplicates}, done without being acknowledged: "
        f"{found.unacknowledged}, stale reads: {found.stale}, unexplained answers: "
        f"{dict(ledger.unexplained) or 0}",
        flush=True,
    )
    return found


def _counts(answers: dict[str, int]) -> str:
    return ", ".join(f"{name} × {number}" for name, number in sorted(answers.items()))
