import re
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.operations.ops import AlterColumnOp, MigrationScript, ModifyTableOps
from alembic.script import ScriptDirectory
from fastapi.testclient import TestClient
from sqlalchemy import String, text
from sqlalchemy.exc import IntegrityError
from sqlmodel import SQLModel

from taskapi.database import migrations
from taskapi.database.engines import is_postgresql, open_engine
from taskapi.database.migrations import REVISIONS
from taskapi.security.access_tokens import AccessToken, AccessTokens
from taskapi.security.emails import account_key
from taskapi.settings import ConfigurationError, Settings
from taskapi.tasks.service import search_columns
from tests.api import Api
from tests.databases import execute, schema
from tests.fixtures import SECRET_KEY
from tests.rows import fill_released
from tests.waiting import HANG, wait_until

Start = Callable[[Settings], TestClient]
CreateDatabase = Callable[[], str]


def test_revisions_match_the_migration_scripts() -> None:
    script = ScriptDirectory.from_config(migrations.config_for(""))
    assert [each.revision for each in script.walk_revisions()] == list(REVISIONS)


def test_migrations_match_the_models(
    create_database: CreateDatabase,
) -> None:
    migrated, declared = create_database(), create_database()
    migrations.upgrade(migrated)
    command.check(migrations.config_for(migrated))
    engine = open_engine(declared)
    SQLModel.metadata.create_all(engine)
    engine.dispose()
    assert schema(migrated) == schema(declared)


def test_every_migration_goes_down_and_up_again(create_database: CreateDatabase) -> None:
    url = create_database()
    nothing = schema(url)
    config = migrations.config_for(url)
    for revision in reversed(REVISIONS):
        command.upgrade(config, revision)
        after = schema(url)
        command.downgrade(config, "-1")
        command.upgrade(config, revision)
        assert schema(url) == after
    command.downgrade(config, "base")
    assert [line for line in schema(url) if "sqlite_sequence" not in line] == nothing


@pytest.mark.parametrize("revision", REVISIONS)
def test_rows_of_every_release_are_migrated(
    create_database: CreateDatabase, settings: Settings, start: Start, revision: str
) -> None:
    url = create_database()
    fill_released(url, revision)
    if is_postgresql(url):
        execute(url, "SELECT setval('tasks_id_seq', 6)")
    migrations.upgrade(url)
    client = start(settings.model_copy(update={"database_url": url}))
    session = AccessToken(user_id=7, session_id=3, auth_time=datetime.now(UTC))
    token = AccessTokens([SECRET_KEY], 900).issue(session)
    anna = Api(client, 7, "Anna@example.com", token)
    assert anna.get("/users/me").json()["created_at"] == "2026-11-24T10:00:00.000001Z"
    assert [task["title"] for task in anna.get("/tasks", params={"q": "ХЛЕБ"}).json()] == [
        "Купить хлеб"
    ]
    assert anna.create_task()["id"] == 7
    command.downgrade(migrations.config_for(url), revision)
    assert execute(url, "SELECT count(*) FROM tasks") == [(3,)]


def insert_user(url: str, user_id: int, email: str) -> None:
    """An account as release 1.0 stored it, whose key is the e-mail in lower case."""
    statement = (
        "INSERT INTO users (id, name, email, email_key, password_hash, created_at)"
        " VALUES (CAST(:id AS INTEGER), 'x', :email, :key, '', '2026-11-24 10:00:00')"
    )
    execute(url, statement, id=str(user_id), email=email, key=email.lower())


def test_emails_that_differ_in_case_get_the_same_key(create_database: CreateDatabase) -> None:
    url = create_database()
    config = migrations.config_for(url)
    command.upgrade(config, "f9fc616a0d47")
    emails = {1: "Anna@example.com", 2: "ΑΣ@x.gr", 3: "J\u030c@x.gr", 4: "weiß@x.de"}
    for user_id, email in emails.items():
        insert_user(url, user_id, email)
    before = execute(url, "SELECT id, email_key FROM users ORDER BY id")
    command.upgrade(config, "3b8e51c7a902")
    keys = {row.id: row.email_key for row in execute(url, "SELECT id, email_key FROM users")}
    assert keys == {user_id: account_key(email) for user_id, email in emails.items()}
    assert keys == {1: "anna@example.com", 2: "ασ@x.gr", 3: "\u01f0@x.gr", 4: "weiß@x.de"}
    command.downgrade(config, "f9fc616a0d47")
    assert execute(url, "SELECT id, email_key FROM users ORDER BY id") == before


