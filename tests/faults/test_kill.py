"""The service is killed at random moments while many clients write. Acknowledged writes are kept;
others are done completely or not at all.
"""

import asyncio
import json
import random
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import pytest

from taskapi.database.engines import database_file
from tests.databases import execute
from tests.faults.client import LOST, Client
from tests.faults.service import LONG, Service
from tests.waiting import wait_until

pytestmark = pytest.mark.own_database

KILLS = 100 if LONG else 5
WRITERS = 32
MOST_ANSWERS = 8 * WRITERS
"""Between two kills; how many there are is left to chance."""
CHANCE = random.Random()  # noqa: S311 -- no secret
STATUSES = ("новая", "в процессе", "завершена")


def content(mark: str) -> dict[str, str]:
    """All of a task follows from its mark, so that one of two requests' halves is noticed."""
    return {"title": mark, "description": f"{mark} " * 50, "status": STATUSES[len(mark) % 3]}


@dataclass
class Ledger:
    """What the clients know: marks by the tasks' ids, as they were acknowledged, and what was asked
    for and not answered. A mark of None is a task that is gone.
    """

    tasks: dict[int, str | None] = field(default_factory=dict)
    unanswered: dict[int, str | None] = field(default_factory=dict)
    uncreated: dict[str, bool] = field(default_factory=dict)
    """Marks of tasks to be created, and whether with an idempotency key, which is the mark."""
    keys: dict[str, int] = field(default_factory=dict)
    """Ids by the keys that they were created with since the last kill."""
    acknowledged: int = 0
    refused: int = 0

    @property
    def answers(self) -> int:
        return self.acknowledged + self.refused

    def answered(self, status: int) -> bool:
        done = status in {200, 201, 204}
        self.acknowledged += done
        self.refused += not done
        return done


async def write(number: int, service: Service, token: str, ledger: Ledger) -> None:
    """Create, change and delete tasks of one's own until the service is gone."""
    client = Client(service.port, token)
    own: list[int] = []
    try:
        while True:
            mark = f"{number}-{CHANCE.getrandbits(64):x}"
            what = CHANCE.random()
            if own and what < 0.4:
                task_id = CHANCE.choice(own)
                ledger.unanswered[task_id] = mark
                answer = await client.request("PUT", f"/tasks/{task_id}", content(mark))
                if ledger.answered(answer.status):
                    ledger.tasks[task_id] = ledger.unanswered.pop(task_id)
            elif own and what < 0.6:
                task_id = own.pop(CHANCE.randrange(len(own)))
                ledger.unanswered[task_id] = None
                answer = await client.request("DELETE", f"/tasks/{task_id}")
                if ledger.answered(answer.status):
                    ledger.tasks[task_id] = ledger.unanswered.pop(task_id)
            else:
                keyed = what < 0.8
                ledger.uncreated[mark] = keyed
                key = {"Idempotency_Key": mark} if keyed else {}
                answer = await client.request("POST", "/tasks", content(mark), **key)
                if ledger.answered(answer.status):
                    own.append(answer.json["id"])
                    ledger.tasks[own[-1]] = mark
                    del ledger.uncreated[mark]
                    if keyed:
                        ledger.keys[mark] = own[-1]
    except LOST:
        client.close()


async def write_until_killed(service: Service, token: str, ledger: Ledger) -> None:
    writers = [
        asyncio.create_task(write(number, service, token, ledger)) for number in range(WRITERS)
    ]
    answers = ledger.answers + CHANCE.randint(1, MOST_ANSWERS)
    await asyncio.to_thread(wait_until, lambda: ledger.answers >= answers)
    service.kill()
    await asyncio.gather(*writers)


@dataclass
class Damage:
    lost: int = 0
    resurrected: int = 0
    half_done: int = 0

    def look(self, url: str, ledger: Ledger) -> None:
        """Compare the database with what the clients know."""
        stored = {row.id: row for row in execute(url, "SELECT * FROM tasks")}
        answers = execute(url, "SELECT key, answer FROM idempotent_answers")
        keys = {row.key: json.loads(row.answer)["id"] for row in answers}
        for task_id, mark in ledger.tasks.items():
            found = stored[task_id].title if task_id in stored else None
            if found != mark and found != ledger.unanswered.get(task_id, mark):
                self.lost += mark is not None
                self.resurrected += mark is None
            ledger.tasks[task_id] = found
        unknown = [stored[task_id].title for task_id in stored.keys() - ledger.tasks.keys()]
        self.half_done += len(unknown) - len(ledger.uncreated.keys() & set(unknown))
        for row in stored.values():
            whole = content(row.title)
            fields = {name: getattr(row, name) for name in whole}
            text = f"{whole['title']}\n{whole['description']}"
            self.half_done += (fields, row.search_text) != (whole, text)
        for mark, keyed in ledger.uncreated.items():
            self.half_done += keyed and (mark in unknown) != (mark in keys)
        self.lost += sum(keys.get(mark) != task_id for mark, task_id in ledger.keys.items())
        ledger.tasks |= {task_id: row.title for task_id, row in stored.items()}
        ledger.unanswered.clear()
        ledger.keys.clear()

    async def repeat(self, service: Service, token: str, ledger: Ledger) -> None:
        """What was not answered, and had a key, is done once by sending it again."""
        client = Client(service.port, token)
        known = {mark: task_id for task_id, mark in ledger.tasks.items()}
        for mark, keyed in ledger.uncreated.items():
            if keyed:
                key = {"Idempotency_Key": mark}
                answer = await client.request("POST", "/tasks", content(mark), **key)
                self.half_done += known.get(mark, answer.json["id"]) != answer.json["id"]
                ledger.keys[mark] = answer.json["id"]
                ledger.tasks[answer.json["id"]] = mark
        client.close()
        ledger.uncreated.clear()


def check_integrity(url: str) -> None:
    """Of SQLite's file; PostgreSQL was not killed."""
    file = database_file(url)
    if file is None:
        return
    with closing(sqlite3.connect(file)) as connection:
        found = connection.execute("PRAGMA integrity_check").fetchall()
        found += connection.execute("PRAGMA foreign_key_check").fetchall()
    assert found == [("ok",)]


def test_acknowledged_writes_survive_a_kill(database_url: str, tmp_path: Path) -> None:
    service = Service(tmp_path, TASKAPI_DATABASE_URL=database_url)
    ledger, damage, starts = Ledger(), Damage(), []
    usual = service.start()
    try:
        token = service.register()
        for _ in range(KILLS):
            asyncio.run(write_until_killed(service, token, ledger))
            starts.append(service.start())
            damage.look(database_url, ledger)
            asyncio.run(damage.repeat(service, token, ledger))
            check_integrity(database_url)
    finally:
        service.stop()
    print(
        f"\n{database_url.partition(':')[0]}: {KILLS} kills, {WRITERS} writers,"
        f" {ledger.acknowledged} writes acknowledged: {damage.lost} lost,"
        f" {damage.resurrected} deletes undone, {damage.half_done} half done;"
        f" {ledger.refused} refused;"
        f" starts {median(starts):.2f} s (median), {max(starts):.2f} s (most), first {usual:.2f} s"
    )
    assert damage == Damage()
    assert ledger.refused == 0
