"""What some tests need beside the default packages. In CI its absence is a failure; else a skip."""

import importlib
import os
import shutil
from pathlib import Path
from typing import Any, NoReturn

import pytest

CI = os.environ.get("CI", "") not in {"", "0", "false"}


def require_programs(*names: str, install: str) -> str:
    """Returns the path of the first one. `install` is the command that brings them."""
    for name in names:
        if not shutil.which(name):
            missing(name, install)
    return shutil.which(names[0]) or ""


def require_path(path: Path, install: str) -> None:
    if not path.exists():
        missing(path.name, install)


def import_module(name: str, install: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        missing(name, install)


def missing(name: str, install: str) -> NoReturn:
    """Skip the test; in CI, fail it."""
    reason = f"needs {name}: {install}"
    if CI:
        pytest.fail(reason)
    pytest.skip(reason)
