"""The connections of worker threads."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any, TypeVar, cast

from sqlalchemy import Engine, Executable, Insert, Select, Update

from taskapi.database.drivers import Driver, wrap_error
from taskapi.database.guards import Guard
from taskapi.database.statements import PreparedStatement

T = TypeVar("T")

MAX_PAUSE = 1
"""Seconds after which a server may have closed a connection."""

EMPTY: Mapping[str, object] = MappingProxyType({})


class Result:
    """The rows of a statement; a part of SQLAlchemy's `Result`."""

    def __init__(self, cursor: Any, statement: PreparedStatement) -> None:  # noqa: ANN401 -- of either driver
        self.rowcount: int = cursor.rowcount
        self._rows = statement.rows(cursor)
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


class Connection:
    """A driver's connection, which executes SQLAlchemy's statements. Each is compiled once."""

    def __init__(
        self, engine: Engine, statements: dict[object, PreparedStatement], *, writes: bool
    ) -> None:
        """`statements` keeps the compiled statements. `writes` tells whether transactions may
        write.
        """
        self._dialect = engine.dialect
        self._writes = writes
        self._statements = statements
        try:
            self._pooled = engine.raw_connection()
        except Exception as error:
            raise wrap_error(error, None) from error
        # The class is the one that the engine's connections are made from.
        self._driver = cast("Driver", self._pooled.dbapi_connection)
        self._guard: Guard | None = None
        self._in_transaction = False
        self._has_executed = False
        self._used_at = -math.inf
        self.is_busy = False
        """Whether a function runs."""
        self.is_fresh = True
        """Whether the connection has not been used successfully yet."""

    def transact(self, function: Callable[["Connection"], T], *, begin: bool) -> T:
        """Run a function in a transaction, and commit. If it raises, its changes are rolled back.

        With `begin` false, there is no transaction until the function begins one: it does so unless
        it executes one statement only. After a pause, in which the connection may have been lost, a
        function that may write gets one anyway: without it, the function could not be repeated.

        Raises:
            DBAPIError: `connection_invalidated` tells whether the connection is lost. The error of
                a commit has no statement.
        """
        self.is_busy = True
        try:
            return self._transact(function, begin=begin)
        finally:
            self.is_busy = False

    def _transact(self, function: Callable[["Connection"], T], *, begin: bool) -> T:
        self._guard = None
        self._has_executed = self._in_transaction = False
        pause = time.monotonic() - self._used_at
        if begin or (self._writes and pause > MAX_PAUSE):
            self.begin()
        else:
            self._begin("")
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
        self._used_at = time.monotonic()
        return result

    def begin(self) -> None:
        """Begin a transaction, unless there is one. All its reads see the same state, except on
        PostgreSQL in a transaction that may write.
        """
        if not self._in_transaction:
            self._begin("IMMEDIATE" if self._writes else "DEFERRED")

    @property
    def returns_updates(self) -> bool:
        """Whether an UPDATE can return the rows: SQLite can since 3.35."""
        return self._dialect.update_returning

    @property
    def is_unchanged(self) -> bool:
        """Whether nothing of this transaction can have been committed."""
        return self._in_transaction or not self._writes

    def _begin(self, mode: str) -> None:
        self._in_transaction = True
        try:
            self._in_transaction = self._driver.begin(mode)
        except Exception as error:
            raise self._wrapped(error, "BEGIN") from error

    def guard(self, guard: Guard | None) -> None:
        """Check a condition with each statement of this transaction; None for no condition. If the
        transaction may write, only the first statement checks it, and locks the row that makes it
        true.
        """
        self._guard = guard

    def execute(self, statement: Executable, values: Mapping[str, object] = EMPTY) -> Result:
        """Execute a statement with values for its parameters, which are also the columns that an
        INSERT or UPDATE sets.

        Raises:
            DBAPIError: the driver's error is its `orig`.
            RuntimeError: this is the second statement, and there is no transaction.
        """
        if self._has_executed and not self._in_transaction:
            raise RuntimeError("begin a transaction before the first of several statements")
        self._has_executed = True
        guard = self._guard
        if not guard:
            return self._execute(statement, values)
        if not self._writes:
            return self._read_guarded(cast("Select[Any]", statement), values, guard)
        if not self._in_transaction:
            return self._write_guarded(cast("Insert | Update", statement), values, guard)
        self._check(guard)
        self._guard = None
        return self._execute(statement, values)

    def _execute(self, statement: Executable, values: Mapping[str, object]) -> Result:
        columns = tuple(values) if isinstance(statement, Insert | Update) else None
        key = statement, columns
        prepared = self._statements.get(key) or self._prepare(key, statement, columns)
        return self._execute_prepared(prepared, values)

    def _check(self, guard: Guard) -> None:
        if self._execute(guard.statement, guard.values).one_or_none() is None:
            raise guard.error()

    def _read_guarded(
        self, statement: Select[Any], values: Mapping[str, object], guard: Guard
    ) -> Result:
        key = statement, guard.statement
        prepared = self._statements.get(key) or self._prepare(key, guard.add_to_select(statement))
        result = self._execute_prepared(prepared, {**values, **guard.values})
        rows = result.all()
        if not rows:
            self._check(guard)
        elif rows[0].guard is None:
            raise guard.error()
        return result

    def _write_guarded(
        self, statement: Insert | Update, values: Mapping[str, object], guard: Guard
    ) -> Result:
        columns = tuple(values)
        key = statement, columns, guard.statement
        if (prepared := self._statements.get(key)) is None:
            guarded = (
                guard.add_to_insert(statement, columns)
                if isinstance(statement, Insert)
                else guard.add_to_update(statement)
            )
            prepared = self._prepare(key, guarded, columns)
        result = self._execute_prepared(prepared, {**values, **guard.values})
        if result.rowcount == 0:
            self._check(guard)
        return result

    def _prepare(
        self, key: object, statement: Executable, columns: Sequence[str] | None = None
    ) -> PreparedStatement:
        prepared = PreparedStatement(statement, columns, self._dialect, self._driver.converters)
        self._statements[key] = prepared
        return prepared

    def _execute_prepared(
        self, prepared: PreparedStatement, values: Mapping[str, object]
    ) -> Result:
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
        """Close the connection without telling the database, which may not respond."""
        self._pooled.invalidate()

    def _wrapped(self, error: Exception, sql: str | None) -> Exception:
        return wrap_error(error, sql, is_lost=self._driver.is_lost(error))
