"""The service answers sequences of random requests as `model.py` says.

By default the requests are the same each time; `SPECIFICATION_EXAMPLES=500` sends many random ones,
and plants all faults.
"""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase
from hypothesis import settings as profile
from hypothesis.stateful import run_state_machine_as_test

from taskapi import models
from taskapi.settings import Settings
from tests.http.specification.faults import FAULTS
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


def run(create: Any, **options: Any) -> None:
    run_state_machine_as_test(
        create,
        settings=profile(
            stateful_step_count=50,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            **options,
        ),
    )


@pytest.fixture
def create(
    client: TestClient, database: SharedDatabase, clock: StillClock
) -> Callable[[], Machine]:
    logging.getLogger("taskapi").setLevel(logging.ERROR)
    Machine.requests = 0
    return lambda: Machine(client, database, clock)


def test_the_service_does_what_the_model_does(create: Callable[[], Machine]) -> None:
    run(create, max_examples=EXAMPLES or 20, derandomize=not EXAMPLES)
    print(f"{Machine.requests} requests are answered as the model says")


@pytest.mark.one_database
@pytest.mark.parametrize(
    "fault", FAULTS if EXAMPLES else FAULTS[:4], ids=lambda fault: fault.__name__
)
def test_faults_are_found(
    create: Callable[[], Machine],
    fault: Callable[[pytest.MonkeyPatch], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fault(monkeypatch)
    with pytest.raises(AssertionError):
        run(create, max_examples=300, derandomize=True, phases=[Phase.generate])
    print(f"{fault.__name__}: found by request {Machine.requests}")
