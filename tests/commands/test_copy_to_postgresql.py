import hashlib
import shutil
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from taskapi.__main__ import main
from taskapi.commands.copy_to_postgresql import CopyError, copy_database
from taskapi.settings import Settings
from tests.api import Api, log_in, refresh, request_token
from tests.databases import PostgreSQL, execute

Start = Callable[[Settings], TestClient]

pytestmark = [pytest.mark.database("sqlite"), pytest.mark.own_database]


@pytest.fixture
def target(postgresql: PostgreSQL, request: pytest.FixtureRequest) -> str:
    if request.config.getoption("database") == "sqlite":
        pytest.skip("needs PostgreSQL")
    return postgresql.create_database()


@pytest.fixture
def source(settings: Settings) -> Path:
    return Path(settings.database_url.removeprefix("sqlite:///"))


def digest(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.suffix != ".db-shm"
    }


def test_users_tasks_and_sessions_are_kept(
    anna: Api, boris: Api, settings: Settings, start: Start, source: Path, target: str
) -> None:
    tasks = [anna.create_task(f"Задача {number}", status="завершена") for number in range(5)]
    anna.patch(f"/users/{anna.user_id}", json={"name": "Anna"})
    login = request_token(anna.client, anna.email).json()
    anna.delete(f"/tasks/{anna.create_task('The last one')['id']}")
    boris.create_task("His")
    boris.delete(f"/users/{boris.user_id}")
    anna.post("/tasks", json={"title": "x"}, headers={"Idempotency-Key": "once"})
    before = digest(source.parent)
    counts = copy_database(source, target)
    expected = {"users": 1, "sessions": 2, "tasks": 6, "idempotent_answers": 1}
    assert counts.items() >= expected.items()
    assert digest(source.parent) == before
    client = start(settings.model_copy(update={"database_url": target}))
    again = Api(client, anna.user_id, anna.email, anna.token)
    for path in ("/users/me", f"/tasks/{tasks[0]['id']}"):
        assert again.get(path).headers["etag"] == anna.get(path).headers["etag"]
    for path in ("/users/me", "/tasks?limit=100", "/tasks?sort=-title&total=true"):
        assert again.get(path).json() == anna.get(path).json()
    assert again.get("/tasks?total=true").headers["x-total-count"] == "6"
    assert again.get(f"/tasks/{tasks[0]['id']}").json() == tasks[0]
    assert refresh(client, login["refresh_token"]).status_code == 200
    log_in(client, anna.email)
    repeat = again.post("/tasks", json={"title": "x"}, headers={"Idempotency-Key": "once"})
    assert repeat.json()["id"] == 8
    assert again.create_task()["id"] == 9
    assert Api.register(client, "boris@example.com").user_id == boris.user_id + 1


def test_the_folder_can_have_any_name(anna: Api, source: Path, target: str, tmp_path: Path) -> None:
    """Failed: `C#/t.db` read the file `C`, which it created."""
    name = "данные %23 a?b C# 50% off"
    anna.create_task()
    execute(f"sqlite:///{source}", "PRAGMA wal_checkpoint(TRUNCATE)")
    folder = tmp_path / name
    folder.mkdir()
    copy = Path(shutil.copy(source, folder))
    assert copy_database(copy, target)["tasks"] == 1
    assert sorted(path.name for path in tmp_path.iterdir() if not path.is_file()) == [name]


def test_ids_of_deleted_rows_are_not_reused(
    anna: Api, settings: Settings, start: Start, source: Path, target: str
) -> None:
    last = anna.create_task()["id"]
    anna.delete(f"/tasks/{last}")
    copy_database(source, target)
    client = start(settings.model_copy(update={"database_url": target}))
    again = Api(client, anna.user_id, anna.email, anna.token)
    assert again.create_task()["id"] == last + 1


def test_a_target_with_rows_is_not_changed(
    anna: Api, settings: Settings, start: Start, source: Path, target: str
) -> None:
    anna.create_task()
    client = start(settings.model_copy(update={"database_url": target}))
    Api.register(client, "vera@example.com")
    with pytest.raises(CopyError, match="is not empty: there are rows in users"):
        copy_database(source, target)
    assert execute(target, "SELECT email FROM users") == [("vera@example.com",)]
    assert execute(target, "SELECT count(*) FROM tasks") == [(0,)]


def test_a_refused_row_rolls_back_the_copy(anna: Api, source: Path, target: str) -> None:
    anna.create_task()
    with sqlite3.connect(source) as connection:
        connection.execute("UPDATE tasks SET title = 'NUL ' || char(0)")
    connection.close()
    with pytest.raises(CopyError, match="NUL"):
        copy_database(source, target)
    assert execute(target, "SELECT count(*) FROM users") == [(0,)]


def test_missing_rows_are_noticed(anna: Api, source: Path, target: str) -> None:
    anna.create_task()
    swallow = "CREATE RULE swallow AS ON INSERT TO tasks DO INSTEAD NOTHING"
    execute(target, swallow)
    with pytest.raises(CopyError, match="0 of 1 rows of tasks arrived"):
        copy_database(source, target)
    assert execute(target, "SELECT count(*) FROM users") == [(0,)]


def test_different_schemas_are_refused(anna: Api, source: Path, target: str) -> None:
    assert anna.get("/users/me").status_code == 200
    execute(target, "UPDATE alembic_version SET version_num = 'of_tomorrow'")
    with pytest.raises(CopyError, match="PostgreSQL: the schema is that of a newer version"):
        copy_database(source, target)
    execute(target, "DROP TABLE alembic_version")
    with pytest.raises(CopyError, match=r"PostgreSQL: .* Run `alembic upgrade head` there"):
        copy_database(source, target)


@pytest.mark.usefixtures("anna")
def test_the_command_prints_the_number_of_rows(
    source: Path,
    target: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TASKAPI_DATABASE_URL", target)
    monkeypatch.setattr(sys, "argv", ["taskapi", "copy-to-postgresql", str(source)])
    main()
    counts = {line.strip() for line in capsys.readouterr().out.splitlines()}
    assert counts >= {"1 users", "0 idempotent_answers", "1 sessions", "0 tasks"}
    with pytest.raises(
        SystemExit, match=r"^taskapi can't copy to PostgreSQL: the PostgreSQL database is not"
    ):
        main()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite:///other.db", "TASKAPI_DATABASE_URL must be the URL of the PostgreSQL database"),
        ("postgresql://db/taskapi", "there is no file nowhere.db"),
    ],
)
def test_a_wrong_url_or_file_is_refused(url: str, message: str) -> None:
    with pytest.raises(CopyError, match=message):
        copy_database(Path("nowhere.db"), url)
