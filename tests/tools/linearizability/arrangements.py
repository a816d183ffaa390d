"""The ways in which the service is run while histories are recorded."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from taskapi.database import migrations
from taskapi.database.timeouts import QUEUE_TIMEOUT
from tests.databases import PostgreSQL
from tests.faults.pgbouncer import run_pgbouncer
from tests.faults.service import Service
from tests.tools.failover.cluster import Cluster, cluster
from tests.tools.linearizability.disturbances import (
    Disturbance,
    Events,
    end_connections,
    kill,
    kill_primary,
    leave_alone,
)

FAULTY_APPLICATION = "tests.tools.linearizability.faults:app"

SETTINGS = {
    "TASKAPI_SECRET_KEYS": secrets.token_hex(),
    "TASKAPI_REFRESH_TOKEN_GRACE": "60",  # seconds, longer than a history
    "TASKAPI_LOGIN_LIMIT": "",
    "TASKAPI_LOGIN_ACCOUNT_LIMIT": "",
    "TASKAPI_LOGIN_ADDRESS_LIMIT": "",
    "TASKAPI_REGISTRATION_LIMIT": "",
}

SQLITE_CONTROLS = {
    "remembered": "sessions",
    "kept": "sessions",
    "unconditional": "tasks",
    "early": "tasks",
    "cached": "tasks",
    "forgotten": "tasks",
    "taken": "emails",
}
CONTROLS = {"unlocked": "sessions", "torn": "sessions", **SQLITE_CONTROLS}
UNREPLICATED = "unreplicated"
"""The primary acknowledges writes that its standbys do not have when it is killed."""


@dataclass(frozen=True)
class Arrangement:
    database: str = "postgresql"
    processes: int = 2
    workers: int = 1
    """Of each process, on one port."""
    disturbance: str = ""
    together: int = 1
    """How many histories are recorded at once."""
    controls: Mapping[str, str] = field(default_factory=dict)
    """Faults that are planted, and the kind of the histories that find each."""


ARRANGEMENTS = {
    "sqlite": Arrangement("sqlite", processes=1, controls=SQLITE_CONTROLS),
    "sqlite-workers": Arrangement("sqlite", processes=1, workers=4),
    "sqlite-killed": Arrangement("sqlite", disturbance="kill", together=5),
    "postgresql-one": Arrangement(processes=1),
    "postgresql": Arrangement(controls=CONTROLS),
    "pgbouncer": Arrangement("pgbouncer"),
    "terminated": Arrangement(disturbance="terminate"),
    "killed": Arrangement(disturbance="kill", together=5),
    "failover": Arrangement(
        "cluster", disturbance="failover", together=10, controls={UNREPLICATED: "tasks"}
    ),
}


SHORT_FORM = ["postgresql", "sqlite-workers", "sqlite-killed", "pgbouncer", "terminated", "killed"]


@dataclass
class Database:
    url: str
    """As the service connects to it."""
    servers: Cluster | None = None

    def disturbance(self, name: str, services: Sequence[Service], events: Events) -> Disturbance:
        match name:
            case "terminate":
                return end_connections(self.url, events)
            case "kill":
                return kill(services, events)
            case "failover":
                assert self.servers
                return kill_primary(self.servers, events)
            case "unreplicated":
                assert self.servers
                self.servers.replicate_asynchronously()
                return kill_primary(self.servers, events, cut_off=True)
        return leave_alone


class Databases(ExitStack):
    """Databases, whose servers are started when the first needs them."""

    @cached_property
    def _postgresql(self) -> PostgreSQL:
        return self.enter_context(closing(PostgreSQL()))

    def open(self, kind: str) -> Database:
        if kind == "sqlite":
            folder = self.enter_context(TemporaryDirectory())
            return Database(f"sqlite:///{folder}/taskapi.db")
        if kind == "cluster":
            servers = self.enter_context(cluster(Cluster))
            url = servers.create_database()
            migrations.upgrade(url)
            return Database(url, servers=servers)
        url = self._postgresql.create_database()
        if kind == "pgbouncer":
            return Database(self.enter_context(run_pgbouncer(url)))
        return Database(url)


@dataclass
class Deployment:
    """A running service."""

    urls: Sequence[str]
    disturb: Disturbance
    events: Events


@contextmanager
def deploy(arrangement: Arrangement, database: Database, fault: str = "") -> Iterator[Deployment]:
    disturbance = arrangement.disturbance
    if fault == UNREPLICATED:
        disturbance, fault = fault, ""
    variables = {
        **SETTINGS,
        "TASKAPI_DATABASE_URL": database.url,
        "TASKAPI_DATABASE_TRANSACTION_POOLING": str(arrangement.database == "pgbouncer"),
        "FAULT": fault,
    }
    with ExitStack() as stack:
        services = [
            Service(
                Path(stack.enter_context(TemporaryDirectory())),
                f"--workers={arrangement.workers}",
                application=FAULTY_APPLICATION,
                queue_timeout=QUEUE_TIMEOUT,
                **variables,
            )
            for _ in range(arrangement.processes)
        ]
        for service in services:
            stack.callback(service.stop)
        with ThreadPoolExecutor() as pool:
            list(pool.map(Service.start, services))
        for service in services:
            service.wait_for_starts(arrangement.workers)
        events = Events()
        disturb = database.disturbance(disturbance, services, events)
        yield Deployment([service.url for service in services], disturb, events)
