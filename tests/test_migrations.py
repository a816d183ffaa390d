import re
import sqlite3
from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.script import ScriptDirectory
from fastapi.testclient import TestClient
from sqlmodel import SQLModel

from taskapi import migrations
from taskapi.db import open_engine
from taskapi.settings import Settings
from tests.api import Api


def schema(settings: Settings) -> list[tuple[str, str | None]]:
    with sqlite3.connect(settings.database_url.removeprefix("sqlite:///")) as connection:
        query = "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE '%alembic%' ORDER BY name"
        return connection.execute(query).fetchall()


def words(sql: str | None) -> list[str]:
    """What a statement says, whatever the order of its lines."""
    return sorted(re.findall(r"[^\s,()]+|'[^']*'", sql or ""))


def test_the_migrations_make_the_schema_that_the_models_declare(
    settings: Settings, tmp_path: Path
) -> None:
    migrations.upgrade(settings.database_url)
    command.check(migrations.config_for(settings.database_url))
    declared = settings.model_copy(update={"database_url": f"sqlite:///{tmp_path}/declared.db"})
    engine = open_engine(declared.database_url)
    SQLModel.metadata.create_all(engine)
    engine.dispose()
    assert [(name, words(sql)) for name, sql in schema(settings)] == [
        (name, words(sql)) for name, sql in schema(declared)
    ]


def test_every_migration_goes_down_and_up_again(settings: Settings) -> None:
    config = migrations.config_for(settings.database_url)
    for revision in reversed(list(ScriptDirectory.from_config(config).walk_revisions())):
        command.upgrade(config, revision.revision)
        after = schema(settings)
        command.downgrade(config, "-1")
        command.upgrade(config, revision.revision)
        assert schema(settings) == after
    command.downgrade(config, "base")
    assert [name for (name, _) in schema(settings)] == ["sqlite_sequence"]


def test_a_migration_that_makes_a_table_anew_keeps_the_rows_that_refer_to_it(
    start: Callable[[Settings], TestClient], settings: Settings, tmp_path: Path
) -> None:
    anna = Api.register(start(settings), "anna@example.com")
    task = anna.create_task()
    script = tmp_path / "change.py"
    script.write_text(
        "import sqlalchemy as sa\n"
        "from alembic import op\n"
        "revision = 'change'\n"
        f"down_revision = {migrations.newest()!r}\n"
        "def upgrade():\n"
        "    with op.batch_alter_table('users', recreate='always') as users:\n"
        "        users.add_column(sa.Column('note', sa.String()))\n"
    )
    config = migrations.config_for(settings.database_url)
    versions = ScriptDirectory.from_config(config).versions
    config.set_main_option("version_locations", f"{versions}:{tmp_path}")
    command.upgrade(config, "change")
    assert "note" in str(schema(settings))
    assert anna.get("/tasks").json() == [task]


def test_the_schema_can_be_printed_for_another_to_run(settings: Settings, tmp_path: Path) -> None:
    config = migrations.config_for(settings.database_url)
    with (tmp_path / "schema.sql").open("w") as file:
        config.output_buffer = file
        command.upgrade(config, "head", sql=True)
    script = (tmp_path / "schema.sql").read_text()
    with sqlite3.connect(":memory:") as connection:
        connection.executescript(script)
        assert connection.execute("SELECT count(*) FROM tasks").fetchone() == (0,)
