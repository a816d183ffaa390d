"""Which schema the database has; and Alembic, which changes it.

Alembic is loaded only where there is something to change: most starts have nothing, and it takes a
fifth of the time that they take.
"""

from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, inspect, text

from taskapi.database.engines import open_engine
from taskapi.exceptions import Unavailable
from taskapi.settings import ConfigurationError

CONFIG_FILE = Path(__file__).parents[2] / "alembic.ini"

REVISIONS = ("f9fc616a0d47",)
"""Those in `alembic/versions`, the newest first, which is the one that this code needs."""


def config_for(url: str) -> Any:  # noqa: ANN401 -- Alembic's Config
    config = import_module("alembic.config").Config(CONFIG_FILE)
    config.attributes["url"] = url
    return config


def upgrade(url: str) -> None:
    """Bring the schema up to date. Several processes may do so at once: one does the work.

    Raises:
        ConfigurationError: it is one of another version of the service, probably a newer one.
    """
    engine = open_engine(url)
    try:
        with engine.begin() as connection:
            found = _revision(connection)
    finally:
        engine.dispose()
    if found == REVISIONS[0]:
        return
    if found not in {None, *REVISIONS}:
        raise ConfigurationError(
            f"the database's schema is of another version of the service: revision {found} is not "
            "known to this one"
        )
    import_module("alembic.command").upgrade(config_for(url), "head")


def compare(connection: Connection) -> Literal["current", "ahead"]:
    """Tell whether the database's schema is the one needed, or one of a newer version.

    Raises:
        Unavailable: it is behind.
    """
    found = _revision(connection)
    if found == REVISIONS[0]:
        return "current"
    if found is None or found in REVISIONS:
        raise Unavailable(
            f"The database's schema is behind: it is at revision {found or 'none'}, the code needs "
            f"{REVISIONS[0]}.",
            retry_after=5,
        )
    return "ahead"


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
