"""Files that appear under their names when they are complete, and survive a power failure."""

import errno
import os
from pathlib import Path

from taskapi.settings import ConfigurationError

NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK}
"""How file systems without hard links, such as FAT, answer to link(2)."""


def publish(draft: Path, path: Path) -> None:
    """Give a file in the same folder another name, and remove its first one.

    Raises:
        FileExistsError: `path` exists.
        ConfigurationError: the file system has no hard links, without which two processes can't be
            kept from overwriting each other's file.
    """
    try:
        sync(draft)
        os.link(draft, path)
    except OSError as error:
        if error.errno in NO_LINKS:
            raise ConfigurationError(
                f"the file system of {path.parent} has no hard links, which {path.name} needs"
            ) from None
        raise
    finally:
        draft.unlink()
    sync(path.parent)


def sync(path: Path) -> None:
    """Write a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
