import logging
import os
import secrets
import tempfile
from pathlib import Path

from taskapi.db import Database
from taskapi.settings import Settings

logger = logging.getLogger(__name__)


class MissingSecretKeys(Exception):
    """TASKAPI_SECRET_KEYS is empty, and there is no file beside the database to keep a key in."""

    def __init__(self) -> None:
        super().__init__(
            "TASKAPI_SECRET_KEYS is not set. Several processes must share the keys, so that none "
            "is made here: set it to the output of `openssl rand -hex 32`."
        )


def load_secret_keys(settings: Settings, database: Database) -> list[str]:
    """The configured keys, or the one kept beside the SQLite file, made there if need be.

    Raises:
        MissingSecretKeys: none are configured, and the database is not SQLite.
    """
    if settings.secret_keys:
        return [key.get_secret_value() for key in settings.secret_keys]
    path = database.file
    if path is None:
        raise MissingSecretKeys
    return [_read_or_create(path.with_suffix(".secret"))]


def _read_or_create(path: Path) -> str:
    """Whichever of several processes creates the file first, all read the same whole key."""
    if not path.exists():
        descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # with mode 0600
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
        try:
            os.link(draft, path)
            logger.info("made a secret key: %s", path)
        except FileExistsError:
            pass
        finally:
            Path(draft).unlink()
    return path.read_text()
