"""The interpreters that the servers run with, and their packages."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

UV = os.environ.get("UV", "uv")


def launcher(source: Path | None) -> Sequence[str]:
    """Return what a command begins with, after installing its packages.

    Without a source it is this project's interpreter.
    """
    if source is None:
        return sys.executable, "-m"
    return _install(source), "-m"


def _install(script: Path) -> str:
    """Return the Python that has the packages that a script names (PEP 723)."""
    version = "{}.{}".format(*sys.version_info)
    command = [UV, "sync", "--quiet", "--script", str(script), "--python", version]
    subprocess.run(command, check=True)
    find = [UV, "python", "find", "--script", str(script)]
    return subprocess.run(find, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
