"""The connections of worker threads."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from threading import local
from types import MappingProxyType
from typing import Any, Protocol, TypeVar, cast

from sqlalchemy import Engine, Executable, Insert, Update, exc

from taskapi.database.statements import Converters, PreparedStatement

T = TypeVar("T")

EMPTY: Mapping[str, object] = MappingProxyType({})

DBAPI_ERRORS: Mapping[str, type[exc.DBAPIError]] = {
    error.__name__: error
    for error in (
        exc.InterfaceError,
        exc.DatabaseError,
        exc.DataError,
        exc.OperationalError,
        exc.IntegrityError,
        exc.InternalError,
        exc.ProgrammingError,
        exc.NotSupportedError,
    )
}
"""By the names of the drivers' errors (PEP 249)."""


class Driver(Protocol):
    """A driver's connection, as `sqlite.py` and `postgresql.py` define it."""

    converters: Converters

    def begin(self, mode: str, /) -> None:
        """Begin a transaction, unless the driver does so with the first statement."""

    def execute(self, sql: str, parameters: Mapping[str, object], /) -> Any: ...  # noqa: ANN401 -- a cursor
    def commit(self) -> None: ...
    def rollback(self) -> None: ...
    def is_lost(self, error: Exception, /) -> bool:
        """Return whether the connection can't be used any more after this error."""


class Result:
    """The rows of a statement; a part of SQLAlchemy's `Result`."""

    def __init__(self, cursor: Any, statement: PreparedStatement) -> None:  # noqa: ANN401 -- of either driver
        self.rowcount: int = cursor.rowcount
        self._rows: Sequence[Any] = statement.rows(cursor) if cursor.description else ()
        self._lastrowid: Any = getattr(cursor, "lastrowid", None)

    def all(self) -> Sequence[Any]:
        """Return all rows, as named tuples."""
        return self._rows

    def one_or_none(self) -> Any:  # noqa: ANN401 -- a row
        """Return the only row, or None."""
        [row] = self._rows or [None]
        return row

    def scalar_one(self) -> Any:  # noqa: ANN401 -- of any type
        """Return the only value of the only row."""
        [[value]] = self._rows
        return value

    def inserted_id(self) -> int:
        """Return the id of an inserted row, which PostgreSQL returns. RETURNING would take a third
        longer on SQLite.
        """
        return int(self._rows[0][0] if self._rows else self._lastrowid)


class Connection:
    """A driver's connection, which executes SQLAlchemy's statements. Each is compiled once."""

    def __init__(
        self, engine: Engine, begin: str, statements: dict[object, PreparedStatement]
    ) -> None:
        """`begin` is the mode of transactions. `statements` has those that were compiled before."""
        self._dialect = engine.dialect
        self._begin = begin
        self._statements = statements
        try:
            self._pooled = engine.raw_connection()
        except Exception as error:
            raise _wrapped(error, None) from error
        # The class is the one that the engine's connections are made from.
        self._driver = cast("Driver", self._pooled.dbapi_connection)
        self.is_fresh = True
        """Whether no transaction was committed yet."""

    def transact(self, function: Callable[["Connection"], T]) -> T:
        """Run a function in a transaction, and commit. If it raises, its changes are rolled back.

        Raises:
            DBAPIError: `connection_invalidated` tells whether the connection is lost. The error of
                a commit has no statement.
        """
        try:
            self._driver.begin(self._begin)
        except Exception as error:
            raise self._wrapped(error, "BEGIN") from error
        try:
            result = function(self)
        except BaseException:
            with suppress(Exception):  # the connection is lost, or the database has rolled back
                self._driver.rollback()
            raise
        try:
            self._driver.commit()
        except Exception as error:
            with suppress(Exception):
                self._driver.rollback()
            raise self._wrapped(error, None) from error
        self.is_fresh = False
        return result

    def execute(self, statement: Executable, values: Mapping[str, object] = EMPTY) -> Result:
        """Execute a statement with values for its parameters, which are also the columns that an
        INSERT or UPDATE sets.

        Raises:
            DBAPIError: the driver's error is its `orig`.
        """
        prepared = self._prepare(statement, values)
        try:
            cursor = self._driver.execute(prepared.sql, prepared.parameters(values))
            return Result(cursor, prepared)
        except Exception as error:
            raise self._wrapped(error, prepared.sql) from error

    def exec_driver_sql(self, sql: str) -> None:
        """Execute SQL without parameters.

        Raises:
            DBAPIError: the driver's error is its `orig`.
        """
        try:
            self._driver.execute(sql, {})
        except Exception as error:
            raise self._wrapped(error, sql) from error

    def close(self) -> None:
        self._pooled.close()

    def invalidate(self) -> None:
        """Close it without a word to the database, which may not answer."""
        self._pooled.invalidate()

    def _prepare(self, statement: Executable, values: Mapping[str, object]) -> PreparedStatement:
        columns = tuple(values) if isinstance(statement, Insert | Update) else None
        key = (statement, columns) if columns else statement
        if (prepared := self._statements.get(key)) is None:
            prepared = PreparedStatement(statement, columns, self._dialect, self._driver.converters)
            self._statements[key] = prepared
        return prepared

    def _wrapped(self, error: Exception, sql: str | None) -> Exception:
        return _wrapped(error, sql, is_lost=self._driver.is_lost(error))


class ThreadConnections:
    """Keeps a connection for each thread."""

    def __init__(self, engine: Engine, begin: str = "") -> None:
        self._open = partial(Connection, engine, begin, {})
        self._engine = engine
        self._local = local()
        self._all: set[Connection] = set()

    def get(self) -> Connection:
        """
        Raises:
            DBAPIError: there is no connection yet, and none can be opened.
        """
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._open()
            self._all.add(connection)
        return connection

    def discard(self) -> None:
        """Let the next `get` of this thread open another connection."""
        connection: Connection = self._local.connection
        del self._local.connection
        self._all.discard(connection)
        connection.invalidate()

    def close(self) -> None:
        for connection in self._all:
            connection.close()
        self._engine.dispose()


def _wrapped(error: Exception, sql: str | None, *, is_lost: bool = False) -> Exception:
    """Return SQLAlchemy's error for the driver's, and other errors as they are."""
    for kind in type(error).__mro__:
        if wrapper := DBAPI_ERRORS.get(kind.__name__):
            return wrapper(sql, None, error, connection_invalidated=is_lost)
    return error
