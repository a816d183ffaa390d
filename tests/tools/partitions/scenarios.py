"""What happens to the network, in each scenario until all is as before."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.tools.failover.cluster import Node
from tests.tools.partitions.hosts import Site
from tests.tools.partitions.network import Host, both_ways

CUT = 40.0  # seconds, in which a standby replaces the primary
SHORT_CUT = 15.0  # seconds, where nothing can replace it
FLAP = 4.0  # seconds of each cut, and between two
FLAPS = 8
UNWATCHED = 75.0  # seconds; the service waits 35 s for a commit
WATCHDOG = 15.0  # seconds until the reset: `ttl` less Patroni's safety margin of 5


@dataclass(frozen=True)
class Scenario:
    description: str
    happen: Callable[[Site], None]
    aim: float = 30
    """Seconds without a write."""


def everybody_but(site: Site, node: Node) -> list[Host]:
    return [*site.servers.others(node), *site.front]


def isolate(site: Site, node: Node, seconds: float) -> None:
    with site.network.cut(both_ways([site.servers.host(node)], everybody_but(site, node))):
        time.sleep(seconds)


def reset(site: Site, node: Node) -> None:
    """As the watchdog does."""
    node.kill()
    time.sleep(CUT - WATCHDOG)
    site.servers.start(node)


def primary(site: Site) -> None:
    node = site.servers.primary()
    site.servers.lead_etcd(site.servers.standby())
    isolate(site, node, CUT)


def primary_and_etcd_leader(site: Site) -> None:
    node = site.servers.primary()
    site.servers.lead_etcd(node)
    isolate(site, node, CUT)


def servers(site: Site) -> None:
    """With asynchronous replication, it goes on acknowledging writes that no standby gets."""
    node = site.servers.primary()
    with site.network.cut(both_ways([site.servers.host(node)], site.servers.others(node))):
        time.sleep(CUT)


def etcd(site: Site) -> None:
    """Its own member of etcd is on the same host, and has no majority."""
    node = site.servers.primary()
    site.servers.lead_etcd(node)
    paths = both_ways([site.servers.host(node)], site.servers.others(node))
    with site.network.cut(paths, site.servers.etcd_ports()):
        time.sleep(CUT)


def from_primary(site: Site) -> None:
    node = site.servers.primary()
    source = site.servers.host(node)
    with site.network.cut((source, target) for target in everybody_but(site, node)):
        time.sleep(CUT)


def to_primary(site: Site) -> None:
    node = site.servers.primary()
    target = site.servers.host(node)
    with site.network.cut((source, target) for source in everybody_but(site, node)):
        time.sleep(CUT)


def clients(site: Site) -> None:
    node = site.servers.primary()
    with site.network.cut(both_ways([site.servers.host(node)], site.front)):
        time.sleep(SHORT_CUT)


def one_service(site: Site) -> None:
    node = site.servers.primary()
    with site.network.cut(both_ways([site.servers.host(node)], site.services[:1])):
        time.sleep(CUT)


def standby_and_etcd_leader(site: Site) -> None:
    node = site.servers.standby()
    site.servers.lead_etcd(node)
    isolate(site, node, CUT)


def flap(site: Site) -> None:
    node = site.servers.primary()
    for _ in range(FLAPS):
        isolate(site, node, FLAP)
        time.sleep(FLAP)


def frozen_patroni(site: Site) -> None:
    node = site.servers.primary()
    node.freeze_patroni()
    time.sleep(WATCHDOG)
    reset(site, node)


def frozen_patroni_and_cut(site: Site) -> None:
    node = site.servers.primary()
    node.freeze_patroni()
    isolate(site, node, WATCHDOG)
    reset(site, node)


def standby(site: Site) -> None:
    node = site.servers.standby()
    site.servers.lead_etcd(site.servers.primary())
    isolate(site, node, CUT)


def unwatched(site: Site) -> None:
    """The last host of the URL is frozen, so that writes find the new primary while reads stay."""
    last = site.servers.nodes[-1]
    primary = site.servers.primary()
    if primary is not last:
        site.servers.switch_over(primary, last)
        site.servers.wait_until_whole()
    last.freeze_patroni()
    time.sleep(UNWATCHED)
    last.thaw_patroni()


SCENARIOS = {
    "primary": Scenario("the primary is cut off from everyone", primary),
    "primary-etcd": Scenario(
        "the primary, with the leader of etcd, is cut off from everyone", primary_and_etcd_leader
    ),
    "servers": Scenario("the primary is cut off from the other servers", servers),
    "etcd": Scenario("the primary is cut off from the other members of etcd", etcd),
    "from-primary": Scenario("packets from the primary are dropped", from_primary),
    "to-primary": Scenario("packets to the primary are dropped", to_primary),
    "clients": Scenario(
        f"the primary is cut off from both processes of the service, for {SHORT_CUT} s", clients
    ),
    "one-service": Scenario("the primary is cut off from one process of the service", one_service),
    "standby-etcd": Scenario(
        "a standby, with the leader of etcd, is cut off", standby_and_etcd_leader
    ),
    "flap": Scenario(f"the primary is cut off for {FLAP} s, {FLAPS} times", flap),
    "frozen": Scenario(f"Patroni hangs on the primary, reset after {WATCHDOG} s", frozen_patroni),
    "frozen-cut": Scenario(
        f"Patroni hangs on the primary, which is cut off, reset after {WATCHDOG} s",
        frozen_patroni_and_cut,
    ),
    "standby": Scenario("a standby is cut off", standby, aim=10),
}

STALE_CONTROL = Scenario("Patroni hangs on the primary, without a watchdog", unwatched)
LOSS_CONTROL = Scenario(
    "the primary is cut off from the other servers, with synchronous_mode: False", servers
)
