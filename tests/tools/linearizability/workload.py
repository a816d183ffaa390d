"""Clients of one account, that are all logged in to it and get in each other's way."""

import asyncio
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count, cycle, islice
from math import inf
from random import Random

import httpx2

from tests.tools.linearizability.checker import Call
from tests.tools.linearizability.model import (
    Account,
    AccountOperation,
    ChangeEmail,
    ChangeName,
    ChangePassword,
    ChangeTask,
    CreateTask,
    DeleteAccount,
    DeleteTask,
    EndOtherSessions,
    EndSession,
    ListSessions,
    ListTasks,
    LogIn,
    ReadAccount,
    Refresh,
    Revoke,
)
from tests.tools.linearizability.protocol import Known, read, register, send

FIRST_SESSIONS = 4
FIRST_TASKS = 2
TIMEOUT = 60.0  # seconds

LOST = 0.03
"""The share of calls whose client goes away before the answer comes."""

FAVOURED = (0, 0, 1, 4)
"""Each history favours other operations, so that each pair of them meets often in some."""


@dataclass
class History:
    initial: Account
    calls: list[Call[Account]] = field(default_factory=list)

    @property
    def answers(self) -> Counter[str]:
        names = (
            f"{type(call.operation).__name__} {call.answer[0] if call.answer else '?'}"
            for call in self.calls
        )
        return Counter(names)


class Clients:
    """The clients of one account: what they know, what they do and what they saw."""

    def __init__(self, random: Random, account: Account, known: Known) -> None:
        self.history = History(account)
        self._random = random
        self._known = known
        self._numbers = count(1)
        self._ended: set[int] = set()
        self._deleted = False
        self._emails = [account.email]
        self._passwords = [account.password]
        make = self._operations()
        self._make = list(make)
        self._weights = [random.choice(FAVOURED) for _ in make]
        if not any(self._weights):
            self._weights = [1] * len(make)

    async def prepare(self, client: httpx2.AsyncClient) -> None:
        """Log in and create tasks, one after another."""
        for _ in range(FIRST_SESSIONS):
            await self._call(client, self._log_in())
        for _ in range(FIRST_TASKS):
            await self._call(client, self._create_task())
        assert all(call.answer and call.answer[0] < 300 for call in self.history.calls)

    async def run(self, client: httpx2.AsyncClient, calls: int) -> None:
        for _ in range(calls):
            if self._deleted:
                return
            (make,) = self._random.choices(self._make, self._weights)
            if not self._sessions() or self._random.random() < 0.05:
                make = self._log_in
            await self._call(client, make())

    async def _call(self, client: httpx2.AsyncClient, operation: AccountOperation) -> None:
        invoked = time.monotonic()
        lost = (
            self._random.random() < LOST and len(self.history.calls) >= FIRST_SESSIONS + FIRST_TASKS
        )
        limit = self._random.uniform(0, 0.02) if lost else TIMEOUT
        answer = None
        try:
            response = await asyncio.wait_for(send(client, self._known, operation), limit)
            answer = read(self._known, operation, response)
        except (TimeoutError, httpx2.TransportError):
            pass
        returned = time.monotonic() if answer else inf
        self.history.calls.append(Call(operation, invoked, returned, answer))
        self._learn(operation, answer[0] if answer else 0)

    def _learn(self, operation: AccountOperation, status: int) -> None:
        """Do not try for long what can't succeed any more."""
        if status in {400, 401} and not isinstance(operation, LogIn):
            self._ended.add(operation.session)
        if isinstance(operation, ChangePassword) and status in {0, 200}:
            self._passwords.append(operation.password)
        if isinstance(operation, ChangeEmail) and status in {0, 200}:
            self._emails.append(operation.email)
        if isinstance(operation, DeleteAccount) and status == 204:
            self._deleted = True

    def _operations(self) -> Sequence[Callable[[], AccountOperation]]:
        return (
            self._log_in,
            self._refresh,
            self._change_password,
            self._change_email,
            self._create_task,
            self._change_task,
            lambda: Revoke(self._session()),
            lambda: EndSession(self._session(), self._session()),
            lambda: EndOtherSessions(self._session()),
            lambda: ListSessions(self._session()),
            lambda: ReadAccount(self._session()),
            lambda: ChangeName(self._session(), f"Anna {next(self._numbers)}"),
            lambda: DeleteAccount(self._session()),
            lambda: DeleteTask(self._session(), self._task()),
            lambda: ListTasks(self._session()),
        )

    def _sessions(self) -> list[int]:
        return [number for number in self._known.sessions if number not in self._ended]

    def _session(self) -> int:
        """Seldom one that has ended."""
        if self._random.random() < 0.05:
            return self._random.choice(list(self._known.sessions))
        return self._random.choice(self._sessions() or list(self._known.sessions))

    def _task(self) -> str:
        return self._random.choice(list(self._known.task_ids))

    def _log_in(self) -> LogIn:
        email = self._random.choice(self._emails[-2:])
        return LogIn(next(self._numbers), email, self._random.choice(self._passwords[-2:]))

    def _refresh(self) -> Refresh:
        """Mostly with the newest token, or again with the one before it."""
        session = self._session()
        newest = len(self._known.sessions[session].refresh_tokens) - 1
        (age,) = self._random.choices((0, 1, 2), (6, 3, 1))
        return Refresh(session, max(0, newest - age))

    def _change_password(self) -> ChangePassword:
        """Mostly to another."""
        password = self._passwords[-1]
        if self._random.random() < 0.8:
            password = f"password {next(self._numbers)}"
        return ChangePassword(self._session(), password)

    def _change_email(self) -> ChangeEmail:
        local, _, domain = self._emails[0].partition("@")
        return ChangeEmail(self._session(), f"{local}.{next(self._numbers)}@{domain}")

    def _create_task(self) -> CreateTask:
        return CreateTask(self._session(), f"Task {next(self._numbers)}")

    def _change_task(self) -> ChangeTask:
        return ChangeTask(self._session(), self._task(), f"Change {next(self._numbers)}")


@asynccontextmanager
async def connections(urls: Sequence[str], clients: int) -> AsyncIterator[list[httpx2.AsyncClient]]:
    """Each client uses one of the service's processes."""
    context = ssl.create_default_context()  # which takes long to make
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                httpx2.AsyncClient(base_url=url, timeout=TIMEOUT, verify=context)
            )
            for url in islice(cycle(urls), clients)
        ]


async def record(clients: Sequence[httpx2.AsyncClient], seed: str, calls: int) -> History:
    """Register an account, and let each client call some operations of it."""
    account, known = await register(clients[0], f"{seed}@example.com")
    group = Clients(Random(seed), account, known)  # noqa: S311 -- no secret
    await group.prepare(clients[0])
    await asyncio.gather(*(group.run(client, calls) for client in clients))
    return group.history
