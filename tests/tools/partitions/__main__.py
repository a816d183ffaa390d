"""Show that no acknowledged write is lost, and no read is stale, when the network is partitioned.

    uv run --group failover python -m tests.tools.partitions [--only SCENARIO]

Clients write and read all the time, through HAProxy and two processes of the service, while packets
between the hosts are dropped. Two controls must find what the scenarios must not: asynchronous
replication loses writes, and without a watchdog a primary on which Patroni hangs answers reads from
outdated rows. It needs root, takes twenty minutes, and leaves nothing behind.
"""

import signal
import sys
import time
from argparse import ArgumentParser

from _pytest.outcomes import OutcomeException

from tests.requirements import require_programs
from tests.tools.failover.__main__ import wait_for_writes
from tests.tools.failover.judgement import Findings, audit
from tests.tools.failover.load import load
from tests.tools.partitions.hosts import Site, site
from tests.tools.partitions.scenarios import LOSS_CONTROL, SCENARIOS, STALE_CONTROL, Scenario

WRITERS = 8
PATIENCE = 90.0  # seconds after which a client takes it that an answer never comes


def measure(name: str, scenario: Scenario, place: Site) -> Findings:
    place.servers.wait_until_whole()
    with load([place.url], WRITERS, f"{name}@example.com", PATIENCE) as ledger:
        wait_for_writes(ledger)
        began = time.monotonic()
        before = place.servers.primary().name
        scenario.happen(place)
        healed = time.monotonic()
        place.servers.wait_until_whole()
        whole = time.monotonic()
        wait_for_writes(ledger)
    print(
        f"{name}: {scenario.description}\n"
        f"    {ledger.outage(began):.1f} s without a write (aim: {scenario.aim:.0f} s); "
        f"the longest request took {ledger.longest:.1f} s; "
        f"{before} was the primary, {place.servers.primary().name} is; "
        f"{whole - healed:.1f} s until all was as before\n    ",
        end="",
    )
    found = audit(ledger, place.database_url)
    found.unexplained += ledger.writes["ReadTimeout"] + ledger.reads["ReadTimeout"]
    return found


def experiment(place: Site, names: list[str]) -> bool:
    """Returns whether nothing was found but in the controls, and in these what they are for."""
    found = [measure(name, SCENARIOS[name], place) for name in names if name in SCENARIOS]
    well = all(one == Findings() for one in found)
    if "stale-control" in names:
        well &= measure("stale-control", STALE_CONTROL, place).stale > 0
    if "loss-control" in names:
        place.servers.replicate_asynchronously()
        well &= measure("loss-control", LOSS_CONTROL, place).lost > 0
    return well


def main() -> None:
    parser = ArgumentParser(prog="python -m tests.tools.partitions")
    names = [*SCENARIOS, "stale-control", "loss-control"]
    parser.add_argument("--only", action="append", choices=names, metavar="SCENARIO")
    chosen = parser.parse_args().only or names
    try:
        require_programs("ip", "iptables", install="apt-get install iproute2 iptables")
        require_programs("etcd", "haproxy", install="apt-get install etcd-server haproxy")
    except OutcomeException as missing:
        sys.exit(str(missing))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started ends
    with site() as place:
        print(*(f"{name}: {value}" for name, value in place.servers.settings().items()), sep="\n")
        well = experiment(place, chosen)
    print("nothing was lost or stale but in the controls" if well else "FAILED")
    sys.exit(not well)


if __name__ == "__main__":
    main()
