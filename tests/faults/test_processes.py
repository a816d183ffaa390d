"""Starting, restarting and starting side by side, as processes."""

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from taskapi.database.migrations import REVISIONS
from tests.api import PASSWORD
from tests.databases import execute
from tests.server import ROOT, serve
from tests.waiting import HANG

CLIENT = httpx2.Client(timeout=HANG)

USER = {"name": "Anna", "email": "anna@example.com", "password": PASSWORD}
FORM = {"grant_type": "password", "username": "anna@example.com", "password": PASSWORD}


def log_in(url: str) -> dict[str, str]:
    token = CLIENT.post(f"{url}/auth/token", data=FORM).json()["access_token"]
    return {"Authorization": f"Bearer {token}"}


def test_the_first_start_creates_a_database_and_a_key_and_logs_their_paths(tmp_path: Path) -> None:
    with serve(tmp_path) as url:
        assert CLIENT.post(f"{url}/users", json=USER).status_code == 201
    secret = tmp_path / "taskapi.secret"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert len(secret.read_text()) == 64
    log = (tmp_path / "server.log").read_text()
    assert f"made a secret key: {secret}" in log
    assert f"database: {tmp_path / 'taskapi.db'}" in log
    assert secret.read_text() not in log


def test_a_restart_keeps_users_tasks_and_sessions(tmp_path: Path) -> None:
    with serve(tmp_path) as url:
        CLIENT.post(f"{url}/users", json=USER)
        login = log_in(url)
        task = CLIENT.post(f"{url}/tasks", json={"title": "Buy bread"}, headers=login).json()
        secret = (tmp_path / "taskapi.secret").read_text()
    with serve(tmp_path) as url:
        assert CLIENT.get(f"{url}/tasks", headers=login).json() == [task]
        assert CLIENT.get(f"{url}/tasks", headers=log_in(url)).json() == [task]
    assert (tmp_path / "taskapi.secret").read_text() == secret


def test_four_workers_share_one_database_and_one_secret(tmp_path: Path) -> None:
    with serve(tmp_path, "--workers=4") as url, ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda _: CLIENT.post(f"{url}/users", json=USER), range(16))
        assert sorted(answer.status_code for answer in answers) == [201] + [409] * 15
        login = log_in(url)
        answers = pool.map(lambda _: CLIENT.get(f"{url}/users/me", headers=login), range(40))
        assert [answer.status_code for answer in answers] == [200] * 40
    log = (tmp_path / "server.log").read_text()
    assert log.count("made a secret key") == 1
    assert log.count("database:") == 4
    assert "Traceback" not in log
    assert "ERROR" not in log
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "server.log",
        "taskapi.db",
        "taskapi.secret",
    ]


@pytest.mark.parametrize(("trusted", "status"), [("127.0.0.1", 400), ("192.0.2.99", 429)])
def test_the_clients_address_comes_from_a_trusted_proxy(
    tmp_path: Path, trusted: str, status: int
) -> None:
    with serve(tmp_path, f"--forwarded-allow-ips={trusted}") as url:

        def fail(client: str) -> int:
            headers = {"X-Forwarded-For": client}
            return CLIENT.post(f"{url}/auth/token", data=FORM, headers=headers).status_code

        assert [fail("192.0.2.1") for _ in range(10)] == [400] * 10
        assert fail("192.0.2.2") == status


@pytest.mark.parametrize(("options", "status"), [(["--forwarded-allow-ips=*"], 400), ([], 429)])
def test_clients_behind_a_unix_socket_are_told_apart_by_a_trusted_proxy(
    tmp_path: Path, options: list[str], status: int
) -> None:
    """Without the proxy's word, all of them share one rate limit."""
    path = str(tmp_path / "socket")
    with (
        serve(tmp_path, f"--uds={path}", *options, uds=path) as url,
        httpx2.Client(transport=httpx2.HTTPTransport(uds=path), timeout=HANG) as client,
    ):

        def fail(address: str) -> int:
            headers = {"X-Forwarded-For": address}
            return client.post(f"{url}/auth/token", data=FORM, headers=headers).status_code

        assert [fail("192.0.2.1") for _ in range(10)] == [400] * 10
        assert fail("192.0.2.2") == status


