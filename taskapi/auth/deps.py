from collections.abc import Callable
from typing import Annotated, ClassVar, TypeVar, TypeVarTuple

from fastapi import Depends, Request
from fastapi.security import OAuth2PasswordBearer
from fastapi.security.base import SecurityBase
from fastapi.security.utils import get_authorization_scheme_param

from taskapi.auth.sessions import guard_session, lock_account, lock_session
from taskapi.database.connections import Connection
from taskapi.database.core import Database
from taskapi.deps import get_services
from taskapi.exceptions import Unauthorized, Unavailable
from taskapi.security.access_tokens import AccessToken, InvalidToken

T = TypeVar("T")
Args = TypeVarTuple("Args")


class CurrentUser:
    """The user who sent a valid access token, and their access to the database.

    The session is checked with what is read, and in the transaction that writes. Nothing is done
    for a session that has ended.
    """

    def __init__(self, database: Database, token: AccessToken, max_age: int) -> None:
        """`max_age` is that of sessions, in seconds, or 0."""
        self._database = database
        self.token = token
        self.user_id = token.user_id
        self.max_age = max_age

    async def read(self, work: Callable[[Connection, *Args], T], *args: *Args) -> T:
        """Do the same as `Database.read_for`.

        Raises:
            Unauthorized: the session has ended.
        """
        return await self._database.read_for(
            self.user_id, self._check_and_run, guard_session, work, args
        )

    async def write(self, work: Callable[[Connection, *Args], T], *args: *Args) -> T:
        """Do the same as `Database.write`. The session does not end before the commit.

        Raises:
            Unauthorized: the session has ended; nothing was written.
        """
        return await self._database.write(self._check_and_run, lock_session, work, args)

    async def write_once(self, work: Callable[[Connection, *Args], T], *args: *Args) -> T:
        """Do the same as `Database.write_once`. The session is checked as in `write`."""
        return await self._database.write_once(self._check_and_run, lock_session, work, args)

    async def write_account(self, work: Callable[[Connection, *Args], T], *args: *Args) -> T:
        """Do the same as `write`, for a change of the account or its sessions. Such changes of one
        account are made one after another.
        """
        return await self._database.write(self._check_and_run, lock_account, work, args)

    def _check_and_run(
        self,
        connection: Connection,
        check: Callable[[Connection, AccessToken, int], None],
        work: Callable[[Connection, *Args], T],
        args: tuple[*Args],
    ) -> T:
        check(connection, self.token, self.max_age)
        return work(connection, *args)


class Authentication(SecurityBase):
    """Authenticate the bearer token.

    One dependency, because FastAPI resolves each one for every request.
    """

    scheme_name = "OAuth2PasswordBearer"
    model = OAuth2PasswordBearer(
        "auth/token",
        refreshUrl="auth/token",
        description="The username is the e-mail. Access tokens are JWTs (RFC 9068, RFC 8725).",
    ).model
    raises: ClassVar = (Unauthorized, Unavailable)

    async def __call__(self, request: Request) -> CurrentUser:
        """
        Raises:
            Unauthorized: the token is missing or not valid.
        """
        scheme, encoded = get_authorization_scheme_param(request.headers.get("Authorization"))
        if scheme.lower() != "bearer" or not encoded:
            raise Unauthorized("No access token was sent.")
        services = get_services(request)
        try:
            token = services.access_tokens.verify(encoded)
        except InvalidToken as error:
            raise Unauthorized(str(error), error="invalid_token") from None
        return CurrentUser(services.database, token, services.settings.session_max_age)


CurrentUserDep = Annotated[CurrentUser, Depends(Authentication())]
