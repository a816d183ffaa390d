"""The three steps by which docs/operations.md replaces a signing key. In each, a process that has
been restarted and one that has not, here two applications of one database, serve the same clients.
"""

from collections.abc import Callable
from itertools import permutations
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from taskapi.database.timeouts import max_repeat_delay
from taskapi.settings import Settings
from tests.api import Api, refresh, request_token
from tests.clock import Clock

pytestmark = pytest.mark.one_database

Start = Callable[[Settings], TestClient]

OLD, NEW = SecretStr("the old key" * 3), SecretStr("the new key" * 3)
STEPS = [((OLD,), (OLD, NEW)), ((OLD, NEW), (NEW, OLD)), ((NEW, OLD), (NEW,))]


class Session:
    """A session whose client goes to either of two processes, and repeats each refresh."""

    def __init__(self, tokens: dict[str, Any]) -> None:
        self.tokens = tokens
        self.former_refresh_token: str | None = None

    def use(self, client: TestClient) -> None:
        headers = {"Authorization": f"Bearer {self.tokens['access_token']}"}
        assert client.get("/users/me", headers=headers).status_code == 200

    def refresh(self, client: TestClient) -> None:
        self.former_refresh_token = self.tokens["refresh_token"]
        answer = refresh(client, self.former_refresh_token)
        assert answer.status_code == 200
        self.tokens = answer.json()

    def repeat_refresh(self, client: TestClient) -> None:
        """Do as if the answer had been lost."""
        assert self.former_refresh_token
        repeated = refresh(client, self.former_refresh_token).json()
        assert repeated["refresh_token"] == self.tokens["refresh_token"]
        self.tokens = repeated


def test_a_key_is_replaced_in_three_steps_without_ending_a_session(
    clock: Clock, start: Start, settings: Settings
) -> None:
    """Failed with two steps, of which the first was `old` and `new,old`."""
    sessions: list[Session] = []
    email = ""
    for step, keys_of_processes in enumerate(STEPS):
        processes = [
            start(settings.model_copy(update={"secret_keys": keys})) for keys in keys_of_processes
        ]
        if step == 0:
            email = Api.register(processes[0], "anna@example.com").email
        if step == 2:
            wait_as_documented(clock, settings)
        for session in sessions:
            for process in processes if step < 2 else []:  # their lifetimes have passed
                session.use(process)
                session.repeat_refresh(process)
        sessions += [Session(request_token(process, email).json()) for process in processes]
        for session in sessions:
            for one, other in permutations(processes):
                session.refresh(one)
                session.use(other)
                session.repeat_refresh(other)
                session.use(one)
    assert len(sessions) == 6


def wait_as_documented(clock: Clock, settings: Settings) -> None:
    """Let the lifetime of access tokens and the grace period pass."""
    delay = max_repeat_delay(settings.database_statement_timeout)
    clock.advance(seconds=max(settings.access_token_lifetime, settings.refresh_token_grace + delay))


def test_a_key_that_signs_must_be_known_to_all_processes(start: Start, settings: Settings) -> None:
    """It is why the first step is there."""
    old = start(settings.model_copy(update={"secret_keys": (OLD,)}))
    new = start(settings.model_copy(update={"secret_keys": (NEW, OLD)}))
    anna = Api.register(new, "anna@example.com")
    anna.client = old
    assert anna.get("/users/me").status_code == 401
