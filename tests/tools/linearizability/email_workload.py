"""Clients of several accounts, which want the same few addresses."""

from collections.abc import Callable
from functools import partial
from random import Random

import httpx2
import jwt

from tests.api import PASSWORD
from tests.tools.linearizability.checker import Answer
from tests.tools.linearizability.emails import (
    ByAccount,
    ChangeAddress,
    CloseAccount,
    EmailOperation,
    LogInTo,
    LookAt,
    Owners,
    Register,
)
from tests.tools.linearizability.workload import Workload

FIRST_ACCOUNTS = 6
ADDRESSES = 4


class EmailWorkload(Workload[Owners, EmailOperation]):
    def __init__(self, random: Random, name: str) -> None:
        """`name` is a part of all addresses."""
        super().__init__(random, Owners())
        self._name = name
        self._ids: dict[int, int] = {}
        """The ids by the numbers of the accounts."""
        self._tokens: dict[int, str] = {}
        self._closed: set[int] = set()
        self._wanted: dict[int, str] = {}
        """The address that each account, by its number, was last known to want."""
        make: dict[Callable[[], EmailOperation], int] = {
            self._register: 4,
            self._log_in: 4,
            self._look: 3,
            self._change: 6,
            lambda: CloseAccount(self._account()): 1,
        }
        self._make = list(make)
        self._weights = list(make.values())

    async def prepare(self, client: httpx2.AsyncClient) -> None:
        for _ in range(FIRST_ACCOUNTS):
            await self.succeed(client, self._register_own)
        for number in list(self._ids):
            await self.succeed(client, partial(LogInTo, number, self._own_address(number)))

    def choose(self) -> EmailOperation:
        if not self._open():
            return self._register() if self.random.random() < 0.5 else self._log_in()
        (make,) = self.random.choices(self._make, self._weights)
        return make()

    def learn(self, operation: EmailOperation, status: int) -> None:
        if isinstance(operation, Register | ChangeAddress) and status in {0, 200, 201}:
            self._wanted[operation.account] = operation.email
        if isinstance(operation, ByAccount) and status in {204, 401}:
            self._closed.add(operation.account)

    async def send(self, client: httpx2.AsyncClient, operation: EmailOperation) -> httpx2.Response:
        match operation:
            case Register(number, email):
                user = {"name": "Anna", "email": email, "password": _password(number)}
                return await client.post("/users", json=user)
            case LogInTo(number, email):
                form = {"grant_type": "password", "username": email, "password": _password(number)}
                return await client.post("/auth/token", data=form)
        headers = {"Authorization": f"Bearer {self._tokens[operation.account]}"}
        match operation:
            case LookAt(_, other):
                return await client.get(f"/users/{self._ids[other]}", headers=headers)
            case ChangeAddress(number, email):
                path, body = f"/users/{self._ids[number]}", {"email": email}
                return await client.patch(path, json=body, headers=headers)
        return await client.delete(f"/users/{self._ids[operation.account]}", headers=headers)

    def read(self, operation: EmailOperation, response: httpx2.Response) -> Answer:
        status = response.status_code
        if status not in {200, 201}:
            return status, None
        content = response.json()
        if isinstance(operation, LogInTo):
            token = self._tokens[operation.account] = content["access_token"]
            claims = jwt.decode(token, options={"verify_signature": False})
            self._ids[operation.account] = int(claims["sub"])
            return status, None
        if isinstance(operation, Register):
            self._ids[operation.account] = content["id"]
        return status, content["email"].lower()

    def _open(self) -> list[int]:
        return [number for number in self._tokens if number not in self._closed]

    def _account(self) -> int:
        """Seldom one that is closed."""
        if self.random.random() < 0.1:
            return self.random.choice(list(self._tokens))
        return self.random.choice(self._open())

    def _register_own(self) -> Register:
        number = next(self.numbers)
        return Register(number, self._own_address(number))

    def _register(self) -> Register:
        return Register(next(self.numbers), self._address())

    def _log_in(self) -> LogInTo:
        """Mostly with the address that the account is known to have, or wants."""
        number = self.random.choice(list(self._wanted)[-8:])
        wanted = self.random.random() < 0.8
        return LogInTo(number, self._wanted[number] if wanted else self._address())

    def _look(self) -> LookAt:
        return LookAt(self._account(), self.random.choice(list(self._ids)[-8:]))

    def _change(self) -> ChangeAddress:
        """Often to an address of its own, which releases the other."""
        number = self._account()
        email = self._own_address(number) if self.random.random() < 0.5 else self._address()
        return ChangeAddress(number, email)

    def _address(self) -> str:
        """Return one that all want, in one of its spellings."""
        email = f"{self._name}.pool{self.random.randrange(ADDRESSES)}@example.com"
        return self.random.choice((email, email.upper()))

    def _own_address(self, number: int) -> str:
        return f"{self._name}.own{number}@example.com"


def _password(number: int) -> str:
    return f"{PASSWORD} {number}"
