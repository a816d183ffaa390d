"""The `accounts` command, while the service runs."""

import io
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from taskapi.__main__ import main
from taskapi.commands import accounts
from taskapi.settings import PREFIX, Settings
from tests.api import PASSWORD, Api, check_problem, log_in, refresh, request_token
from tests.clock import Clock
from tests.databases import execute
from tests.server import FAST_HASHES

NEW = "another battery staple"

Run = Callable[..., str]


class Input(io.TextIOWrapper):
    """A standard input whose methods can be replaced."""


@pytest.fixture
def run(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Run `accounts` with arguments; return what it prints. `typed` is its standard input."""
    monkeypatch.setenv("TASKAPI_DATABASE_URL", settings.database_url)
    for name, value in FAST_HASHES.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str, typed: str | bytes = PASSWORD) -> str:
        content = typed if isinstance(typed, bytes) else typed.encode()
        monkeypatch.setattr(sys, "stdin", Input(io.BytesIO(content)))
        monkeypatch.setattr(sys, "argv", ["taskapi", "accounts", *arguments])
        main()
        return capsys.readouterr().out

    return run


@pytest.fixture
def answer_prompts(monkeypatch: pytest.MonkeyPatch) -> Callable[[Iterable[str]], None]:
    """Let the standard input be a terminal on which these lines are typed, and then Ctrl-C."""

    def answer_prompts(lines: Iterable[str]) -> None:
        remaining = iter(lines)

        def read(_: str) -> str:
            for line in remaining:
                return line
            raise KeyboardInterrupt

        monkeypatch.setattr(Input, "isatty", lambda _: True)
        monkeypatch.setattr(accounts, "getpass", read)

    return answer_prompts


def test_a_created_account_is_like_a_registered_one(client: TestClient, run: Run) -> None:
    said = run("create", "Анна@ПРИМЕР.рф", "--name", " Анна ")
    anna = Api(client, 0, "анна@пример.рф", log_in(client, "анна@пример.рф"))
    user = anna.get("/users/me").json()
    assert (user["name"], user["email"]) == ("Анна", "Анна@пример.рф")
    assert said == f"account {user['id']} was created: Анна@пример.рф\n"


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("email", "name", "password", "reason"),
    [
        ("anna", "Anna", PASSWORD, r"email: This is not a valid e-mail address\."),
        ("a\udce9@x.ru", "Anna", PASSWORD, r"email: There is a character that is not allowed\."),
        ("a@x.ru", "\u200b", PASSWORD, r"name: There must be a visible character, and no NUL"),
        ("a@x.ru", "x" * 101, PASSWORD, r"name: This must have at most 100 characters\."),
        ("a@x.ru", "Anna", "x" * 7, r"password: This must have at least 8 characters\."),
        ("a@x.ru", "Anna", "iloveyou", r"password: This password is one of the most common ones"),
        ("a@", "Anna", "x", r"email: .* password: This must have at least 8 characters\."),
        ("a@x.ru", "Anna", "", "there is no password on the terminal or on standard input"),
        ("a@x.ru", "Anna", "\n", "there is no password on the terminal or on standard input"),
        ("a@x.ru", "Anna", b"\xe9" * 8, "the password is not UTF-8"),
    ],
)
def test_what_the_api_refuses_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    run: Run,
    email: str,
    name: str,
    password: str | bytes,
    reason: str,
) -> None:
    monkeypatch.setenv("TASKAPI_REFUSE_COMMON_PASSWORDS", "true")
    with pytest.raises(SystemExit, match=f"^taskapi can't create an account: {reason}") as exited:
        run("create", email, "--name", name, typed=password)
    assert "\n" not in str(exited.value)
    assert run("list").count("\n") == 1


def test_a_taken_email_is_refused(anna: Api, run: Run) -> None:
    with pytest.raises(SystemExit, match="An account with this e-mail exists"):
        run("create", anna.email.upper(), "--name", "Anna")


def test_a_set_password_replaces_the_old_one_and_ends_all_sessions(anna: Api, run: Run) -> None:
    tokens = request_token(anna.client, anna.email).json()
    before = anna.get("/users/me").headers["etag"]
    said = run("set-password", anna.email.upper(), typed=NEW)
    assert said == "the password of ANNA@EXAMPLE.COM was set; the sessions have ended\n"
    check_problem(anna.get("/users/me"), 401, "unauthorized")
    assert refresh(anna.client, tokens["refresh_token"]).status_code != 200
    assert request_token(anna.client, anna.email).status_code != 200
    anna.token = log_in(anna.client, anna.email, NEW)
    assert anna.get("/users/me").headers["etag"] != before


@pytest.mark.one_database
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_the_end_of_the_line_is_not_part_of_the_password(anna: Api, run: Run, end: str) -> None:
    run("set-password", anna.email, typed=f" {NEW} {end}")
    log_in(anna.client, anna.email, f" {NEW} ")


@pytest.mark.one_database
def test_a_terminal_is_prompted_twice(
    anna: Api, run: Run, answer_prompts: Callable[[Iterable[str]], None]
) -> None:
    answer_prompts([NEW, NEW])
    run("set-password", anna.email)
    log_in(anna.client, anna.email, NEW)


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("lines", "reason"),
    [([NEW, PASSWORD], "the passwords differ"), ([], "no password"), ([NEW], "no password")],
)
def test_passwords_that_differ_change_nothing(
    anna: Api,
    run: Run,
    answer_prompts: Callable[[Iterable[str]], None],
    lines: list[str],
    reason: str,
) -> None:
    answer_prompts(lines)
    with pytest.raises(SystemExit, match=f"^taskapi can't set a password: .*{reason}"):
        run("set-password", anna.email)
    assert anna.get("/users/me").status_code == 200


def test_the_list_counts_tasks_and_sessions(anna: Api, boris: Api, run: Run) -> None:
    anna.create_task()
    anna.create_task()
    log_in(anna.client, anna.email)
    anna.patch(f"/users/{anna.user_id}", json={"name": "Анна\x1b[31m\u202e"})
    lines = run("list").splitlines()
    created = boris.get("/users/me").json()["created_at"][:10]
    assert lines == [
        "      id    tasks sessions  created     e-mail, name",
        f"{anna.user_id:>8}        2        2  {created}  anna@example.com, Анна\ufffd[31m\ufffd",
        f"{boris.user_id:>8}        0        1  {created}  boris@example.com, Somebody",
    ]


def test_expired_sessions_are_not_counted(clock: Clock, anna: Api, run: Run) -> None:
    assert run("list").splitlines()[1].split()[:3] == [str(anna.user_id), "0", "1"]
    clock.advance(days=30)
    assert run("list").splitlines()[1].split()[:3] == [str(anna.user_id), "0", "0"]


def test_all_sessions_of_an_account_can_be_ended(anna: Api, boris: Api, run: Run) -> None:
    log_in(anna.client, anna.email)
    assert run("end-sessions", anna.email) == f"2 sessions of {anna.email} have ended\n"
    check_problem(anna.get("/users/me"), 401, "unauthorized")
    assert boris.get("/users/me").status_code == 200


def test_a_deleted_account_is_gone(anna: Api, boris: Api, run: Run, settings: Settings) -> None:
    anna.create_task()
    assert run("delete", anna.email) == f"{anna.email} was deleted\n"
    check_problem(anna.get("/users/me"), 401, "unauthorized")
    assert execute(settings.database_url, "SELECT count(*) FROM tasks") == [(0,)]
    assert [user["id"] for user in boris.get("/users").json()] == [boris.user_id]


@pytest.mark.parametrize("action", ["set-password", "end-sessions", "delete"])
@pytest.mark.parametrize("email", ["vera@example.com", "1", "a\udce9@x.ru"])
def test_an_unknown_account_is_reported_in_one_line(run: Run, action: str, email: str) -> None:
    with pytest.raises(SystemExit, match=r"^taskapi can't .*: ") as exited:
        run(action, email)
    reason = str(exited.value).partition(": ")[2]
    assert reason == "There is no account with this e-mail." or "can't encode" in reason
    assert "\n" not in str(exited.value)


def test_commands_and_requests_do_not_disturb_each_other(anna: Api, boris: Api, run: Run) -> None:
    with ThreadPoolExecutor(5) as pool:
        hers = [pool.submit(anna.post, "/tasks", json={"title": "Hers"}) for _ in range(20)]
        his = [pool.submit(boris.create_task, "His") for _ in range(20)]
        run("set-password", anna.email, typed=NEW)
        assert anna.get("/tasks").status_code == 401
        run("delete", anna.email)
    assert {request.result().status_code for request in hers} <= {201, 401}
    assert len({request.result()["id"] for request in his}) == 20
    assert run("list").splitlines()[1].split()[:2] == [str(boris.user_id), "20"]


@pytest.mark.database("sqlite")
def test_a_missing_database_is_not_created(
    monkeypatch: pytest.MonkeyPatch, run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "nowhere" / "taskapi.db"
    file.parent.mkdir()
    monkeypatch.setenv(f"{PREFIX}DATABASE_URL", f"sqlite:///{file}")
    with pytest.raises(SystemExit, match=f"^taskapi can't list the accounts: there is no {file}; "):
        run("list")
    assert list(file.parent.iterdir()) == []


@pytest.mark.own_database
def test_an_old_schema_is_reported_in_one_line(run: Run, settings: Settings) -> None:
    execute(settings.database_url, "UPDATE alembic_version SET version_num = '8d41c07e6b25'")
    with pytest.raises(SystemExit, match=r"list the accounts: The database's schema is behind"):
        run("list")
