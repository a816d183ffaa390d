import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlmodel import Session

from taskapi.problems import Unavailable

logger = logging.getLogger(__name__)

CONFIG_FILE = Path(__file__).parents[1] / "alembic.ini"


def config_for(url: str) -> Config:
    config = Config(CONFIG_FILE)
    config.attributes["url"] = url
    return config


def upgrade(url: str) -> None:
    """Bring the schema up to date. Several processes may do so at once: one does the work."""
    command.upgrade(config_for(url), "head")


def newest() -> str | None:
    """The revision that this code needs."""
    return ScriptDirectory.from_config(Config(CONFIG_FILE)).get_current_head()


def check(session: Session, needed: str | None) -> None:
    """Tell whether the schema is the needed revision.

    Raises:
        Unavailable: it is not.
    """
    found = MigrationContext.configure(session.connection()).get_current_revision()
    if found != needed:
        raise Unavailable(
            f"The database's schema is at revision {found}, the code needs {needed}.",
            headers={"Retry-After": "5"},
        )
