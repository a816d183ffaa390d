import os
import sqlite3
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from taskapi.database.engines import database_file
from taskapi.database.files import publish
from taskapi.settings import ConfigurationError
from taskapi.startup import exit_on_error, load_settings

ACTION = "back up the database"


def register(add_parser: Callable[..., ArgumentParser]) -> None:
    description = "Copy the SQLite database of TASKAPI_DATABASE_URL while the service runs."
    parser = add_parser("backup", help=description, description=description)
    parser.add_argument("file", type=Path, help="the file to create; it must not exist")
    parser.set_defaults(run=run)


def run(arguments: Namespace) -> None:
    settings = load_settings(ACTION)
    copy = arguments.file.absolute()
    with exit_on_error(ACTION, sqlite3.Error):
        database = database_file(settings.database_url)
        if database is None:
            raise ConfigurationError("this command is for SQLite; use pg_dump for PostgreSQL")
        back_up(database, copy)
    print(f"{copy}: {copy.stat().st_size} bytes")


def back_up(database: Path, copy: Path) -> None:
    """Write a copy of one snapshot of the database, readable by its owner only.

    The copy is checked and synchronized to the disk before it appears under its name.

    Raises:
        FileExistsError: `copy` exists.
        ConfigurationError: the folder's file system has no hard links.
        sqlite3.Error: the database can't be read, or is damaged.
    """
    descriptor, temporary = tempfile.mkstemp(dir=copy.parent, prefix=copy.name)  # mode 0600
    os.close(descriptor)
    draft = Path(temporary)
    try:
        _copy(database, draft)
    except BaseException:
        draft.unlink()
        raise
    publish(draft, copy)


def _copy(database: Path, draft: Path) -> None:
    with (
        closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(draft)) as target,
    ):
        source.backup(target)
        if target.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("the database is damaged")
