"""Databases that the tests of one process use, one test after another."""

import sqlite3
from typing import Any

import psycopg
from sqlmodel import SQLModel

from taskapi.database.engines import database_file, is_postgresql

Row = tuple[str, tuple[Any, ...]]
"""The name of a table, and the values of all its columns."""


class SharedDatabase:
    """Has a connection of its own, for connecting takes longer than deleting and adding rows."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._postgresql = is_postgresql(url)
        self._connection = self._connect()

    def _connect(self) -> Any:
        if self._postgresql:
            return psycopg.connect(self.url, autocommit=True)
        connection = sqlite3.connect(database_file(self.url) or "", isolation_level=None)
        connection.execute("PRAGMA synchronous=OFF")
        return connection

    def close(self) -> None:
        self._connection.close()

    def read(self) -> list[Row]:
        """Return all rows, in an order in which they can be added."""
        return [
            (table, row)
            for table in _tables()
            for row in self._connection.execute(f"SELECT * FROM {table}")  # noqa: S608 -- the models' own names
        ]

    def delete(self) -> None:
        """Delete all rows, and start the ids at 1 again."""
        statements = [f"DELETE FROM {table}" for table in reversed(_tables())]  # noqa: S608 -- the models' own names
        if self._postgresql:
            statements += [f"SELECT setval('{table}_id_seq', 1, false)" for table in _serial()]
        else:
            statements += ["DELETE FROM sqlite_sequence"]
        statements = ["BEGIN", *statements, "COMMIT"]
        try:
            self._run(statements)
        except psycopg.OperationalError:  # a test has ended all connections
            self._connection = self._connect()
            self._run(statements)

    def _run(self, statements: list[str]) -> None:
        for statement in statements:
            self._connection.execute(statement)

    def add(self, rows: list[Row]) -> None:
        """Write rows that `read` returned. The next ids follow theirs."""
        placeholder = "%s" if self._postgresql else "?"
        self._connection.execute("BEGIN")
        for table, row in rows:
            values = ", ".join([placeholder] * len(row))
            self._connection.execute(f"INSERT INTO {table} VALUES ({values})", row)  # noqa: S608 -- the models' own names
        for table in {table for table, _ in rows} & set(_serial()) if self._postgresql else ():
            self._connection.execute(
                f"SELECT setval('{table}_id_seq', max(id)) FROM {table}"  # noqa: S608 -- the models' own names
            )
        self._connection.execute("COMMIT")


def _tables() -> list[str]:
    """Those first that others refer to."""
    return [table.name for table in SQLModel.metadata.sorted_tables]


def _serial() -> list[str]:
    return [table.name for table in SQLModel.metadata.sorted_tables if "id" in table.columns]
