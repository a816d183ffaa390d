import asyncio
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from getpass import getpass
from typing import Any, TypeVar, TypeVarTuple

from pydantic import SecretStr, ValidationError
from sqlalchemy import ColumnElement, Engine, ScalarSelect, Select, func
from sqlmodel import SQLModel, col, select

from taskapi.auth.models import UserSession
from taskapi.auth.queries import NOT_EXPIRED
from taskapi.auth.sessions import live_at
from taskapi.database import migrations
from taskapi.database.connections import Connection
from taskapi.database.engines import database_file, open_engine
from taskapi.exceptions import InvalidRequest, Problem
from taskapi.http.exception_handlers import error_items
from taskapi.models import RequestModel, utc_now
from taskapi.security.passwords import Passwords
from taskapi.settings import ConfigurationError, Settings
from taskapi.startup import exit_on_error, load_settings
from taskapi.tasks.models import Task
from taskapi.users import service
from taskapi.users.models import Password, User, UserCreate

Action = Callable[[Settings, Namespace], None]

BATCH_SIZE = 1000
"""Number of accounts in memory at once."""

ASKS = "The password is asked for twice, or read from standard input if that is not a terminal."

T = TypeVar("T")
M = TypeVar("M", bound=SQLModel)
Args = TypeVarTuple("Args")


def _count(owner_id: int, *conditions: ColumnElement[bool]) -> ScalarSelect[int]:
    return select(func.count()).where(col(owner_id) == col(User.id), *conditions).scalar_subquery()


SELECT_ACCOUNTS: Select[Any] = (
    select(User.id, _count(Task.user_id), _count(UserSession.user_id, NOT_EXPIRED))
    .add_columns(col(User.created_at), col(User.email), col(User.name))
    .order_by(col(User.id))
    .execution_options(yield_per=BATCH_SIZE)
)


class NewPassword(RequestModel):
    password: Password


class AccountsError(Exception):
    """The command did nothing. The message is the reason."""


def register(add_parser: Callable[..., ArgumentParser]) -> None:
    description = "Create, list and delete accounts, set passwords, and end sessions."
    parser = add_parser("accounts", help=description, description=description)
    add_action = parser.add_subparsers(title="actions", metavar="ACTION", required=True).add_parser

    def add(name: str, action: Action, purpose: str, more: str) -> ArgumentParser:
        description = f"{purpose.capitalize()}. {more}"
        action_parser = add_action(name, help=description, description=description)
        action_parser.set_defaults(run=run, action=action, purpose=purpose)
        return action_parser

    add("list", _list, "list the accounts", "Each has the numbers of its tasks and live sessions.")
    create = add("create", _create, "create an account", ASKS)
    create.add_argument("--name", required=True, help="the name that other users see")
    for with_email in (
        create,
        add("set-password", _set_password, "set a password", f"This ends all sessions. {ASKS}"),
        add("end-sessions", _end_sessions, "end all sessions of an account", "The tasks stay."),
        add("delete", _delete, "delete an account", "All its data are deleted too."),
    ):
        with_email.add_argument("email", help="the e-mail of the account")


def run(arguments: Namespace) -> None:
    settings = load_settings(arguments.purpose)
    with exit_on_error(arguments.purpose, AccountsError, UnicodeError):
        try:
            arguments.action(settings, arguments)
        except InvalidRequest as problem:
            raise AccountsError(_describe(problem)) from None
        except Problem as problem:
            raise AccountsError(problem.detail) from None


def _list(settings: Settings, _: Namespace) -> None:
    with _open(settings) as engine, engine.begin() as connection:
        print(f"{'id':>8} {'tasks':>8} {'sessions':>8}  created     e-mail, name")
        live = live_at(utc_now(), settings.session_max_age)
        for row in connection.execute(SELECT_ACCOUNTS, live):
            user_id, tasks, sessions, created_at, email, name = row
            numbers = f"{user_id:>8} {tasks:>8} {sessions:>8}"
            print(f"{numbers}  {created_at:%Y-%m-%d}  {email}, {_printable(name)}")


def _create(settings: Settings, arguments: Namespace) -> None:
    values = {"name": arguments.name, "email": arguments.email, "password": _read_password()}
    new = _validate(UserCreate, values)
    user = _write(settings, service.create_user, new, _hash(settings, new.password))
    print(f"account {user.id} was created: {user.email}")


def _set_password(settings: Settings, arguments: Namespace) -> None:
    new = _validate(NewPassword, {"password": _read_password()})
    _write(settings, service.set_password, arguments.email, _hash(settings, new.password))
    print(f"the password of {arguments.email} was set; the sessions have ended")


def _end_sessions(settings: Settings, arguments: Namespace) -> None:
    count = _write(settings, service.end_sessions, arguments.email)
    print(f"{count} sessions of {arguments.email} have ended")


def _delete(settings: Settings, arguments: Namespace) -> None:
    _write(settings, service.delete_account, arguments.email)
    print(f"{arguments.email} was deleted")


def _write(settings: Settings, function: Callable[[Connection, *Args], T], *args: *Args) -> T:
    """Run a function in a transaction."""
    with _open(settings) as engine, closing(Connection(engine, {}, writes=True)) as connection:
        return connection.transact(lambda opened: function(opened, *args), begin=True)


@contextmanager
def _open(settings: Settings) -> Iterator[Engine]:
    """
    Raises:
        ConfigurationError: there is no database.
        Unavailable: its schema is behind.
    """
    file = database_file(settings.database_url)
    if file and not file.exists():
        raise ConfigurationError(f"there is no {file}; the first start of the service creates it")
    engine = open_engine(
        settings.database_url,
        statement_timeout=settings.database_statement_timeout,
        transaction_pooling=settings.database_transaction_pooling,
    )
    try:
        with engine.begin() as connection:
            migrations.compare(connection)
        yield engine
    finally:
        engine.dispose()


def _read_password() -> str:
    """
    Raises:
        AccountsError: there is no password, or the second one differs from the first.
    """
    try:
        if sys.stdin.isatty():
            password = getpass("Password: ")
            if getpass("The same again: ") != password:
                raise AccountsError("the passwords differ")
        else:
            line = sys.stdin.buffer.read().decode()
            password = line.removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise AccountsError("the password is not UTF-8") from None
    except (EOFError, KeyboardInterrupt):
        password = ""
    if not password:
        raise AccountsError("there is no password on the terminal or on standard input")
    return password


def _hash(settings: Settings, password: SecretStr) -> str:
    with closing(Passwords(settings)) as passwords:
        return asyncio.run(passwords.hash(password.get_secret_value()))


def _validate(model: type[M], values: dict[str, str]) -> M:
    """
    Raises:
        InvalidRequest: the API would refuse the values too.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        errors = error.errors(include_input=False)
        items = error_items({**item, "loc": ("body", *item["loc"])} for item in errors)
        raise InvalidRequest(*items) from None


def _describe(problem: InvalidRequest) -> str:
    return " ".join(f"{error.pointer[1:]}: {error.detail}" for error in problem.errors)


def _printable(name: str) -> str:
    """Replace characters that would control the terminal."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in name)
