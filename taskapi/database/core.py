import asyncio
import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, TypeVarTuple
from weakref import WeakValueDictionary

import sqlalchemy
from sqlalchemy.exc import DBAPIError

from taskapi.database.connections import Connection
from taskapi.database.engines import database_file, open_engine
from taskapi.database.errors import map_error, too_busy
from taskapi.database.thread_connections import ThreadConnections
from taskapi.database.timeouts import QUEUE_TIMEOUT, TIMEOUT_MARGIN
from taskapi.database.workers import Job, WorkerPool, deliver
from taskapi.settings import Settings
from taskapi.telemetry.metrics import metrics

MAX_BATCH_SIZE = 64

MAX_ATTEMPTS = 6
RETRYABLE_SQLSTATES = {
    "40001",  # serialization_failure
    "40P01",  # deadlock_detected
    "23503",  # foreign_key_violation: the referenced row was deleted concurrently
    "23505",  # unique_violation: a concurrent transaction inserted the same key
}
"""PostgreSQL errors after which a transaction is run again, to see what others have committed."""

T = TypeVar("T")
Args = TypeVarTuple("Args")


class Database:
    """Run functions of a connection in transactions, in worker threads.

    Each thread keeps its connection, so that threads and connections can't wait for each other.
    Jobs wait in a queue, in the order of submission, without a thread or a connection.
    Reads, writes and readiness checks have threads of their own. One user's reads take at most half
    of the threads for reads.

    SQLite has one writer, and each commit waits for the disk. Waiting writes are committed in one
    transaction, each in a savepoint of its own, and are answered after the commit.
    """

    def __init__(self, settings: Settings) -> None:
        self.file = database_file(settings.database_url)
        readers = settings.database_connections
        writers = 1
        if not self.file:
            writers = (readers - 1) // 2
            readers -= writers + 1
        open_with_timeout = partial(
            open_engine,
            settings.database_url,
            statement_timeout=settings.database_statement_timeout,
            transaction_pooling=settings.database_transaction_pooling,
        )
        self._reading_engine = open_with_timeout(connections=readers + 1, autocommit=True)
        self._reading = ThreadConnections(self._reading_engine, writes=False)
        self._writing = ThreadConnections(
            open_with_timeout(connections=writers, autocommit=True), writes=True
        )
        self._readers = WorkerPool("read", readers, self._run_in_transaction)
        run = self._commit_batch if self.file else self._run_in_transaction
        self._writers = WorkerPool("write", writers, run)
        self._checker = WorkerPool("check", 1, self._check)
        self._pools = (self._readers, self._writers, self._checker)
        self._reads_per_user = max(1, readers // 2)
        self._user_reads = WeakValueDictionary[int, asyncio.Semaphore]()

    def waiting(self) -> dict[str, int]:
        """Return how many jobs wait for a thread, by pool."""
        return {pool.name: pool.waiting() for pool in self._pools}

    def close(self) -> None:
        """Finish the waiting jobs, for at most `QUEUE_TIMEOUT` seconds, and close connections."""
        deadline = time.monotonic() + QUEUE_TIMEOUT
        for pool in self._pools:
            pool.shutdown(max(0.0, deadline - time.monotonic()))
        self._reading.close()
        self._writing.close()

    async def read(self, function: Callable[[Connection, *Args], T], *args: *Args) -> T:
        """Run a function that only reads. It begins a transaction unless it executes one statement.

        Raises:
            Unavailable: the database can't be reached, or is too busy.
        """
        job = Job(lambda connection: function(connection, *args), writes=False)
        return await _submit(self._readers, job)

    async def read_for(
        self, user_id: int, function: Callable[[Connection, *Args], T], *args: *Args
    ) -> T:
        """Do the same as `read`, after other reads for this user while they take half of the
        threads. The wait counts towards `QUEUE_TIMEOUT`.
        """
        deadline = time.monotonic() + QUEUE_TIMEOUT
        if (reads := self._user_reads.get(user_id)) is None:
            reads = self._user_reads[user_id] = asyncio.Semaphore(self._reads_per_user)
        if reads.locked():
            await _acquire(reads)
        else:
            await reads.acquire()
        try:
            job = Job(lambda connection: function(connection, *args), writes=False)
            return await _submit(self._readers, job, deadline - time.monotonic())
        finally:
            reads.release()

    async def check(self, function: Callable[[sqlalchemy.Connection], T]) -> T:
        """Run a function that only reads, in a thread that serves no other requests.

        Raises:
            Unavailable: the database can't be reached, or is too busy.
        """
        return await _submit(self._checker, Job(function, writes=False))

    async def write(self, function: Callable[[Connection, *Args], T], *args: *Args) -> T:
        """Run a function that may write, and commit. If it raises, its changes are rolled back.

        On PostgreSQL it is run again after a conflict with a concurrent transaction.

        Raises:
            Unavailable: the database can't be reached, or is too busy. Nothing was written, unless
                the connection was lost during the commit: then the outcome is unknown.
        """
        job = Job(lambda connection: function(connection, *args), writes=True, begin=True)
        return await _submit(self._writers, job)

    async def write_once(self, function: Callable[[Connection, *Args], T], *args: *Args) -> T:
        """Do the same as `write`, for a function that begins a transaction unless it executes one
        statement. If the connection is lost in a statement, the outcome is unknown.
        """
        job = Job(lambda connection: function(connection, *args), writes=True)
        return await _submit(self._writers, job)

    def _run_in_transaction(self, _: WorkerPool, job: Job[Any]) -> None:
        connections = self._writing if job.writes else self._reading
        try:
            job.set_result(_transact(connections, job.run_with, begin=job.begin))
        except BaseException as error:  # noqa: BLE001 -- the request gets it, the thread goes on
            job.set_exception(job.run(map_error, error))
        deliver([job])

    def _check(self, pool: WorkerPool, first: Job[Any]) -> None:
        """Run all waiting checks on one connection. Connecting may take longer than the time
        between two checks.
        """
        jobs = _take_batch(pool, first)
        try:
            with self._reading_engine.begin() as connection:
                for job in jobs:
                    job.set_result(job.run_with(connection))
        except BaseException as error:  # noqa: BLE001 -- the requests get it, the thread goes on
            for job in jobs:
                job.set_exception(job.run(map_error, error))
        deliver(jobs)

    def _commit_batch(self, pool: WorkerPool, first: Job[Any]) -> None:
        jobs = _take_batch(pool, first)
        metrics.batch_size.record(len(jobs))

        def run(connection: Connection) -> None:
            for job in jobs:
                _run_in_savepoint(job, connection)

        try:
            _transact(self._writing, run, begin=True)
        except BaseException as error:  # noqa: BLE001 -- the requests get it, the thread goes on
            for job in jobs:
                job.set_exception(job.run(map_error, error))
        deliver(jobs)


def _take_batch(pool: WorkerPool, first: Job[Any]) -> list[Job[Any]]:
    jobs = [first]
    while len(jobs) < MAX_BATCH_SIZE and (job := pool.next_waiting()):
        jobs.append(job)
    return jobs


async def _acquire(semaphore: asyncio.Semaphore) -> None:
    try:
        async with asyncio.timeout(QUEUE_TIMEOUT):
            await semaphore.acquire()
    except TimeoutError:
        raise too_busy() from None


async def _submit(pool: WorkerPool, job: Job[T], timeout: float | None = None) -> T:  # noqa: ASYNC109 -- limits the start, not the job
    pool.submit(job)
    try:
        return await job.result(QUEUE_TIMEOUT if timeout is None else timeout)
    except TimeoutError:
        raise too_busy() from None


def _run_in_savepoint(job: Job[Any], connection: Connection) -> None:
    connection.guard(None)  # of the job before, which may have failed ahead of its first statement
    connection.exec_driver_sql("SAVEPOINT job")
    try:
        job.set_result(job.run_with(connection))
    except BaseException as error:  # noqa: BLE001 -- the request gets it, the others are committed
        job.set_exception(job.run(map_error, error))
        try:
            connection.exec_driver_sql("ROLLBACK TO job")
        except DBAPIError:  # SQLite has rolled back the whole transaction
            raise error from None
    connection.exec_driver_sql("RELEASE job")


def _transact(
    connections: ThreadConnections, function: Callable[[Connection], T], *, begin: bool
) -> T:
    """Run a function in a transaction on this thread's connection.

    It is run again after a conflict with a concurrent transaction, and when the connection was lost
    before the commit: a server may have closed it while it was idle.
    """
    attempt = 1
    while True:
        began = time.monotonic()
        connection = connections.get()
        try:
            return connection.transact(function, begin=begin)
        except DBAPIError as error:
            if error.connection_invalidated:
                connections.discard()
                was_idle = error.statement and time.monotonic() - began < TIMEOUT_MARGIN
                if was_idle and connection.is_unchanged and not connection.is_fresh:
                    continue
            if attempt == MAX_ATTEMPTS or not _is_retryable(error):
                raise
        except BaseException:
            connection.is_fresh = False  # the function raised, and the connection works
            raise
        time.sleep(random.uniform(0, 0.01 * 2**attempt))  # noqa: S311 -- no secret
        attempt += 1


def _is_retryable(error: DBAPIError) -> bool:
    return getattr(error.orig, "sqlstate", None) in RETRYABLE_SQLSTATES
