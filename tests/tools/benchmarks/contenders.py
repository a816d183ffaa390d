"""The servers that are compared, and how each is started, as its own documentation says."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.server import FAST_HASHES, ROOT
from tests.tools.benchmarks.operations import OPERATIONS, PAGE

PEERS = Path(__file__).parent / "peers"
SECRET = secrets.token_hex(32)


@dataclass(frozen=True)
class Contender:
    name: str
    description: str
    folder: str = ""
    """In `peers/`."""
    script: str = "app.py"
    """The file there that is built, or says which packages it needs (PEP 723). Without one, the
    packages are those of this project's image.
    """
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
    databases: Sequence[str] = ("sqlite", "postgresql")
    template: str = "template1"
    """PostgreSQL's database that its own is a copy of."""
    operations: Sequence[str] = tuple(OPERATIONS)
    is_constant: bool = False
    """Whether it knows but one task and one page, and nobody can log in."""

    @property
    def source(self) -> Path | None:
        return PEERS / self.folder / self.script if self.script else None


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
    template="template_taskapi",
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
GRANIAN = replace(
    TASKAPI,
    name="taskapi-granian",
    description="this service on Granian",
    folder="granian",
    script="requirements.py",
    command=("granian", "--interface=asgi", "--port={port}", "taskapi.main:app"),
    environment={
        **TASKAPI.environment,
        "PYTHONPATH": f"{ROOT}:{{packages}}",
    },
)
CEILING = Contender(
    "ceiling",
    "Starlette, the database's driver and PyJWT: no framework, one commit a request",
    folder="ceiling",
)
GO = Contender(
    "go",
    "the ceiling in Go: net/http, database/sql and SQLite",
    folder="go",
    script="main.go",
    command=("--port={port}",),
    databases=("sqlite",),
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
BARE_SQLMODEL = replace(
    BARE,
    name="bare-sqlmodel",
    description="FastAPI with nothing in it, and SQLModel imported",
    command=("uvicorn", "with_sqlmodel:app", "--port={port}"),
)

CONTENDERS = (
    TASKAPI,
    TASKAPI_H11,
    TASKAPI_RUN,
    GRANIAN,
    CEILING,
    GO,
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
