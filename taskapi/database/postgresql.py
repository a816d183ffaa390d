"""Engines for PostgreSQL. Import this module only where PostgreSQL is used: it needs psycopg."""

import re
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any, LiteralString, TypeVar, cast

import psycopg
from psycopg.abc import ConnDict, PQGen
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Dialect, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection

from taskapi.database.statements import Converters
from taskapi.database.timeouts import TIMEOUT_MARGIN
from taskapi.settings import ConfigurationError

# Parameters of the URL override these. An unreachable host is noticed in seconds.
CONNECTION_DEFAULTS: ConnDict = {
    "application_name": "taskapi",
    "client_encoding": "utf8",  # the server's default may be SQL_ASCII, which converts nothing
    "connect_timeout": 5,  # seconds, for each host
    "keepalives_idle": 10,  # seconds
    "keepalives_interval": 5,  # seconds
    "keepalives_count": 2,
    "tcp_user_timeout": 10_000,  # milliseconds
}

PREPARE_THRESHOLD = 5
"""Executions after which psycopg prepares a statement; this is its default."""

BEGIN: Mapping[str, LiteralString] = {
    "DEFERRED": "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    "IMMEDIATE": "BEGIN ISOLATION LEVEL READ COMMITTED",
}
"""By the mode of SQLite's BEGIN."""

READ_ONLY_SQL_TRANSACTION = "25006"

PLAIN_NAMES = re.compile(r"[^\s@?#]*")
PORTS = re.compile("[0-9,]*")

RV = TypeVar("RV")


class TimeoutConnection(psycopg.Connection[Any]):
    """A connection that is closed when the server does not answer within `response_timeout`.

    PostgreSQL's statement_timeout does not end the wait for a synchronous standby, nor the wait
    for a server process that hangs.
    """

    converters: Converters = MappingProxyType({})
    response_timeout: float | None = None
    """Seconds; None for no limit."""
    transaction_timeout = 0
    """The statement timeout that each transaction sets, in milliseconds; 0 for none."""

    def begin(self, mode: str) -> bool:
        """Begin a transaction, unless the mode is empty. Return whether there is one to end.

        After waiting for a lock, a statement of an IMMEDIATE transaction sees what the former owner
        has written.
        """
        if self.transaction_timeout:
            mode = mode or "DEFERRED"
        if mode:
            self.execute(BEGIN[mode])
        if self.transaction_timeout:
            self.execute(f"SET LOCAL statement_timeout = {self.transaction_timeout}")
        return bool(mode)

    def is_lost(self, error: Exception) -> bool:
        """After a failover, another connection finds the new primary."""
        return self.closed or getattr(error, "sqlstate", None) == READ_ONLY_SQL_TRANSACTION

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        limit = self.response_timeout if timeout is None else timeout
        try:
            return super().wait(gen, interval, limit)
        except psycopg.OperationalError as error:
            if not error.sqlstate:  # errors that the server sent have one
                self.close()
            raise


def parse_url(url: str) -> ConnDict:
    """Return libpq's parameters.

    Raises:
        ConfigurationError: libpq can't read the URL, or takes what looks like a part of the
            password for another parameter. The message has nothing of the URL, unlike libpq's.
    """
    parameters: ConnDict = {"port": "unreadable"}
    with suppress(psycopg.Error):
        parameters = conninfo_to_dict("postgresql://" + url.partition("://")[2])
    names = f"{parameters.get('host', '')}{parameters.get('dbname', '')}"
    ports = str(parameters.get("port", ""))
    if not PLAIN_NAMES.fullmatch(names) or not PORTS.fullmatch(ports):
        raise ConfigurationError(
            "the database's URL can't be read: check its parameters, and percent-encode the "
            "password's characters : / ? # [ ] @ %"
        )
    return parameters


def describe(url: str) -> str:
    """Return the hosts and the database's name."""
    parameters = parse_url(url)
    return f"postgresql://{parameters.get('host', '')}/{parameters.get('dbname', '')}"


def open_engine(
    url: str,
    connections: int,
    statement_timeout: int,
    *,
    transaction_pooling: bool,
    autocommit: bool,
) -> Engine:
    """Create an engine. libpq reads the URL, with all parameters that libpq has.

    `statement_timeout` is in seconds, 0 for none. A pooler in transaction mode supports neither
    prepared statements nor session settings; with `transaction_pooling` the timeout is set in each
    transaction instead.

    With `autocommit`, each statement is a transaction, unless one is begun. Otherwise the driver
    begins READ COMMITTED transactions.

    Raises:
        ConfigurationError: the URL can't be read.
    """
    address = parse_url(url)
    engine = create_engine(
        "postgresql+psycopg://",
        isolation_level="AUTOCOMMIT" if autocommit else "READ COMMITTED",
        pool_size=connections,
        max_overflow=0,
        pool_pre_ping=True,
        pool_use_lifo=True,  # after a failover, check out what has connected, not what was lost
    )
    milliseconds = statement_timeout * 1000
    timeout_options = (
        f"-c statement_timeout={milliseconds} -c idle_in_transaction_session_timeout={milliseconds}"
        if milliseconds and not transaction_pooling
        else ""
    )

    @event.listens_for(engine, "do_connect")
    def connect(_: Dialect, __: object, ___: object, options: dict[str, Any]) -> DBAPIConnection:
        parameters = {**address}
        session_options = f"{timeout_options} {parameters.pop('options', '')}".strip()
        arguments = options | CONNECTION_DEFAULTS | parameters
        if session_options:
            arguments["options"] = session_options
        prepare_threshold = None if transaction_pooling else PREPARE_THRESHOLD
        connection = TimeoutConnection.connect(**arguments, prepare_threshold=prepare_threshold)
        if statement_timeout:
            connection.response_timeout = statement_timeout + TIMEOUT_MARGIN
        if transaction_pooling:
            connection.transaction_timeout = milliseconds
        return cast("DBAPIConnection", connection)

    return engine
