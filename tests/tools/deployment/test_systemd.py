"""docs/deployment/taskapi.service, as systemd reads it."""

import subprocess
import sys
from pathlib import Path

from tests.requirements import require_programs
from tests.server import ROOT

UNIT = ROOT / "docs/deployment/taskapi.service"


def analyze(*arguments: str | Path) -> str:
    program = require_programs("systemd-analyze", install="apt-get install systemd")
    finished = subprocess.run(
        [program, "--no-pager", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout
    return finished.stdout


def test_systemd_finds_no_fault_with_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/taskapi/.venv/bin/uvicorn", sys.executable))
    assert analyze("verify", "--man=no", unit) == ""


def test_the_unit_is_hardened() -> None:
    """The score is between 0 and 10, or 0 and 100 for the threshold. That of no unit is 9.6."""
    said = analyze("security", "--offline=true", "--threshold=20", UNIT)
    assert "Overall exposure level for taskapi.service" in said
