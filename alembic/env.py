import logging
from contextlib import ExitStack

from alembic import context
from alembic.ddl.sqlite import SQLiteImpl
from alembic.operations.batch import ApplyBatchImpl
from alembic.util import CommandError
from sqlalchemy import Table, text
from sqlmodel import SQLModel, func, select

import taskapi.auth.models
import taskapi.http.idempotency
import taskapi.tasks.models
import taskapi.users.models  # noqa: F401 -- the tables register themselves
from taskapi.database.engines import is_postgresql, open_engine
from taskapi.settings import Settings

LOCK = 8319104416
"""The key of a PostgreSQL advisory lock: an arbitrary number that only taskapi uses."""


class AutoincrementImpl(SQLiteImpl):
    """Keep AUTOINCREMENT and its counter when a batch migration recreates a table.

    SQLAlchemy does not reflect them, and without them the ids of deleted rows are reused. Alembic
    uses the class that was defined last for a dialect.
    """

    __dialect__ = "sqlite"

    def prep_table_for_batch(self, batch_impl: ApplyBatchImpl, table: Table) -> None:
        connection, new_table = self.connection, batch_impl.new_table
        names = {"name": table.name, "new_name": batch_impl.temp_table_name}
        has_counter = (
            "SELECT 1 FROM sqlite_master WHERE name = :name AND sql LIKE '%AUTOINCREMENT%'"
        )
        if connection is None or new_table is None:  # only SQL is printed
            return
        if connection.scalar(text(has_counter), names):
            new_table.dialect_options["sqlite"]["autoincrement"] = True
            copy = "SELECT :new_name, seq FROM sqlite_sequence WHERE name = :name"
            connection.execute(text(f"INSERT INTO sqlite_sequence (name, seq) {copy}"), names)


def run() -> None:
    """Run all migrations in one transaction. Concurrent runs wait for the first one.

    SQLite changes a table by recreating it. Dropping the old table would delete the rows that refer
    to it, so foreign keys are not enforced here.
    """
    url = context.config.attributes.get("url")
    if url is None:  # run by the `alembic` command
        logging.basicConfig(level=logging.INFO, format="%(message)s")
        url = Settings().database_url
    if context.is_offline_mode():
        context.configure(
            dialect_name="postgresql" if is_postgresql(url) else "sqlite",
            target_metadata=SQLModel.metadata,
            literal_binds=True,
        )
        with context.begin_transaction():
            context.run_migrations()
        return
    engine = open_engine(url, foreign_keys=False).execution_options(begin="IMMEDIATE")
    with ExitStack() as stack:
        stack.callback(engine.dispose)
        connection = stack.enter_context(engine.begin())
        if is_postgresql(url):
            encoding = connection.execute(text("SHOW server_encoding")).scalar()
            if encoding != "UTF8":
                raise CommandError(f"the database's encoding must be UTF8, and is {encoding}")
            connection.execute(select(func.pg_advisory_xact_lock(LOCK)))
        context.configure(
            connection=connection, target_metadata=SQLModel.metadata, render_as_batch=True
        )
        context.run_migrations()


run()
