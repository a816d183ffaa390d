import sqlite3
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, Table, create_engine, func, insert, select, text
from sqlalchemy.exc import DBAPIError
from sqlmodel import SQLModel

from taskapi import app  # noqa: F401 -- imports the models, which registers their tables
from taskapi.database import migrations
from taskapi.database.engines import is_postgresql, open_engine
from taskapi.exceptions import Unavailable
from taskapi.startup import exit_on_error, load_settings

ACTION = "copy to PostgreSQL"

BATCH_SIZE = 1000
"""Rows in memory at once."""


class CopyError(Exception):
    """Nothing was copied. The message is the reason."""


def register(add_parser: Callable[..., ArgumentParser]) -> None:
    description = "Copy a SQLite database to the empty PostgreSQL database of TASKAPI_DATABASE_URL."
    parser = add_parser("copy-to-postgresql", help=description, description=description)
    parser.add_argument("file", type=Path, help="the SQLite database, which is not changed")
    parser.set_defaults(run=run)


def run(arguments: Namespace) -> None:
    settings = load_settings(ACTION)
    with exit_on_error(ACTION, CopyError):
        counts = copy_database(arguments.file, settings.database_url)
    for table, count in counts.items():
        print(f"{count:>10} {table}")


def copy_database(file: Path, url: str) -> dict[str, int]:
    """Copy all rows of a SQLite database to an empty PostgreSQL database, in one transaction.

    Returns the number of rows of each table.

    Raises:
        CopyError: nothing was copied.
    """
    if not is_postgresql(url):
        raise CopyError("TASKAPI_DATABASE_URL must be the URL of the PostgreSQL database")
    if not file.is_file():
        raise CopyError(f"there is no file {file}")
    target_engine = open_engine(url)
    address = f"{file.absolute().as_uri()}?mode=ro"  # SQLAlchemy would decode it in a URL
    source_engine = create_engine("sqlite://", creator=lambda: sqlite3.connect(address, uri=True))
    try:
        with source_engine.connect() as source, target_engine.begin() as target:
            source.exec_driver_sql("BEGIN")  # one snapshot for all tables
            _check_schemas(source, target)
            tables = SQLModel.metadata.sorted_tables
            _lock_empty(target, tables)
            return {table.name: _copy_table(table, source, target) for table in tables}
    except DBAPIError as error:
        raise CopyError(str(error.orig)) from None
    finally:
        source_engine.dispose()
        target_engine.dispose()


def _check_schemas(source: Connection, target: Connection) -> None:
    for system, connection in (("SQLite", source), ("PostgreSQL", target)):
        try:
            state = migrations.compare(connection)
        except Unavailable as error:
            raise CopyError(f"{system}: {error.detail} Run `alembic upgrade head` there.") from None
        if state != "current":
            raise CopyError(f"{system}: the schema is that of a newer version")


def _lock_empty(target: Connection, tables: list[Table]) -> None:
    names = ", ".join(table.name for table in tables)
    target.execute(text(f"LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE"))
    for table in tables:
        if _count(target, table):
            raise CopyError(f"the PostgreSQL database is not empty: there are rows in {table.name}")


def _copy_table(table: Table, source: Connection, target: Connection) -> int:
    rows = source.execute(select(table).execution_options(yield_per=BATCH_SIZE))
    for batch in rows.mappings().partitions():
        target.execute(insert(table), [dict(row) for row in batch])
    if "id" in table.columns:
        _continue_ids(table, source, target)
    copied, expected = _count(target, table), _count(source, table)
    if copied != expected:
        raise CopyError(f"{copied} of {expected} rows of {table.name} arrived")
    return copied


def _continue_ids(table: Table, source: Connection, target: Connection) -> None:
    """Continue after SQLite's last id, so that ids of deleted rows are not reused."""
    last = text("SELECT seq FROM sqlite_sequence WHERE name = :name").bindparams(name=table.name)
    if number := source.execute(last).scalar():
        target.execute(select(func.setval(func.pg_get_serial_sequence(table.name, "id"), number)))


def _count(connection: Connection, table: Table) -> int:
    return connection.execute(select(func.count()).select_from(table)).scalar_one()
