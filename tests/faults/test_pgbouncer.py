"""PgBouncer in transaction mode, which hands each transaction to another server connection."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from taskapi.settings import Settings
from tests.api import Api, check_problem
from tests.requirements import require_programs
from tests.waiting import HANG, wait_until

pytestmark = [pytest.mark.database("postgresql"), pytest.mark.own_database]

CONFIGURATION = """
[databases]
* = host={sockets} user=postgres
[pgbouncer]
pool_mode = transaction
default_pool_size = 3
auth_type = any
listen_addr =
unix_socket_dir = {folder}
"""


@contextmanager
def run_pgbouncer(url: str) -> Iterator[str]:
    """Yields the URL of the same database through the pooler."""
    require_programs("pgbouncer", install="apt-get install pgbouncer")
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    file = folder / "pgbouncer.ini"
    file.write_text(CONFIGURATION.format(sockets=url.rpartition("?host=")[2], folder=folder))
    command = ["pgbouncer", "--quiet", str(file)]
    process = subprocess.Popen(command, user="nobody" if os.geteuid() == 0 else None)
    pooled = f"{url.partition('?')[0].replace('//postgres@', '//someone@')}?host={folder}&port=6432"
    try:
        wait_until((folder / ".s.PGSQL.6432").exists)
        yield pooled
    finally:
        process.terminate()
        process.wait(HANG)
        shutil.rmtree(folder)


@pytest.fixture
def pooled(settings: Settings) -> Iterator[Settings]:
    with run_pgbouncer(settings.database_url) as url:
        yield settings.model_copy(
            update={"database_url": url, "database_transaction_pooling": True}
        )


def test_the_service_works_through_pgbouncer(
    start: Callable[[Settings], TestClient], pooled: Settings
) -> None:
    anna = Api.register(start(pooled), "anna@example.com")

    def work(number: int) -> None:
        task = anna.create_task(str(number))
        path = f"/tasks/{task['id']}"
        assert anna.patch(path, json={"status": "завершена"}).json()["title"] == str(number)
        assert anna.get("/tasks?limit=1").status_code == 200
        assert anna.delete(path).status_code == 204

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(60)))
    assert anna.get("/tasks").json() == []


def test_transaction_pooling_needs_its_setting(
    start: Callable[[Settings], TestClient], pooled: Settings
) -> None:
    client = start(pooled.model_copy(update={"database_transaction_pooling": False}))
    check_problem(client.get("/readyz"), 503, "unavailable")
