from fastapi import APIRouter, Depends, Request, Response
from pydantic import MISSING
from starlette.routing import Match
from starlette.types import Scope

from taskapi.auth.deps import CurrentUserDep
from taskapi.deps import (
    DatabaseDep,
    PagerDep,
    PasswordChangeThrottleDep,
    PasswordsDep,
    RegistrationThrottleDep,
    check_registration,
)
from taskapi.http.etags import (
    Preconditions,
    conditional_read,
    conditional_write,
    with_etag,
)
from taskapi.http.openapi import with_headers, with_links
from taskapi.http.pagination import PageOf
from taskapi.http.raises import raises
from taskapi.http.routes import StrictQueryRoute
from taskapi.http.urls import path_of
from taskapi.models import PathId
from taskapi.rate_limit import Throttle, client_address
from taskapi.security.passwords import Passwords
from taskapi.users import service
from taskapi.users.models import UserCreate, UserPatch, UserPublic, UserReplace, VersionedUser


class UserRoute(StrictQueryRoute):
    """A route that does not take `me` for an id.

    Otherwise PUT /users/me would match PUT /users/{user_id} and be a 422 instead of a 405.
    """

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child_scope = super().matches(scope)
        if child_scope.get("path_params") == {"user_id": "me"}:
            return Match.NONE, {}
        return match, child_scope


router = APIRouter(prefix="/users", tags=["users"], route_class=UserRoute)

RECENT_SESSION = (
    "A new e-mail or password needs a session that was started in the last 15 minutes. "
    "A new password ends your other sessions."
)


@router.post(
    "",
    status_code=201,
    summary="Register an account",
    description="This needs no token.",
    responses={
        201: with_headers("Location", "ETag")
        | with_links("user_id", "read_user", "replace_user", "update_user", "delete_user")
    },
    dependencies=[Depends(check_registration)],
)
@raises(service.create_user)
async def create_user(
    database: DatabaseDep,
    passwords: PasswordsDep,
    registrations: RegistrationThrottleDep,
    request: Request,
    response: Response,
    body: UserCreate,
) -> UserPublic:
    await registrations.hit(client_address(request))
    password_hash = await passwords.hash(body.password.get_secret_value())
    user = await database.write(service.create_user, body, password_hash)
    response.headers["Location"] = f"{path_of(request)}/{user.id}"
    return with_etag(response, user)


@router.get(
    "",
    summary="List all accounts",
    description="The order is that of the ids. The `Link` header leads to the next page.",
    responses={200: with_headers("Link")},
)
async def list_users(current_user: CurrentUserDep, pager: PagerDep) -> PageOf[UserPublic]:
    users = await current_user.read(service.list_users, pager.params, pager.position())
    return pager.paginate(users)


@router.get(
    "/me",
    summary="Read your own account",
    description="It is the account that the access token belongs to.",
    responses={200: with_headers("ETag")},
)
@conditional_read
async def read_me(current_user: CurrentUserDep, request: Request, response: Response) -> UserPublic:
    conditions = Preconditions(request)
    user = await current_user.read(service.read_user, current_user.user_id, conditions)
    return with_etag(response, user)


@router.get(
    "/{user_id}",
    summary="Read an account",
    description="Users who are logged in can read all accounts.",
    responses={200: with_headers("ETag")},
)
@raises(service.read_user)
@conditional_read
async def read_user(
    current_user: CurrentUserDep, request: Request, response: Response, user_id: PathId
) -> UserPublic:
    conditions = Preconditions(request)
    user = await current_user.read(service.read_user, user_id, conditions)
    return with_etag(response, user)


@router.put(
    "/{user_id}",
    summary="Replace your account",
    description=f"The password stays if it is not sent.\n\n{RECENT_SESSION}",
    responses={200: with_headers("ETag")},
)
@raises(service.update_user)
@conditional_write
async def replace_user(
    current_user: CurrentUserDep,
    passwords: PasswordsDep,
    throttle: PasswordChangeThrottleDep,
    request: Request,
    response: Response,
    user_id: PathId,
    body: UserReplace,
) -> UserPublic:
    conditions = Preconditions(request)
    user = await _update(current_user, passwords, throttle, user_id, body, conditions)
    return with_etag(response, user)


@router.patch(
    "/{user_id}",
    summary="Change your account",
    description=f"Only the fields that are sent change.\n\n{RECENT_SESSION}",
    responses={200: with_headers("ETag")},
)
@raises(service.update_user)
@conditional_write
async def update_user(
    current_user: CurrentUserDep,
    passwords: PasswordsDep,
    throttle: PasswordChangeThrottleDep,
    request: Request,
    response: Response,
    user_id: PathId,
    body: UserPatch,
) -> UserPublic:
    conditions = Preconditions(request)
    user = await _update(current_user, passwords, throttle, user_id, body, conditions)
    return with_etag(response, user)


@router.delete(
    "/{user_id}",
    status_code=204,
    summary="Delete your account",
    description=(
        "Everything that belongs to it is deleted too.\n\n"
        "This needs a session that was started in the last 15 minutes."
    ),
)
@raises(service.delete_user)
@conditional_write
async def delete_user(current_user: CurrentUserDep, request: Request, user_id: PathId) -> None:
    conditions = Preconditions(request)
    await current_user.write_account(service.delete_user, current_user.token, user_id, conditions)


async def _update(
    current_user: CurrentUserDep,
    passwords: Passwords,
    throttle: Throttle,
    user_id: int,
    changes: UserReplace | UserPatch,
    conditions: Preconditions,
) -> VersionedUser:
    """Hash a new password outside the transaction, and only if the current_user may set it."""
    password_hash = None
    if changes.password is not MISSING:
        await current_user.read(service.get_own_user, current_user.token, user_id, conditions)
        current_user.token.check_recent()
        await throttle.hit(str(user_id))
        account = passwords.for_client(f"account {user_id}")
        password_hash = await account.hash(changes.password.get_secret_value())
    return await current_user.write_account(
        service.update_user, current_user.token, user_id, changes, password_hash, conditions
    )
