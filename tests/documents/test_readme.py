"""What the README shows is what happens, in a fresh clone of what is committed."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from taskapi.main import app
from tests.documents.markdown import README, RUSSIAN, blocks, name, section
from tests.operations import documented
from tests.server import ROOT, free_port, wait_until_ready

PROGRAMS = ("bash", "curl", "git", "uv")

READMES = [README, RUSSIAN]

URL = "http://127.0.0.1:8000"

needs_a_clone = pytest.mark.skipif(
    not all(map(shutil.which, PROGRAMS)) or not (ROOT / ".git").exists(),
    reason=f"needs {', '.join(PROGRAMS)} and the repository",
)


def run(script: str, folder: Path) -> str:
    """What a reader's shell prints; every command must succeed."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail"],  # noqa: S607 -- whichever shell the reader has
        input=script,
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def environment() -> dict[str, str]:
    """A reader's, who is in no virtual environment of another checkout."""
    return {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clone") / "taskapi"
    run(f"git clone --quiet '{ROOT}' '{folder}'", ROOT)
    return folder


@contextmanager
def serve(command: str, folder: Path) -> Iterator[str]:
    """Run the README's command, on a free port; yields the URL."""
    port = free_port()
    log = folder.with_name("server.log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["bash", "-euc", f"{command.strip()} --port {port}"],  # noqa: S607 -- as above
            cwd=folder,
            env=environment(),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", process, 180)
        yield f"http://127.0.0.1:{port}"
    except RuntimeError as error:
        raise RuntimeError(f"{command}{log.read_text()}") from error
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)


def without_moments(output: str) -> str:
    return re.sub(r'_at":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"', '_at":""', output)


@needs_a_clone
@pytest.mark.parametrize("readme", READMES, ids=name)
def test_a_fresh_clone_runs_and_prints_what_the_readme_shows(clone: Path, readme: Path) -> None:
    run("git clean --quiet -xdff --exclude=.venv", clone)  # fresh but for the packages
    introduction, session, *_ = readme.read_text().split("\n## ")
    with serve(blocks(introduction, "sh")[0], clone) as url:
        printed = run("".join(blocks(session, "sh")).replace(URL, url), clone)
    assert without_moments(printed) == without_moments("".join(blocks(session, "json")))
    assert (clone / "taskapi.db").exists()
    assert (clone / "taskapi.secret").exists()


@needs_a_clone
def test_the_second_command_finds_all_tests_in_a_fresh_clone(clone: Path) -> None:
    """It does not run them, for this test is one of them."""
    prove = blocks(README.read_text(), "sh")[1].strip()
    listed = run(f"{prove} --no-cov --collect-only --quiet", clone)
    assert f"{Path(__file__).name}::test_the_second_command_finds_all_tests" in listed


@needs_a_clone
def test_the_filter_keeps_uvs_addresses_out_of_diffs(clone: Path) -> None:
    development = blocks(section(README.read_text(), "Development"), "sh")[0]
    run(development.splitlines()[0], clone)
    run("uv lock", clone)
    assert "://" in (clone / "uv.lock").read_text()
    assert run("git add uv.lock && git diff --cached --stat", clone) == ""


def test_the_russian_readme_shows_the_same_commands_and_answers() -> None:
    text = README.read_text()
    russian = blocks(RUSSIAN.read_text())
    assert russian == blocks(text)[: len(russian)]
    assert len(russian) == len(blocks(text.partition("\n## Endpoints")[0]))


def test_every_operation_and_no_other_is_in_the_readme() -> None:
    table = section(README.read_text(), "Endpoints").partition("\n- ")[0]
    named = set(re.findall(r"`([A-Z]+ /[^`]*)`", table))
    assert named == set(documented(app)) | {"GET /docs", "GET /openapi.json"}
