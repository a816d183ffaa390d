import logging
import math
import os
import sqlite3
import time
from contextlib import suppress
from typing import cast

from sqlalchemy import Connection, Dialect, Engine, create_engine, event

from taskapi.exceptions import Unavailable
from taskapi.settings import ConfigurationError

DEADLINE_INTERVAL = 10_000
"""Instructions of SQLite's virtual machine between two looks at the clock."""

logger = logging.getLogger(__name__)


class TimeoutConnection(sqlite3.Connection):
    """A connection that interrupts a statement after its deadline."""

    deadline = math.inf
    """A time of `time.monotonic()`."""

    def is_late(self) -> bool:
        return time.monotonic() > self.deadline


class FileIdentity:
    """Which file a path led to when it was first opened."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._device_and_inode: tuple[int, int] | None = None

    def record(self) -> None:
        if self._device_and_inode is None:
            self._device_and_inode = self._read()

    def check(self) -> None:
        """
        Raises:
            Unavailable: the path leads to another file, or to none. SQLite would go on writing to
                the first file, although it is deleted.
        """
        if self._device_and_inode and self._read() != self._device_and_inode:
            logger.warning("the database's file is another one, or gone: %s", self._path)
            raise Unavailable(
                "The database's file was replaced or deleted. The service must be restarted.",
                retry_after=5,
            )

    def _read(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self._path)  # noqa: PTH116 -- a Path takes four times as long
        except OSError:
            return None
        return status.st_dev, status.st_ino


def open_engine(
    url: str, connections: int, statement_timeout: int, *, foreign_keys: bool
) -> Engine:
    """Create an engine whose transactions start with an explicit BEGIN.

    The execution option `begin` is its mode: DEFERRED, the default, or IMMEDIATE for transactions
    that write. The driver's own BEGIN comes with the first write, where SQLite can't wait for the
    lock any more and reports "database is locked" at once.

    `statement_timeout` is in seconds, 0 for none. A write that is interrupted rolls back its
    transaction. No transaction begins after the file was replaced or deleted.

    Raises:
        ConfigurationError: the URL has a parameter with an invalid value.
    """
    try:
        engine = create_engine(
            url,
            pool_size=connections,
            max_overflow=0,
            connect_args={"factory": TimeoutConnection},
        )
    except ValueError as error:  # a parameter of the driver, such as timeout
        raise ConfigurationError(f"the database's URL can't be used: {error}") from None

    identity = FileIdentity(engine.url.database or "")

    @event.listens_for(engine, "do_connect")
    def create_private_file(_: Dialect, __: object, arguments: list[str], ___: object) -> None:
        """SQLite gives the files beside the database, -wal and -shm, the mode of the database."""
        identity.check()
        with suppress(OSError):  # it exists, or SQLite says why it can't be opened
            os.close(os.open(arguments[0], os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None
        connection.execute(f"PRAGMA foreign_keys={'ON' if foreign_keys else 'OFF'}")
        connection.execute("PRAGMA journal_mode=WAL")
        # NORMAL may lose acknowledged commits in a power failure.
        connection.execute("PRAGMA synchronous=FULL")
        identity.record()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        identity.check()
        mode = connection.get_execution_options().get("begin", "DEFERRED")
        connection.exec_driver_sql(f"BEGIN {mode}")

    if statement_timeout:
        _limit_statements(engine, statement_timeout)
    return engine


def _limit_statements(engine: Engine, seconds: int) -> None:
    @event.listens_for(engine, "connect")
    def configure(connection: TimeoutConnection, _: object) -> None:
        connection.set_progress_handler(connection.is_late, DEADLINE_INTERVAL)

    @event.listens_for(engine, "before_cursor_execute")
    def start(connection: Connection, *_: object) -> None:
        _driver_connection(connection).deadline = time.monotonic() + seconds

    # A statement runs while its rows are fetched, too. The end of the transaction is not limited.
    @event.listens_for(engine, "commit")
    @event.listens_for(engine, "rollback")
    def stop(connection: Connection) -> None:
        _driver_connection(connection).deadline = math.inf


def _driver_connection(connection: Connection) -> TimeoutConnection:
    return cast("TimeoutConnection", connection.connection.dbapi_connection)
