"""Copies a SQLite database while the service goes on: `python -m taskapi.commands.backup FILE`."""

import argparse
import os
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from taskapi.database.engines import database_file
from taskapi.settings import Settings


def back_up(database: Path, copy: Path) -> None:
    """Write a consistent copy, as of one moment, which appears whole or not at all.

    Raises:
        FileExistsError: there is a file of that name.
        sqlite3.Error: the database can't be read, or is damaged.
    """
    descriptor, draft = tempfile.mkstemp(dir=copy.parent, prefix=copy.name)  # with mode 0600
    os.close(descriptor)
    try:
        with (
            closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(draft)) as target,
        ):
            source.backup(target)
            if target.execute("PRAGMA integrity_check").fetchone() != ("ok",):
                raise sqlite3.DatabaseError("the database is damaged")
        _sync(Path(draft))
        os.link(draft, copy)
        _sync(copy.parent)
    finally:
        Path(draft).unlink()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m taskapi.commands.backup",
        description="Copy the SQLite database of TASKAPI_DATABASE_URL while the service goes on.",
    )
    parser.add_argument("file", type=Path, help="where the copy is to appear; nothing may be there")
    copy = parser.parse_args().file.absolute()
    database = database_file(Settings().database_url)
    if database is None:
        sys.exit("This is for SQLite; PostgreSQL has pg_dump.")
    try:
        back_up(database, copy)
    except (OSError, sqlite3.Error) as error:
        sys.exit(f"No copy was made: {error}")
    print(f"{copy}: {copy.stat().st_size} bytes")


if __name__ == "__main__":
    main()
