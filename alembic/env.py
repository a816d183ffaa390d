import logging

from alembic import context
from sqlalchemy import text
from sqlmodel import SQLModel, func, select

from taskapi import app  # noqa: F401 -- imports the models, which registers their tables
from taskapi.database.engines import is_postgresql, open_engine
from taskapi.settings import ConfigurationError
from taskapi.startup import exit_on_error, load_settings

ACTION = "migrate the database"

LOCK = 8319104416
"""The key of PostgreSQL's advisory lock: any number that no other application uses."""


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
    """Run all migrations in one transaction. Concurrent runs wait for each other.

    SQLite changes a table by creating a new one and dropping the old one. Enforced foreign keys
    would then delete the rows that refer to it, and are turned off.

    Raises:
        ConfigurationError: PostgreSQL's database has another encoding than UTF-8.
    """
    engine = open_engine(url, foreign_keys=False).execution_options(begin="IMMEDIATE")
    try:
        with engine.begin() as connection:
            if is_postgresql(url):
                encoding = connection.execute(text("SHOW server_encoding")).scalar()
                if encoding != "UTF8":
                    raise ConfigurationError(
                        f"the database's encoding must be UTF8, and is {encoding}"
                    )
                connection.execute(select(func.pg_advisory_xact_lock(LOCK)))
            context.configure(
                connection=connection, target_metadata=SQLModel.metadata, render_as_batch=True
            )
            context.run_migrations()
    finally:
        engine.dispose()


run()
