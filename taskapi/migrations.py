from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from taskapi.problems import Unavailable

CONFIG_FILE = Path(__file__).parents[1] / "alembic.ini"


def config_for(url: str) -> Config:
    config = Config(CONFIG_FILE)
    config.attributes["url"] = url
    return config


def upgrade(url: str) -> None:
    """Bring the schema up to date. Several processes may do so at once: one does the work."""
    command.upgrade(config_for(url), "head")


def known() -> list[str]:
    """The revisions that this code knows, the one that it needs first."""
    script = ScriptDirectory.from_config(Config(CONFIG_FILE))
    return [revision.revision for revision in script.walk_revisions()]


def compare(connection: Connection, revisions: Sequence[str]) -> Literal["current", "ahead"]:
    """Tell whether the database's schema is the one needed, or one of a newer version.

    Raises:
        Unavailable: it is behind.
    """
    found = MigrationContext.configure(connection).get_current_revision()
    if found == revisions[0]:
        return "current"
    if found is None or found in revisions:
        raise Unavailable(
            f"The database's schema is behind: it is at revision {found or 'none'}, the code needs "
            f"{revisions[0]}.",
            headers={"Retry-After": "5"},
        )
    return "ahead"
