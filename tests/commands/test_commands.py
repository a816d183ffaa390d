"""Every command reports known failures in one line, as a start does."""

import sys
from pathlib import Path

import pytest
from alembic.config import main as run_alembic

from taskapi.__main__ import main
from taskapi.commands import backup
from tests.server import ROOT

UNREACHABLE = "postgresql://nobody@127.0.0.1:1/taskapi"

COPY = ("copy-to-postgresql", "source.db")
MIGRATE = ("--config", str(ROOT / "alembic.ini"), "upgrade", "head")


def run(monkeypatch: pytest.MonkeyPatch, *command: str) -> None:
    if command == MIGRATE:
        run_alembic(MIGRATE)
    monkeypatch.setattr(sys, "argv", ["taskapi", *command])
    main()


@pytest.mark.parametrize(
    ("command", "name", "value", "message"),
    [
        (("backup", "x.db"), "LOG_FORMAT", "xml", "back up the database: TASKAPI_LOG_FORMAT: "),
        (COPY, "NO_SUCH", "x", "copy to PostgreSQL: no such setting: TASKAPI_NO_SUCH"),
        (COPY, "DATABASE_URL", UNREACHABLE, "copy to PostgreSQL: connection failed: "),
        (MIGRATE, "NO_SUCH", "x", "migrate the database: no such setting: TASKAPI_NO_SUCH"),
        (MIGRATE, "DATABASE_URL", "mysql://db", "migrate the database: the database must be "),
        (MIGRATE, "DATABASE_URL", UNREACHABLE, "migrate the database: the database can't be used"),
    ],
)
def test_a_failure_is_reported_in_one_line(
    monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], name: str, value: str, message: str
) -> None:
    Path("source.db").touch()
    monkeypatch.setenv(f"TASKAPI_{name}", value)
    with pytest.raises(SystemExit, match=f"^taskapi can't {message}") as exited:
        run(monkeypatch, *command)
    assert "\n" not in str(exited.value)


@pytest.mark.parametrize("command", [COPY, MIGRATE])
def test_a_missing_driver_is_reported_in_one_line(
    monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    Path("source.db").touch()
    monkeypatch.setenv("TASKAPI_DATABASE_URL", UNREACHABLE)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(SystemExit, match=r"PostgreSQL needs a driver: uv sync --extra postgresql$"):
        run(monkeypatch, *command)


def test_a_fault_of_the_code_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup, "back_up", None)
    monkeypatch.setattr(sys, "argv", ["taskapi", "backup", "copy.db"])
    with pytest.raises(TypeError):
        main()


def test_the_help_names_every_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["taskapi", "--help"])
    with pytest.raises(SystemExit, match="0"):
        main()
    text = capsys.readouterr().out
    assert text.startswith("usage: python -m taskapi [-h] COMMAND")
    names = {path.stem.replace("_", "-") for path in (ROOT / "taskapi/commands").glob("[a-z]*.py")}
    assert len(names) >= 2
    assert all(f"\n    {name}" in text for name in names)
