"""Show that no acknowledged write is lost when the primary of three PostgreSQL servers dies.

    uv run --group failover python -m tests.tools.failover

Clients write all the time, through two processes of the service, while the primary is killed again
and again, is told to hand over, hangs, and goes on for some seconds without its standbys before it
is killed. The control is that last fault with asynchronous replication, which must lose writes: so
it is known that a loss would be seen. All of it runs on free ports of the loopback interface, takes
three or four minutes, and one more for each kill, and leaves nothing behind.
"""

import secrets
import signal
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from taskapi.database import migrations
from tests.databases import execute
from tests.server import serve
from tests.tools.failover.cluster import Cluster, Node, cluster, wait
from tests.tools.failover.judgement import Findings, audit
from tests.tools.failover.load import Ledger, load

REPLICAS = 2
WRITES = 100  # before each fault
CUT = 4.0  # seconds for which the primary goes on without its standbys
WATCHDOG = 15.0  # seconds until the reset: `ttl` less Patroni's safety margin of 5
STATEMENT_TIMEOUT = 2  # seconds; less than that, to see that it does not end a commit's wait
CUT_OFF = f"replication cut for {CUT} s, then kill -9"
HANG = f"hang, and reset after {WATCHDOG} s,"
CONTROL = f"replication cut for {WRITES} writes, then kill -9"

Fault = Callable[[Cluster], Node]


def kill(servers: Cluster) -> Node:
    primary = servers.primary()
    primary.kill()
    return primary


def cut_off_and_kill(servers: Cluster) -> Node:
    servers.freeze_replication()
    time.sleep(CUT)
    return kill(servers)


def cut_off_until_written(ledger: Ledger) -> Fault:
    """The control's fault: the primary acknowledges writes that its standbys never get."""

    def fault(servers: Cluster) -> Node:
        servers.freeze_replication()
        wait_for_writes(ledger)
        return kill(servers)

    return fault


def wait_for_writes(ledger: Ledger) -> None:
    written = len(ledger.moments) + WRITES
    wait(f"{WRITES} writes", lambda: len(ledger.moments) >= written)


def hang_until_reset(servers: Cluster) -> Node:
    """All processes of the primary hang, until a watchdog resets its machine. Patroni has the
    watchdog do so before the leader key expires.
    """
    primary = servers.primary()
    primary.freeze()
    time.sleep(WATCHDOG)
    primary.kill()
    return primary


def hand_over(servers: Cluster) -> Node:
    primary = servers.primary()
    servers.switch_over(primary)
    return primary


def strike(name: str, fault: Fault, servers: Cluster, ledger: Ledger) -> Node:
    """Returns the former primary."""
    wait_for_writes(ledger)
    began = time.monotonic()
    node = fault(servers)
    successor = wait("another primary", lambda: another_primary(servers, node))
    led = time.monotonic()
    wait("a write", lambda: ledger.moments and ledger.moments[-1] > led)
    print(
        f"{name} of {node.name}: {successor.name} is the primary after {led - began:.1f} s, "
        f"{ledger.outage(began):.1f} s without a write",
        flush=True,
    )
    return node


def another_primary(servers: Cluster, than: Node) -> Node | None:
    primary = servers.primary()
    return primary if primary is not than else None


def start_again(servers: Cluster, node: Node) -> None:
    began = time.monotonic()
    servers.start(node)
    servers.wait_until_whole()
    print(f"    started again, it is a standby after {time.monotonic() - began:.1f} s", flush=True)


def measure(servers: Cluster, ledger: Ledger, kills: int, switchovers: int) -> None:
    for _ in range(kills):
        start_again(servers, strike("kill -9", kill, servers, ledger))
    for _ in range(switchovers):
        strike("switchover", hand_over, servers, ledger)
        servers.wait_until_whole()
    start_again(servers, strike(HANG, hang_until_reset, servers, ledger))
    start_again(servers, strike(CUT_OFF, cut_off_and_kill, servers, ledger))


def experiment(servers: Cluster, urls: Sequence[str], url: str, options: Namespace) -> bool:
    """Returns whether nothing was lost, and the control lost something."""
    ((postgresql,),) = execute(url, "SHOW server_version")
    print(f"PostgreSQL {postgresql} on three nodes, Patroni {version('patroni')}")
    print(*(f"    {name}: {value}" for name, value in servers.settings().items()), sep="\n")
    print(f"{len(urls)} processes of the service, {options.writers} clients", flush=True)
    with load(urls, options.writers, "measured@example.com") as ledger:
        measure(servers, ledger, options.kills, options.switchovers)
    well = audit(ledger, url) == Findings()

    print("control, with synchronous_mode: False", flush=True)
    servers.replicate_asynchronously()
    with load(urls, options.writers, "control@example.com") as ledger:
        strike(CONTROL, cut_off_until_written(ledger), servers, ledger)
    return audit(ledger, url).lost > 0 and well


def main() -> None:
    parser = ArgumentParser(prog="python -m tests.tools.failover")
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--switchovers", type=int, default=1)
    parser.add_argument("--writers", type=int, default=8)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started ends
    with cluster(Cluster) as servers, ExitStack() as stack:
        url = servers.create_database()
        migrations.upgrade(url)
        variables = {
            "TASKAPI_DATABASE_URL": url,
            "TASKAPI_DATABASE_STATEMENT_TIMEOUT": str(STATEMENT_TIMEOUT),
            "TASKAPI_SECRET_KEYS": secrets.token_hex(),
            "TASKAPI_ACCESS_TOKEN_LIFETIME": str(24 * 60 * 60),
        }
        folders = [stack.enter_context(TemporaryDirectory()) for _ in range(REPLICAS)]
        urls = [stack.enter_context(serve(Path(folder), **variables)) for folder in folders]
        well = experiment(servers, urls, url, options)
    print("nothing was lost but in the control" if well else "FAILED")
    sys.exit(not well)


if __name__ == "__main__":
    main()
