"""A load generator: clients that each keep one HTTP/1.1 connection and one request under way.

It checks each answer while it measures, so that a server that is fast and wrong does not win.
"""

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

PATIENCE = 3.0
"""Seconds after the end for which answers are waited for."""


@dataclass(frozen=True, slots=True)
class Call:
    request: bytes
    check: Callable[[int, bytes], str | None]
    """What is wrong with an answer of this status and body."""


@dataclass
class Load:
    """What came of a load."""

    seconds: float = 0
    latencies: list[float] = field(default_factory=list)
    """Of the right answers, in seconds."""
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def answers(self) -> int:
        return len(self.latencies)

    @property
    def rate(self) -> float:
        """Right answers a second."""
        return self.answers / self.seconds

    def percentile(self, percent: int) -> float:
        """In milliseconds; infinite when nothing was answered."""
        if self.answers < 2:
            return float("inf")
        return statistics.quantiles(self.latencies, n=100)[percent - 1] * 1000


async def run(
    port: int,
    clients: int,
    seconds: float,
    next_call: Callable[[], Call],
    patience: float = PATIENCE,
) -> Load:
    load = Load()
    started = time.perf_counter()
    deadline = started + seconds
    tasks = [
        asyncio.create_task(_run_client(port, deadline, next_call, load)) for _ in range(clients)
    ]
    done, late = await asyncio.wait(tasks, timeout=seconds + patience)
    load.seconds = time.perf_counter() - started
    load.errors["no answer"] += len(late)
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
    for task in done:
        task.result()
    return load


async def _run_client(
    port: int, deadline: float, next_call: Callable[[], Call], load: Load
) -> None:
    """Send at least one request. Connect as often as the server hangs up."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            _, connection = await loop.create_connection(
                lambda: _Connection(deadline, next_call, load), "127.0.0.1", port
            )
        except OSError as error:
            load.errors[type(error).__name__] += 1
            await asyncio.sleep(0.1)
        else:
            try:
                await connection.closed
            except asyncio.CancelledError:
                connection.give_up()
                raise
        if time.perf_counter() >= deadline:
            return


class _Connection(asyncio.Protocol):
    def __init__(self, deadline: float, next_call: Callable[[], Call], load: Load) -> None:
        self.closed = asyncio.get_running_loop().create_future()
        self._deadline = deadline
        self._next_call = next_call
        self._load = load
        self._call: Call | None = None
        self._sent = 0.0
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._call = self._next_call()
        self._transport.write(self._call.request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator:
            return
        head = head.lower()
        length = int(head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        assert self._call
        error = self._call.check(int(head[9:12]), body)
        if error:
            self._load.errors[error] += 1
        else:
            self._load.latencies.append(time.perf_counter() - self._sent)
        self._call = None
        self._received = b""
        if b"\r\nconnection: close" in head or time.perf_counter() >= self._deadline:
            self._transport.close()
        else:
            self._send()

    def give_up(self) -> None:
        self._call = None
        self._transport.abort()

    def connection_lost(self, _: Exception | None) -> None:
        if self._call:
            self._load.errors["hung up"] += 1
        if not self.closed.done():
            self.closed.set_result(None)
