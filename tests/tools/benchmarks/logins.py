"""What logins cost: whether their time tells which e-mails exist, and how they slow others down.

Starts the service with its default password hashes on a free port of the loopback interface, and
prints ratios of what was measured side by side in one run, which takes about a minute. The logins
come from a process of their own, so that they don't slow down the clock.
"""

import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx2

from taskapi.settings import Settings
from tests.api import PASSWORD
from tests.server import serve

ROUNDS = 40
PROBES = 1000
LOGINS = 32
DEFAULTS = Settings.model_fields
UNLIMITED = {
    "TASKAPI_LOGIN_LIMIT": "",
    "TASKAPI_LOGIN_ACCOUNT_LIMIT": "",
    "TASKAPI_LOGIN_ADDRESS_LIMIT": "",
    "TASKAPI_PASSWORD_HASH_MEMORY": str(DEFAULTS["password_hash_memory"].default),
    "TASKAPI_PASSWORD_HASH_ITERATIONS": str(DEFAULTS["password_hash_iterations"].default),
}


def log_in(client: httpx2.Client, email: str, password: str = PASSWORD) -> httpx2.Response:
    form = {"grant_type": "password", "username": email, "password": password}
    return client.post("/auth/token", data=form)


def compare_failures(client: httpx2.Client) -> None:
    times: dict[str, list[float]] = {"0@example.com": [], "nobody@example.com": []}
    for _ in range(ROUNDS):
        for email, measured in times.items():
            started = time.perf_counter()
            assert log_in(client, email, "wrong password").status_code == 400
            measured.append((time.perf_counter() - started) * 1000)
    wrong, unknown = map(statistics.median, times.values())
    print(
        f"median of {ROUNDS}: wrong password {wrong:.1f} ms, unknown e-mail {unknown:.1f} ms, "
        f"ratio {unknown / wrong:.3f}"
    )


def log_in_for_ever(url: str) -> None:
    with httpx2.Client(base_url=url, timeout=60) as client, ThreadPoolExecutor(LOGINS) as pool:

        def run(number: int) -> None:
            while True:
                assert log_in(client, f"{number}@example.com").status_code == 200

        list(pool.map(run, range(LOGINS)))


@contextmanager
def logins(url: str) -> Iterator[None]:
    """So many at a time that one always follows another."""
    process = multiprocessing.get_context("spawn").Process(target=log_in_for_ever, args=(url,))
    process.start()
    time.sleep(3)
    try:
        assert process.is_alive()
        yield
    finally:
        process.kill()
        process.join()


def probe(client: httpx2.Client, path: str) -> float:
    """The 99th percentile of requests one after another, in milliseconds."""
    times = []
    for _ in range(PROBES):
        started = time.perf_counter()
        assert client.get(path).status_code == 200
        times.append((time.perf_counter() - started) * 1000)
        time.sleep(0.005)
    return statistics.quantiles(times, n=100)[98]


def compare_others(client: httpx2.Client, url: str, path: str) -> None:
    alone = probe(client, path)
    with logins(url):
        beside = probe(client, path)
    print(
        f"p99 of {PROBES} GET {path}: alone {alone:.1f} ms, beside {LOGINS} logins at a time "
        f"{beside:.1f} ms, ratio {beside / alone:.1f}"
    )


def measure(url: str) -> None:
    with httpx2.Client(base_url=url, timeout=60) as client:
        for number in range(LOGINS):
            user = {"name": "x", "email": f"{number}@example.com", "password": PASSWORD}
            assert client.post("/users", json=user).status_code == 201
        token = log_in(client, "0@example.com").json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        compare_failures(client)
        for path in ("/livez", "/tasks"):
            compare_others(client, url, path)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder), **UNLIMITED) as server:
        measure(server)
