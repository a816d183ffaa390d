"""The processes of the servers that are compared, each with a database of its own."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2

from tests.api import PASSWORD
from tests.databases import PostgreSQL
from tests.server import free_port
from tests.tools.benchmarks import seed
from tests.tools.benchmarks.contenders import PEERS, SECRET, Contender
from tests.tools.benchmarks.operations import Workload
from tests.tools.benchmarks.processes import PROCESSORS, pinned, tree
from tests.tools.benchmarks.programs import launcher, project_packages

SECONDS_TO_START = 600


class Server:
    """A contender's process, with a database of its own."""

    def __init__(
        self,
        contender: Contender,
        folder: Path,
        database: str,
        *options: str,
        processors: Sequence[int] = PROCESSORS[:1],
        environment: dict[str, str] | None = None,
    ) -> None:
        """`options` are the server's; `processors` are those that it stays on."""
        self.contender = contender
        self.database = database
        self.port = free_port()
        self._folder = folder
        self._processors = processors
        self._environment = {
            **os.environ,
            "DATABASE_URL": database,
            "SECRET": SECRET,
            "PYTHONPATH": str(PEERS / contender.folder),
            **{name: self._fill(value) for name, value in contender.environment.items()},
            **(environment or {}),
        }
        self._launcher = launcher(contender.source, folder)
        self._command = [self._fill(part) for part in (*contender.command, *options)]
        self._process: subprocess.Popen[bytes]

    def _fill(self, template: str) -> str:
        if "{packages}" in template:
            template = template.replace("{packages}", project_packages())
        return template.replace("{port}", str(self.port)).replace("{database}", self.database)

    @property
    def pid(self) -> int:
        return self._process.pid

    def prepare(self) -> None:
        """Make the schema, where the server does not do it by itself."""
        if self.contender.prepare and self._run(self.contender.prepare).wait():
            raise RuntimeError(self._log())

    def start(self) -> None:
        with pinned(*self._processors):
            self._process = self._run(self._command)
        deadline = time.monotonic() + SECONDS_TO_START
        while True:
            try:
                httpx2.get(f"http://127.0.0.1:{self.port}/")
            except httpx2.TransportError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    raise RuntimeError(self._log()) from None
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        for process in reversed(tree(self.pid)):
            os.kill(process, signal.SIGKILL)
        self._process.wait()

    def _run(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with (self._folder / "server.log").open("ab") as log:
            return subprocess.Popen(
                [*self._launcher, *command],
                cwd=self._folder,
                env=self._environment,
                stdout=log,
                stderr=log,
            )

    def _log(self) -> str:
        tail = (self._folder / "server.log").read_text()[-4000:]
        return f"{self.contender.name} does not start:\n{tail}"

    def workload(self, users: int = seed.USERS) -> Workload:
        """Calls by users who have logged in."""
        contender = self.contender
        if contender.is_constant:
            return Workload(["none"], contender.page_query, None, tasks=1)
        with httpx2.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30) as client:
            tokens = [self._log_in(client, seed.email(n)) for n in range(1, users + 1)]
        return Workload(tokens, contender.page_query, contender.items)

    def _log_in(self, client: httpx2.Client, email: str) -> str:
        contender = self.contender
        form = {"username": email, "password": PASSWORD}
        if contender.login_is_json:
            answer = client.post(contender.login, json=form)
        else:
            answer = client.post(contender.login, data={"grant_type": "password", **form})
        assert answer.is_success, f"{contender.name}: {answer.status_code} {answer.text}"
        token: str = answer.json()[contender.token]
        return token


@contextmanager
def serve(
    contender: Contender,
    *options: str,
    server: PostgreSQL | None = None,
    processors: Sequence[int] = PROCESSORS[:1],
    environment: dict[str, str] | None = None,
) -> Iterator[Server]:
    """Serve the seeded data, from a SQLite file or a database of `server`."""
    with tempfile.TemporaryDirectory(prefix="taskapi-benchmark-") as name, ExitStack() as stack:
        folder = Path(name)
        database = f"sqlite:///{folder}/tasks.db"
        if server:
            database = server.create_database(contender.template)
            stack.callback(server.drop_database, database)
        running = Server(
            contender, folder, database, *options, processors=processors, environment=environment
        )
        running.prepare()
        running.start()
        stack.callback(running.stop)
        if not contender.is_constant:
            seed.fill(database, contender.user_table)
        yield running
