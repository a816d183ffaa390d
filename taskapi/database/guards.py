from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Executable, Insert, Select, Update, bindparam, select


class Guard(NamedTuple):
    """A condition of a transaction: the statement finds a row, or the error is raised.

    The condition must stay false once it is false: if it is true, it was true for all statements
    that ran before. The check is therefore a part of each statement, and takes no trip to the
    database of its own, except after a statement that found nothing.
    """

    statement: Select[Any]
    """A parameter that a guarded statement has too must have the same value there."""
    values: Mapping[str, object]
    error: Callable[[], Exception]

    def add_to_select(self, statement: Select[Any]) -> Select[Any]:
        """Add a column `guard`, which is null if the condition is false."""
        return statement.add_columns(self._standalone().scalar_subquery().label("guard"))

    def add_to_insert(self, statement: Insert, columns: Sequence[str]) -> Executable:
        """Insert no row if the condition is false."""
        table = statement.table
        row = select(*(bindparam(name, type_=table.c[name].type) for name in columns))
        guarded = statement.from_select(columns, row.where(self._standalone().exists()))
        return guarded.returning(*table.primary_key)

    def add_to_update(self, statement: Update) -> Update:
        """Update no row if the condition is false."""
        return statement.where(self._standalone().exists())

    def _standalone(self) -> Select[Any]:
        return self.statement.correlate(None)
