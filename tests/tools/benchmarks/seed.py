"""The same users and tasks for every server, whatever else its tables have."""

from datetime import UTC, datetime

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy import MetaData, Table, delete, select, text

from taskapi.database.engines import is_postgresql, open_engine
from taskapi.tasks.models import TaskStatus, fold
from tests.api import PASSWORD

USERS = 100
TASKS_EACH = 100
TASKS = USERS * TASKS_EACH
NOW = datetime(2026, 11, 24, 11, 20, 32, 17634, tzinfo=UTC)
STATUSES = [status.value for status in TaskStatus]

HASH = PasswordHash((Argon2Hasher(memory_cost=32, time_cost=1, parallelism=1),)).hash(PASSWORD)
"""Argon2id, with parameters that make a hundred logins short; they are not what is measured."""


def email(user_id: int) -> str:
    return f"{user_id}@example.com"


def title(task_id: int) -> str:
    return f"Купить хлеб {task_id}"


def owner(task_id: int) -> int:
    return (task_id - 1) // TASKS_EACH + 1


def user_row(user_id: int, password_hash: str) -> dict[str, object]:
    """Under all the names that the servers know."""
    return {
        "id": user_id,
        "name": f"Анна {user_id}",
        "email": email(user_id),
        "email_key": email(user_id),
        "username": email(user_id),
        "password_hash": password_hash,
        "hashed_password": password_hash,
        "password": f"argon2{password_hash}",
        "first_name": "",
        "last_name": "",
        "is_active": True,
        "is_superuser": False,
        "is_staff": False,
        "is_verified": True,
        "date_joined": NOW,
        "created_at": NOW,
    }


def task_row(task_id: int, user_id: int) -> dict[str, object]:
    description = "Ржаной, два батона"
    return {
        "id": task_id,
        "title": title(task_id),
        "description": description,
        "status": STATUSES[task_id % len(STATUSES)],
        "user_id": user_id,
        "created_at": NOW,
        "updated_at": NOW,
        "version": 1,
        "title_key": fold(title(task_id)),
        "search_text": fold(f"{title(task_id)}\n{description}"),
    }


def fill(url: str, user_table: str, password_hash: str = HASH) -> None:
    insert(url, user_table, [user_row(n, password_hash) for n in range(1, USERS + 1)])
    insert(url, "tasks", [task_row(n, owner(n)) for n in range(1, TASKS + 1)])
    if is_postgresql(url):
        engine = open_engine(url)
        with engine.begin() as connection:
            connection.execute(text(f"SELECT setval('tasks_id_seq', {TASKS})"))
        engine.dispose()


def insert(url: str, table_name: str, rows: list[dict[str, object]]) -> None:
    engine = open_engine(url)
    table = Table(table_name, MetaData(), autoload_with=engine)
    own = [{name: value for name, value in row.items() if name in table.c} for row in rows]
    with engine.begin() as connection:
        connection.execute(table.insert(), own)
    engine.dispose()


def stored(url: str) -> dict[int, str]:
    """The description of each task; and remove those that were created since."""
    engine = open_engine(url)
    table = Table("tasks", MetaData(), autoload_with=engine)
    with engine.begin() as connection:
        rows = connection.execute(select(table.c.id, table.c.description))
        found = {row.id: str(row.description) for row in rows}
        connection.execute(delete(table).where(table.c.id > TASKS))
    engine.dispose()
    return found
