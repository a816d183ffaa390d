import os
import uuid
from collections.abc import Iterator
from typing import cast

import httpx2
import pytest
from fastapi.testclient import TestClient

from tests.api import Api
from tests.waiting import HANG


@pytest.fixture
def client() -> Iterator[TestClient]:
    """A client of the balancer."""
    with httpx2.Client(base_url=f"http://{os.environ['PUBLISH']}", timeout=HANG) as client:
        yield cast("TestClient", client)  # which has the same methods, and no server in it


@pytest.fixture
def anna(client: TestClient) -> Api:
    return Api.register(client, f"{uuid.uuid4()}@example.com")
