"""In a fresh clone of what is committed, the commands of the README print what it shows."""

import json
import os
import re
import signal
import subprocess
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.documents.markdown import README, RUSSIAN, blocks, name, section
from tests.requirements import require_path, require_programs
from tests.server import ROOT, free_port, wait_until_ready
from tests.waiting import HANG

URL = "http://127.0.0.1:8000"

ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
"""A reader's, who is in no virtual environment."""


def run(script: str, folder: Path) -> str:
    """What a reader's shell prints; every command must succeed."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail"],  # noqa: S607 -- any shell of the reader's
        input=script,
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=5 * HANG,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require_programs(
        "bash", "curl", "git", "uv", install="apt-get install bash curl git; pip install uv"
    )
    require_path(ROOT / ".git", "work in a clone of the repository")
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
            ["bash", "-euc", f"{command.strip()} --port {port}"],  # noqa: S607 -- any shell
            cwd=folder,
            env=ENVIRONMENT,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", process)
        yield f"http://127.0.0.1:{port}"
    except RuntimeError as error:
        raise RuntimeError(f"{command}{log.read_text()}") from error
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=HANG)


def without_timestamps(output: str) -> str:
    return re.sub(r'_at":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"', '_at":""', output)


@pytest.mark.parametrize("readme", [README, RUSSIAN], ids=name)
def test_the_first_session_prints_what_the_readme_shows(clone: Path, readme: Path) -> None:
    run("git clean --quiet -xdff --exclude=.venv", clone)  # fresh but for the packages
    introduction, session, *_ = readme.read_text().split("\n## ")
    with serve(blocks(introduction, "sh")[0], clone) as url:
        printed = run("".join(blocks(session, "sh")).replace(URL, url), clone)
    assert without_timestamps(printed) == without_timestamps("".join(blocks(session, "json")))
    assert (clone / "taskapi.db").exists()
    assert (clone / "taskapi.secret").exists()


def test_the_second_command_collects_the_fast_suite(clone: Path) -> None:
    """`.ci/run` runs the suite, in a fresh clone too."""
    command = blocks(README.read_text(), "sh")[1].strip()
    listed = run(f"{command} --no-cov --collect-only --quiet", clone)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for folder in project["tool"]["pytest"]["testpaths"]:
        assert f"{folder}/" in listed


def test_the_filter_keeps_addresses_out_of_the_lock(clone: Path) -> None:
    development = blocks(section(README.read_text(), "Development"), "sh")[0]
    run(development.splitlines()[0], clone)
    run("uv lock", clone)
    assert "://" in (clone / "uv.lock").read_text()
    assert run("git add uv.lock && git diff --cached --stat", clone) == ""


def test_the_bill_of_materials_has_the_packages_of_the_image(clone: Path) -> None:
    page = (ROOT / "docs/containers.md").read_text()
    run(blocks(section(page, "Bill of materials"), "sh")[0], clone)
    bill = json.loads((clone / "taskapi.cdx.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    names = {component["name"] for component in bill["components"]}
    assert {"fastapi", "opentelemetry-sdk", "psycopg", "redis"} <= names
    assert "pytest" not in names
