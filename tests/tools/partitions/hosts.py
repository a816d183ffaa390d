"""Three database hosts, two with the service, and one with HAProxy, as the document says."""

import secrets
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2
from sqlalchemy.exc import OperationalError

from taskapi.database import migrations
from tests.databases import execute
from tests.documents.markdown import blocks
from tests.server import ROOT, serve, wait_until_ready
from tests.tools.failover.cluster import Cluster, Member, Node, cluster, wait
from tests.tools.partitions.network import Host, Network
from tests.waiting import HANG

DOCUMENT = ROOT / "docs/high-availability.md"
DATABASES = ("10.0.0.21", "10.0.0.22", "10.0.0.23")
SERVICES = ("10.0.0.11", "10.0.0.12")  # as in the document's configuration of HAProxy
BALANCER = "10.0.0.10"
PORT = "8000"
STREAMING = "SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'"
HAPROXY = f"""
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s

frontend taskapi
    bind :{PORT}
    default_backend taskapi

{{backend}}
"""
UVICORN = ("--host=0.0.0.0", "--http=taskapi.http.protocol:HTTPProtocol")


class PartitionedCluster(Cluster):
    """The nodes are on hosts of a network."""

    def __init__(self, folder: Path, network: Network) -> None:
        super().__init__(folder, DATABASES)
        self.hosts = {node.name: network.add(node.host) for node in self.nodes}

    def start(self, node: Node) -> None:
        with self.hosts[node.name].entered():
            super().start(node)

    def members(self) -> list[Member]:
        """Those of which all nodes say the same: one that was cut off has an old view."""
        views: list[list[Member]] = []
        for node in self.nodes:
            try:
                answer = self.request(node, "GET", "/cluster").json()
            except httpx2.TransportError:
                return []
            views.append(answer["members"])
        said = [[(one["name"], one["role"], one["state"]) for one in view] for view in views]
        return views[0] if said.count(said[0]) == len(said) else []

    def is_whole(self) -> bool:
        """A standby takes some time to notice that it was cut off, and an etcd member to join."""
        return (
            super().is_whole()
            and all("leader" in _etcd_status(node) for node in self.nodes)
            and self._standbys() == len(self.nodes) - 1
        )

    def _standbys(self) -> int:
        with suppress(OperationalError):
            return len(execute(self.url("postgres"), STREAMING))
        return 0

    def host(self, node: Node) -> Host:
        return self.hosts[node.name]

    def others(self, node: Node) -> list[Host]:
        return [host for name, host in self.hosts.items() if name != node.name]

    def standby(self) -> Node:
        primary = self.primary()
        return next(node for node in self.nodes if node is not primary)

    def etcd_ports(self) -> list[int]:
        addresses = [at for node in self.nodes for at in (node.etcd, node.etcd_peer)]
        return [int(address.rpartition(":")[2]) for address in addresses]

    def lead_etcd(self, node: Node) -> None:
        """Make the node's member of etcd the leader."""
        target = _etcd_status(node)["header"]["member_id"]
        for other in self.nodes:
            status = _etcd_status(other)
            if status["leader"] == status["header"]["member_id"] != target:
                url = f"http://{other.etcd}/v3/maintenance/transfer-leadership"
                httpx2.post(url, json={"targetID": target}).raise_for_status()
        wait("the leader of etcd", lambda: _etcd_status(node)["leader"] == target)


@dataclass(frozen=True)
class Site:
    network: Network
    servers: PartitionedCluster
    services: list[Host]
    balancer: Host
    database_url: str
    url: str

    @property
    def front(self) -> list[Host]:
        """What the clients' requests pass through."""
        return [*self.services, self.balancer]


@contextmanager
def site() -> Iterator[Site]:
    network = Network()
    with cluster(lambda folder: PartitionedCluster(folder, network)) as servers, ExitStack() as on:
        url = servers.create_database()
        migrations.upgrade(url)
        variables = {
            "TASKAPI_DATABASE_URL": url,
            "TASKAPI_SECRET_KEYS": secrets.token_hex(),
            "TASKAPI_ACCESS_TOKEN_LIFETIME": str(24 * 60 * 60),
        }
        services = [network.add(address) for address in SERVICES]
        for host in services:
            folder = Path(on.enter_context(TemporaryDirectory()))
            with host.entered():
                on.enter_context(serve(folder, *UVICORN, port=PORT, **variables))
        balancer = network.add(BALANCER)
        address = on.enter_context(_balance(balancer))
        yield Site(network, servers, services, balancer, url, address)


@contextmanager
def _balance(host: Host) -> Iterator[str]:
    """Run HAProxy; yields its URL."""
    (backend,) = blocks(DOCUMENT.read_text(), "haproxy")
    with TemporaryDirectory() as folder:
        file = Path(folder) / "haproxy.cfg"
        file.write_text(HAPROXY.format(backend=backend))
        command = ["haproxy", "-f", str(file)]
        with host.entered(), Path(folder, "haproxy.log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            url = f"http://{host.address}:{PORT}"
            wait_until_ready(url, process)
            yield url
        finally:
            process.terminate()
            process.wait(timeout=HANG)


def _etcd_status(node: Node) -> Any:
    answer = httpx2.post(f"http://{node.etcd}/v3/maintenance/status", json={})
    return answer.raise_for_status().json()
