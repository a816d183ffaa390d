"""Run programs that generate clients, or are clients."""

import os
import subprocess
from pathlib import Path

from tests.server import ROOT

SESSIONS = ROOT / "tests/clients"
MODULES = ROOT / ".ci/judges/node_modules"


def run(folder: Path, *command: str | Path) -> str:
    """What the command prints; it must succeed."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(
        list(map(str, command)), cwd=folder, env=environment, capture_output=True, check=False
    )
    output = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, output
    return output
