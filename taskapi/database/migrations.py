"""The version of the database's schema, and its upgrade.

Alembic is imported only for an upgrade, because its import takes a fifth of the time of a start.
"""

import re
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, inspect, text

from taskapi.database.engines import open_engine
from taskapi.exceptions import Unavailable
from taskapi.settings import ConfigurationError

CONFIG_FILE = Path(__file__).parents[2] / "alembic.ini"

VERSIONS = CONFIG_FILE.parent / "alembic" / "versions"

REVISION = re.compile(r"""(?m)^(revision|down_revision) = (?:['"](\w+)['"]|None)""")


def _read_revisions() -> tuple[str, ...]:
    """Follow the chain of migrations in the files' text, without Alembic."""
    successors = {}
    for path in VERSIONS.glob("*.py"):
        migration = dict(REVISION.findall(path.read_text(encoding="utf-8")))
        successors[migration["down_revision"]] = migration["revision"]
    chain = [""]
    while chain[-1] in successors:
        chain.append(successors[chain[-1]])
    return tuple(reversed(chain[1:]))


REVISIONS = _read_revisions()
"""The revisions in `alembic/versions`, newest first. This code needs the newest."""


def config_for(url: str) -> Any:  # noqa: ANN401 -- Alembic's Config
    config = import_module("alembic.config").Config(CONFIG_FILE)
    config.attributes["url"] = url
    return config


def upgrade(url: str) -> None:
    """Upgrade the schema to the newest revision. Concurrent upgrades wait for each other.

    Raises:
        ConfigurationError: the schema has an unknown revision, probably of a newer version.
    """
    engine = open_engine(url)
    try:
        with engine.begin() as connection:
            revision = _revision(connection)
    finally:
        engine.dispose()
    if revision == REVISIONS[0]:
        return
    if revision not in {None, *REVISIONS}:
        raise ConfigurationError(
            "the database's schema is of another version of the service: revision "
            f"{revision} is not known to this one"
        )
    import_module("alembic.command").upgrade(config_for(url), "head")


def compare(connection: Connection) -> Literal["current", "ahead"]:
    """Compare the schema with the one that this code needs. An unknown revision is a newer one.

    Raises:
        Unavailable: the schema is behind.
    """
    revision = _revision(connection)
    if revision == REVISIONS[0]:
        return "current"
    if revision is None or revision in REVISIONS:
        raise Unavailable(
            f"The database's schema is behind: it is at revision {revision or 'none'}, the code "
            f"needs {REVISIONS[0]}.",
            retry_after=5,
            cause="schema",
        )
    return "ahead"


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
