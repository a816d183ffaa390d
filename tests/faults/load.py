"""Many clients that repeat a request, and counts of the answers."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tests.faults.client import LOST, Answer, Client

Work = Callable[[Client, "Outcome"], Awaitable[None]]
Until = Callable[[], bool]


@dataclass
class Outcome:
    statuses: Counter[int] = field(default_factory=Counter)
    lost: int = 0
    """Requests whose answer did not arrive completely."""
    refused: int = 0
    """Connections that were not accepted."""
    acknowledged: set[str] = field(default_factory=set)
    """Titles of tasks that were created."""

    def count(self, answer: Answer) -> Answer:
        self.statuses[answer.status] += 1
        return answer

    @property
    def answers(self) -> int:
        return self.statuses.total()

    @property
    def failed(self) -> int:
        return sum(count for status, count in self.statuses.items() if status >= 500)

    def reaches(self, answers: int) -> Until:
        """A condition: this many requests have ended, with an answer or without."""
        return lambda: self.answers + self.lost >= answers


async def repeat(client: Client, work: Work, outcome: Outcome, until: Until) -> None:
    while not until():
        try:
            await work(client, outcome)
        except ConnectionRefusedError:
            outcome.refused += 1
            await asyncio.sleep(0.01)  # a server that is down would be asked in a busy loop
        except LOST:
            outcome.lost += 1
    client.close()


async def crowd(
    port: int, token: str, clients: int, work: Work, outcome: Outcome, until: Until
) -> None:
    await asyncio.gather(
        *(repeat(Client(port, token), work, outcome, until) for _ in range(clients))
    )


def run_crowd(port: int, token: str, clients: int, work: Work, answers: int) -> Outcome:
    """Let the clients repeat the work until there are this many answers."""
    outcome = Outcome()
    asyncio.run(crowd(port, token, clients, work, outcome, outcome.reaches(answers)))
    return outcome


async def create(client: Client, outcome: Outcome) -> None:
    title = f"{id(client)}-{time.monotonic_ns()}"
    answer = outcome.count(await client.request("POST", "/tasks", {"title": title}))
    if answer.status == 201:
        outcome.acknowledged.add(title)


async def read_and_write(client: Client, outcome: Outcome) -> None:
    """Send two requests that write and three that read."""
    created = outcome.count(await client.request("POST", "/tasks", {"title": "Buy bread"}))
    path = created.headers.get("location", "/tasks/1")
    outcome.count(await client.request("GET", "/tasks?limit=5&sort=-id"))
    outcome.count(await client.request("GET", path))
    outcome.count(await client.request("GET", "/users/me"))
    outcome.count(await client.request("DELETE", path))
