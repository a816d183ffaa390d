import logging

from alembic import context
from alembic.ddl.sqlite import SQLiteImpl
from alembic.operations.batch import ApplyBatchImpl
from sqlalchemy import Connection, Engine, Table, text
from sqlmodel import SQLModel, func, select

from taskapi import app  # noqa: F401 -- imports the models, which registers their tables
from taskapi.database.engines import is_postgresql, open_engine
from taskapi.settings import ConfigurationError
from taskapi.startup import exit_on_error, load_settings

ACTION = "migrate the database"

LOCK = 8319104416
"""The key of PostgreSQL's advisory lock: any number that no other application uses."""


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
    url = context.config.attributes.get("url")
    if url is None:  # started from the command line, not by the service
        logging.basicConfig(level=logging.INFO, format="%(message)s")
        with exit_on_error(ACTION):
            migrate(load_settings(ACTION).database_url)
    else:
        migrate(url)


def migrate(url: str) -> None:
    if context.is_offline_mode():
        print_sql(url)
    else:
        upgrade(url)


def print_sql(url: str) -> None:
    context.configure(
        dialect_name="postgresql" if is_postgresql(url) else "sqlite",
        target_metadata=SQLModel.metadata,
        literal_binds=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def upgrade(url: str) -> None:
    """Run all migrations. Concurrent runs wait for each other."""
    engine = open_engine(url, connections=2, foreign_keys=False)
    try:
        if is_postgresql(url):
            upgrade_postgresql(engine)
        else:
            upgrade_sqlite(engine)
    finally:
        engine.dispose()


def upgrade_sqlite(engine: Engine) -> None:
    """Run all migrations in one transaction.

    SQLite changes a table by creating a new one and dropping the old one. Enforced foreign keys
    would then delete the rows that refer to it, and are turned off.
    """
    with engine.execution_options(begin="IMMEDIATE").begin() as connection:
        run_migrations(connection)


def upgrade_postgresql(engine: Engine) -> None:
    """Run each migration in a transaction, so that none holds the locks of the ones before.

    Another transaction holds the advisory lock. A session's own would outlive it in a pooler.

    Raises:
        ConfigurationError: the database has another encoding than UTF-8.
    """
    with engine.begin() as lock, engine.connect() as connection:
        encoding = lock.execute(text("SHOW server_encoding")).scalar()
        if encoding != "UTF8":
            raise ConfigurationError(f"the database's encoding must be UTF8, and is {encoding}")
        lock.execute(select(func.pg_advisory_xact_lock(LOCK)))
        # It also ends the snapshot, for which CREATE INDEX CONCURRENTLY would wait.
        lock.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        run_migrations(connection)


def run_migrations(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=SQLModel.metadata,
        render_as_batch=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


run()
