from sqlalchemy.exc import IntegrityError

from taskapi.auth.sessions import end_all_sessions, end_other_sessions
from taskapi.database.connections import Connection
from taskapi.exceptions import EmailTaken, Forbidden, NotFound
from taskapi.http.etags import Preconditions
from taskapi.http.pagination import CursorPosition, PageParams
from taskapi.http.raises import raises
from taskapi.models import utc_now
from taskapi.security.access_tokens import AccessToken
from taskapi.security.emails import account_key
from taskapi.users.models import UserCreate, UserPatch, UserPublic, UserReplace, VersionedUser
from taskapi.users.queries import (
    DELETE_USER,
    INSERT_USER,
    LOCK_USER_WITH_KEY,
    SELECT_PAGE,
    SELECT_USER,
    UPDATE_USER,
)


def list_users(
    connection: Connection, page: PageParams, position: CursorPosition | None
) -> list[UserPublic]:
    """Return the accounts of a page, and one more if there is a next page."""
    start = position[1] if position else 0
    rows = connection.execute(SELECT_PAGE, {"start": start, "limit": page.limit + 1})
    return UserPublic.of_rows(rows.all())


@raises(NotFound)
def read_user(connection: Connection, user_id: int, conditions: Preconditions) -> VersionedUser:
    user = get_user(connection, user_id)
    conditions.check_read(user.etag)
    return user


@raises(NotFound)
def get_user(connection: Connection, user_id: int) -> VersionedUser:
    """
    Raises:
        NotFound: there is no such account.
    """
    row = connection.execute(SELECT_USER, {"user_id": user_id}).one_or_none()
    if row is None:
        raise NotFound("There is no such user.")
    return VersionedUser.of_row(row)


@raises(EmailTaken)
def create_user(connection: Connection, new: UserCreate, password_hash: str) -> VersionedUser:
    """
    Raises:
        EmailTaken: an account with this e-mail exists.
    """
    values = {**new.model_dump(exclude={"password"}), "created_at": utc_now(), "version": 1}
    credentials = {"email_key": account_key(new.email), "password_hash": password_hash}
    try:
        user_id = connection.execute(INSERT_USER, values | credentials).inserted_id()
    except IntegrityError:
        raise _email_taken() from None
    return VersionedUser.model_validate({"id": user_id, **values})


@raises(Forbidden, get_user)
def get_own_user(
    connection: Connection, token: AccessToken, user_id: int, conditions: Preconditions
) -> VersionedUser:
    """Return the account of the token's user, to change it.

    Raises:
        NotFound: there is no such account.
        Forbidden: it is another user's.
        PreconditionFailed: one of the conditions is false.
    """
    user = get_user(connection, user_id)
    if user_id != token.user_id:
        raise Forbidden("This is another user's account.")
    conditions.check_write(user.etag)
    return user


@raises(get_own_user, AccessToken.check_recent, EmailTaken)
def update_user(
    connection: Connection,
    token: AccessToken,
    user_id: int,
    changes: UserReplace | UserPatch,
    password_hash: str | None,
    conditions: Preconditions,
) -> VersionedUser:
    """Change the fields that `changes` has values for, and the password hash if there is one.

    The account must be locked. A new password ends the user's other sessions.

    Raises:
        LoginTooOld: the e-mail or the password changes, and the last login was too long ago.
        EmailTaken: an account with the new e-mail exists.
    """
    user = get_own_user(connection, token, user_id, conditions)
    values = changes.model_dump(exclude={"password"})
    changed = user.model_copy(update=values)
    if changed == user and password_hash is None:
        return user
    changed.version += 1
    values["version"] = changed.version
    if changed.email != user.email:
        token.check_recent()
        values["email_key"] = account_key(changed.email)
    if password_hash is not None:
        token.check_recent()
        values["password_hash"] = password_hash
        # Before the update, which waits for tasks being created if it changes the e-mail.
        end_other_sessions(connection, token)
    try:
        connection.execute(UPDATE_USER, {"user_id": user_id, **values})
    except IntegrityError:
        raise _email_taken() from None
    return changed


@raises(get_own_user, AccessToken.check_recent)
def delete_user(
    connection: Connection, token: AccessToken, user_id: int, conditions: Preconditions
) -> None:
    """Delete the account, which must be locked. The database deletes its tasks with it.

    Raises:
        LoginTooOld: the last login was too long ago.
    """
    get_own_user(connection, token, user_id, conditions)
    token.check_recent()
    _delete(connection, user_id)


def lock_user(connection: Connection, email: str) -> VersionedUser:
    """Lock the account with this e-mail, in any spelling. Other changes of it end first, or wait.

    Raises:
        NotFound: there is no such account.
    """
    row = connection.execute(LOCK_USER_WITH_KEY, {"key": account_key(email)}).one_or_none()
    if row is None:
        raise NotFound("There is no account with this e-mail.")
    return VersionedUser.of_row(row)


def set_password(connection: Connection, email: str, password_hash: str) -> None:
    """Set the password of an account for its operator, and end all its sessions.

    Raises:
        NotFound: there is no such account.
    """
    user = lock_user(connection, email)
    end_all_sessions(connection, user.id)
    values = {"password_hash": password_hash, "version": user.version + 1}
    connection.execute(UPDATE_USER, {"user_id": user.id, **values})


def end_sessions(connection: Connection, email: str) -> int:
    """End all sessions of an account for its operator. Return how many there were.

    Raises:
        NotFound: there is no such account.
    """
    return end_all_sessions(connection, lock_user(connection, email).id)


def delete_account(connection: Connection, email: str) -> None:
    """Delete an account for its operator.

    Raises:
        NotFound: there is no such account.
    """
    _delete(connection, lock_user(connection, email).id)


def _delete(connection: Connection, user_id: int) -> None:
    # By itself, to wait for the writes of the sessions before the account is locked against them.
    end_all_sessions(connection, user_id)
    connection.execute(DELETE_USER, {"user_id": user_id})


def _email_taken() -> EmailTaken:
    return EmailTaken("An account with this e-mail exists.")
