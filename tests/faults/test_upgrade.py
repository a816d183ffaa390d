"""The last release is replaced by this version under load, one process after the other, on one
PostgreSQL database.
"""

import asyncio
import io
import re
import subprocess
import sys
import tarfile
import tomllib
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from fastapi.testclient import TestClient

from taskapi.database import migrations
from tests.api import PASSWORD, Api, log_in
from tests.databases import PostgreSQL, execute
from tests.faults.service import LONG, SETTINGS
from tests.requirements import missing, require_programs
from tests.server import ROOT, serve
from tests.waiting import HANG, wait_until

pytestmark = pytest.mark.database("postgresql")

RELEASE = "4722c25a45d3fa69698751537de5d44efecd61b3"
"""The commit of the last release, which is 1.0.0."""
CUSTOMERS = 3
ROUNDS = 10 if LONG else 1
"""What each customer does at least in each stage, from the registration to the deletion."""


def released_code(folder: Path) -> Path:
    """Unpack the code of the last release from the repository's history."""
    archive = git("archive", RELEASE, "taskapi", "alembic", "alembic.ini", "pyproject.toml")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
    return folder


def git(*arguments: str) -> bytes:
    program = require_programs("git", install="apt-get install git")
    finished = subprocess.run([program, "-C", ROOT, *arguments], capture_output=True, check=False)
    if finished.returncode:
        missing(f"commit {RELEASE}", install="git fetch --unshallow")
    return finished.stdout


@dataclass
class Process:
    """One place in the fleet, whose code can be replaced."""

    folder: Path
    settings: dict[str, str]
    url: str = ""
    under_way: int = 0
    """Requests."""
    _running: ExitStack = field(default_factory=ExitStack)

    def start(self, code: Path) -> None:
        serving = serve(self.folder, **self.settings, PYTHONPATH=str(code))
        self.url = self._running.enter_context(serving)

    def stop(self) -> None:
        self.url = ""
        wait_until(lambda: not self.under_way)
        self._running.close()

    @property
    def log(self) -> str:
        return (self.folder / "server.log").read_text()


@dataclass
class Fleet:
    """Gives the requests to its processes in turn, as a load balancer does."""

    processes: list[Process]
    statuses: Counter[int] = field(default_factory=Counter)
    unexpected: list[str] = field(default_factory=list)
    rounds: int = 0
    """How many customers have done everything."""
    _numbers: Iterator[int] = field(default_factory=count)

    @asynccontextmanager
    async def process(self) -> AsyncIterator[str]:
        ready = [process for process in self.processes if process.url]
        process = ready[next(self._numbers) % len(ready)]
        process.under_way += 1
        try:
            yield process.url
        finally:
            process.under_way -= 1

    def replace(self, process: Process, code: Path) -> None:
        process.stop()
        process.start(code)

    def wait_for_rounds(self) -> None:
        """Wait until each customer has done everything at least once, on average."""
        end = self.rounds + (ROUNDS + 1) * CUSTOMERS
        wait_until(lambda: self.rounds >= end or self.unexpected)


