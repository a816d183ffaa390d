from typing import NamedTuple

from sqlalchemy import Connection, bindparam, delete, select, update
from sqlalchemy.exc import IntegrityError

from taskapi.auth.models import end_sessions
from taskapi.exceptions import EmailTaken, Forbidden, NotFound
from taskapi.http.pagination import CursorPosition, PageParams
from taskapi.http.raises import raises
from taskapi.models import add, columns, utc_now
from taskapi.security.access_tokens import AccessToken
from taskapi.users.models import (
    UserCreate,
    UserPublic,
    UserReplace,
    email_key,
    normalize_email,
    users,
)

_PUBLIC = select(*columns(users, UserPublic))
_ONE = _PUBLIC.where(users.c.id == bindparam("user_id"))
_PAGE = (
    _PUBLIC.where(users.c.id > bindparam("start")).order_by(users.c.id).limit(bindparam("limit"))
)
_CREDENTIALS = select(users.c.id, users.c.password_hash).where(
    users.c.email_key == bindparam("email_key")
)
_UPDATE = update(users).where(users.c.id == bindparam("user_id"))


class Credentials(NamedTuple):
    user_id: int
    password_hash: str


def list_users(
    connection: Connection, page: PageParams, position: CursorPosition | None
) -> list[UserPublic]:
    """One more than fits the page, if there are any more."""
    start = position[1] if position else 0
    rows = connection.execute(_PAGE, {"start": start, "limit": page.limit + 1})
    return UserPublic.of_rows(rows)


@raises(NotFound)
def get_user(connection: Connection, user_id: int) -> UserPublic:
    row = connection.execute(_ONE, {"user_id": user_id}).one_or_none()
    if row is None:
        raise NotFound("There is no such user.")
    return UserPublic.model_validate(row)


def find_credentials(connection: Connection, username: str) -> Credentials | None:
    """Of the account with this e-mail; None also where it is no e-mail at all."""
    try:
        key = email_key(normalize_email(username))
    except ValueError:
        return None
    row = connection.execute(_CREDENTIALS, {"email_key": key}).one_or_none()
    return Credentials(*row) if row else None


@raises(EmailTaken)
def create_user(connection: Connection, new: UserCreate, password_hash: str) -> UserPublic:
    """
    Raises:
        EmailTaken: only the database can tell, in a race.
    """
    public = {"name": new.name, "email": new.email, "created_at": utc_now()}
    secret = {"email_key": email_key(new.email), "password_hash": password_hash}
    try:
        user_id = add(connection, users, public | secret)
    except IntegrityError:
        raise _taken() from None
    return UserPublic.model_validate({"id": user_id, **public})


@raises(Forbidden, get_user)
def check_own(connection: Connection, login: AccessToken, user_id: int) -> None:
    """Accounts are changed by their owner only.

    Raises:
        NotFound: there is no such account.
        Forbidden: it is somebody else's.
    """
    if user_id != login.user_id:
        get_user(connection, user_id)
        raise Forbidden("This is another user's account.")


@raises(check_own, AccessToken.check_recent, EmailTaken)
def update_user(
    connection: Connection,
    login: AccessToken,
    user_id: int,
    changes: UserReplace,
    password_hash: str | None,
) -> UserPublic:
    """Change the fields that are set in `changes`, and the password if there is a new hash.

    A new password ends the user's other logins.
    """
    check_own(connection, login, user_id)
    row = connection.execute(_ONE.with_for_update(key_share=True), {"user_id": user_id}).one()
    user = UserPublic.model_validate(row)
    values = changes.model_dump(exclude_unset=True, exclude={"password"})
    user = user.model_copy(update=values)
    if user.email != row.email:
        login.check_recent()
        values["email_key"] = email_key(user.email)
    if password_hash is not None:
        login.check_recent()
        values["password_hash"] = password_hash
    if values:
        try:
            connection.execute(_UPDATE, {"user_id": user_id, **values})
        except IntegrityError:
            raise _taken() from None
    if password_hash is not None:
        end_sessions(connection, user_id, but=login.session_id)
    return user


@raises(check_own, AccessToken.check_recent)
def delete_user(connection: Connection, login: AccessToken, user_id: int) -> None:
    """Delete the account; the database deletes its tasks and logins with it."""
    check_own(connection, login, user_id)
    login.check_recent()
    connection.execute(delete(users).where(users.c.id == user_id))


def _taken() -> EmailTaken:
    return EmailTaken("An account with this e-mail exists.")
