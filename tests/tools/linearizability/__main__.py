"""Whether the answers that concurrent clients get could also be given one after another: a
linearizability check of the service, in many short histories.

    uv run python -m tests.tools.linearizability --arrangement sqlite postgresql --histories 100

There are three kinds of histories: the clients use the sessions of one account, its tasks, or want
the same few e-mail addresses. Calls that were not answered may have been done, or may be done
later. The controls are the same service with a fault planted in it, which the check must find. A
history that is not linearizable is shown with the calls that contradict each other.
"""

import asyncio
import secrets
import signal
import sys
import time
from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from collections import Counter
from typing import Any

from tests.tools.linearizability.arrangements import (
    ARRANGEMENTS,
    SHORT_FORM,
    Arrangement,
    Database,
    Databases,
    Deployment,
    deploy,
)
from tests.tools.linearizability.checker import Call, Undecided, is_linearizable, minimize
from tests.tools.linearizability.recording import KINDS, connections, record
from tests.tools.linearizability.workload import History

MAX_OF_A_CONTROL = 300
"""Histories."""


async def measure(
    deployment: Deployment, together: int, options: Namespace, *, until_found: bool = False
) -> int:
    """Record and check histories; returns the number of the first that is wrong, or 0."""
    began = time.monotonic()
    answers = Counter[str]()
    wrong = number = first = 0
    async with connections(deployment.urls) as clients:
        while number < options.histories and not (wrong and until_found):
            seeds = [f"{options.seed}-{number + each + 1}" for each in range(together)]
            histories = await record(clients, seeds, options, deployment.disturb)
            for seed, history in zip(seeds, histories, strict=True):
                number += 1
                answers += history.answers
                if not check(seed, history, is_control=until_found):
                    wrong += 1
                    first = first or number
    unanswered = sum(times for name, times in answers.items() if name.endswith("?"))
    events = "".join(f"; {count} {name}" for name, count in deployment.events.items())
    print(
        f"{number} histories, {answers.total()} calls, of which {unanswered} not answered{events};"
        f" {wrong} not linearizable; {time.monotonic() - began:.0f} s",
        flush=True,
    )
    if not until_found:
        print(*(f"{name} × {times}" for name, times in sorted(answers.items())), sep=", ")
    return first


def check(seed: str, history: History[Any], *, is_control: bool) -> bool:
    """Return whether the history is linearizable. An undecided one is not, except in a control."""
    try:
        if is_linearizable(history.calls, history.initial):
            return True
    except Undecided:
        print(f"{seed}: undecided, too many orders are possible", flush=True)
        return is_control
    if not is_control:
        print(f"{seed}: not linearizable", flush=True)
        show(history)
    return False


def show(history: History[Any]) -> None:
    calls = minimize(history.calls, history.initial)
    began = min((call.invoked for call in calls), default=0)
    for call in calls:
        print(f"    {_milliseconds(call, began)}  {call.operation} -> {call.answer}")


def _milliseconds(call: Call[Any], began: float) -> str:
    return f"{(call.invoked - began) * 1000:7.1f} to {(call.returned - began) * 1000:7.1f} ms"


def try_arrangement(name: str, databases: Databases, options: Namespace) -> bool:
    """Return whether all histories are linearizable, but for those of the controls."""
    arrangement = ARRANGEMENTS[name]
    print(f"=== {name}", flush=True)
    database = databases.open(arrangement.database)
    with deploy(arrangement, database) as deployment:
        wrong = asyncio.run(measure(deployment, arrangement.together, options))
    controls = arrangement.controls if options.controls else {}
    found = [find(fault, kind, arrangement, database, options) for fault, kind in controls.items()]
    return not wrong and all(found)


def find(
    fault: str, kind: str, arrangement: Arrangement, database: Database, options: Namespace
) -> bool:
    """Return whether the check finds a planted fault."""
    changed = {"seed": f"{options.seed}-{fault}", "histories": MAX_OF_A_CONTROL, "kind": [kind]}
    control = Namespace(**{**vars(options), **changed})
    with deploy(arrangement, database, fault) as deployment:
        after = asyncio.run(measure(deployment, arrangement.together, control, until_found=True))
    print(f"control {fault!r}: {f'found after {after}' if after else 'NOT FOUND'}", flush=True)
    return after > 0


def main() -> None:
    parser = ArgumentParser(prog="python -m tests.tools.linearizability")
    parser.add_argument("--arrangement", choices=ARRANGEMENTS, nargs="+", default=SHORT_FORM)
    parser.add_argument("--kind", choices=KINDS, nargs="+", default=KINDS)
    parser.add_argument("--histories", type=int, default=10)
    parser.add_argument("--clients", type=int, default=12)
    parser.add_argument("--calls", type=int, default=4, help="of each client in each history")
    parser.add_argument("--controls", action=BooleanOptionalAction, default=True)
    parser.add_argument("--seed", default=secrets.token_hex(3))
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started ends
    with Databases() as databases:
        failed = [
            name for name in options.arrangement if not try_arrangement(name, databases, options)
        ]
    print(f"FAILED: {', '.join(failed)}" if failed else "linearizable, but for the controls")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
