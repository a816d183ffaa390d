"""Many clients at once, against one process on SQLite. `LOAD_SECONDS=20` makes it a long run."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx2
import pytest

from tests.api import PASSWORD
from tests.server import serve

SECONDS = float(os.environ.get("LOAD_SECONDS", "2"))
Client = Callable[[httpx2.AsyncClient], Awaitable[httpx2.Response]]


async def write(client: httpx2.AsyncClient) -> httpx2.Response:
    return await client.post("/tasks", json={"title": "Buy bread"})


async def read_and_write(client: httpx2.AsyncClient) -> httpx2.Response:
    created = await write(client)
    task = created.headers["location"]
    await client.get("/tasks?limit=5")
    await client.patch(task, json={"status": "завершена"})
    await client.get(task)
    return await client.delete(task)


async def run_clients(url: str, count: int, work: Client) -> Counter[int]:
    """Let `count` clients, each with a connection of its own, do `work` again and again."""
    answers: Counter[int] = Counter()

    async def count_answer(response: httpx2.Response) -> None:
        answers[response.status_code] += 1

    async def run(client: httpx2.AsyncClient, deadline: float) -> None:
        while time.monotonic() < deadline:
            await work(client)

    async with httpx2.AsyncClient(
        base_url=url,
        timeout=30,
        limits=httpx2.Limits(max_connections=count, max_keepalive_connections=count),
        event_hooks={"response": [count_answer]},
    ) as client:
        user = {"name": "Anna", "email": "anna@example.com", "password": PASSWORD}
        form = {"grant_type": "password", "username": user["email"], "password": PASSWORD}
        await client.post("/users", json=user)
        token = (await client.post("/auth/token", data=form)).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        deadline = time.monotonic() + SECONDS
        await asyncio.gather(*(run(client, deadline) for _ in range(count)))
    return answers


@pytest.mark.parametrize(("count", "work"), [(64, write), (256, read_and_write)])
def test_no_request_fails_or_waits_without_end(tmp_path: Path, count: int, work: Client) -> None:
    with serve(tmp_path) as url:
        answers = asyncio.run(run_clients(url, count, work))
    print(f"{count} clients, {SECONDS:g} s: {dict(answers)}")
    assert set(answers) <= {200, 201, 204}
    assert answers[201] > count
