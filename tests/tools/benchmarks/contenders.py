"""The servers that are compared, and how each is started, as its own documentation says."""

import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx2

from tests.api import PASSWORD
from tests.databases import PostgreSQL
from tests.server import FAST_HASHES, ROOT, free_port
from tests.tools.benchmarks import seed
from tests.tools.benchmarks.operations import OPERATIONS, PAGE, Workload
from tests.tools.benchmarks.processes import PROCESSORS, pinned, tree

UV = os.environ.get("UV", "uv")
PEERS = Path(__file__).parent / "peers"
SECRET = secrets.token_hex(32)
SECONDS_TO_START = 600


@dataclass(frozen=True)
class Contender:
    name: str
    description: str
    folder: str = ""
    """In `peers/`."""
    script: str = "app.py"
    """The file there that says which packages it needs (PEP 723); this project's own if empty."""
    command: tuple[str, ...] = ("uvicorn", "app:app", "--port={port}")
    prepare: tuple[str, ...] = ()
    """What is run once, before the server, for the schema."""
    environment: dict[str, str] = field(default_factory=dict)
    login: str = "/auth/token"
    login_is_json: bool = False
    token: str = "access_token"
    page_query: str = f"limit={PAGE}"
    items: str | None = None
    user_table: str = "users"
    operations: Sequence[str] = tuple(OPERATIONS)
    is_constant: bool = False
    """Whether it knows but one task and one page, and nobody can log in."""

    def interpreter(self) -> str:
        """The Python with the contender's packages, which are installed if need be."""
        if not self.script:
            return sys.executable
        script = str(PEERS / self.folder / self.script)
        version = "{}.{}".format(*sys.version_info)
        subprocess.run([UV, "sync", "--quiet", "--script", script, "--python", version], check=True)
        find = [UV, "python", "find", "--script", script]
        return subprocess.run(find, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


GUNICORN = (
    "gunicorn",
    "django.core.wsgi:get_wsgi_application()",
    "--bind=127.0.0.1:{port}",
    "--threads=8",
    "--access-logfile=-",
)
MIGRATE = ("django", "migrate", "--verbosity=0")

TASKAPI = Contender(
    "taskapi",
    "this service",
    script="",
    command=("uvicorn", "taskapi.main:app", "--port={port}"),
    environment={
        "PYTHONPATH": str(ROOT),
        "TASKAPI_DATABASE_URL": "{database}",
        "TASKAPI_SECRET_KEYS": SECRET,
        "TASKAPI_ACCESS_TOKEN_LIFETIME": "3600",
        **FAST_HASHES,
    },
)
TASKAPI_H11 = replace(
    TASKAPI,
    name="taskapi-h11",
    description="this service with uvicorn's parser in Python, `--http=h11`",
    command=(*TASKAPI.command, "--http=h11"),
)
TASKAPI_RUN = replace(
    TASKAPI,
    name="taskapi-fastapi-run",
    description="this service started by `fastapi run`",
    command=("fastapi", "run", "--entrypoint=taskapi.main:app", "--port={port}"),
)
CEILING = Contender(
    "ceiling",
    "Starlette, the database's driver and PyJWT: no framework, one commit a request",
    folder="ceiling",
)
CONSTANT = Contender(
    "constant",
    "FastAPI that answers the same always, with no login and no database",
    folder="constant",
    operations=("read", "page"),
    is_constant=True,
)
USUAL = Contender(
    "usual",
    "FastAPI and SQLModel as their tutorials have it: `def`, a session by `yield`, entities",
    folder="usual",
)

BARE = Contender("bare", "FastAPI with nothing in it", folder="bare", script="")

CONTENDERS = (
    TASKAPI,
    TASKAPI_H11,
    TASKAPI_RUN,
    CEILING,
    CONSTANT,
    USUAL,
    Contender(
        "fastapi-users",
        "FastAPI with FastAPI Users and SQLAlchemy's asyncio extension",
        folder="fastapi_users",
        login="/auth/jwt/login",
    ),
    Contender(
        "litestar",
        "Litestar with Advanced Alchemy, asynchronous",
        folder="litestar",
        login="/login",
        page_query=f"currentPage=1&pageSize={PAGE}",
        items="items",
    ),
    Contender(
        "drf",
        "Django REST framework and Simple JWT on gunicorn",
        folder="django",
        script="rest.py",
        command=GUNICORN,
        prepare=MIGRATE,
        environment={"DJANGO_SETTINGS_MODULE": "settings_rest"},
        login_is_json=True,
        token="access",
        items="results",
        user_table="auth_user",
    ),
    Contender(
        "django-ninja",
        "Django Ninja and Ninja JWT on gunicorn",
        folder="django",
        script="ninja_api.py",
        command=GUNICORN,
        prepare=MIGRATE,
        environment={"DJANGO_SETTINGS_MODULE": "settings_ninja"},
        login="/token/pair",
        login_is_json=True,
        token="access",
        items="items",
        user_table="auth_user",
    ),
    Contender(
        "flask",
        "Flask, Flask-SQLAlchemy and Flask-JWT-Extended on gunicorn",
        folder="flask",
        command=("gunicorn", "app:app", *GUNICORN[2:]),
        login="/login",
        login_is_json=True,
        page_query=f"page=1&per_page={PAGE}",
    ),
)


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
        self._python = contender.interpreter()
        self._environment = {
            **os.environ,
            "DATABASE_URL": database,
            "SECRET": SECRET,
            "PYTHONPATH": str(PEERS / contender.folder),
            **{name: self._fill(value) for name, value in contender.environment.items()},
            **(environment or {}),
        }
        self._command = [self._fill(part) for part in (*contender.command, *options)]
        self._process: subprocess.Popen[bytes]

    def _fill(self, template: str) -> str:
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
                [self._python, "-m", *command],
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
            own = "template_taskapi" if contender.script == "" else "template1"
            database = server.create_database(own)
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