def test_each_request_is_one_line_of_the_log(tmp_path: Path) -> None:
    with serve(tmp_path) as url:
        CLIENT.get(f"{url}/livez", headers={"X-Request-ID": "the-one"})
    lines = (tmp_path / "server.log").read_text().splitlines()
    assert [line.split(" INFO ")[-1].split()[:3] for line in lines if "/livez" in line] == [
        ["GET", "/livez", "200"]
    ]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("TASKAPI_DATABASE_URL", "sqlite://", "must be a file"),
        (
            "TASKAPI_DATABASE_URL",
            "mysql://localhost",
            "must be sqlite:///a-file.db or postgresql://",
        ),
        ("TASKAPI_DATABASE_URL", "postgresql://localhost", "TASKAPI_SECRET_KEYS must be set"),
        (
            "TASKAPI_DATABASE_URL",
            "sqlite:///nowhere/taskapi.db",
            "unable to open database file",
        ),
        ("TASKAPI_SECRET_KEYS", "short", "fewer than 32 characters"),
        ("TASKAPI_SECRET_KEY", "x" * 40, "no such setting: TASKAPI_SECRET_KEY"),
        ("TASKAPI_LOG_FORMAT", "xml", "TASKAPI_LOG_FORMAT: Input should be"),
        ("TASKAPI_DATABASE_URL", "nonsense", "must be sqlite:///a-file.db or postgresql://"),
    ],
)
def test_a_start_with_unusable_settings_fails_in_one_line(
    tmp_path: Path, name: str, value: str, message: str
) -> None:
    started = subprocess.run(
        [sys.executable, "-m", "uvicorn", "taskapi.main:app", "--port=0"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), name: value},
        capture_output=True,
        text=True,
        timeout=HANG,
        check=False,
    )
    assert started.returncode != 0
    [line] = [line for line in started.stderr.splitlines() if "taskapi can't start: " in line]
    assert message in line
    assert "Traceback" not in started.stderr
    assert "short" not in started.stderr.replace("too short", "")
    assert list(tmp_path.glob("*")) == []


def test_garbage_is_collected_after_the_imports_only(tmp_path: Path) -> None:
    script = (
        "import gc\n"
        "from taskapi.main import app\n"
        "imports = [generation['collections'] for generation in gc.get_stats()]\n"
        "cycle = []; cycle.append(cycle); del cycle\n"
        "print(gc.isenabled(), sum(imports) < 20, gc.collect() > 0)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script]
    printed = subprocess.check_output(command, cwd=tmp_path, env=environment, text=True)
    assert printed == "True True True\n"


def test_a_start_without_migrations_does_not_import_alembic(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from fastapi.testclient import TestClient\n"
        "from taskapi.main import app\n"
        "with TestClient(app) as client: assert client.get('/readyz').status_code == 200\n"
        "print('alembic' in sys.modules)\n"
    )
    loaded = [
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for _ in range(2)
    ]
    assert loaded == ["True\n", "False\n"]


def test_the_service_starts_and_is_migrated_in_a_folder_of_any_name(tmp_path: Path) -> None:
    """Failed: Alembic interpolated the `%`."""
    clone = tmp_path / "50% off C# %(here)s"
    for folder in ("taskapi", "alembic"):
        shutil.copytree(ROOT / folder, clone / folder)
    shutil.copy(ROOT / "alembic.ini", clone)
    with serve(clone, PYTHONPATH=str(clone)) as url:
        assert CLIENT.post(f"{url}/users", json=USER).status_code == 201
    (clone / "taskapi.db").unlink()
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    subprocess.run(command, cwd=clone, check=True)
    assert (clone / "taskapi.db").stat().st_size > 0


def test_one_of_concurrent_migrations_does_the_work(
    create_database: Callable[[], str],
) -> None:
    url = create_database()

    def migrate(_: int) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "alembic", "upgrade", "head"],
            cwd=ROOT,
            env={**os.environ, "TASKAPI_DATABASE_URL": url},
            capture_output=True,
            text=True,
            check=False,
        )
        return f"{done.returncode} {done.stderr.count('Running upgrade')}"

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(migrate, range(4))) == ["0 0"] * 3 + [f"0 {len(REVISIONS)}"]
    assert execute(url, "SELECT version_num FROM alembic_version") == [(REVISIONS[0],)]


def test_a_failed_command_has_no_traceback(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "taskapi", "backup", "copy.db"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "taskapi can't back up the database: unable to open database file\n"