def test_accounts_whose_emails_differ_in_case_stop_the_upgrade(
    create_database: CreateDatabase,
) -> None:
    url = create_database()
    config = migrations.config_for(url)
    command.upgrade(config, "f9fc616a0d47")
    for user_id, email in {5: "ΑΣ@x.gr", 6: "s@x.gr", 7: "ασ@x.gr", 8: "\u017f@x.gr"}.items():
        insert_user(url, user_id, email)
    before = execute(url, "SELECT * FROM users ORDER BY id")
    with pytest.raises(ConfigurationError, match="users 7 and 5, 6 and 8"):
        migrations.upgrade(url)
    assert execute(url, "SELECT * FROM users ORDER BY id") == before
    assert execute(url, "SELECT version_num FROM alembic_version") == [("f9fc616a0d47",)]
    execute(url, "DELETE FROM users WHERE id IN (5, 8)")
    migrations.upgrade(url)


def test_printed_statements_refuse_keys_that_only_the_migration_computes(
    create_database: CreateDatabase, tmp_path: Path
) -> None:
    url = create_database()
    config = migrations.config_for(url)
    command.upgrade(config, "f9fc616a0d47")
    with (tmp_path / "keys.sql").open("w") as file:
        config.output_buffer = file
        command.upgrade(config, "f9fc616a0d47:3b8e51c7a902", sql=True)
    [check] = re.findall("INSERT INTO alembic_version[^;]*", (tmp_path / "keys.sql").read_text())
    insert_user(url, 1, "anna@example.com")
    execute(url, check)
    insert_user(url, 2, "ασ@x.gr")
    with pytest.raises(IntegrityError):
        execute(url, check)


def test_texts_with_yo_are_folded_again(create_database: CreateDatabase) -> None:
    url = create_database()
    config = migrations.config_for(url)
    command.upgrade(config, "8d41c07e6b25")
    insert_user(url, 1, "anna@example.com")
    texts = [("\u0415\u0308лка", "Ёж"), ("Хлеб", "ещё"), ("Её", ""), ("Е", "µ"), ("x", "y")]
    for title, description in texts:
        statement = (
            "INSERT INTO tasks (title, description, status, user_id, created_at, updated_at,"
            " version, title_key, search_text) VALUES (:title, :description, 'новая', 1,"
            " '2026-11-24 10:00:00', '2026-11-24 10:00:00', 1, :key, :text)"
        )
        key, search_text = (
            unicodedata.normalize("NFC", text).casefold()
            for text in (title, f"{title}\n{description}")
        )
        values = {"title": title, "description": description, "key": key, "text": search_text}
        execute(url, statement, **values)
    before = execute(url, "SELECT * FROM tasks ORDER BY id")
    command.upgrade(config, "c52f09a83d17")
    folded = execute(url, "SELECT title_key, search_text FROM tasks ORDER BY id")
    assert folded == [tuple(search_columns(*each).values()) for each in texts]
    assert folded[0] == ("елка", "елка\nеж")
    command.downgrade(config, "8d41c07e6b25")
    assert execute(url, "SELECT * FROM tasks ORDER BY id") == before
    with pytest.raises(ConfigurationError):
        command.downgrade(config, "c52f09a83d17:8d41c07e6b25", sql=True)


@pytest.mark.database("postgresql")
def test_a_migration_that_waits_blocks_no_other_row(create_database: CreateDatabase) -> None:
    """The one that folds ё waits for a row that a request has locked."""
    url = create_database()
    command.upgrade(migrations.config_for(url), "f9fc616a0d47")
    insert_user(url, 1, "anna@example.com")
    insert = (
        "INSERT INTO tasks (title, description, status, user_id, created_at, updated_at, version,"
        " title_key, search_text) SELECT 'Ё', '', 'новая', 1, now(), now(), 1, 'ё', 'ё'"
        " FROM generate_series(1, 1500)"
    )
    execute(url, insert)
    waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND wait_event_type = 'Lock' AND query LIKE 'UPDATE tasks%'"
    )
    engine = open_engine(url)
    with ThreadPoolExecutor() as pool:
        with engine.begin() as request:
            request.execute(text("SELECT 1 FROM tasks WHERE id = 1500 FOR UPDATE"))
            migration = pool.submit(migrations.upgrade, url)
            wait_until(lambda: migration.done() or execute(url, waiting) == [(1,)])
            impatient = f"{url}&options=-c%20lock_timeout%3D1"
            execute(impatient, "UPDATE users SET name = 'Anna'")
            execute(impatient, "UPDATE tasks SET version = 2 WHERE id = 1")
        migration.result()
    engine.dispose()
    assert execute(url, "SELECT count(*) FROM tasks WHERE search_text = 'е'") == [(1500,)]


