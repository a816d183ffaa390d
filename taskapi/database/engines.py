"""Database URLs, and SQLAlchemy engines for them."""

from importlib import import_module
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, make_url
from sqlalchemy.exc import ArgumentError

from taskapi.database import sqlite
from taskapi.settings import ConfigurationError

SUPPORTED_URLS = "the database must be sqlite:///a-file.db or postgresql://user@host/database"


def database_file(url: str) -> Path | None:
    """The file of a SQLite database, or None for a PostgreSQL database.

    Raises:
        ConfigurationError: the URL is neither.
    """
    if is_postgresql(url):
        return None
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # ValueError: what it takes for the port is no number
        raise ConfigurationError(SUPPORTED_URLS) from None
    if parsed.get_backend_name() != "sqlite":
        raise ConfigurationError(SUPPORTED_URLS)
    if not parsed.database or parsed.database.startswith((":memory:", "file:")):
        raise ConfigurationError("the SQLite database must be a file, as in sqlite:///taskapi.db")
    return Path(parsed.database).absolute()


def is_postgresql(url: str) -> bool:
    return url.partition("://")[0] in {"postgresql", "postgres", "postgresql+psycopg"}


def describe(url: str) -> str:
    """The database's file, or its hosts and name, without user name and password."""
    file = database_file(url)
    return str(file or _postgresql().describe(url))


def open_engine(
    url: str,
    *,
    connections: int = 1,
    statement_timeout: int = 0,
    transaction_pooling: bool = False,
    autocommit: bool = False,
    foreign_keys: bool = True,
) -> Engine:
    """Create an engine, which connects when it is first used.

    `statement_timeout` is in seconds, 0 for none. `transaction_pooling` applies to PostgreSQL.
    With `autocommit`, connections to PostgreSQL are in that mode, as always on SQLite.
    `foreign_keys` turns SQLite's enforcement of foreign keys on or off.

    Raises:
        ConfigurationError: the URL can't be used, or PostgreSQL's driver is not installed.
    """
    if database_file(url):
        return sqlite.open_engine(url, connections, statement_timeout, foreign_keys=foreign_keys)
    engine: Engine = _postgresql().open_engine(
        url,
        connections,
        statement_timeout,
        transaction_pooling=transaction_pooling,
        autocommit=autocommit,
    )
    return engine


def _postgresql() -> Any:  # noqa: ANN401 -- a module
    try:
        import_module("psycopg")
    except ImportError:
        raise ConfigurationError("PostgreSQL needs a driver: uv sync --extra postgresql") from None
    return import_module("taskapi.database.postgresql")
