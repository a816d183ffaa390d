import logging
import math
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, TypeVarTuple

from anyio import CapacityLimiter, Semaphore, WouldBlock, fail_after, to_thread
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlmodel import Session

from taskapi.problems import Unavailable

QUEUE_SECONDS = 10.0
RETRY_SECONDS = "1"

logger = logging.getLogger(__name__)

T = TypeVar("T")
Args = TypeVarTuple("Args")


def open_engine(url: str, *, connections: int = 1, foreign_keys: bool = True) -> Engine:
    """An engine that has not connected yet. `foreign_keys` tells whether they are enforced.

    Transactions begin as the `begin` execution option says; by itself the driver would begin a
    writing one only at its first write, where waiting for the lock is no longer possible.
    """
    engine = create_engine(url, pool_size=connections, max_overflow=0)

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None
        connection.execute(f"PRAGMA foreign_keys={'ON' if foreign_keys else 'OFF'}")
        connection.execute("PRAGMA journal_mode=WAL")
        # NORMAL may lose acknowledged commits when power fails.
        connection.execute("PRAGMA synchronous=FULL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        mode = connection.get_execution_options().get("begin", "DEFERRED")
        connection.exec_driver_sql(f"BEGIN {mode}")

    return engine


class Database:
    """Runs pieces of work, each in one worker thread, one connection and one transaction.

    The work is an ordinary function of a session; it flushes, and what it returns is returned after
    the commit. Whatever it raises rolls it back. Only as many pieces run at once as there are
    connections, and only one that writes, because SQLite has one writer; the others wait their turn
    without holding a thread or a connection, so that threads and connections can't wait for each
    other.
    """

    def __init__(self, url: str, connections: int) -> None:
        """`connections` for reading; there is one more for writing."""
        self.file = _file(url)
        self._engine = open_engine(url, connections=connections + 1)
        self._writing_engine = self._engine.execution_options(begin="IMMEDIATE")
        self._slots = Semaphore(connections)
        self._writing_slots = Semaphore(1)
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
            Unavailable: the database can't be reached, or is too busy; nothing was written.
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


def _file(url: str) -> Path:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        raise ValueError("the database must be SQLite, as in sqlite:///taskapi.db")
    if not parsed.database or parsed.database.startswith((":memory:", "file:")):
        raise ValueError("the SQLite database must be a file, as in sqlite:///taskapi.db")
    return Path(parsed.database).absolute()


def _transact(engine: Engine, work: Callable[[Session], T]) -> T:
    try:
        with Session(engine, expire_on_commit=False) as session:
            result = work(session)
            session.commit()
            return result
    except (OperationalError, InterfaceError, PoolTimeoutError) as error:
        logger.warning("database unavailable: %s", getattr(error, "orig", error))
        raise _unavailable("The database can't be used at the moment.") from error


def _unavailable(detail: str) -> Unavailable:
    return Unavailable(detail, headers={"Retry-After": RETRY_SECONDS})