@pytest.mark.database("postgresql")
def test_a_migration_can_create_an_index_concurrently(
    create_database: CreateDatabase, tmp_path: Path
) -> None:
    url = f"{create_database()}&options=-c%20lock_timeout%3D{HANG:.0f}s"
    script = tmp_path / "change.py"
    script.write_text(
        "from alembic import op\n"
        "revision = 'change'\n"
        f"down_revision = {REVISIONS[0]!r}\n"
        "def upgrade():\n"
        "    with op.get_context().autocommit_block():\n"
        "        op.create_index('more', 'tasks', ['version'], postgresql_concurrently=True)\n"
    )
    config = migrations.config_for(url)
    versions = ScriptDirectory.from_config(config).versions
    config.set_main_option("version_locations", f"{versions}:{tmp_path}")
    command.upgrade(config, "change")
    assert "INDEX more ON" in str(schema(url))


@pytest.mark.own_database
def test_batch_migrations_keep_referring_rows(
    anna: Api, settings: Settings, tmp_path: Path
) -> None:
    task = anna.create_task()
    script = tmp_path / "change.py"
    script.write_text(
        "import sqlalchemy as sa\n"
        "from alembic import op\n"
        "revision = 'change'\n"
        f"down_revision = {REVISIONS[0]!r}\n"
        "def upgrade():\n"
        "    with op.batch_alter_table('users', recreate='auto') as users:\n"
        "        users.add_column(sa.Column('note', sa.String()))\n"
        "        users.alter_column('name', type_=sa.String(200))\n"
    )
    config = migrations.config_for(settings.database_url)
    versions = ScriptDirectory.from_config(config).versions
    config.set_main_option("version_locations", f"{versions}:{tmp_path}")
    command.upgrade(config, "change")
    assert "note" in str(schema(settings.database_url))
    assert anna.get("/tasks").json() == [task]


@pytest.mark.own_database
def test_a_generated_migration_that_recreates_a_table_reuses_no_id(
    anna: Api, settings: Settings, tmp_path: Path
) -> None:
    anna.create_task()
    deleted = anna.create_task()["id"]
    anna.delete(f"/tasks/{deleted}")

    def widen_title(_: object, __: object, directives: list[MigrationScript]) -> None:
        change = AlterColumnOp("tasks", "title", modify_type=String(300), existing_type=String())
        operations = directives[0].upgrade_ops
        assert operations
        operations.ops.append(ModifyTableOps("tasks", [change]))

    config = migrations.config_for(settings.database_url)
    versions = ScriptDirectory.from_config(config).versions
    config.set_main_option("version_locations", f"{versions}:{tmp_path}")
    command.revision(
        config,
        "widen the title",
        autogenerate=True,
        version_path=str(tmp_path),
        process_revision_directives=widen_title,
    )
    command.upgrade(config, "head")
    assert "300" in str(schema(settings.database_url))
    assert anna.create_task()["id"] == deleted + 1


def test_migrations_can_be_printed_as_sql(create_database: CreateDatabase, tmp_path: Path) -> None:
    url, printed = create_database(), create_database()
    config = migrations.config_for(url)
    with (tmp_path / "schema.sql").open("w") as file:
        config.output_buffer = file
        command.upgrade(config, "head", sql=True)
    script = (tmp_path / "schema.sql").read_text()
    for statement in script.split(";\n"):
        if statement.strip() not in {"", "BEGIN", "COMMIT"}:
            execute(printed, statement)
    migrations.upgrade(url)
    assert schema(printed) == schema(url)
