"""Clients that write and read all the time, and remember what was acknowledged."""

import asyncio
import secrets
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count, cycle, pairwise
from typing import Any
from uuid import uuid4

import httpx2

from tests.api import PASSWORD

PAUSE = 0.02  # seconds between the tasks of a writer, and between reads
PATIENCE = 15.0  # seconds that a client waits for an answer
RETRY_AFTER = 1.0  # seconds, where a load balancer's 503 does not say it
GIVE_UP = 600.0  # seconds after which a writer repeats a request no more
RECENT = 16  # tasks that are read

NEW, IN_PROGRESS, COMPLETED, DELETED = STATES = "новая", "в процессе", "завершена", None
"""What each task becomes, in this order; some stay what they are."""


@dataclass
class Ledger:
    """What the service acknowledged."""

    email: str
    tasks: dict[str, str | None] = field(default_factory=dict)
    """The status of each title, None when its task was deleted."""
    deleting: set[str] = field(default_factory=set)
    """Titles of tasks whose deletion was requested."""
    recent: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=RECENT))
    """Titles and paths."""
    moments: list[float] = field(default_factory=list)
    """When each write was acknowledged."""
    writes: Counter[str] = field(default_factory=Counter)
    reads: Counter[str] = field(default_factory=Counter)
    stale: int = 0
    unexplained: Counter[str] = field(default_factory=Counter)
    longest: float = 0
    """Seconds that a client waited for an answer."""

    def outage(self, since: float) -> float:
        """The longest time without a write, in seconds."""
        moments = [since, *(moment for moment in self.moments if moment >= since)]
        return max(after - before for before, after in pairwise([*moments, time.monotonic()]))

    def acknowledge(self, title: str, status: str | None) -> None:
        self.tasks[title] = status
        self.moments.append(time.monotonic())

    def compare(self, title: str, acknowledged: str | None, shown: str | None) -> None:
        """`acknowledged` is the status of the task when its read began."""
        missing = shown is DELETED and title not in self.deleting
        self.stale += missing or STATES.index(shown) < STATES.index(acknowledged)


class Client:
    """It asks the next address when one has no answer, or answers 503."""

    def __init__(self, addresses: Iterator[httpx2.AsyncClient], ledger: Ledger) -> None:
        self._addresses = addresses
        self._address = next(addresses)
        self._ledger = ledger

    async def _ask(self, method: str, path: str, **options: Any) -> httpx2.Response | None:
        """The answer, if there is one that is not 503; else None, after a pause."""
        answers = self._ledger.reads if method == "GET" else self._ledger.writes
        began = time.monotonic()
        try:
            answer = await self._address.request(method, path, **options)
        except httpx2.TransportError as error:
            answers[type(error).__name__] += 1
            pause = PAUSE
        else:
            answers[str(answer.status_code)] += 1
            if answer.status_code != 503:
                return answer
            pause = float(answer.headers.get("Retry-After", RETRY_AFTER))
        finally:
            self._ledger.longest = max(self._ledger.longest, time.monotonic() - began)
        self._address = next(self._addresses)
        await asyncio.sleep(pause)
        return None

    def _find_unexplained(self, method: str, answer: httpx2.Response | None) -> None:
        self._ledger.unexplained[f"{method} {answer.status_code if answer else 'given up'}"] += 1


