"""What happens to the service and its database while histories are recorded."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from random import Random
from typing import Any

from tests.databases import database_name, execute
from tests.faults.service import Service
from tests.tools.failover.cluster import Cluster, Node, wait
from tests.tools.linearizability.workload import Progress

CHANCE = Random()  # noqa: S311 -- no secret

END_ONE_CONNECTION = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = :name ORDER BY state = 'idle', random() LIMIT 1
"""
"""One that works at this moment, if there is any."""

CUT_OFF_CALLS = 100

Events = Counter[str]
Disturbance = Callable[[Progress], Coroutine[Any, Any, None]]


async def leave_alone(_: Progress) -> None:
    pass


def end_connections(url: str, events: Events) -> Disturbance:
    """End connections of the service, one at a time, at random moments."""
    other = url.replace(f"/{database_name(url)}?", "/postgres?")

    async def disturb(progress: Progress) -> None:
        while not progress.is_finished:
            ended = await asyncio.to_thread(
                execute, other, END_ONE_CONNECTION, name=database_name(url)
            )
            events["connections ended"] += len(ended)
            await asyncio.sleep(CHANCE.uniform(0, 0.02))

    return disturb


def kill(services: Sequence[Service], events: Events) -> Disturbance:
    """Kill some of the processes at a random moment, and start them again."""

    async def disturb(progress: Progress) -> None:
        await progress.reach(_moment(progress))
        killed = CHANCE.sample(services, CHANCE.randint(1, len(services)))
        for service in killed:
            service.kill()
            events["kills"] += 1
        for service in killed:
            await asyncio.to_thread(service.start)

    return disturb


def kill_primary(servers: Cluster, events: Events, *, cut_off: bool = False) -> Disturbance:
    """Kill the primary at a random moment. When the histories are over, start it as a standby.

    With `cut_off`, it goes on without its standbys before.
    """

    async def disturb(progress: Progress) -> None:
        primary = servers.primary()
        moment = _moment(progress)
        await progress.reach(moment)
        if cut_off:
            await asyncio.to_thread(servers.freeze_replication)
            await progress.reach(moment + CUT_OFF_CALLS)
        await asyncio.to_thread(primary.kill)
        await asyncio.to_thread(wait, "another primary", lambda: servers.primary() is not primary)
        events["failovers"] += 1
        await progress.reach(float("inf"))
        await asyncio.to_thread(_start_again, servers, primary)

    return disturb


def _start_again(servers: Cluster, node: Node) -> None:
    servers.start(node)
    servers.wait_until_whole()


def _moment(progress: Progress) -> float:
    """Return a number of calls after which many are still to come."""
    return progress.expected * CHANCE.uniform(0.05, 0.6)
