"""The service as a process that can be killed, restarted and inspected.

Processes are forked from one that has already imported everything, which makes a start quick.
"""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import httpx2
from uvicorn.main import main as uvicorn

from taskapi.settings import PREFIX
from tests.api import PASSWORD
from tests.server import FAST_HASHES, ROOT, free_port
from tests.waiting import HANG, wait_until

LONG = os.environ.get("FAULTS") == "long"
"""Whether the experiments run in their long form."""

SETTINGS = {
    **FAST_HASHES,
    "TASKAPI_ACCESS_TOKEN_LIFETIME": "86400",  # longer than the longest experiment
    "TASKAPI_SECRET_KEYS": "8f1c0a5d7b3e4926af04c1d2e6b79583",
}

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["taskapi.app", "alembic.command", "pytest", __name__])


def _serve(folder: Path, arguments: list[str], variables: Mapping[str, str]) -> None:
    """The whole of the child: uvicorn, as its command line has it."""
    os.setsid()
    os.chdir(folder)
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[name]
    os.environ.update(variables)
    log = os.open("server.log", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    for stream in (0, 1, 2):
        os.dup2(log, stream)
    sys.stdin = os.fdopen(0, closefd=False)  # which uvicorn hands on to its workers
    uvicorn(arguments)


class Service:
    """One service, which keeps its port, settings and folder from one start to the next."""

    def __init__(
        self,
        folder: Path,
        *options: str,
        application: str = "tests.faults.app:app",
        queue_timeout: float = HANG,
        **variables: str,
    ) -> None:
        """`options` are uvicorn's; `variables` are settings."""
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._arguments = [application, f"--port={self.port}", *options]
        self._variables = {
            "PYTHONPATH": str(ROOT),
            "QUEUE_TIMEOUT": str(queue_timeout),
            **SETTINGS,
            **variables,
        }
        self._process: ForkServerProcess

    @property
    def log(self) -> str:
        return (self.folder / "server.log").read_text()

    @property
    def pid(self) -> int:
        assert self._process.pid
        return self._process.pid

    def start(self) -> float:
        """Returns the seconds until it is ready."""
        began = time.monotonic()
        self._launch()
        try:
            wait_until(lambda: self.is_ready() or not self._process.is_alive())
        except TimeoutError:
            self.kill()
            raise
        if not self._process.is_alive():
            raise AssertionError(f"exit code {self._process.exitcode}: {self.log}")
        return time.monotonic() - began

    def fail(self) -> int:
        """Start a service that can't start; returns the exit code."""
        self._launch()
        return self.wait()

    def _launch(self) -> None:
        arguments = (self.folder, self._arguments, self._variables)
        self._process = _FORKS.Process(target=_serve, args=arguments)
        self._process.start()

    def is_ready(self) -> bool:
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=HANG)) as connection:
            try:
                connection.request("GET", "/readyz")
                return connection.getresponse().status == 200
            except OSError:
                return False

    def wait_for_starts(self, count: int) -> None:
        """Wait until this many processes in all have started to serve."""
        wait_until(lambda: self.log.count("Application startup complete") >= count)

    def kill(self) -> None:
        """Kill it and its children, as a crash would."""
        os.killpg(self.pid, signal.SIGKILL)
        self._process.join()

    def terminate(self) -> None:
        self._process.terminate()

    def wait(self) -> int:
        """Wait for its end; returns the exit code."""
        self._process.join(HANG)
        assert self._process.exitcode is not None, f"still running after {HANG} s"
        return self._process.exitcode

    def register(self, email: str = "anna@example.com") -> str:
        """An account's access token."""
        user = {"name": "Anna", "email": email, "password": PASSWORD}
        with httpx2.Client(base_url=self.url, timeout=HANG) as client:
            assert client.post("/users", json=user).status_code == 201
            form = {"grant_type": "password", "username": email, "password": PASSWORD}
            token: str = client.post("/auth/token", data=form).json()["access_token"]
        return token

    def stop(self) -> None:
        """Terminate it, or kill it if it does not obey."""
        if self._process.is_alive():
            self.terminate()
            self._process.join(60)
        if self._process.is_alive():
            self.kill()


@contextmanager
def running(
    folder: Path, *options: str, queue_timeout: float = HANG, **variables: str
) -> Iterator[Service]:
    service = Service(folder, *options, queue_timeout=queue_timeout, **variables)
    service.start()
    try:
        yield service
    finally:
        service.stop()


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def resources(pid: int) -> tuple[float, int, int]:
    """A process's memory in MiB, its open descriptors and its threads."""
    process = Path(f"/proc/{pid}")
    pages = int((process / "statm").read_text().split()[1])
    megabytes = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    return megabytes, len(list((process / "fd").iterdir())), len(list((process / "task").iterdir()))