@dataclass
class Customer:
    fleet: Fleet
    client: httpx2.AsyncClient
    email: str
    token: str = ""

    async def send(
        self,
        expected: int,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        **rest: Any,
    ) -> httpx2.Response:
        login = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        async with self.fleet.process() as url:
            answer = await self.client.request(
                method, f"{url}{path}", headers=login | (headers or {}), **rest
            )
        self.fleet.statuses[answer.status_code] += 1
        if answer.status_code != expected:
            self.fleet.unexpected.append(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer

    def check(self, what: str, *, holds: bool) -> None:
        if not holds:
            self.fleet.unexpected.append(what)

    async def do_everything(self) -> None:
        """Each request goes to the next process, so that each sees what the other one wrote."""
        user = {"name": "Anna", "email": self.email, "password": PASSWORD}
        user_id = (await self.send(201, "POST", "/users", json=user)).json()["id"]
        await self.send(409, "POST", "/users", json=user)
        form = {"grant_type": "password", "username": self.email, "password": PASSWORD}
        tokens = (await self.send(200, "POST", "/auth/token", data=form)).json()
        self.token = tokens["access_token"]
        await self.write_tasks()
        form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
        first = (await self.send(200, "POST", "/auth/token", data=form)).json()
        again = (await self.send(200, "POST", "/auth/token", data=form)).json()
        self.check("one successor", holds=first["refresh_token"] == again["refresh_token"])
        self.token = first["access_token"]
        sessions = await self.send(200, "GET", "/auth/sessions")
        self.check("one session", holds=len(sessions.json()) == 1)
        for name in ("Anna K.", "Anna L."):
            changed = await self.send(200, "PATCH", f"/users/{user_id}", json={"name": name})
            read = await self.send(200, "GET", "/users/me")
            self.check("the name", holds=changed.json() == read.json())
        await self.send(204, "DELETE", f"/users/{user_id}")
        await self.send(401, "GET", "/users/me")
        self.token = ""

    async def write_tasks(self) -> None:
        key = {"Idempotency-Key": self.email}
        new = {"title": "Купить хлеб", "description": "Ржаной"}
        created = await self.send(201, "POST", "/tasks", key, json=new)
        again = await self.send(201, "POST", "/tasks", key, json=new)
        self.check("one task", holds=created.json() == again.json())
        path = created.headers["Location"]
        for title in ("Купить молоко", "Лечь спать"):
            await self.send(201, "POST", "/tasks", json={"title": title})
        etag = (await self.send(200, "GET", path)).headers["ETag"]
        await self.send(304, "GET", path, {"If-None-Match": etag})
        for status in ("в процессе", "завершена"):
            change = {"status": status}
            changed = await self.send(200, "PATCH", path, {"If-Match": etag}, json=change)
            await self.send(412, "PATCH", path, {"If-Match": etag}, json=change)
            etag = changed.headers["ETag"]
            replaced = await self.send(200, "PUT", path, json={**new, "status": "новая"})
            self.check("a new ETag", holds=replaced.headers["ETag"] != etag)
            etag = replaced.headers["ETag"]
        found = await self.send(200, "GET", "/tasks", params={"q": "КУПИТЬ", "total": "true"})
        self.check("what is found", holds=found.headers["X-Total-Count"] == "2")
        page = await self.send(200, "GET", "/tasks?sort=title&limit=1")
        titles = [page.json()[0]["title"]]
        while next_page := page.links.get("next", {}).get("url"):
            page = await self.send(200, "GET", str(httpx2.URL(next_page).raw_path, "ascii"))
            titles.append(page.json()[0]["title"])
        self.check("pages", holds=titles == ["Купить молоко", "Купить хлеб", "Лечь спать"])
        await self.send(204, "DELETE", path)
        await self.send(404, "GET", path)


async def visit(
    fleet: Fleet, client: httpx2.AsyncClient, number: int, ended: asyncio.Event
) -> None:
    for turn in count():
        if ended.is_set() or fleet.unexpected:
            return
        await Customer(fleet, client, f"{number}-{turn}@example.com").do_everything()
        fleet.rounds += 1


async def upgrade_under_load(fleet: Fleet, url: str, released: Path) -> None:
    ended = asyncio.Event()
    async with httpx2.AsyncClient(timeout=HANG) as client:
        load = [asyncio.create_task(visit(fleet, client, n, ended)) for n in range(CUSTOMERS)]
        try:
            await asyncio.to_thread(upgrade, fleet, url, released)
        finally:
            ended.set()
            await asyncio.gather(*load)


def upgrade(fleet: Fleet, url: str, released: Path) -> None:
    """Upgrade the schema and each process, and go back with one of them."""
    first, second = fleet.processes
    fleet.wait_for_rounds()
    migrations.upgrade(url)
    fleet.wait_for_rounds()
    for process, code in ((first, ROOT), (second, ROOT), (first, released)):
        fleet.replace(process, code)
        fleet.wait_for_rounds()


def check_writes_of_the_released_code(old: TestClient, new: TestClient) -> None:
    """What 2.0 stores otherwise than 1.0: e-mail keys, versions of users, and texts with ё."""
    user = {"name": "Анна", "email": "Άννας@example.gr", "password": PASSWORD}
    user_id = old.post("/users", json=user).json()["id"]
    path = f"/users/{user_id}"
    anna = Api(old, user_id, user["email"], log_in(new, "άννασ@example.gr"))
    anna.create_task("Ёлка")
    anna.client = new
    assert [task["title"] for task in anna.get("/tasks?q=елка").json()] == ["Ёлка"]
    etag = anna.get(path).headers["ETag"]
    anna.client = old
    assert anna.patch(path, json={"name": "Anna"}).status_code == 200
    anna.client = new
    assert anna.get(path, headers={"If-None-Match": etag}).json()["name"] == "Anna"


def test_the_released_code_is_that_of_the_last_release(tmp_path: Path) -> None:
    released = tomllib.loads((released_code(tmp_path) / "pyproject.toml").read_text())
    versions = re.findall(r"(?m)^## (\S+) - \d", (ROOT / "docs/CHANGELOG.md").read_text())
    assert released["project"]["version"] == versions[0]


def test_an_upgrade_fails_no_request(postgresql: PostgreSQL, tmp_path: Path) -> None:
    released = released_code(tmp_path / "released")
    url = postgresql.create_database("template0")
    settings = {**SETTINGS, "TASKAPI_DATABASE_URL": url}
    subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "head"],
        cwd=released,
        env={**settings, "PYTHONPATH": str(released)},
        capture_output=True,
        check=True,
    )
    processes = [Process(tmp_path / name, settings) for name in ("first", "second")]
    fleet = Fleet(processes)
    try:
        for process in processes:
            process.folder.mkdir()
            process.start(released)
        asyncio.run(upgrade_under_load(fleet, url, released))
        rows = execute(url, "SELECT count(*) FROM users")
        with ExitStack() as stack:
            clients = [
                stack.enter_context(httpx2.Client(base_url=process.url, timeout=HANG))
                for process in processes
            ]
            check_writes_of_the_released_code(*(cast("TestClient", each) for each in clients))
    finally:
        for process in processes:
            process.stop()
    print(
        f"\nupgrade among {CUSTOMERS} clients: {fleet.rounds} rounds, {dict(fleet.statuses)},"
        f" {len(fleet.unexpected)} of them unexpected"
    )
    assert fleet.unexpected == []
    assert rows == [(0,)]
    assert [process.log.count("Traceback") for process in processes] == [0, 0]
