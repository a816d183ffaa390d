"""Clients that write all the time, repeat what nobody acknowledged, and remember what was."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count, cycle, pairwise
from typing import Any
from uuid import uuid4

import httpx2

from tests.api import PASSWORD
from tests.databases import execute

PAUSE = 0.02  # seconds between the tasks of a writer
PATIENCE = 15.0  # seconds that a writer waits for an answer
GIVE_UP = 600.0  # seconds after which it repeats a request no more
NEW, COMPLETED = "новая", "завершена"


@dataclass
class Ledger:
    """What the service acknowledged."""

    email: str
    tasks: dict[str, str | None] = field(default_factory=dict)
    """The status of each title, None when its task was deleted."""
    moments: list[float] = field(default_factory=list)
    """When each write was acknowledged."""
    answers: Counter[str] = field(default_factory=Counter)
    unexplained: Counter[str] = field(default_factory=Counter)
    """Answers that nothing explains but a fault, or a write that was lost."""

    def outage(self, since: float) -> float:
        """The longest time without a write, in seconds."""
        moments = [since, *(moment for moment in self.moments if moment >= since)]
        return max(after - before for before, after in pairwise([*moments, time.monotonic()]))


@dataclass
class Findings:
    lost: int = 0
    """Tasks that are not as it was acknowledged: not there, not completed, not deleted."""
    duplicates: int = 0
    unacknowledged: int = 0
    """Tasks that are there although nobody was told so."""


def audit(ledger: Ledger, url: str) -> Findings:
    rows = execute(
        url,
        "SELECT title, status FROM tasks JOIN users ON users.id = user_id WHERE email = :email",
        email=ledger.email,
    )
    found: dict[str, str] = {row.title: row.status for row in rows}
    return Findings(
        lost=sum(found.get(title) != status for title, status in ledger.tasks.items()),
        duplicates=len(rows) - len(found),
        unacknowledged=len(found.keys() - ledger.tasks.keys()),
    )


class Writer:
    """Has tasks of its own. It asks the next replica when one has no answer, or answers 503."""

    def __init__(self, replicas: Iterator[httpx2.AsyncClient], ledger: Ledger) -> None:
        self._replicas = replicas
        self._replica = next(replicas)
        self._ledger = ledger

    async def run(self, stop: threading.Event) -> None:
        for number in count():
            if stop.is_set():
                return
            await self._live(number)
            await asyncio.sleep(PAUSE)

    async def _live(self, number: int) -> None:
        """Make a task; complete it, two times of three; then delete it, every other time."""
        title, tasks = str(uuid4()), self._ledger.tasks
        made = await self._write(
            "POST", "/tasks", 201, json={"title": title}, headers={"Idempotency-Key": title}
        )
        if not made:
            return
        tasks[title] = NEW
        path = made.headers["Location"]
        if number % 3:
            etag = {"If-Match": made.headers["ETag"]}
            status = {"status": COMPLETED}
            if not await self._write("PATCH", path, 200, repeated=412, json=status, headers=etag):
                return
            tasks[title] = COMPLETED
        if number % 3 == 2 and await self._write("DELETE", path, 204, repeated=404):
            tasks[title] = None

    async def _write(
        self, method: str, path: str, success: int, repeated: int = 0, **options: Any
    ) -> httpx2.Response | None:
        """The acknowledgement. `repeated` is the answer when the same request had been done before,
        and its answer was lost; for nobody else has this task.
        """
        answer, again = await self._repeat(method, path, **options)
        if answer and answer.status_code in {success, repeated if again else success}:
            self._ledger.moments.append(time.monotonic())
            return answer
        self._ledger.unexplained[f"{method} {answer.status_code if answer else 'given up'}"] += 1
        return None

    async def _repeat(
        self, method: str, path: str, **options: Any
    ) -> tuple[httpx2.Response | None, bool]:
        """The first answer that is not 503, and whether there were others."""
        began = time.monotonic()
        again = False
        while time.monotonic() < began + GIVE_UP:
            try:
                answer = await self._replica.request(method, path, **options)
            except httpx2.TransportError as error:
                self._ledger.answers[type(error).__name__] += 1
                pause = PAUSE
            else:
                self._ledger.answers[str(answer.status_code)] += 1
                if answer.status_code != 503:
                    return answer, again
                pause = float(answer.headers["Retry-After"])
            again = True
            self._replica = next(self._replicas)
            await asyncio.sleep(pause)
        return None, again


@contextmanager
def load(urls: Sequence[str], writers: int, email: str) -> Iterator[Ledger]:
    """Write as a new user, in a thread. At the end, what was begun is brought to its end."""
    ledger = Ledger(email)
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(asyncio.run, _write_all(urls, writers, ledger, stop))
        try:
            yield ledger
        finally:
            stop.set()
        running.result()


async def _write_all(
    urls: Sequence[str], writers: int, ledger: Ledger, stop: threading.Event
) -> None:
    async with AsyncExitStack() as stack:
        replicas = [
            await stack.enter_async_context(httpx2.AsyncClient(base_url=url, timeout=PATIENCE))
            for url in urls
        ]
        user = {"name": "x", "email": ledger.email, "password": PASSWORD}
        (await replicas[0].post("/users", json=user)).raise_for_status()
        form = {"grant_type": "password", "username": ledger.email, "password": PASSWORD}
        login = (await replicas[0].post("/auth/token", data=form)).raise_for_status().json()
        for replica in replicas:
            replica.headers["Authorization"] = f"Bearer {login['access_token']}"
        turns = cycle(replicas)
        await asyncio.gather(*(Writer(turns, ledger).run(stop) for _ in range(writers)))
