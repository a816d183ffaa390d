"""Recording of histories, several at once."""

import asyncio
import ssl
from argparse import Namespace
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Any

import httpx2

from tests.tools.linearizability.account_workload import WEIGHTS, AccountWorkload
from tests.tools.linearizability.disturbances import Disturbance
from tests.tools.linearizability.email_workload import EmailWorkload
from tests.tools.linearizability.workload import TIMEOUT, History, Progress, Workload

KINDS = (*WEIGHTS, "emails")
"""Of histories."""

UNLIMITED = httpx2.Limits(max_connections=None, max_keepalive_connections=None)


@asynccontextmanager
async def connections(urls: Sequence[str]) -> AsyncIterator[list[httpx2.AsyncClient]]:
    """A pool of connections to each process of the service."""
    context = ssl.create_default_context()  # which takes long to make
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                httpx2.AsyncClient(base_url=url, timeout=TIMEOUT, verify=context, limits=UNLIMITED)
            )
            for url in urls
        ]


async def record(
    clients: Sequence[httpx2.AsyncClient],
    seeds: Sequence[str],
    options: Namespace,
    disturb: Disturbance,
) -> list[History[Any]]:
    """Record a history for each seed. The first calls of each are not disturbed."""
    workloads = [await create(clients[0], seed, options.kind) for seed in seeds]
    await asyncio.gather(*(workload.prepare(clients[0]) for workload in workloads))
    runs = [
        workload.run(clients[number % len(clients)], options.calls * workload.share)
        for workload in workloads
        for number in range(options.clients // workload.share)
    ]
    progress = Progress(workloads, len(seeds) * options.clients * options.calls)
    async with asyncio.TaskGroup() as group:
        group.create_task(disturb(progress))
        await asyncio.gather(*runs)
        progress.is_finished = True
    return [workload.history for workload in workloads]


async def create(client: httpx2.AsyncClient, seed: str, kinds: Sequence[str]) -> Workload[Any, Any]:
    random = Random(seed)  # noqa: S311 -- no secret
    kind = random.choice(kinds)
    if kind == "emails":
        return EmailWorkload(random, seed)
    return await AccountWorkload.register(random, kind, client, f"{seed}@example.com")
