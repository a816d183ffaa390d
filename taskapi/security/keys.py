import logging
import os
import secrets
import tempfile
from pathlib import Path

from taskapi.settings import ConfigurationError, Settings, weakness

logger = logging.getLogger(__name__)


def load_secret_keys(settings: Settings, database: Path | None) -> list[str]:
    """Return the configured keys, or the key in the file beside the SQLite database, which is
    created if missing.

    Raises:
        ConfigurationError: no keys are configured for a database server, or the key in the file is
            too weak.
    """
    if settings.secret_keys:
        return [key.get_secret_value() for key in settings.secret_keys]
    if database is None:
        raise ConfigurationError(
            "TASKAPI_SECRET_KEYS must be set where the database is a server, the same for all "
            "processes; `openssl rand -hex 32` makes a key"
        )
    return [_read_or_create(database.with_suffix(".secret"))]


def _read_or_create(path: Path) -> str:
    """Create the file atomically, so that processes that start together read the same key."""
    if not path.exists():
        descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # with mode 0600
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(descriptor)  # otherwise a power failure can leave an empty file
        try:
            os.link(draft, path)
            logger.info("made a secret key: %s", path)
        except FileExistsError:
            pass
        finally:
            Path(draft).unlink()
    key = path.read_text()
    fault = weakness(key)
    if fault:
        raise ConfigurationError(f"the key in {path} {fault}; without that file a new one is made")
    return key
