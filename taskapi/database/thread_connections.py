from functools import partial
from threading import local

from sqlalchemy import Engine

from taskapi.database.connections import Connection


class ThreadConnections:
    """Keeps a connection for each thread."""

    def __init__(self, engine: Engine, *, writes: bool) -> None:
        """`writes` tells whether transactions may write."""
        self._open = partial(Connection, engine, {}, writes=writes)
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
        """Close the connections, except those that execute a statement, which could block."""
        for connection in list(self._all):
            if not connection.is_busy:
                connection.close()
        self._engine.dispose()
