"""Measure everything and write it to docs/benchmarks: `python -m tests.tools.benchmarks`."""

import argparse
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.databases import PostgreSQL
from tests.tools.benchmarks import compare, latency, report, scale, startup
from tests.tools.benchmarks.contenders import CEILING, CONTENDERS
from tests.tools.benchmarks.processes import PROCESSORS

PARTS = ("compare", "latency", "scale", "startup")


@contextmanager
def postgresql() -> Iterator[PostgreSQL]:
    """A server that keeps what it acknowledged."""
    server = PostgreSQL()
    try:
        server.execute("ALTER SYSTEM SET fsync = on")
        server.execute("SELECT pg_reload_conf()")
        yield server
    finally:
        server.close()


def run_compare(arguments: argparse.Namespace) -> None:
    only = {*arguments.only.split(","), CEILING.name} if arguments.only else None
    contenders = [
        one
        for one in CONTENDERS
        if arguments.database in one.databases and (not only or one.name in only)
    ]
    if arguments.database == "postgresql":
        with postgresql() as server:
            measured = compare.compare(contenders, arguments.rounds, arguments.seconds, server)
    else:
        measured = compare.compare(contenders, arguments.rounds, arguments.seconds, None)
    publish(arguments, f"compare {arguments.database}", report.comparison(measured))
    if arguments.write and arguments.database == "sqlite":
        report.plot(measured)


def publish(arguments: argparse.Namespace, section: str, text: str) -> None:
    print(f"\n{section}\n\n{text}", flush=True)
    if arguments.write:
        report.write(section, text)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.tools.benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all of them by default")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.8, help="for each measurement")
    parser.add_argument("--only", help="servers to compare, with commas; nothing is written then")
    arguments = parser.parse_args()
    if not set(arguments.parts) <= set(PARTS):
        parser.error(f"the parts are {', '.join(PARTS)}")
    if not PROCESSORS:
        parser.error("this needs Linux")
    arguments.write = not arguments.only
    return arguments


def main() -> None:
    arguments = parse()
    rounds, seconds = arguments.rounds, arguments.seconds
    os.sched_setaffinity(0, PROCESSORS[1:] or PROCESSORS)
    started = time.monotonic()
    for part in arguments.parts or PARTS:
        match part:
            case "compare":
                run_compare(arguments)
            case "latency":
                publish(arguments, part, latency.report(rounds, seconds))
            case "scale":
                with postgresql() as server:
                    publish(arguments, part, scale.report(server, 2 * seconds))
            case "startup":
                publish(arguments, part, startup.report(rounds, seconds))
        print(f"{part} took until second {time.monotonic() - started:.0f}", flush=True)


if __name__ == "__main__":
    main()
