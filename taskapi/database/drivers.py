"""The interface that the connections of both drivers share, and their errors."""

from collections.abc import Mapping
from typing import Any, Protocol

from sqlalchemy import exc

from taskapi.database.statements import Converters

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


def wrap_error(error: Exception, sql: str | None, *, is_lost: bool = False) -> Exception:
    """Wrap a driver's error in SQLAlchemy's. Other errors are returned unchanged."""
    for kind in type(error).__mro__:
        if wrapper := DBAPI_ERRORS.get(kind.__name__):
            return wrapper(sql, None, error, connection_invalidated=is_lost)
    return error
