"""The addresses of accounts, of which each has at most one owner, and the operations on them."""

from dataclasses import dataclass
from typing import NamedTuple

from tests.tools.linearizability.checker import Answer

UNAUTHORIZED: Answer = (401, None)
EMAIL_TAKEN: Answer = (409, None)


class Owners(NamedTuple):
    """The numbers of accounts by their addresses, which are in lower case."""

    pairs: frozenset[tuple[str, int]] = frozenset()

    def owner(self, email: str) -> int | None:
        return dict(self.pairs).get(email.lower())

    def email(self, account: int) -> str | None:
        return next((email for email, number in self.pairs if number == account), None)

    def give(self, account: int, email: str) -> "Owners":
        """Give an account this address instead of the one that it has."""
        return Owners(self.remove(account).pairs | {(email.lower(), account)})

    def remove(self, account: int) -> "Owners":
        return Owners(frozenset(pair for pair in self.pairs if pair[1] != account))


Outcome = tuple[Answer, Owners]


@dataclass(frozen=True)
class Register:
    account: int
    """The number of the new account."""
    email: str

    def apply(self, owners: Owners) -> Outcome:
        if owners.owner(self.email) is not None:
            return EMAIL_TAKEN, owners
        return (201, self.email.lower()), owners.give(self.account, self.email)

    def only_reads(self, answer: Answer) -> bool:
        return answer == EMAIL_TAKEN


@dataclass(frozen=True)
class LogInTo:
    """Log in with an address and the password of an account, which may have another address."""

    account: int
    email: str

    def apply(self, owners: Owners) -> Outcome:
        return (200 if owners.owner(self.email) == self.account else 400, None), owners

    def only_reads(self, _: Answer) -> bool:
        return True


@dataclass(frozen=True)
class ByAccount:
    """An operation with an access token of an account."""

    account: int

    def apply(self, owners: Owners) -> Outcome:
        if owners.email(self.account) is None:
            return UNAUTHORIZED, owners
        return self.act(owners)

    def only_reads(self, answer: Answer) -> bool:
        return answer[0] >= 400

    def act(self, owners: Owners) -> Outcome:
        raise NotImplementedError


@dataclass(frozen=True)
class LookAt(ByAccount):
    """Read the address of an account."""

    other: int

    def act(self, owners: Owners) -> Outcome:
        email = owners.email(self.other)
        return ((404, None) if email is None else (200, email)), owners

    def only_reads(self, _: Answer) -> bool:
        return True


@dataclass(frozen=True)
class ChangeAddress(ByAccount):
    email: str

    def act(self, owners: Owners) -> Outcome:
        if owners.owner(self.email) not in {None, self.account}:
            return EMAIL_TAKEN, owners
        return (200, self.email.lower()), owners.give(self.account, self.email)


@dataclass(frozen=True)
class CloseAccount(ByAccount):
    """Delete the account, which releases its address."""

    def act(self, owners: Owners) -> Outcome:
        return (204, None), owners.remove(self.account)


EmailOperation = Register | LogInTo | ByAccount
