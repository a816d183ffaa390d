"""Docker's command line, on this project's compose.yaml."""

import json
import shutil
import subprocess
from typing import Any

import httpx2

from tests.server import ROOT
from tests.waiting import HANG, wait_until

DOCKER = shutil.which("docker") or "docker"
DOCKER_ITSELF_FAILED = 125


def docker(*arguments: str) -> str:
    return run(DOCKER, *arguments)


def run(*command: str) -> str:
    finished = subprocess.run(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=HANG,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout
    return finished.stdout.strip()


def compose(*arguments: str) -> str:
    return docker("compose", *arguments)


def inspect(name: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = json.loads(docker("inspect", name))
    return found[0]


def fails(*arguments: str) -> bool:
    """Whether a command in a container ends with an error."""
    finished = subprocess.run([DOCKER, *arguments], cwd=ROOT, capture_output=True, check=False)
    assert finished.returncode != DOCKER_ITSELF_FAILED, finished.stderr
    return finished.returncode != 0


def wait_until_ready(client: httpx2.Client) -> None:
    def is_ready() -> bool:
        try:
            return client.get("/readyz").status_code == 200
        except httpx2.TransportError:  # Docker accepts the connection before the service does
            return False

    wait_until(is_ready)
