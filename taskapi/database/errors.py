"""Which errors of the database are temporary. All others are faults of the code."""

import logging
import sqlite3

from sqlalchemy.exc import DBAPIError, OperationalError

from taskapi.database.timeouts import RETRY_SECONDS
from taskapi.exceptions import Unavailable
from taskapi.telemetry.metrics import metrics

SQLITE_TEMPORARY = {
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_INTERRUPT,  # a statement that was not done before its deadline
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,  # the file's locks can't be taken
}
"""Primary result codes."""

SQLSTATES_TEMPORARY = (
    "08",  # connection exceptions
    "25006",  # read_only_sql_transaction
    "25P03",  # idle_in_transaction_session_timeout
    "25P04",  # transaction_timeout
    "40001",  # serialization_failure
    "40P01",  # deadlock_detected
    "53",  # insufficient resources
    "55P03",  # lock_not_available
    "57",  # operator intervention, statement_timeout among them
    "58",  # system errors
)
"""SQLSTATEs, or their first two characters, which are the class."""

logger = logging.getLogger(__name__)


def is_temporary(error: DBAPIError) -> bool:
    """Return whether the cause is a connection, a lock, space, a timeout or a read-only mode."""
    if isinstance(error.orig, sqlite3.Error):
        code = getattr(error.orig, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        return code & 0xFF in SQLITE_TEMPORARY
    sqlstate = getattr(error.orig, "sqlstate", None)
    # Without a statement, the error is that of connecting or of the end of the transaction.
    if sqlstate and error.statement:
        return str(sqlstate).startswith(SQLSTATES_TEMPORARY)
    return isinstance(error, OperationalError) or error.connection_invalidated


def map_error(error: BaseException) -> BaseException:
    """Map temporary errors of the database to 503; all others pass through."""
    if not isinstance(error, DBAPIError):
        return error
    metrics.database_errors.add(1, {"error.type": _code(error)})
    if not is_temporary(error):
        return error
    logger.warning("database unavailable: %s", error.orig)
    detail = "The database can't be used at the moment."
    unavailable = Unavailable(detail, retry_after=RETRY_SECONDS, cause="database")
    unavailable.__cause__ = error
    return unavailable


def too_busy() -> Unavailable:
    detail = "The database is too busy."
    return Unavailable(detail, retry_after=RETRY_SECONDS, cause="database-queue")


def _code(error: DBAPIError) -> str:
    """Return the SQLSTATE, the name of SQLite's code, or the class if there is no code."""
    code = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "sqlite_errorname", None)
    return code or type(error.orig).__name__
