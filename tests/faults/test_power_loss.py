"""After a power failure, SQLite has every acknowledged write and no half-done one, and the service
starts. The disk may have kept any part of the data that was not synchronized.
"""

import asyncio
import json
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from taskapi.app import create_app
from taskapi.database import migrations
from taskapi.settings import Settings
from tests.api import PASSWORD
from tests.client import Client as InProcess
from tests.faults.client import Client
from tests.faults.disk import Call, Disk, moments, read_trace, tracer
from tests.faults.service import LONG
from tests.requirements import require_programs
from tests.rows import fill_tasks, fill_users
from tests.server import FAST_HASHES, ROOT, free_port, wait_until_ready
from tests.waiting import HANG, wait_until

WRITERS = 16
ROUNDS = 20 if LONG else 4
IMAGES = 1000 if LONG else 60
CONTROL_IMAGES = 60
TASKS = 100
NEVER = sys.maxsize
STATUSES = ("новая", "в процессе", "завершена")

MARK = re.compile(rb"x-mark: (\S+)\r\n")


def content(mark: str) -> dict[str, str]:
    """All of a task follows from its mark."""
    return {"title": mark, "description": f"{mark} " * 500, "status": STATUSES[len(mark) % 3]}


@dataclass
class Request:
    """When it was received and answered, as lines of the trace."""

    state: str | None
    """The mark of the task afterwards; None if it is deleted."""
    received: int = NEVER
    acknowledged: int = NEVER


@dataclass
class Ledger:
    token: str = ""
    requests: dict[str, Request] = field(default_factory=dict)
    tasks: dict[int, list[Request]] = field(default_factory=dict)
    """The requests on each task, one after another. The first has the key that is its mark."""

    def request(self, mark: str, state: str | None) -> Request:
        self.requests[mark] = Request(state)
        return self.requests[mark]

    def see(self, calls: list[Call]) -> None:
        """Find the requests in the trace, by the mark in their heads."""
        current: dict[bytes, Request] = {}
        for call in sorted(calls, key=lambda call: call.began):
            if call.name == "recvfrom":
                connection, data = call.texts[:2]
                if found := MARK.search(data):
                    current[connection] = self.requests[found[1].decode()]
                    current[connection].received = call.ended
            elif call.name == "sendto":
                connection, data = call.texts[:2]
                if connection in current and data.startswith(b"HTTP/1.1 2"):
                    current.pop(connection).acknowledged = call.began


@contextmanager
def recorded(
    folder: Path, trace: Path, *command: str, **variables: str
) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **FAST_HASHES, **variables}
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            [*tracer(trace), sys.executable, "-m", *command],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(HANG)
        wait_until(lambda: has_ended(trace, process.pid))


def has_ended(trace: Path, pid: int) -> bool:
    """The end of a process comes after the ends of its threads and children."""
    with trace.open("rb") as file:
        file.seek(max(0, trace.stat().st_size - 10_000))
        return re.search(rb"(?m)^%d +\+\+\+ " % pid, file.read()) is not None


def record_service(
    folder: Path, trace: Path, ledger: Ledger, *options: str, fault: str = ""
) -> None:
    """Start the service for the first time, log in, write tasks, and stop it."""
    application = "tests.faults.unsafe:app" if fault else "taskapi.main:app"
    port = free_port()
    command = ["uvicorn", application, f"--port={port}", "--loop=asyncio", *options]
    with recorded(folder, trace, *command, FAULT=fault) as process:
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(url, process)
        register(url, ledger)
        asyncio.run(write_all(port, ledger))


def register(url: str, ledger: Ledger) -> None:
    user = {"name": "Anna", "email": "anna@example.com", "password": PASSWORD}
    form = {"grant_type": "password", "username": "anna@example.com", "password": PASSWORD}
    with httpx2.Client(base_url=url, timeout=HANG) as client:
        ledger.request("registration", None)
        client.post("/users", json=user, headers={"x-mark": "registration"}).raise_for_status()
        ledger.request("login", None)
        answer = client.post("/auth/token", data=form, headers={"x-mark": "login"})
        ledger.token = answer.raise_for_status().json()["access_token"]


async def write_all(port: int, ledger: Ledger) -> None:
    await asyncio.gather(*(write(port, number, ledger) for number in range(WRITERS)))


