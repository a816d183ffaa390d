"""Which errors of the database are temporary. All others are faults of the code."""

import sqlite3

from sqlalchemy.exc import DBAPIError, OperationalError

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
