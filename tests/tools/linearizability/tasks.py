"""The operations on the tasks of an account.

A `match` or `none_match` is the version in the ETag of `If-Match` or `If-None-Match`, 0 for no such
header.
"""

from dataclasses import dataclass

from tests.tools.linearizability.accounts import Account, InSession, Outcome, Read, Task
from tests.tools.linearizability.checker import Answer

PRECONDITION_FAILED: Answer = (412, None)
NOT_FOUND: Answer = (404, None)


@dataclass(frozen=True)
class ListTasks(Read):
    """Read the total, and the first page, which has room for all."""

    def act(self, account: Account) -> Outcome:
        tasks = tuple(sorted(task[:3] for task in account.tasks))
        return (200, (len(tasks), tasks)), account


@dataclass(frozen=True)
class CreateTask(InSession):
    title: str
    key: str = ""
    """The Idempotency-Key, or nothing. A repeat gets the first answer, even if the task was changed
    or deleted since.
    """

    def act(self, account: Account) -> Outcome:
        created = Task(self.title)
        title = dict(account.keys).get(self.key)
        if title is not None:
            return ((201, created) if title == self.title else (422, None)), account
        keys = {(self.key, self.title)} if self.key else set()
        return (201, created), account._replace(
            tasks=account.tasks | {created}, keys=account.keys | keys
        )


@dataclass(frozen=True)
class OnTask(InSession):
    """An operation on one task."""

    title: str

    def act(self, account: Account) -> Outcome:
        for task in account.tasks:
            if task.title == self.title:
                return self.act_on(task, account)
        return NOT_FOUND, account

    def act_on(self, task: Task, account: Account) -> Outcome:
        raise NotImplementedError


@dataclass(frozen=True)
class ReadTask(OnTask):
    none_match: int = 0

    def act_on(self, task: Task, account: Account) -> Outcome:
        if self.none_match == task.version:
            return (304, task.version), account
        return (200, task), account

    def only_reads(self, _: Answer) -> bool:
        return True


@dataclass(frozen=True)
class DeleteTask(OnTask):
    match: int = 0

    def act_on(self, task: Task, account: Account) -> Outcome:
        if self.match not in {0, task.version}:
            return PRECONDITION_FAILED, account
        return (204, None), account._replace(tasks=account.tasks - {task})


@dataclass(frozen=True)
class ReplaceTask(OnTask):
    description: str
    status: str
    match: int = 0

    def act_on(self, task: Task, account: Account) -> Outcome:
        changed = task._replace(description=self.description, status=self.status)
        return _change(account, task, changed, self.match)


@dataclass(frozen=True)
class DescribeTask(OnTask):
    """Change the description only."""

    description: str
    match: int = 0

    def act_on(self, task: Task, account: Account) -> Outcome:
        return _change(account, task, task._replace(description=self.description), self.match)


@dataclass(frozen=True)
class MoveTask(OnTask):
    """Change the status only."""

    status: str
    match: int = 0

    def act_on(self, task: Task, account: Account) -> Outcome:
        return _change(account, task, task._replace(status=self.status), self.match)


def _change(account: Account, task: Task, changed: Task, match: int) -> Outcome:
    """A task that stays as it is keeps its version."""
    if match not in {0, task.version}:
        return PRECONDITION_FAILED, account
    if changed == task:
        return (200, task), account
    changed = changed._replace(version=task.version + 1)
    return (200, changed), account._replace(tasks=account.tasks - {task} | {changed})
