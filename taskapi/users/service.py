from collections.abc import Sequence

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, delete, select

from taskapi.auth.models import LoginSession
from taskapi.auth.tokens import AccessToken
from taskapi.pagination import Page, Position
from taskapi.problems import EmailTaken, Forbidden, NotFound
from taskapi.users.models import User, UserCreate, UserReplace, email_key, normalize_email


def list_users(session: Session, page: Page, position: Position | None) -> Sequence[User]:
    """One more than fits the page, if there are any more."""
    query = select(User).where(col(User.id) > (position[1] if position else 0))
    return session.exec(query.order_by(col(User.id)).limit(page.limit + 1)).all()


def get_user(session: Session, user_id: int) -> User:
    user = session.get(User, user_id)
    if user is None:
        raise NotFound("There is no such user.")
    return user


def find_login(session: Session, username: str) -> User | None:
    """The account with this e-mail; None also where it is no e-mail at all."""
    try:
        key = email_key(normalize_email(username))
    except ValueError:
        return None
    return session.exec(select(User).where(User.email_key == key)).one_or_none()


def create_user(session: Session, new: UserCreate, password_hash: str) -> User:
    user = User(
        name=new.name,
        email=new.email,
        email_key=email_key(new.email),
        password_hash=password_hash,
    )
    session.add(user)
    _flush(session)
    return user


def check_own(session: Session, login: AccessToken, user_id: int) -> None:
    """Accounts are changed by their owner only.

    Raises:
        NotFound: there is no such account.
        Forbidden: it is somebody else's.
    """
    if user_id != login.user_id:
        get_user(session, user_id)
        raise Forbidden("This is another user's account.")


def update_user(
    session: Session,
    login: AccessToken,
    user_id: int,
    changes: UserReplace,
    password_hash: str | None,
) -> User:
    """Change the fields that are set in `changes`, and the password if there is a new hash.

    A new password ends the user's other logins.
    """
    check_own(session, login, user_id)
    user = session.get_one(User, user_id, with_for_update={"key_share": True})
    email = user.email
    user.sqlmodel_update(changes.model_dump(exclude_unset=True, exclude={"password"}))
    if user.email != email:
        login.check_recent()
        user.email_key = email_key(user.email)
    if password_hash is not None:
        login.check_recent()
        user.password_hash = password_hash
    _flush(session)
    if password_hash is not None:
        logins = delete(LoginSession).where(col(LoginSession.user_id) == user_id)
        session.exec(logins.where(col(LoginSession.id) != login.session_id))
    return user


def delete_user(session: Session, login: AccessToken, user_id: int) -> None:
    """Delete the account; the database deletes its tasks and logins with it."""
    check_own(session, login, user_id)
    login.check_recent()
    session.exec(delete(User).where(col(User.id) == user_id))


def _flush(session: Session) -> None:
    """E-mails are the only thing that can collide, and only the database can tell in a race."""
    try:
        session.flush()
    except IntegrityError:
        raise EmailTaken("An account with this e-mail exists.") from None
