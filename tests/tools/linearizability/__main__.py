"""Whether the answers that concurrent clients of one account get could also be given one after
another: a linearizability check of the service, in many short histories.

    uv run python -m tests.tools.linearizability --histories 100 --database postgresql

The controls are the same service with a fault planted in it, which the check must find. A history
that is not linearizable is shown with the calls that contradict each other.
"""

import asyncio
import secrets
import signal
import sys
import time
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.databases import PostgreSQL
from tests.server import serve
from tests.tools.linearizability.checker import Call, Undecided, is_linearizable, minimize
from tests.tools.linearizability.model import Account
from tests.tools.linearizability.workload import History, connections, record

APPLICATION = "taskapi.main:app"
FAULTY_APPLICATION = "tests.tools.linearizability.faults:app"
CONTROLS = {"sqlite": ["remembered"], "postgresql": ["unlocked", "torn", "remembered"]}

MOST_FOR_A_CONTROL = 300
"""Histories; each control has been found within ten."""

SETTINGS = {
    "TASKAPI_SECRET_KEYS": secrets.token_hex(),
    "TASKAPI_REFRESH_TOKEN_GRACE": "60",  # seconds, longer than a history
    "TASKAPI_LOGIN_LIMIT": "",
    "TASKAPI_LOGIN_ACCOUNT_LIMIT": "",
    "TASKAPI_LOGIN_ADDRESS_LIMIT": "",
    "TASKAPI_REGISTRATION_LIMIT": "",
}


@contextmanager
def services(url: str, processes: int, fault: str = "") -> Iterator[list[str]]:
    """Serve one database with several processes; yields their URLs."""
    application = FAULTY_APPLICATION if fault else APPLICATION
    variables = {**SETTINGS, "TASKAPI_DATABASE_URL": url, "FAULT": fault}
    with ExitStack() as stack:
        folders = [stack.enter_context(TemporaryDirectory()) for _ in range(processes)]
        yield [
            stack.enter_context(serve(Path(folder), application=application, **variables))
            for folder in folders
        ]


@contextmanager
def database(system: str) -> Iterator[str]:
    if system == "sqlite":
        with TemporaryDirectory() as folder:
            yield f"sqlite:///{folder}/taskapi.db"
    else:
        with closing(PostgreSQL()) as server:
            yield server.create_database()


def show(history: History) -> None:
    calls = minimize(history.calls, history.initial)
    began = min((call.invoked for call in calls), default=0)
    for call in calls:
        print(f"    {_milliseconds(call, began)}  {call.operation} -> {call.answer}")


def _milliseconds(call: Call[Account], began: float) -> str:
    return f"{(call.invoked - began) * 1000:7.1f} to {(call.returned - began) * 1000:7.1f} ms"


async def measure(urls: Sequence[str], options: Namespace, *, until_found: bool = False) -> int:
    """Record and check histories; returns how many are not linearizable."""
    began = time.monotonic()
    answers = Counter[str]()
    wrong = number = 0
    async with connections(urls, options.clients) as clients:
        while number < options.histories and not (wrong and until_found):
            number += 1
            seed = f"{options.seed}-{number}"
            history = await record(clients, seed, options.calls)
            answers += history.answers
            wrong += not check(seed, history)
    seconds = time.monotonic() - began
    print(
        f"{number} histories, {answers.total()} calls, {wrong} not linearizable; {seconds:.0f} s",
        flush=True,
    )
    if not until_found:
        print(*(f"{name} × {times}" for name, times in sorted(answers.items())), sep=", ")
    return wrong


def check(seed: str, history: History) -> bool:
    try:
        if is_linearizable(history.calls, history.initial):
            return True
    except Undecided:
        print(f"{seed}: undecided, too many orders are possible", flush=True)
    else:
        print(f"{seed}: not linearizable", flush=True)
        show(history)
    return False


def main() -> None:
    parser = ArgumentParser(prog="python -m tests.tools.linearizability")
    parser.add_argument("--histories", type=int, default=100)
    parser.add_argument("--database", choices=CONTROLS, default="postgresql")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--clients", type=int, default=12)
    parser.add_argument("--calls", type=int, default=4, help="of each client in each history")
    parser.add_argument("--seed", default=secrets.token_hex(3))
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started ends
    with database(options.database) as url:
        with services(url, options.processes) as urls:
            wrong = asyncio.run(measure(urls, options))
        missed = [fault for fault in CONTROLS[options.database] if not find(fault, url, options)]
    print("linearizable, but for the controls" if not (wrong or missed) else "FAILED")
    sys.exit(bool(wrong or missed))


def find(fault: str, url: str, options: Namespace) -> bool:
    """Return whether the check finds a planted fault."""
    print(f"control, with the fault {fault!r}", flush=True)
    changed = {"seed": f"{options.seed}-{fault}", "histories": MOST_FOR_A_CONTROL}
    control = Namespace(**{**vars(options), **changed})
    with services(url, options.processes, fault) as urls:
        return asyncio.run(measure(urls, control, until_found=True)) > 0


if __name__ == "__main__":
    main()
