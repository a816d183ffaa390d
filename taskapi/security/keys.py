import logging
import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

from taskapi.database.files import publish
from taskapi.settings import BLANKS, ConfigurationError, Settings, weakness

logger = logging.getLogger(__name__)


def load_secret_keys(settings: Settings, database: Path | None) -> list[str]:
    """Return the configured keys, or the key in the file beside the SQLite database, which is
    created if missing.

    Raises:
        ConfigurationError: no keys are configured for a database server, or the key in the file is
            too weak or can't be made.
    """
    if settings.secret_keys:
        return [key.get_secret_value() for key in settings.secret_keys]
    if database is None:
        raise ConfigurationError(
            "TASKAPI_SECRET_KEYS must be set where the database is a server, the same for all "
            "processes; `openssl rand -hex 32` makes a key"
        )
    path = database.with_suffix(".secret")
    if not path.exists():
        _create(path)
    return _read(path)


def _create(path: Path) -> None:
    """Create the file atomically, so that processes that start together read the same key."""
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # with mode 0600
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(32))
    with suppress(FileExistsError):
        publish(Path(draft), path)
        logger.info("made a secret key: %s", path)


def _read(path: Path) -> list[str]:
    """Return the key without a byte order mark and white space around it, as a variable has it.

    If the file has them, its whole text is a second key: releases up to 1.0 signed with it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigurationError(f"the key in {path} is not UTF-8") from None
    key = text.strip(BLANKS)
    fault = weakness(key)
    if fault:
        raise ConfigurationError(f"the key in {path} {fault}; without that file a new one is made")
    return [key] if key == text else [key, text]
