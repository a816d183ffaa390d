"""Moves from SQLite up to PostgreSQL: `python -m taskapi.commands.copy_to_postgresql FILE`."""

import argparse
import sys
from pathlib import Path

from sqlalchemy import Connection, Table, create_engine, func, insert, select, text
from sqlalchemy.exc import DBAPIError
from sqlmodel import SQLModel

import taskapi.auth.models
import taskapi.http.idempotency
import taskapi.tasks.models
import taskapi.users.models  # noqa: F401 -- the tables register themselves
from taskapi.database import migrations
from taskapi.database.engines import is_postgresql, open_engine
from taskapi.exceptions import Unavailable
from taskapi.settings import Settings

ROWS = 1000
"""How many are in memory at once."""


class CopyError(Exception):
    """The message says why."""


def move(file: Path, url: str) -> dict[str, int]:
    """Copy all rows of a SQLite database into an empty PostgreSQL one, in one transaction, and
    count them there. The file is only read.

    Raises:
        CopyError: nothing was copied.
    """
    if not is_postgresql(url):
        raise CopyError("TASKAPI_DATABASE_URL must be the URL of the PostgreSQL database.")
    if not file.is_file():
        raise CopyError(f"There is no file {file}.")
    source_engine = create_engine(f"sqlite:///{file.absolute().as_uri()}?mode=ro&uri=true")
    target_engine = open_engine(url)
    try:
        with source_engine.connect() as source, target_engine.begin() as target:
            source.exec_driver_sql("BEGIN")  # one snapshot for all tables
            _check_schemas(source, target)
            tables = SQLModel.metadata.sorted_tables
            _lock_empty(target, tables)
            return {table.name: _copy(table, source, target) for table in tables}
    except DBAPIError as error:
        raise CopyError(str(error.orig)) from None
    finally:
        source_engine.dispose()
        target_engine.dispose()


def _check_schemas(source: Connection, target: Connection) -> None:
    for place, connection in (("SQLite", source), ("PostgreSQL", target)):
        try:
            state = migrations.compare(connection)
        except Unavailable as error:
            raise CopyError(f"{place}: {error.detail} Run `alembic upgrade head` there.") from None
        if state != "current":
            raise CopyError(f"{place}: the schema is that of a newer version.")


def _lock_empty(target: Connection, tables: list[Table]) -> None:
    names = ", ".join(table.name for table in tables)
    target.execute(text(f"LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE"))
    for table in tables:
        if _count(target, table):
            raise CopyError(
                f"The PostgreSQL database is not empty: there are rows in {table.name}."
            )


def _copy(table: Table, source: Connection, target: Connection) -> int:
    rows = source.execute(select(table).execution_options(yield_per=ROWS))
    for part in rows.mappings().partitions():
        target.execute(insert(table), [dict(row) for row in part])
    if "id" in table.columns:
        _continue_ids(table, source, target)
    copied, expected = _count(target, table), _count(source, table)
    if copied != expected:
        raise CopyError(f"{copied} of {expected} rows of {table.name} arrived.")
    return copied


def _continue_ids(table: Table, source: Connection, target: Connection) -> None:
    """Ids of rows that were deleted are not given again either."""
    last = text("SELECT seq FROM sqlite_sequence WHERE name = :name").bindparams(name=table.name)
    if number := source.execute(last).scalar():
        target.execute(select(func.setval(func.pg_get_serial_sequence(table.name, "id"), number)))


def _count(connection: Connection, table: Table) -> int:
    return connection.execute(select(func.count()).select_from(table)).scalar_one()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m taskapi.commands.copy_to_postgresql",
        description="Copy a SQLite database into the empty PostgreSQL one of TASKAPI_DATABASE_URL.",
    )
    parser.add_argument("file", type=Path, help="the SQLite database; it is only read")
    try:
        moved = move(parser.parse_args().file, Settings().database_url)
    except CopyError as error:
        sys.exit(f"Nothing was moved. {error}")
    for table, count in moved.items():
        print(f"{count:>10} {table}")


if __name__ == "__main__":
    main()
