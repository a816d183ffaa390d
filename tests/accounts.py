"""Accounts that are registered through the service once, and whose rows are written again later."""

import time
from dataclasses import dataclass, field, replace

from fastapi.testclient import TestClient

from tests.api import Api
from tests.shared import Row, SharedDatabase

MAX_AGE = 60  # seconds; some operations ask for a recent login


@dataclass
class Account:
    api: Api
    rows: list[Row]
    logged_in: float


@dataclass
class Accounts:
    _known: dict[tuple[str, str], Account] = field(default_factory=dict)

    def get(self, client: TestClient, database: SharedDatabase | None, email: str) -> Api:
        """Return an account that has logged in. Its id is the same each time.

        It is a new one where no database is given, or where the login is too long ago.
        """
        if database is None:
            return Api.register(client, email)
        known = self._known.get((database.url, email))
        if known and time.monotonic() - known.logged_in < MAX_AGE:
            database.add(known.rows)
            return replace(known.api, client=client)
        logged_in = time.monotonic()
        before = database.read()
        api = Api.register(client, email)
        rows = [row for row in database.read() if row not in before]
        self._known[database.url, email] = Account(api, rows, logged_in)
        return replace(api)
