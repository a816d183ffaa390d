import logging
import math
import random
import time
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

from anyio import CapacityLimiter, Semaphore, WouldBlock, fail_after, to_thread
from sqlalchemy import Engine
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlmodel import Session

from taskapi.engines import database_file, open_engine
from taskapi.problems import Unavailable
from taskapi.settings import Settings

QUEUE_SECONDS = 10.0
RETRY_SECONDS = "1"

ATTEMPTS = 6
LOST_RACES = {
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
    """Runs pieces of work, each in one worker thread, one connection and one transaction.

    The work is an ordinary function of a session; it flushes, and what it returns is returned after
    the commit. Whatever it raises rolls it back. It may be run again, when it lost a race. Only as
    many pieces run at once as there are connections, and with SQLite, which has one writer, only
    one that writes; the others wait their turn without holding a thread or a connection, so that
    threads and connections can't wait for each other.
    """

    def __init__(self, settings: Settings) -> None:
        connections = settings.database_connections
        self.file = database_file(settings.database_url)
        self._engine = open_engine(
            settings.database_url,
            connections=connections + 1 if self.file else connections,
            statement_timeout=settings.database_statement_timeout,
            transaction_pooling=settings.database_transaction_pooling,
        )
        self._writing_engine = self._engine.execution_options(begin="IMMEDIATE")
        self._slots = Semaphore(connections)
        self._writing_slots = Semaphore(1) if self.file else self._slots
        self._threads = CapacityLimiter(math.inf)

    def close(self) -> None:
        self._engine.dispose()

    async def read(self, work: Callable[[Session, *Args], T], *args: *Args) -> T:
        """Run work that only reads.

        Raises:
            Unavailable: the database can't be reached, or is too busy.
        """
        return await self._run(self._engine, self._slots, lambda session: work(session, *args))

    async def write(self, work: Callable[[Session, *Args], T], *args: *Args) -> T:
        """Run work that may write.

        Raises:
            Unavailable: the database can't be reached, or is too busy. Nothing was written, unless
                the connection was lost while committing, where nobody can tell.
        """
        return await self._run(
            self._writing_engine, self._writing_slots, lambda session: work(session, *args)
        )

    async def _run(self, engine: Engine, slots: Semaphore, work: Callable[[Session], T]) -> T:
        try:
            slots.acquire_nowait()
        except WouldBlock:
            try:
                with fail_after(QUEUE_SECONDS):
                    await slots.acquire()
            except TimeoutError:
                raise _unavailable("The database is too busy.") from None
        try:
            return await to_thread.run_sync(_transact, engine, work, limiter=self._threads)
        finally:
            slots.release()


def _transact(engine: Engine, work: Callable[[Session], T]) -> T:
    attempt = 1
    while True:
        try:
            with Session(engine, expire_on_commit=False) as session:
                result = work(session)
                session.commit()
                return result
        except DBAPIError as error:
            if attempt < ATTEMPTS and getattr(error.orig, "sqlstate", None) in LOST_RACES:
                time.sleep(random.uniform(0, 0.01 * 2**attempt))  # noqa: S311 -- no secret
                attempt += 1
                continue
            if isinstance(error, IntegrityError | DataError):
                raise
            logger.warning("database unavailable: %s", error.orig)
            raise _unavailable("The database can't be used at the moment.") from error


def _unavailable(detail: str) -> Unavailable:
    return Unavailable(detail, headers={"Retry-After": RETRY_SECONDS})