class Writer(Client):
    """Has tasks of its own."""

    async def run(self, stop: threading.Event) -> None:
        for number in count():
            if stop.is_set():
                return
            await self._live(number)
            await asyncio.sleep(PAUSE)

    async def _live(self, number: int) -> None:
        """Make a task, and have it go through none, one, two or all of the further states."""
        title = str(uuid4())
        made = await self._write(
            "POST", "/tasks", 201, json={"title": title}, headers={"Idempotency-Key": title}
        )
        if not made:
            return
        self._ledger.acknowledge(title, NEW)
        path, etag = made.headers["Location"], made.headers["ETag"]
        self._ledger.recent.append((title, path))
        replacement = {"title": title, "description": "", "status": IN_PROGRESS}
        for method, status, success, repeated, body in (
            ("PUT", IN_PROGRESS, 200, 412, {"json": replacement}),
            ("PATCH", COMPLETED, 200, 412, {"json": {"status": COMPLETED}}),
            ("DELETE", DELETED, 204, 404, {}),
        )[: number % len(STATES)]:
            if status is DELETED:
                self._ledger.deleting.add(title)
            answer = await self._write(
                method, path, success, repeated, headers={"If-Match": etag}, **body
            )
            if not answer:
                return
            self._ledger.acknowledge(title, status)
            etag = answer.headers.get("ETag") or await self._read_etag(path)

    async def _read_etag(self, path: str) -> str:
        """As a client does that was answered 412 because its request had been done before."""
        answer, _ = await self._repeat("GET", path)
        return answer.headers.get("ETag", "") if answer else ""

    async def _write(
        self, method: str, path: str, success: int, repeated: int = 0, **options: Any
    ) -> httpx2.Response | None:
        """The acknowledgement. `repeated` is the answer when the same request had been done before,
        and its answer was lost; for nobody else has this task.
        """
        answer, again = await self._repeat(method, path, **options)
        if answer and answer.status_code in {success, repeated if again else success}:
            return answer
        self._find_unexplained(method, answer)
        return None

    async def _repeat(
        self, method: str, path: str, **options: Any
    ) -> tuple[httpx2.Response | None, bool]:
        """The first answer that is not 503, and whether there were others."""
        began = time.monotonic()
        again = False
        while time.monotonic() < began + GIVE_UP:
            if answer := await self._ask(method, path, **options):
                return answer, again
            again = True
        return None, again


class Reader(Client):
    """Reads tasks that are being written."""

    async def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            if self._ledger.recent:
                await self._read(*secrets.choice(self._ledger.recent))
            await asyncio.sleep(PAUSE)

    async def _read(self, title: str, path: str) -> None:
        acknowledged = self._ledger.tasks[title]
        answer = await self._ask("GET", path)
        if not answer:
            return
        if answer.status_code in {200, 404}:
            shown = answer.json()["status"] if answer.status_code == 200 else DELETED
            self._ledger.compare(title, acknowledged, shown)
        else:
            self._find_unexplained("GET", answer)


@contextmanager
def load(
    urls: Sequence[str], writers: int, email: str, patience: float = PATIENCE
) -> Iterator[Ledger]:
    """Write and read as a new user, in a thread, with half as many readers as writers. At the end,
    what was begun is brought to its end.
    """
    ledger = Ledger(email)
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(asyncio.run, _run(urls, writers, patience, ledger, stop))
        try:
            yield ledger
        finally:
            stop.set()
        running.result()


async def _run(
    urls: Sequence[str], writers: int, patience: float, ledger: Ledger, stop: threading.Event
) -> None:
    async with AsyncExitStack() as stack:
        addresses = [
            await stack.enter_async_context(httpx2.AsyncClient(base_url=url, timeout=patience))
            for url in urls
        ]
        user = {"name": "x", "email": ledger.email, "password": PASSWORD}
        (await addresses[0].post("/users", json=user)).raise_for_status()
        form = {"grant_type": "password", "username": ledger.email, "password": PASSWORD}
        login = (await addresses[0].post("/auth/token", data=form)).raise_for_status().json()
        for address in addresses:
            address.headers["Authorization"] = f"Bearer {login['access_token']}"
        turns = cycle(addresses)
        clients: list[Writer | Reader] = [
            *(Writer(turns, ledger) for _ in range(writers)),
            *(Reader(turns, ledger) for _ in range(writers // 2)),
        ]
        await asyncio.gather(*(client.run(stop) for client in clients))