async def write(port: int, number: int, ledger: Ledger) -> None:
    """Create tasks, change most of them, and delete some."""
    client = Client(port, ledger.token)
    for count in range(ROUNDS):
        mark = f"{number}-{count}"
        history = [ledger.request(mark, mark)]
        answer = await client.request(
            "POST", "/tasks", content(mark), x_mark=mark, Idempotency_Key=mark
        )
        task_id = answer.json["id"]
        ledger.tasks[task_id] = history
        if count % 4:
            changed = f"{mark}-changed"
            history.append(ledger.request(changed, changed))
            answer = await client.request(
                "PUT", f"/tasks/{task_id}", content(changed), x_mark=changed
            )
            assert answer.status == 200
        if count % 4 == 3:
            history.append(ledger.request(f"{mark}-deleted", None))
            answer = await client.request("DELETE", f"/tasks/{task_id}", x_mark=f"{mark}-deleted")
            assert answer.status == 204
    client.close()


@dataclass
class Damage:
    lost: int = 0
    half_done: int = 0
    damaged: int = 0
    """Databases."""
    not_started: int = 0

    def look(self, folder: Path, ledger: Ledger, moment: int) -> None:
        """Start the service on an image, and compare it with what was acknowledged by then."""
        settings = Settings(
            database_url=f"sqlite:///{folder}/taskapi.db",
            password_hash_memory=32,
            password_hash_iterations=1,
        )
        headers = {"Authorization": f"Bearer {ledger.token}"}
        try:
            with InProcess(create_app(settings)) as client:
                assert client.get("/readyz").status_code == 200
                known = client.get("/users/me", headers=headers).status_code == 200
        except Exception as error:  # noqa: BLE001 -- any error counts as a failed start
            print(f"does not start: {error}")
            self.not_started += 1
            return
        self.lost += not known and ledger.requests["login"].acknowledged < moment
        try:
            self.read(folder, ledger, moment)
        except sqlite3.DatabaseError:
            self.damaged += 1

    def read(self, folder: Path, ledger: Ledger, moment: int) -> None:
        with closing(sqlite3.connect(folder / "taskapi.db")) as connection:
            connection.row_factory = sqlite3.Row
            found = connection.execute("PRAGMA integrity_check").fetchall()
            found += connection.execute("PRAGMA foreign_key_check").fetchall()
            self.damaged += [tuple(row) for row in found] != [("ok",)]
            self.lost += (
                not connection.execute("SELECT count(*) FROM users").fetchone()[0]
                and ledger.requests["registration"].acknowledged < moment
            )
            tasks = {row["id"]: row for row in connection.execute("SELECT * FROM tasks")}
            answers = connection.execute("SELECT key, answer FROM idempotent_answers")
            keys = {row["key"]: json.loads(row["answer"])["id"] for row in answers}
        self.compare(tasks, keys, ledger, moment)

    def compare(
        self, tasks: dict[int, sqlite3.Row], keys: dict[str, int], ledger: Ledger, moment: int
    ) -> None:
        for task_id, history in ledger.tasks.items():
            done = [request for request in history if request.acknowledged < moment]
            begun = [request for request in history[len(done) :] if request.received < moment]
            task, key = tasks.pop(task_id, None), keys.pop(str(history[0].state), None)
            stored = task["title"] if task else None
            allowed = {done[-1].state if done else None, *(request.state for request in begun)}
            self.lost += stored not in allowed
            if done:
                self.lost += key != task_id
            else:
                self.half_done += (key == task_id) != (stored is not None)
            if task:
                whole = content(task["title"])
                text = f"{whole['title']}\n{whole['description']}"
                self.half_done += {name: task[name] for name in whole} != whole
                self.half_done += task["search_text"] != text
        self.half_done += len(tasks) + len(keys)


@pytest.fixture
def images() -> Iterator[Path]:
    """A folder for one image after another, in memory if the system has such a place."""
    memory = Path("/dev/shm")  # noqa: S108 -- the folder gets a name of its own
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


Look = Callable[[Path, int], None]


