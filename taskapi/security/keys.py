import logging
import os
import secrets
import tempfile
from pathlib import Path

from taskapi.settings import ConfigurationError, Settings, weakness

logger = logging.getLogger(__name__)


def load_secret_keys(settings: Settings, database: Path | None) -> list[str]:
    """The configured keys, or the one kept beside the database's file, made there if need be.

    Raises:
        ConfigurationError: there are none and no file, or it holds no key that can be used.
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
    """Whichever of several processes creates the file first, all read the same whole key."""
    if not path.exists():
        descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # with mode 0600
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(descriptor)  # or a power failure may leave the name without the key
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
