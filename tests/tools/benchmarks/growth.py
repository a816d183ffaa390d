"""What a request costs as the tables grow: `python -m tests.tools.benchmarks.growth`.

One user has a tenth of all tasks, once spread among those of the others and once older than all of
theirs. Prints medians in milliseconds, and how they compare with those of the smallest table.
"""

import argparse
import http.client
import json
import secrets
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import quote, urlsplit

from taskapi.database import migrations
from tests.api import PASSWORD
from tests.databases import PostgreSQL
from tests.rows import fill_tasks, fill_users
from tests.server import serve

SIZES = (1_000, 100_000, 1_000_000)
OWNERS = {
    "spread": "CASE WHEN n % 10 = 0 THEN 1 ELSE n % 100 + 2 END",
    "oldest": "CASE WHEN n <= {tenth} THEN 1 ELSE n % 100 + 2 END",
}
OTHERS = 100
REPEATS = 300
SLOW = 0.05
"""Seconds above which a request is repeated a few times only."""

LIST = "/tasks?limit=20"
NEVER = quote("нет такого")
REQUESTS = {
    "a task": "",
    "a page": LIST,
    "a page, latest first": f"{LIST}&sort=-id",
    "a page by title": f"{LIST}&sort=title",
    "a page, last changed first": f"{LIST}&sort=-updated_at",
    "a page of one status": f"{LIST}&status={quote('завершена')}",
    "a search that finds much": f"{LIST}&q=title",
    "a search that finds nothing": f"{LIST}&q={NEVER}",
    "the total": f"{LIST}&total=true",
}


class Client:
    """One connection, without the cost of a comfortable client."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc)
        self._headers: dict[str, str] = {}

    def request(self, method: str, path: str, body: Mapping[str, str] | None = None) -> bytes:
        headers = self._headers | ({"Content-Type": "application/json"} if body else {})
        self._connection.request(method, path, json.dumps(body) if body else None, headers)
        answer = self._connection.getresponse()
        content = answer.read()
        assert answer.status < 300, content
        return content

    def log_in(self) -> None:
        form = f"grant_type=password&username=anna%40example.com&password={quote(PASSWORD)}"
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        self._connection.request("POST", "/auth/token", form, headers)
        token = json.loads(self._connection.getresponse().read())["access_token"]
        self._headers = {"Authorization": f"Bearer {token}"}


def median(request: Callable[[], object]) -> float:
    """In milliseconds."""
    times: list[float] = []
    while len(times) < REPEATS and sum(times) < SLOW * REPEATS:
        started = time.perf_counter()
        request()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1000


def measure(url: str, size: int, owner: str) -> dict[str, float]:
    """Fill an empty database, and time each request."""
    variables = {"TASKAPI_DATABASE_URL": url, "TASKAPI_SECRET_KEYS": secrets.token_hex()}
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder), **variables) as service:
        user = {"name": "Anna", "email": "anna@example.com", "password": PASSWORD}
        Client(service).request("POST", "/users", user)
        fill_users(url, OTHERS)
        fill_tasks(url, size, owner.format(tenth=size // 10))
        client = Client(service)
        client.log_in()
        times = {
            name: median(partial(client.request, "GET", path or f"/tasks/{size // 10}"))
            for name, path in REQUESTS.items()
        }
        return times | {"a login": median(client.log_in)}


@contextmanager
def databases(system: str) -> Iterator[Callable[[], str]]:
    """Yields what makes an empty database, with the schema in it, and returns its URL."""
    if system == "postgresql":
        with closing(PostgreSQL()) as server:
            yield server.create_database
        return
    with tempfile.TemporaryDirectory() as folder:

        def create() -> str:
            url = f"sqlite:///{tempfile.mkdtemp(dir=folder)}/taskapi.db"
            migrations.upgrade(url)
            return url

        yield create


def table(times: Sequence[Mapping[str, float]]) -> Iterator[str]:
    """Lines of Markdown: the time with the smallest table, and how many times it takes longer."""
    yield "| | " + " | ".join(f"{size:,} tasks" for size in SIZES[: len(times)]) + " |"
    yield "|---|" + "---|" * len(times)
    for name, first in times[0].items():
        ratios = [f"{later[name] / first:.2f}" for later in times[1:]]
        yield " | ".join([f"| {name}", f"{first:.2f} ms", *ratios]) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.tools.benchmarks.growth", description=__doc__
    )
    parser.add_argument("--sizes", type=int, default=len(SIZES), help="how many of the sizes")
    sizes = SIZES[: parser.parse_args().sizes]
    for system in ("sqlite", "postgresql"):
        with databases(system) as create:
            for placement, owner in OWNERS.items():
                times = [measure(create(), size, owner) for size in sizes]
                print(f"\n{system}, the user's tasks {placement}:\n", *table(times), sep="\n")


if __name__ == "__main__":
    main()
