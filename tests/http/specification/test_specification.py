"""The service answers as `model.py` says, whatever is asked.

By default the requests are the same each time; `SPECIFICATION_EXAMPLES=100` sends many random ones.
"""

import os
from collections.abc import Iterator
from contextlib import closing

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase
from hypothesis import settings as profile
from hypothesis.stateful import run_state_machine_as_test

from taskapi import models
from taskapi.settings import Settings
from tests.http.specification.machine import Machine, StillClock
from tests.http.specification.model import SESSION_MAX_AGE
from tests.shared import SharedDatabase

pytestmark = pytest.mark.own_database

EXAMPLES = int(os.environ.get("SPECIFICATION_EXAMPLES", "0"))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> StillClock:
    clock = StillClock()
    monkeypatch.setattr(models, "datetime", clock)
    return clock


@pytest.fixture
def settings(settings: Settings) -> Settings:
    unlimited = dict.fromkeys(
        ["login_limit", "login_account_limit", "login_address_limit", "registration_limit"], ""
    )
    max_age = int(SESSION_MAX_AGE.total_seconds())
    return settings.model_copy(update={**unlimited, "session_max_age": max_age})


@pytest.fixture
def database(database_url: str) -> Iterator[SharedDatabase]:
    with closing(SharedDatabase(database_url)) as database:
        yield database


def test_the_service_does_what_the_model_does(
    client: TestClient, database: SharedDatabase, clock: StillClock
) -> None:
    run_state_machine_as_test(
        lambda: Machine(client, database, clock),
        settings=profile(
            max_examples=EXAMPLES or 10,
            stateful_step_count=50,
            derandomize=not EXAMPLES,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    print(Machine.requests)