def fail_power(
    calls: list[Call], disk: Disk, images: Path, count: int, look: Look, started: int = 0
) -> None:
    """Look at images of random moments, of which half are before the line `started`."""
    chance = random.Random(1)  # noqa: S311 -- no secret
    relevant = [
        (line, ended, call)
        for line, ended, call in moments(calls)
        if call.name == "sendto" or disk.concerns(call)
    ]
    early = sum(line < started for line, _, _ in relevant)
    spans = [range(early), range(early, len(relevant))] if early else [range(len(relevant))]
    chosen = Counter(chance.choice(chance.choice(spans)) for _ in range(count))
    for number, (line, ended, call) in enumerate(relevant):
        disk.see(call, ended=ended)
        for _ in range(chosen[number]):
            folder = Path(tempfile.mkdtemp(dir=images))
            disk.leave(folder, chance)
            look(folder, line)
            shutil.rmtree(folder)


def fail_power_of_service(
    tmp_path: Path, images: Path, count: int, *options: str, fault: str = ""
) -> tuple[Ledger, Damage]:
    require_programs("strace", install="apt-get install strace")
    folder, ledger, damage = tmp_path / "data", Ledger(), Damage()
    folder.mkdir()
    record_service(folder, tmp_path / "trace", ledger, *options, fault=fault)
    calls = read_trace(tmp_path / "trace")
    ledger.see(calls)
    unanswered = [mark for mark, known in ledger.requests.items() if known.acknowledged == NEVER]
    assert not unanswered
    started = ledger.requests["login"].acknowledged

    def look(image: Path, line: int) -> None:
        damage.look(image, ledger, line)

    fail_power(calls, Disk(folder), images, count, look, started)
    return ledger, damage


@pytest.mark.parametrize("workers", [1, 4] if LONG else [1])
def test_acknowledged_writes_survive_a_power_failure(
    tmp_path: Path, images: Path, workers: int
) -> None:
    """From the first start, through group commits and checkpoints, to the end."""
    options = (f"--workers={workers}",) if workers > 1 else ()
    ledger, damage = fail_power_of_service(tmp_path, images, IMAGES, *options)
    print(
        f"\n{workers} workers, {len(ledger.requests)} writes acknowledged, {IMAGES} power failures:"
        f" {damage.lost} lost, {damage.half_done} half done,"
        f" {damage.damaged} damaged, {damage.not_started} not started"
    )
    assert damage == Damage()


@pytest.mark.parametrize("fault", ["NORMAL", "OFF", "key"] if LONG else ["NORMAL"])
def test_a_service_that_does_not_synchronize_is_found(
    tmp_path: Path, images: Path, fault: str
) -> None:
    _, damage = fail_power_of_service(tmp_path, images, CONTROL_IMAGES, fault=fault)
    print(f"\ncontrol {fault}, {CONTROL_IMAGES} power failures: {damage}")
    assert damage.not_started if fault == "key" else damage.lost or damage.damaged


def test_a_backup_survives_a_power_failure(tmp_path: Path, images: Path) -> None:
    require_programs("strace", install="apt-get install strace")
    folder, trace, damage = tmp_path / "data", tmp_path / "trace", Damage()
    folder.mkdir()
    url = f"sqlite:///{folder}/taskapi.db"
    migrations.upgrade(url)
    fill_users(url, 1)
    fill_tasks(url, TASKS, "1")
    disk = Disk(folder)
    disk.add(folder / "taskapi.db")
    command = ("taskapi", "backup", "copy.db")
    with recorded(folder, trace, *command, TASKAPI_DATABASE_URL=url) as process:
        assert process.wait(HANG) == 0
    calls = read_trace(trace)
    [acknowledged] = [
        call.began for call in calls if call.name == "write" and call.texts[1].endswith(b" bytes")
    ]

    def look(image: Path, line: int) -> None:
        copy = image / "copy.db"
        damage.lost += count_tasks(image / "taskapi.db") != TASKS
        damage.lost += not copy.exists() and line > acknowledged
        damage.half_done += copy.exists() and count_tasks(copy) != TASKS

    fail_power(calls, disk, images, IMAGES, look)
    print(f"\nbackup, {IMAGES} power failures: {damage.lost} lost, {damage.half_done} half done")
    assert damage == Damage()


def count_tasks(database: Path) -> int | None:
    """Return None if the database is damaged."""
    with closing(sqlite3.connect(database)) as connection:
        try:
            if connection.execute("PRAGMA integrity_check").fetchone() != ("ok",):
                return None
            count: int = connection.execute("SELECT count(*) FROM tasks").fetchone()[0]
        except sqlite3.DatabaseError:
            return None
        return count
