import sqlite3

from sqlalchemy import Connection, Engine, create_engine, event

from taskapi.settings import ConfigurationError


def open_engine(url: str, connections: int, *, foreign_keys: bool) -> Engine:
    """Create an engine whose transactions start with an explicit BEGIN.

    The execution option `begin` is its mode: DEFERRED, the default, or IMMEDIATE for transactions
    that write. The driver's own BEGIN comes with the first write, where SQLite can't wait for the
    lock any more and reports "database is locked" at once.

    Raises:
        ConfigurationError: the URL has a parameter with an invalid value.
    """
    try:
        engine = create_engine(url, pool_size=connections, max_overflow=0)
    except ValueError as error:  # a parameter of the driver, such as timeout
        raise ConfigurationError(f"the database's URL can't be used: {error}") from None

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None
        connection.execute(f"PRAGMA foreign_keys={'ON' if foreign_keys else 'OFF'}")
        connection.execute("PRAGMA journal_mode=WAL")
        # NORMAL may lose acknowledged commits in a power failure.
        connection.execute("PRAGMA synchronous=FULL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        mode = connection.get_execution_options().get("begin", "DEFERRED")
        connection.exec_driver_sql(f"BEGIN {mode}")

    return engine
