import logging
from contextlib import ExitStack

from alembic import context
from alembic.util import CommandError
from sqlalchemy import text
from sqlmodel import SQLModel, func, select

import taskapi.auth.models
import taskapi.http.idempotency
import taskapi.tasks.models
import taskapi.users.models  # noqa: F401 -- the tables register themselves
from taskapi.database.engines import is_postgresql, open_engine
from taskapi.settings import Settings

LOCK = 8319104416
"""Any number of taskapi's own, for PostgreSQL's advisory locks."""


def run() -> None:
    """Run all migrations in one transaction. Of several that are started at once, one does the
    work, and the others wait for it.

    SQLite changes a table by making it anew, and dropping the old one would delete the rows that
    refer to it: foreign keys are not enforced meanwhile.
    """
    url = context.config.attributes.get("url")
    if url is None:  # started by hand
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
