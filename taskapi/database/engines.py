"""SQLAlchemy engines for the databases that the service knows."""

import sqlite3
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from sqlalchemy import Connection, Dialect, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection, ExceptionContext
from sqlalchemy.exc import ArgumentError

from taskapi.settings import ConfigurationError

KNOWN = "the database must be sqlite:///a-file.db or postgresql://user@host/database"

# A host that vanished is noticed in seconds; the URL's own parameters go before these.
POSTGRESQL_DEFAULTS = {
    "application_name": "taskapi",
    "client_encoding": "utf8",  # the server's own may be SQL_ASCII, which says nothing
    "connect_timeout": 5,  # seconds, for each host
    "keepalives_idle": 10,  # seconds
    "keepalives_interval": 5,  # seconds
    "keepalives_count": 2,
    "tcp_user_timeout": 10_000,  # milliseconds
}

READ_ONLY_TRANSACTION = "25006"

PATIENCE = 5
"""Seconds for which an answer may be late, after the server should have given the statement up."""


def database_file(url: str) -> Path | None:
    """The file of a SQLite database; None for a database server.

    Raises:
        ConfigurationError: it is neither.
    """
    if is_postgresql(url):
        return None
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigurationError(KNOWN) from None
    if parsed.get_backend_name() != "sqlite":
        raise ConfigurationError(KNOWN)
    if not parsed.database or parsed.database.startswith((":memory:", "file:")):
        raise ConfigurationError("the SQLite database must be a file, as in sqlite:///taskapi.db")
    return Path(parsed.database).absolute()


def is_postgresql(url: str) -> bool:
    return url.partition("://")[0] in {"postgresql", "postgres", "postgresql+psycopg"}


def describe(url: str) -> str:
    """Where the database is, without the password."""
    file = database_file(url)
    if file:
        return str(file)
    place = urlsplit(url)
    return f"postgresql://{place.netloc.rpartition('@')[2]}{place.path}"


def open_engine(
    url: str,
    *,
    connections: int = 1,
    statement_timeout: int = 0,
    transaction_pooling: bool = False,
    foreign_keys: bool = True,
) -> Engine:
    """An engine that has not connected yet.

    `statement_timeout` in seconds, 0 for none, and `transaction_pooling` are PostgreSQL's;
    `foreign_keys`, whether they are enforced, is SQLite's.
    """
    if is_postgresql(url):
        return _postgresql(url, connections, statement_timeout * 1000, transaction_pooling)
    return _sqlite(url, connections, foreign_keys)


def _sqlite(url: str, connections: int, foreign_keys: bool) -> Engine:  # noqa: FBT001 -- a private function with one caller
    """Transactions begin as the `begin` execution option says; by itself the driver would begin a
    writing one only at its first write, where waiting for the lock is no longer possible.
    """
    engine = create_engine(url, pool_size=connections, max_overflow=0)

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None
        connection.execute(f"PRAGMA foreign_keys={'ON' if foreign_keys else 'OFF'}")
        connection.execute("PRAGMA journal_mode=WAL")
        # NORMAL may lose acknowledged commits when power fails.
        connection.execute("PRAGMA synchronous=FULL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        mode = connection.get_execution_options().get("begin", "DEFERRED")
        connection.exec_driver_sql(f"BEGIN {mode}")

    return engine


def _postgresql(
    url: str,
    connections: int,
    timeout: int,
    transaction_pooling: bool,  # noqa: FBT001 -- a private function with one caller
) -> Engine:
    """The URL is libpq's, with all that libpq knows, such as several hosts.

    A pooler that hands each transaction to another server connection knows neither prepared
    statements nor settings of a session: there, the timeout is set in each transaction.
    """
    try:
        engine = create_engine(
            "postgresql+psycopg://", pool_size=connections, max_overflow=0, pool_pre_ping=True
        )
    except ModuleNotFoundError:
        raise ConfigurationError("PostgreSQL needs a driver: uv sync --extra postgresql") from None
    timeouts = (
        f"-c statement_timeout={timeout} -c idle_in_transaction_session_timeout={timeout}"
        if timeout and not transaction_pooling
        else ""
    )

    @event.listens_for(engine, "do_connect")
    def connect(
        dialect: Dialect, _: object, __: object, options: dict[str, Any]
    ) -> DBAPIConnection:
        given = dialect.loaded_dbapi.conninfo.conninfo_to_dict(_libpq(url))
        session_options = f"{timeouts} {given.pop('options', '')}".strip()
        connection: Any = dialect.connect(
            **options,
            **POSTGRESQL_DEFAULTS | given,
            **{"options": session_options} if session_options else {},
            prepare_threshold=None if transaction_pooling else 5,
        )
        if timeout:
            failure = dialect.loaded_dbapi.OperationalError
            _limit_waiting(connection, failure, timeout / 1000 + PATIENCE)
        return cast("DBAPIConnection", connection)

    @event.listens_for(engine, "handle_error")
    def leave_standby(context: ExceptionContext) -> None:
        """Whatever was the primary and is no more: the next connection looks for the new one."""
        if getattr(context.original_exception, "sqlstate", None) == READ_ONLY_TRANSACTION:
            context.is_disconnect = True

    if timeout and transaction_pooling:

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {timeout}")

    return engine


def _limit_waiting(connection: Any, failure: type[Exception], seconds: float) -> None:  # noqa: ANN401 -- the driver, which may not be installed, has its type
    """Close the connection when an answer takes longer: a server that hangs, or that can't commit
    because its standby is away, knows no timeout.
    """
    wait = connection.wait

    def wait_no_longer(*args: object) -> object:
        try:
            return wait(*args, timeout=seconds)
        except failure as error:
            if not getattr(error, "sqlstate", None):  # it is not the server that said it
                connection.close()
            raise

    connection.wait = wait_no_longer


def _libpq(url: str) -> str:
    return "postgresql://" + url.partition("://")[2]
