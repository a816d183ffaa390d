"""Clients of one account, that are all logged in to it."""

from collections.abc import Callable
from random import Random

import httpx2

from tests.tools.linearizability.accounts import (
    Account,
    AccountOperation,
    ChangeEmail,
    ChangeName,
    ChangePassword,
    DeleteAccount,
    EndOtherSessions,
    EndSession,
    ListSessions,
    LogIn,
    ReadAccount,
    Refresh,
    Revoke,
)
from tests.tools.linearizability.checker import Answer
from tests.tools.linearizability.protocol import Known, read, register, send
from tests.tools.linearizability.tasks import (
    CreateTask,
    DeleteTask,
    DescribeTask,
    ListTasks,
    MoveTask,
    ReadTask,
    ReplaceTask,
)
from tests.tools.linearizability.workload import Workload

FIRST_SESSIONS = 4
FIRST_TASKS = 2
WEIGHTS = {
    "sessions": ((0, 1, 1, 4), (0, 0, 1), (0, 0, 1)),
    "tasks": ((0,), (0, 0, 1, 4), (1, 4)),
}
"""The weights that operations on the account, changes of tasks and reads of tasks may have, by the
kind of the history. Each history favours other operations, so that each pair of them meets often in
some.
"""

STATUSES = ("новая", "в процессе", "завершена")


class AccountWorkload(Workload[Account, AccountOperation]):
    def __init__(self, random: Random, kind: str, account: Account, known: Known) -> None:
        super().__init__(random, account)
        self._known = known
        self._ended: set[int] = set()
        self._deleted = False
        self._emails = [account.email]
        self._passwords = [account.password]
        self._created: list[CreateTask] = []
        """Those with a key."""
        kinds = (self._operations(), self._changes_of_tasks(), self._reads_of_tasks())
        self._make = [make for kind in kinds for make in kind]
        self._weights = [
            random.choice(choices)
            for kind, choices in zip(kinds, WEIGHTS[kind], strict=True)
            for _ in kind
        ]

    @classmethod
    async def register(
        cls, random: Random, kind: str, client: httpx2.AsyncClient, email: str
    ) -> "AccountWorkload":
        return cls(random, kind, *(await register(client, email)))

    async def prepare(self, client: httpx2.AsyncClient) -> None:
        for _ in range(FIRST_SESSIONS):
            await self.succeed(client, self._log_in)
        for _ in range(FIRST_TASKS):
            await self.succeed(client, lambda: CreateTask(self._session(), self._new("Task")))

    def choose(self) -> AccountOperation | None:
        if self._deleted:
            return None
        if not self._sessions() or self.random.random() < 0.05:
            return self._log_in()
        (make,) = self.random.choices(self._make, self._weights)
        return make()

    async def send(
        self, client: httpx2.AsyncClient, operation: AccountOperation
    ) -> httpx2.Response:
        return await send(client, self._known, operation)

    def read(self, operation: AccountOperation, response: httpx2.Response) -> Answer:
        return read(self._known, operation, response)

    def learn(self, operation: AccountOperation, status: int) -> None:
        """Do not try for long what can't succeed any more."""
        if status in {400, 401} and not isinstance(operation, LogIn):
            self._ended.add(operation.session)
        if isinstance(operation, ChangePassword) and status in {0, 200}:
            self._passwords.append(operation.password)
        if isinstance(operation, ChangeEmail) and status in {0, 200}:
            self._emails.append(operation.email)
        if isinstance(operation, DeleteAccount) and status == 204:
            self._deleted = True

    def _operations(self) -> list[Callable[[], AccountOperation]]:
        return [
            self._log_in,
            self._refresh,
            self._change_password,
            self._change_email,
            lambda: Revoke(self._session()),
            lambda: EndSession(self._session(), self._session()),
            lambda: EndOtherSessions(self._session()),
            lambda: ListSessions(self._session()),
            lambda: ReadAccount(self._session()),
            lambda: ChangeName(self._session(), self._new("Anna")),
            lambda: DeleteAccount(self._session()),
        ]

    def _changes_of_tasks(self) -> list[Callable[[], AccountOperation]]:
        return [
            self._create_task,
            self._replace_task,
            self._describe_task,
            self._move_task,
            lambda: DeleteTask(self._session(), *self._task_and_version()),
        ]

    def _reads_of_tasks(self) -> list[Callable[[], AccountOperation]]:
        return [
            lambda: ReadTask(self._session(), *self._task_and_version()),
            lambda: ListTasks(self._session()),
        ]

    def _sessions(self) -> list[int]:
        return [number for number in self._known.sessions if number not in self._ended]

    def _session(self) -> int:
        """Seldom one that has ended."""
        if self.random.random() < 0.05:
            return self.random.choice(list(self._known.sessions))
        return self.random.choice(self._sessions() or list(self._known.sessions))

    def _new(self, name: str) -> str:
        return f"{name} {next(self.numbers)}"

    def _log_in(self) -> LogIn:
        email = self.random.choice(self._emails[-2:])
        return LogIn(next(self.numbers), email, self.random.choice(self._passwords[-2:]))

    def _refresh(self) -> Refresh:
        """Mostly with the newest token, or again with the one before it."""
        session = self._session()
        newest = len(self._known.sessions[session].refresh_tokens) - 1
        (age,) = self.random.choices((0, 1, 2), (6, 3, 1))
        return Refresh(session, max(0, newest - age))

    def _change_password(self) -> ChangePassword:
        """Mostly to another."""
        password = self._passwords[-1]
        if self.random.random() < 0.8:
            password = self._new("password")
        return ChangePassword(self._session(), password)

    def _change_email(self) -> ChangeEmail:
        local, _, domain = self._emails[0].partition("@")
        return ChangeEmail(self._session(), f"{local}.{next(self.numbers)}@{domain}")

    def _create_task(self) -> CreateTask:
        """Often again with the key of another, and then seldom with another title."""
        if not self._created or self.random.random() < 0.4:
            key = f"key-{next(self.numbers)}" if self.random.random() < 0.7 else ""
            new = CreateTask(self._session(), self._new("Task"), key)
            if key:
                self._created.append(new)
            return new
        first = self.random.choice(self._created[-3:])
        title = first.title if self.random.random() < 0.9 else self._new("Task")
        return CreateTask(self._session(), title, first.key)

    def _task_and_version(self) -> tuple[str, int]:
        """Return a task, and the version that was last seen of it, the one before, or none."""
        title = self.random.choice(list(self._known.task_ids))
        version = self._known.versions.get(title, 1)
        (age,) = self.random.choices((0, 1, version), (6, 1, 3))
        return title, max(0, version - age)

    def _replace_task(self) -> ReplaceTask:
        """Seldom with what it has."""
        title, version = self._task_and_version()
        text = self._new("Text") if self.random.random() < 0.7 else ""
        return ReplaceTask(self._session(), title, text, self.random.choice(STATUSES), version)

    def _describe_task(self) -> DescribeTask:
        title, version = self._task_and_version()
        return DescribeTask(self._session(), title, self._new("Text"), version)

    def _move_task(self) -> MoveTask:
        title, version = self._task_and_version()
        return MoveTask(self._session(), title, self.random.choice(STATUSES), version)
