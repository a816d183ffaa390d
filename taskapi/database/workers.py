"""Worker threads for blocking functions, whose results are awaited in an event loop."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, Generic, TypeVar

from taskapi.telemetry.metrics import metrics

T = TypeVar("T")


class Job(Generic[T]):
    """A function that a worker thread runs, and its result. Create it in an event loop."""

    def __init__(
        self, function: Callable[[Any], T], *, writes: bool = False, begin: bool = False
    ) -> None:
        """`function` takes what the worker thread provides, such as a connection. `begin` tells
        whether it needs a transaction.
        """
        self.function = function
        self.writes = writes
        self.begin = begin
        self.run = copy_context().run
        """Run a function in the context of the request, which has the request's id."""
        self.loop = asyncio.get_running_loop()
        self._future: asyncio.Future[T] = self.loop.create_future()
        self._complete: Callable[[], None]
        self._running = Lock()
        self.submitted_at: float
        """What the monotonic clock showed."""

    def set_running(self) -> bool:
        """Claim the job atomically. Only the first caller gets True."""
        return self._running.acquire(blocking=False)

    def run_with(self, argument: Any) -> T:  # noqa: ANN401 -- what the worker thread provides
        """Run the function in the context of the request."""
        return self.run(self.function, argument)

    def set_result(self, result: T) -> None:
        self._complete = partial(self._future.set_result, result)

    def set_exception(self, error: BaseException) -> None:
        """Errors that would end the event loop, and StopIteration, which a future refuses, are
        wrapped in a RuntimeError.
        """
        if not isinstance(error, Exception) or isinstance(error, StopIteration):
            wrapper = RuntimeError(f"a job raised {type(error).__name__}")
            wrapper.__cause__ = error
            error = wrapper
        self._complete = partial(self._future.set_exception, error)

    async def result(self, timeout: float) -> T:  # noqa: ASYNC109 -- limits the start, not the job
        """Wait for the result. A cancelled job that has not started is dropped.

        Raises:
            TimeoutError: the job has not started after `timeout` seconds, and is dropped.
        """
        timer = self.loop.call_later(timeout, self._expire)
        try:
            return await self._future
        except asyncio.CancelledError:
            self.set_running()
            raise
        finally:
            timer.cancel()

    def complete(self) -> None:
        """Wake the waiting request. Call it in the event loop."""
        if not self._future.done():  # it is done if the request was cancelled
            self._complete()

    def _expire(self) -> None:
        if self.set_running():
            self.set_exception(TimeoutError())
            self.complete()


def deliver(jobs: Sequence[Job[Any]]) -> None:
    """Hand results to the event loop from a worker thread, with one wake-up for all jobs."""
    with suppress(RuntimeError):  # the event loop is closed, so that no request waits
        jobs[0].loop.call_soon_threadsafe(_complete, jobs)


def _complete(jobs: Sequence[Job[Any]]) -> None:
    for job in jobs:
        job.complete()


class WorkerPool:
    """A queue of jobs, and threads that run them in the order of submission."""

    def __init__(
        self, name: str, max_workers: int, run: Callable[["WorkerPool", Job[Any]], None]
    ) -> None:
        """`run` gets a running job. It may take more with `next_waiting`, sets the result or the
        exception of each, and delivers them. It must not raise. Metrics have the name.
        """
        self.name = name
        self._attributes = {"pool": name}
        self._queue: SimpleQueue[Job[Any] | None] = SimpleQueue()
        self._run_job = run
        self._threads = [
            Thread(target=self._work, name="taskapi-database", daemon=True)
            for _ in range(max_workers)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job[Any]) -> None:
        job.submitted_at = time.monotonic()
        self._queue.put(job)

    def waiting(self) -> int:
        """Return how many jobs wait, those that nobody waits for included."""
        return self._queue.qsize()

    def next_waiting(self) -> Job[Any] | None:
        """Claim the next job of the queue, or return None if no job waits."""
        try:
            while (job := self._queue.get_nowait()) is not None:
                if job.set_running():
                    self._record_wait(job)
                    return job
        except Empty:
            return None
        self._queue.put(None)
        return None

    def shutdown(self, timeout: float) -> None:
        """Wait until the threads have run all waiting jobs, at most `timeout` seconds in all."""
        for _ in self._threads:
            self._queue.put(None)
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            if job.set_running():
                self._record_wait(job)
                self._run_job(self, job)

    def _record_wait(self, job: Job[Any]) -> None:
        metrics.job_wait.record(time.monotonic() - job.submitted_at, self._attributes)
