"""Clients that get in each other's way, and the history of their calls."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from math import inf
from random import Random
from typing import Any, Generic, TypeVar

import httpx2

from tests.tools.linearizability.checker import Answer, Call, Operation, State
from tests.waiting import HANG

TIMEOUT = 60.0  # seconds

LOST = 0.03
"""The share of calls whose client goes away before the answer comes."""

Op = TypeVar("Op", bound=Operation[Any])


@dataclass
class History(Generic[State]):
    initial: State
    calls: list[Call[State]] = field(default_factory=list)

    @property
    def answers(self) -> Counter[str]:
        names = (
            f"{type(call.operation).__name__} {call.answer[0] if call.answer else '?'}"
            for call in self.calls
        )
        return Counter(names)


class Workload(ABC, Generic[State, Op]):
    """Clients of one state: what they know, what they do and what they saw."""

    def __init__(self, random: Random, initial: State) -> None:
        self.history = History(initial)
        self.random = random
        self.share = random.choice((1, 3))
        """One of so many clients takes part, and makes the calls of the others too."""
        self.numbers = count(1)

    @abstractmethod
    async def prepare(self, client: httpx2.AsyncClient) -> None:
        """Call the first operations, one after another."""

    @abstractmethod
    def choose(self) -> Op | None:
        """Return the next operation, or None if none can succeed any more."""

    @abstractmethod
    async def send(self, client: httpx2.AsyncClient, operation: Op) -> httpx2.Response: ...

    @abstractmethod
    def read(self, operation: Op, response: httpx2.Response) -> Answer:
        """Return the answer as the model has it, and remember what it tells."""

    def learn(self, operation: Op, status: int) -> None:
        """Take note of the end of a call. The status is 0 if it was not answered."""

    async def run(self, client: httpx2.AsyncClient, calls: int) -> None:
        for _ in range(calls):
            operation = self.choose()
            if operation is None:
                return
            if self.random.random() < LOST:
                await self.call(client, operation, self.random.uniform(0, 0.02))
            elif not await self.call(client, operation):
                await wait_until_ready(client)

    async def succeed(self, client: httpx2.AsyncClient, make: Callable[[], Op]) -> Op:
        """Return the first operation that is done."""
        async with asyncio.timeout(HANG):
            while True:
                operation = make()
                answer = await self.call(client, operation)
                if answer and answer[0] < 300:
                    return operation

    async def call(
        self, client: httpx2.AsyncClient, operation: Op, patience: float = TIMEOUT
    ) -> Answer | None:
        """Return None if the outcome is unknown. A request that could not be sent is no call."""
        invoked = time.monotonic()
        answer = None
        try:
            response = await asyncio.wait_for(self.send(client, operation), patience)
            if response.status_code != 503:
                answer = self.read(operation, response)
        except httpx2.ConnectError:
            return None
        except (TimeoutError, httpx2.TransportError):
            pass
        returned = time.monotonic() if answer else inf
        self.history.calls.append(Call(operation, invoked, returned, answer))
        self.learn(operation, answer[0] if answer else 0)
        return answer


async def wait_until_ready(client: httpx2.AsyncClient) -> None:
    async with asyncio.timeout(HANG):
        while not await _is_ready(client):  # noqa: ASYNC110 -- another process starts
            await asyncio.sleep(0.05)


async def _is_ready(client: httpx2.AsyncClient) -> bool:
    try:
        return (await client.get("/readyz")).status_code == 200
    except httpx2.TransportError:
        return False


class Progress:
    """How far the histories are that are being recorded."""

    def __init__(self, workloads: Sequence[Workload[Any, Any]], calls: int) -> None:
        """`calls` is the number of calls that are still to come, at most."""
        self._workloads = workloads
        self._before = self._calls()
        self.expected = calls
        self.is_finished = False

    def _calls(self) -> int:
        return sum(len(workload.history.calls) for workload in self._workloads)

    async def reach(self, calls: float) -> None:
        """Wait for this many calls, or for the end."""
        while not (self.is_finished or self._calls() - self._before >= calls):  # noqa: ASYNC110 -- a count
            await asyncio.sleep(0.001)
