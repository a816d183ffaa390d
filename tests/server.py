"""The service as a process of its own, on a port of the loopback interface."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

ROOT = Path(__file__).parents[1]
FAST_HASHES = {"TASKAPI_PASSWORD_HASH_MEMORY": "32", "TASKAPI_PASSWORD_HASH_ITERATIONS": "1"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serve(
    folder: Path, *options: str, application: str = "taskapi.main:app", **variables: str
) -> Iterator[str]:
    """Serve with uvicorn from `folder`, where the database and `server.log` appear; yields the URL.

    `variables` are settings; `options` are uvicorn's.
    """
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", application, f"--port={port}", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **FAST_HASHES, **variables}
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)


def wait_until_ready(url: str, process: subprocess.Popen[bytes], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx2.get(f"{url}/readyz").status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.05)
    raise RuntimeError(f"the server did not become ready; its exit code is {process.poll()}")
