import logging
import random
import time
from collections.abc import Callable
from typing import Any, TypeVar, TypeVarTuple

from sqlalchemy import Connection
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from taskapi.database.engines import database_file, open_engine
from taskapi.database.workers import Job, WorkerPool, announce
from taskapi.exceptions import Unavailable
from taskapi.settings import Settings

QUEUE_SECONDS = 10.0
RETRY_SECONDS = 1

MAX_BATCH_SIZE = 64

MAX_ATTEMPTS = 6
RETRYABLE_SQLSTATES = {
    "40001",  # serialization_failure
    "40P01",  # deadlock_detected
    "23503",  # foreign_key_violation: what it refers to was deleted meanwhile
    "23505",  # unique_violation: somebody else was first
}
"""SQLSTATEs of PostgreSQL after which the same work, begun anew, sees what the others have done."""

logger = logging.getLogger(__name__)

T = TypeVar("T")
Args = TypeVarTuple("Args")


class Database:
    """Runs pieces of work, each in a worker thread.

    The work is an ordinary function of a connection. Only as many pieces run at once as there are
    connections; the others wait their turn, first come first served, without holding a thread or a
    connection, so that threads and connections can't wait for each other.

    SQLite has one writer, and each of its commits waits for the disk. Whatever waits to be written
    at one moment is therefore committed together; each piece is still done as a whole or not at
    all, and answered when it is safely on the disk.
    """

    def __init__(self, settings: Settings) -> None:
        threads = settings.database_connections
        self.file = database_file(settings.database_url)
        engine = open_engine(
            settings.database_url,
            connections=threads + 1 if self.file else threads,
            statement_timeout=settings.database_statement_timeout,
            transaction_pooling=settings.database_transaction_pooling,
        )
        self._engine = engine
        self._writing_engine = engine.execution_options(begin="IMMEDIATE")
        self._reads = WorkerPool(threads, self._serve_alone)
        self._writes = WorkerPool(1, self._serve_together) if self.file else self._reads

    def close(self) -> None:
        self._reads.close(QUEUE_SECONDS)
        if self._writes is not self._reads:
            self._writes.close(QUEUE_SECONDS)
        self._engine.dispose()

    async def read(self, work: Callable[[Connection, *Args], T], *args: *Args) -> T:
        """Run work that only reads.

        Raises:
            Unavailable: the database can't be reached, or is too busy.
        """
        piece = Job(lambda connection: work(connection, *args), writes=False)
        self._reads.put(piece)
        return await piece.outcome(QUEUE_SECONDS, _unavailable("The database is too busy."))

    async def write(self, work: Callable[[Connection, *Args], T], *args: *Args) -> T:
        """Run work that may write, as a whole: what it raises undoes what it did. It may be run
        again, when it lost a race, and its result is returned after the commit.

        Raises:
            Unavailable: the database can't be reached, or is too busy. Nothing was written, unless
                the connection was lost while committing, where nobody can tell.
        """
        piece = Job(lambda connection: work(connection, *args), writes=True)
        self._writes.put(piece)
        return await piece.outcome(QUEUE_SECONDS, _unavailable("The database is too busy."))

    def _serve_alone(self, _: WorkerPool, piece: Job[Any]) -> None:
        attempt = 1
        while True:
            try:
                with self._engine.begin() as connection:
                    result = piece.work(connection)
            except Exception as error:  # noqa: BLE001 -- it goes to whoever waits for the piece
                if piece.writes and attempt < MAX_ATTEMPTS and _lost_race(error):
                    time.sleep(random.uniform(0, 0.01 * 2**attempt))  # noqa: S311 -- no secret
                    attempt += 1
                    continue
                piece.fail(_explain(error))
            else:
                piece.succeed(result)
            announce([piece])
            return

    def _serve_together(self, lane: WorkerPool, first: Job[Any]) -> None:
        pieces = [first]
        while len(pieces) < MAX_BATCH_SIZE and (piece := lane.claim()):
            pieces.append(piece)
        try:
            with self._writing_engine.begin() as connection:
                for piece in pieces:
                    _do(piece, connection)
        except Exception as error:  # noqa: BLE001 -- it goes to whoever waits for the pieces
            for piece in pieces:
                piece.fail(_explain(error))
        announce(pieces)


def _do(piece: Job[Any], connection: Connection) -> None:
    """Do a piece among others, as a whole or not at all."""
    connection.exec_driver_sql("SAVEPOINT piece")
    try:
        piece.succeed(piece.work(connection))
    except Exception as error:  # noqa: BLE001 -- it goes to whoever waits for the piece
        piece.fail(_explain(error))
        # Where SQLite has undone the whole transaction, this raises: there is no savepoint then.
        connection.exec_driver_sql("ROLLBACK TO piece")
    connection.exec_driver_sql("RELEASE piece")


def _lost_race(error: Exception) -> bool:
    return (
        isinstance(error, DBAPIError)
        and getattr(error.orig, "sqlstate", None) in RETRYABLE_SQLSTATES
    )


def _explain(error: Exception) -> Exception:
    """What the database has against it is unavailability, but for faults of the work itself."""
    if not isinstance(error, DBAPIError) or isinstance(error, IntegrityError | DataError):
        return error
    logger.warning("database unavailable: %s", error.orig)
    unavailable = _unavailable("The database can't be used at the moment.")
    unavailable.__cause__ = error
    return unavailable


def _unavailable(detail: str) -> Unavailable:
    return Unavailable(detail, retry_after=RETRY_SECONDS)
