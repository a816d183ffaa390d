"""The service on a port of the loopback interface, as a process of its own or in a thread."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import httpx2
import uvicorn
from fastapi import FastAPI

from tests.waiting import HANG, wait_until

ROOT = Path(__file__).parents[1]
FAST_HASHES = {"TASKAPI_PASSWORD_HASH_MEMORY": "32", "TASKAPI_PASSWORD_HASH_ITERATIONS": "1"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serve(
    folder: Path,
    *options: str,
    application: str = "taskapi.main:app",
    uds: str | None = None,
    port: str | None = None,
    **variables: str,
) -> Iterator[str]:
    """Serve with uvicorn from `folder`, where the database and `server.log` appear; yields the URL.

    `variables` are settings; `options` are uvicorn's. `uds` is the socket of the option `--uds`.
    """
    port = port or str(free_port())
    command = [sys.executable, "-m", "uvicorn", application, f"--port={port}", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **FAST_HASHES, **variables}
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(url, process, uds)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=HANG)


@contextmanager
def serve_in_thread(app: FastAPI, protocol: str) -> Iterator[int]:
    """Serve with uvicorn and its `--http`; yields the port, which accepts connections at once."""
    server = uvicorn.Server(uvicorn.Config(app, http=protocol, log_config=None))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def wait_until_ready(url: str, process: subprocess.Popen[bytes], uds: str | None = None) -> None:
    def is_ready() -> bool:
        if uds and not Path(uds).is_socket():
            return False
        transport = httpx2.HTTPTransport(uds=uds)
        try:
            with httpx2.Client(transport=transport, timeout=HANG) as client:
                return client.get(f"{url}/readyz").status_code == 200
        except httpx2.TransportError:
            return False

    wait_until(lambda: is_ready() or process.poll() is not None)
    if process.poll() is not None:
        raise RuntimeError(f"the server did not become ready; its exit code is {process.poll()}")
