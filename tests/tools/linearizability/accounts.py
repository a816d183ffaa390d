"""One account, as a sequential program would keep it, and the operations on its sessions."""

from dataclasses import dataclass
from typing import NamedTuple

from tests.tools.linearizability.checker import Answer

NEW = "новая"


class Task(NamedTuple):
    title: str
    """Its key: no two tasks that clients want have the same."""
    description: str = ""
    status: str = NEW
    version: int = 1


class Account(NamedTuple):
    email: str
    password: str
    name: str = "Anna"
    sessions: frozenset[tuple[int, int]] = frozenset()
    """The number of each session, and of its newest refresh token."""
    tasks: frozenset[Task] = frozenset()
    keys: frozenset[tuple[str, str]] = frozenset()
    """Each Idempotency-Key that was used, and the title of the task that it created."""


DELETED = Account(email="", password="", name="")

INVALID_GRANT: Answer = (400, None)

Outcome = tuple[Answer, Account]


@dataclass(frozen=True)
class LogIn:
    session: int
    """The number of the new session."""
    email: str
    password: str

    def apply(self, account: Account) -> Outcome:
        if (self.email, self.password) != (account.email, account.password):
            return INVALID_GRANT, account
        return (200, 0), account._replace(sessions=account.sessions | {(self.session, 0)})

    def only_reads(self, answer: Answer) -> bool:
        return answer == INVALID_GRANT


@dataclass(frozen=True)
class Refresh:
    """Exchange a refresh token, in the grace period. The tokens of a session are numbered."""

    session: int
    token: int

    def apply(self, account: Account) -> Outcome:
        newest = dict(account.sessions).get(self.session)
        if newest is None:
            return INVALID_GRANT, account
        others = account.sessions - {(self.session, newest)}
        if self.token < newest - 1:
            return INVALID_GRANT, account._replace(sessions=others)
        successor = self.token + 1
        return (200, successor), account._replace(sessions=others | {(self.session, successor)})

    def only_reads(self, _: Answer) -> bool:
        return False  # not even when it is refused, which may end the session


@dataclass(frozen=True)
class Revoke:
    session: int

    def apply(self, account: Account) -> Outcome:
        return (200, None), _end(account, self.session)

    def only_reads(self, _: Answer) -> bool:
        return False


@dataclass(frozen=True)
class InSession:
    """An operation that needs an access token."""

    session: int

    def apply(self, account: Account) -> Outcome:
        if self.session not in dict(account.sessions):
            return (401, None), account
        return self.act(account)

    def only_reads(self, answer: Answer) -> bool:
        return answer[0] >= 400

    def act(self, account: Account) -> Outcome:
        raise NotImplementedError


@dataclass(frozen=True)
class Read(InSession):
    def only_reads(self, _: Answer) -> bool:
        return True


@dataclass(frozen=True)
class ListSessions(Read):
    def act(self, account: Account) -> Outcome:
        return (200, frozenset(dict(account.sessions))), account


@dataclass(frozen=True)
class EndSession(InSession):
    ended: int

    def act(self, account: Account) -> Outcome:
        if self.ended not in dict(account.sessions):
            return (404, None), account
        return (204, None), _end(account, self.ended)


@dataclass(frozen=True)
class EndOtherSessions(InSession):
    def act(self, account: Account) -> Outcome:
        return (204, None), _end_others(account, self.session)


@dataclass(frozen=True)
class ReadAccount(Read):
    def act(self, account: Account) -> Outcome:
        return (200, (account.name, account.email)), account


@dataclass(frozen=True)
class ChangePassword(InSession):
    password: str

    def act(self, account: Account) -> Outcome:
        changed = account._replace(password=self.password)
        return (200, (account.name, account.email)), _end_others(changed, self.session)


@dataclass(frozen=True)
class ChangeEmail(InSession):
    email: str

    def act(self, account: Account) -> Outcome:
        return (200, (account.name, self.email)), account._replace(email=self.email)


@dataclass(frozen=True)
class ChangeName(InSession):
    name: str

    def act(self, account: Account) -> Outcome:
        return (200, (self.name, account.email)), account._replace(name=self.name)


@dataclass(frozen=True)
class DeleteAccount(InSession):
    def act(self, _: Account) -> Outcome:
        return (204, None), DELETED


AccountOperation = LogIn | Refresh | Revoke | InSession


def _end(account: Account, number: int) -> Account:
    kept = {session for session in account.sessions if session[0] != number}
    return account._replace(sessions=frozenset(kept))


def _end_others(account: Account, number: int) -> Account:
    kept = {session for session in account.sessions if session[0] == number}
    return account._replace(sessions=frozenset(kept))
