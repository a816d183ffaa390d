"""What some tests need beside Python packages: present in CI, optional elsewhere."""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

CI = os.environ.get("CI", "") not in {"", "0", "false"}


def require_programs(*names: str, install: str) -> None:
    """Call `missing` unless all programs are on the PATH."""
    for name in names:
        if not shutil.which(name):
            missing(name, install)


def require_path(path: Path, install: str) -> None:
    """Call `missing` unless the file or folder exists."""
    if not path.exists():
        missing(path.name, install)


def missing(name: str, install: str) -> NoReturn:
    """Skip the test, or fail it in CI. `install` is what brings the missing thing."""
    reason = f"needs {name}: {install}"
    if CI:
        pytest.fail(reason)
    pytest.skip(reason)
