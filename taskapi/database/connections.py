"""The connections of worker threads."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, TypeVar, cast

from sqlalchemy import Engine, Executable, Insert, Select, Update, exc

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

    def begin(self, mode: str, /) -> bool:
        """Begin a transaction, unless the mode is empty. Return whether there is one to end."""

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
        """Return the first value of the only row."""
        return self._rows[0][0]

    def inserted_id(self) -> int:
        """Return the id of an inserted row, which PostgreSQL returns. RETURNING would take a third
        longer on SQLite.
        """
        return int(self._rows[0][0] if self._rows else self._lastrowid)


class Guard(NamedTuple):
    """A condition of what is read: the statement finds a row, or the error is raised.

    The condition, once false, must stay false. Then it was true for a statement that ran before it
    was checked, and both are one trip to the database: the check is a column of the statement, or
    comes after a statement that finds nothing.
    """

    statement: Select[Any]
    values: Mapping[str, object]
    error: Callable[[], Exception]


class Connection:
    """A driver's connection, which executes SQLAlchemy's statements. Each is compiled once."""

    def __init__(
        self, engine: Engine, mode: str, statements: dict[object, PreparedStatement]
    ) -> None:
        """`mode` is that of transactions. `statements` has those that were compiled before."""
        self._dialect = engine.dialect
        self._mode = mode
        self._statements = statements
        try:
            self._pooled = engine.raw_connection()
        except Exception as error:
            raise _wrapped(error, None) from error
        # The class is the one that the engine's connections are made from.
        self._driver = cast("Driver", self._pooled.dbapi_connection)
        self._guard: Guard | None = None
        self._in_transaction = False
        self.is_fresh = True
        """Whether no function has returned yet."""

    def transact(self, function: Callable[["Connection"], T]) -> T:
        """Run a function, and commit. If it raises, its changes are rolled back.

        Raises:
            DBAPIError: `connection_invalidated` tells whether the connection is lost. The error of
                a commit has no statement.
        """
        self._guard = None
        self.begin(self._mode)
        try:
            result = function(self)
        except BaseException:
            with suppress(Exception):  # the connection is lost, or the database has rolled back
                self._driver.rollback()
            raise
        try:
            if self._in_transaction:
                self._driver.commit()
        except Exception as error:
            with suppress(Exception):
                self._driver.rollback()
            raise self._wrapped(error, None) from error
        self.is_fresh = False
        return result

    def begin(self, mode: str = "DEFERRED") -> None:
        """Begin a transaction, in which all reads see the same state. Reads begin none by
        themselves.
        """
        try:
            self._in_transaction = self._driver.begin(mode)
        except Exception as error:
            raise self._wrapped(error, "BEGIN") from error

    def guard(self, guard: Guard) -> None:
        """Check a condition with each statement that reads, until the end of the transaction."""
        self._guard = guard

    def execute(self, statement: Executable, values: Mapping[str, object] = EMPTY) -> Result:
        """Execute a statement with values for its parameters, which are also the columns that an
        INSERT or UPDATE sets.

        Raises:
            DBAPIError: the driver's error is its `orig`.
        """
        if self._guard and isinstance(statement, Select):
            return self._execute_guarded(statement, values, self._guard)
        columns = tuple(values) if isinstance(statement, Insert | Update) else None
        prepared = self._statements.get((statement, columns))
        if prepared is None:
            prepared = self._prepare((statement, columns), statement, columns)
        return self._run(prepared, values)

    def _execute_guarded(
        self, statement: Select[Any], values: Mapping[str, object], guard: Guard
    ) -> Result:
        prepared = self._statements.get((statement, guard.statement))
        if prepared is None:
            check = guard.statement.correlate(None).scalar_subquery().label("guard")
            prepared = self._prepare((statement, guard.statement), statement.add_columns(check))
        result = self._run(prepared, {**values, **guard.values})
        rows = result.all()
        if rows:
            is_true = rows[0].guard is not None
        else:
            self._guard = None
            is_true = self.execute(guard.statement, guard.values).one_or_none() is not None
            self._guard = guard
        if not is_true:
            raise guard.error()
        return result

    def _prepare(
        self, key: object, statement: Executable, columns: Sequence[str] | None = None
    ) -> PreparedStatement:
        prepared = PreparedStatement(statement, columns, self._dialect, self._driver.converters)
        self._statements[key] = prepared
        return prepared

    def _run(self, prepared: PreparedStatement, values: Mapping[str, object]) -> Result:
        try:
            return Result(self._driver.execute(prepared.sql, prepared.parameters(values)), prepared)
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

    def _wrapped(self, error: Exception, sql: str | None) -> Exception:
        return _wrapped(error, sql, is_lost=self._driver.is_lost(error))


def _wrapped(error: Exception, sql: str | None, *, is_lost: bool = False) -> Exception:
    """Return SQLAlchemy's error for the driver's, and other errors as they are."""
    for kind in type(error).__mro__:
        if wrapper := DBAPI_ERRORS.get(kind.__name__):
            return wrapper(sql, None, error, connection_invalidated=is_lost)
    return error
