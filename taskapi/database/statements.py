"""SQLAlchemy statements that are compiled once, and executed by the driver itself.

Executing a statement with SQLAlchemy takes ten times as long as SQLite takes to find a row. The
statements of the service need only parameters and columns to be converted, and columns to be named.
"""

import logging
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from sqlalchemy import Dialect, Executable
from sqlalchemy.types import TypeEngine

logger = logging.getLogger(__name__)

Converter = Callable[[Any], Any]

Converters = Mapping[type[TypeEngine[Any]], tuple[Converter, Converter]]
"""Functions from and to Python by type of column, faster than SQLAlchemy's."""


class PreparedStatement:
    """A statement, compiled for one database. Threads may share it."""

    def __init__(
        self,
        statement: Executable,
        column_keys: Sequence[str] | None,
        dialect: Dialect,
        converters: Converters,
    ) -> None:
        """`column_keys` are the names of the parameters, which say what an INSERT or UPDATE sets.

        The dialect's parameters must be named.
        """
        compiled = cast("Any", statement).compile(dialect=dialect, column_keys=column_keys)
        self.sql: str = compiled.string
        logger.debug("compiled: %s", self.sql)
        self._constants = {
            name: bind.value for name, bind in compiled.binds.items() if not bind.required
        }
        self._bind_processors = {
            name: processor
            for name, bind in compiled.binds.items()
            if (processor := _bind_processor(bind.type, dialect, converters))
        }
        columns: Any = getattr(statement, "exported_columns", ())
        self._result_processors = [
            (index, processor)
            for index, column in enumerate(columns)
            if (processor := _result_processor(column.type, dialect, converters))
        ]
        self._returns_rows: bool | None = None
        self._make_row: Callable[[Sequence[Any]], Any]

    def parameters(self, values: Mapping[str, object]) -> dict[str, object]:
        """Return the driver's parameters."""
        parameters = {**self._constants, **values}
        for name, processor in self._bind_processors.items():
            parameters[name] = processor(parameters[name])
        return parameters

    def rows(self, cursor: Any) -> Sequence[Any]:  # noqa: ANN401 -- of either driver
        """Fetch all rows, as named tuples. There are none if the statement returns no rows."""
        if self._returns_rows is None:
            self._describe(cursor.description)
        if not self._returns_rows:
            return ()
        make, rows = self._make_row, cursor.fetchall()
        if not self._result_processors:
            return [make(row) for row in rows]
        return [make(self._process(row)) for row in rows]

    def _describe(self, description: Sequence[Sequence[Any]] | None) -> None:
        """Learn of the columns once: psycopg makes a description anew for each cursor."""
        if description:
            names = [column[0] for column in description]
            row: Any = namedtuple("Row", names, rename=True)  # type: ignore[misc] # noqa: PYI024 -- made at run time
            self._make_row = row._make
        self._returns_rows = bool(description)

    def _process(self, row: Sequence[Any]) -> list[Any]:
        values = list(row)
        for index, processor in self._result_processors:
            values[index] = processor(values[index])
        return values


def _bind_processor(
    kind: TypeEngine[Any], dialect: Dialect, converters: Converters
) -> Converter | None:
    if type(kind) in converters:
        return converters[type(kind)][0]
    return kind.dialect_impl(dialect).bind_processor(dialect)


def _result_processor(
    kind: TypeEngine[Any], dialect: Dialect, converters: Converters
) -> Converter | None:
    if type(kind) in converters:
        return converters[type(kind)][1]
    return kind.dialect_impl(dialect).result_processor(dialect, None)
