"""Threads for work that blocks, and the way to them from an event loop and back."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Job(Generic[T]):
    """Work that a thread is to do, and whose outcome is awaited in an event loop."""

    def __init__(self, work: Callable[[Any], T], *, writes: bool) -> None:
        """`work` is a function of what the thread has for it, such as a connection."""
        self.work = work
        self.writes = writes
        self.loop = asyncio.get_running_loop()
        self._future: asyncio.Future[T] = self.loop.create_future()
        self._settle: Callable[[], None]
        self._claim = Lock()

    def claim(self) -> bool:
        """True for one of all that ask: whoever does the work, or gives it up."""
        return self._claim.acquire(blocking=False)

    def succeed(self, result: T) -> None:
        self._settle = partial(self._future.set_result, result)

    def fail(self, error: Exception) -> None:
        self._settle = partial(self._future.set_exception, error)

    async def outcome(self, patience: float, impatience: Exception) -> T:
        """Wait; and raise `impatience` if nobody has begun after `patience` seconds. What nobody
        waits for any more, because the request was cancelled, is not begun.
        """
        timer = self.loop.call_later(patience, self._give_up, impatience)
        try:
            return await self._future
        except asyncio.CancelledError:
            self.claim()
            raise
        finally:
            timer.cancel()

    def settle(self) -> None:
        if not self._future.done():  # as it is when the request was cancelled
            self._settle()

    def _give_up(self, error: Exception) -> None:
        if self.claim():
            self.fail(error)
            self.settle()


def announce(pieces: Sequence[Job[Any]]) -> None:
    """Wake whoever awaits the pieces, which have succeeded or failed, all at once."""
    with suppress(RuntimeError):  # the loop is closed: nobody waits, but others may elsewhere
        pieces[0].loop.call_soon_threadsafe(_settle, pieces)


def _settle(pieces: Sequence[Job[Any]]) -> None:
    for piece in pieces:
        piece.settle()


class WorkerPool:
    """A queue of pieces, and threads that serve it first come, first served."""

    def __init__(self, threads: int, serve: Callable[["WorkerPool", Job[Any]], None]) -> None:
        """`serve` does a piece that is claimed for it, and whichever else it claims itself."""
        self._queue: SimpleQueue[Job[Any] | None] = SimpleQueue()
        self._serve = serve
        self._threads = [Thread(target=self._run, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def put(self, piece: Job[Any]) -> None:
        self._queue.put(piece)

    def claim(self) -> Job[Any] | None:
        """A piece that waits, if there is any."""
        try:
            while (piece := self._queue.get_nowait()) is not None:
                if piece.claim():
                    return piece
        except Empty:
            return None
        self._queue.put(None)
        return None

    def close(self, patience: float) -> None:
        """Let the threads finish what waits, for at most `patience` seconds."""
        for _ in self._threads:
            self._queue.put(None)
        end = time.monotonic() + patience
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _run(self) -> None:
        while (piece := self._queue.get()) is not None:
            if piece.claim():
                self._serve(self, piece)
