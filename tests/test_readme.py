"""What the README shows is what happens."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from taskapi.main import app
from tests.operations import documented
from tests.server import ROOT, serve

READMES = ["README.md", "docs/README.ru.md"]


def section(text: str, fence: str) -> str:
    """The blocks of this language in the first session, one after another."""
    session = text.split("\n## ")[1]
    return "".join(re.findall(rf"```{fence}\n(.*?)```", session, re.DOTALL))


def without_moments(output: str) -> str:
    return re.sub(r'_at":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"', '_at":""', output)


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
@pytest.mark.parametrize("name", READMES)
def test_the_first_session_prints_what_the_readme_shows(tmp_path: Path, name: str) -> None:
    text = (ROOT / name).read_text()
    with serve(tmp_path) as url:
        script = section(text, "sh").replace("http://127.0.0.1:8000", url)
        session = subprocess.run(
            ["bash", "-eu"],  # noqa: S607 -- whichever shell the reader has
            input=script,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    assert without_moments(session.stdout) == without_moments(section(text, "json"))


def test_every_operation_and_no_other_is_in_the_readme() -> None:
    table = (ROOT / "README.md").read_text().split("## Endpoints")[1].split("\n- ")[0]
    named = set(re.findall(r"`([A-Z]+ /[^`]*)`", table))
    assert named == set(documented(app)) | {"GET /docs", "GET /openapi.json"}
