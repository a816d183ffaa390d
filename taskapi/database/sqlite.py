import logging
import math
import os
import sqlite3
import time
from contextlib import suppress
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, cast

from sqlalchemy import Connection, Dialect, Engine, create_engine, event
from sqlmodel.sql.sqltypes import UTCDateTime

from taskapi.database.statements import Converters
from taskapi.exceptions import Unavailable
from taskapi.settings import ConfigurationError

DEADLINE_INTERVAL = 10_000
"""Instructions of SQLite's virtual machine between two looks at the clock."""

CHECK_INTERVAL = 0.1
"""Seconds for which reads may miss that the file was replaced or deleted."""

logger = logging.getLogger(__name__)


class FileIdentity:
    """Which file a path led to when it was first opened."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._device_and_inode: tuple[int, int] | None = None
        self._checked_at = -math.inf

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
                cause="file",
            )

    def check_for_read(self) -> None:
        """Do the same as `check`, unless that was done in the last `CHECK_INTERVAL` seconds."""
        if time.monotonic() - self._checked_at > CHECK_INTERVAL:
            self.check()
            self._checked_at = time.monotonic()

    def _read(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self._path)  # noqa: PTH116 -- a Path takes four times as long
        except OSError:
            return None
        return status.st_dev, status.st_ino


def _to_text(timestamp: datetime) -> str:
    """Do the same as SQLAlchemy's DateTime."""
    return timestamp.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


def _from_text(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}Z")


class TimeoutConnection(sqlite3.Connection):
    """A connection that interrupts a statement after its deadline. It fetches rows in that time.

    BEGIN, COMMIT and ROLLBACK are not limited.
    """

    converters: Converters = MappingProxyType({UTCDateTime: (_to_text, _from_text)})
    identity: FileIdentity
    statement_timeout = math.inf
    """Seconds."""
    _deadline = math.inf
    """A time of `time.monotonic()`."""

    def limit_statements(self, seconds: int) -> None:
        self.statement_timeout = seconds
        self.set_progress_handler(self._is_late, DEADLINE_INTERVAL)

    def begin(self, mode: str) -> bool:
        """Begin a transaction, unless the mode is empty. Return whether there is one to end.

        Raises:
            Unavailable: the file was replaced or deleted.
        """
        if mode == "IMMEDIATE":
            self.identity.check()
        else:
            self.identity.check_for_read()
        if mode:
            self._deadline = math.inf
            super().execute(f"BEGIN {mode}")
        return bool(mode)

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:  # noqa: ANN401 -- the driver's own
        self._deadline = time.monotonic() + self.statement_timeout
        return super().execute(sql, parameters)

    def commit(self) -> None:
        self._deadline = math.inf
        super().commit()

    def rollback(self) -> None:
        self._deadline = math.inf
        super().rollback()

    def is_lost(self, _: Exception) -> bool:
        return False

    def _is_late(self) -> bool:
        return time.monotonic() > self._deadline


def open_engine(
    url: str, connections: int, statement_timeout: int, *, foreign_keys: bool
) -> Engine:
    """Create an engine whose transactions start with an explicit BEGIN.

    The execution option `begin` is its mode: DEFERRED, the default, or IMMEDIATE for transactions
    that write. The driver's own BEGIN comes with the first write, where SQLite can't wait for the
    lock any more and reports "database is locked" at once.

    `statement_timeout` is in seconds, 0 for none. It limits what the driver's connection executes
    itself. A write that is interrupted rolls back its transaction. No transaction begins after the
    file was replaced or deleted.

    Raises:
        ConfigurationError: the URL has a parameter with an invalid value.
    """
    try:
        engine = create_engine(
            url,
            pool_size=connections,
            max_overflow=0,
            paramstyle="named",
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
    def configure(connection: TimeoutConnection, _: object) -> None:
        connection.isolation_level = None
        connection.execute(f"PRAGMA foreign_keys={'ON' if foreign_keys else 'OFF'}")
        connection.execute("PRAGMA journal_mode=WAL")
        # NORMAL may lose acknowledged commits in a power failure.
        connection.execute("PRAGMA synchronous=FULL")
        identity.record()
        connection.identity = identity
        if statement_timeout:
            connection.limit_statements(statement_timeout)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        mode = connection.get_execution_options().get("begin", "DEFERRED")
        cast("TimeoutConnection", connection.connection.dbapi_connection).begin(mode)

    return engine
