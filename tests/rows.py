"""Rows that do not come from requests: those of older releases, and many at once."""

from alembic import command

from taskapi.database import migrations
from taskapi.tasks.models import TaskStatus
from tests.databases import execute
from tests.server import ROOT

MOMENT = "2026-01-01 00:00:00"


def fill_released(url: str, revision: str) -> None:
    """Migrate an empty database to a revision, with the rows of the newest release before it."""
    config = migrations.config_for(url)
    earlier = migrations.REVISIONS[migrations.REVISIONS.index(revision) :]
    files = (ROOT / "tests/released" / f"{each}.sql" for each in earlier)
    file = next(file for file in files if file.exists())
    command.upgrade(config, file.stem)
    for statement in file.read_text().split(";\n"):
        execute(url, statement.replace(":", r"\:"))
    command.upgrade(config, revision)


def fill_users(url: str, count: int) -> None:
    """Accounts that nobody can log in to."""
    names = "name, email, email_key, password_hash, created_at"
    email = "n || '@rows.example'"
    _insert(url, "users", names, f"'x', {email}, {email}, 'x', '{MOMENT}'", count)


def fill_tasks(url: str, count: int, owner: str) -> None:
    """Tasks with the titles `Title 1` and so on, and each status in turn; `owner` is an SQL
    expression of `n`, the number of the task.
    """
    names = (
        "title, title_key, search_text, description, status, user_id, created_at, updated_at,"
        " version"
    )
    statuses = "".join(f" WHEN {n} THEN '{status}'" for n, status in enumerate(TaskStatus))
    title = "'title ' || n"
    values = (
        f"'Title ' || n, {title}, {title}, '', CASE n % 3{statuses} END, {owner}, '{MOMENT}',"
        f" '{MOMENT}', 1"
    )
    _insert(url, "tasks", names, values, count)
    execute(url, "ANALYZE")


def _insert(url: str, table: str, names: str, values: str, count: int) -> None:
    series = f"SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count}"  # noqa: S608 -- all of it is the tests' own
    rows = f"WITH RECURSIVE numbers(n) AS ({series}) SELECT {values} FROM numbers"  # noqa: S608 -- as above
    execute(url, f"INSERT INTO {table} ({names}) {rows}")
