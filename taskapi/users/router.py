from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import MISSING
from starlette.convertors import StringConvertor, register_url_convertor

from taskapi.auth.deps import CurrentUserDep
from taskapi.deps import DatabaseDep, PagerDep, PasswordsDep, RegistrationThrottleDep
from taskapi.exceptions import (
    ContentTooLarge,
    EmailTaken,
    Forbidden,
    InvalidRequest,
    LoginTooOld,
    NotFound,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    UnsupportedMediaType,
)
from taskapi.http.openapi import responses
from taskapi.http.pagination import PageOf, PageParams
from taskapi.models import PathId
from taskapi.rate_limit import client_address
from taskapi.users import service
from taskapi.users.models import UserCreate, UserPatch, UserPublic, UserReplace


class OtherThanMe(StringConvertor):
    """`/users/me` is a resource of its own, with methods of its own."""

    regex = "(?!me$)[^/]+"


register_url_convertor("other_than_me", OtherThanMe())

router = APIRouter(prefix="/users", tags=["users"], responses=responses(Unavailable))

BODY = (ContentTooLarge, UnsupportedMediaType, InvalidRequest)
OWN = (Unauthorized, LoginTooOld, Forbidden, NotFound)


@router.post(
    "",
    status_code=201,
    responses=responses(EmailTaken, TooManyRequests, *BODY, headers={201: ("Location",)}),
)
async def create_user(
    database: DatabaseDep,
    passwords: PasswordsDep,
    registrations: RegistrationThrottleDep,
    request: Request,
    response: Response,
    body: UserCreate,
) -> UserPublic:
    """Register an account. Anyone can."""
    await registrations.count(client_address(request))
    password_hash = await passwords.hash(body.password.get_secret_value())
    user = await database.write(service.create_user, body, password_hash)
    response.headers["Location"] = f"{request.url.path}/{user.id}"
    return user


@router.get("", responses=responses(Unauthorized, InvalidRequest, headers={200: ("Link",)}))
async def list_users(
    caller: CurrentUserDep, page: Annotated[PageParams, Query()], pager: PagerDep
) -> PageOf[UserPublic]:
    """List all accounts, by id. The `Link` header leads to the next page."""
    users = await caller.read(service.list_users, page, pager.position(page))
    return pager.cut(users, page)


@router.get("/me", responses=responses(Unauthorized))
async def read_me(caller: CurrentUserDep) -> UserPublic:
    """Read the account that is logged in."""
    return await caller.read(service.get_user, caller.user_id)


@router.get("/{user_id:other_than_me}", responses=responses(Unauthorized, NotFound, InvalidRequest))
async def read_user(caller: CurrentUserDep, user_id: PathId) -> UserPublic:
    """Read an account."""
    return await caller.read(service.get_user, user_id)


@router.put("/{user_id:other_than_me}", responses=responses(*OWN, EmailTaken, *BODY))
async def replace_user(
    caller: CurrentUserDep, passwords: PasswordsDep, user_id: PathId, body: UserReplace
) -> UserPublic:
    """Replace the name and the e-mail of one's own account, and the password if it is sent."""
    return await _update(caller, passwords, user_id, body)


@router.patch("/{user_id:other_than_me}", responses=responses(*OWN, EmailTaken, *BODY))
async def update_user(
    caller: CurrentUserDep, passwords: PasswordsDep, user_id: PathId, body: UserPatch
) -> UserPublic:
    """Change the fields of one's own account that are sent."""
    return await _update(caller, passwords, user_id, body)


@router.delete(
    "/{user_id:other_than_me}", status_code=204, responses=responses(*OWN, InvalidRequest)
)
async def delete_user(caller: CurrentUserDep, user_id: PathId) -> None:
    """Delete one's own account, with all its tasks and logins."""
    await caller.write(service.delete_user, caller.token, user_id)


async def _update(
    caller: CurrentUserDep, passwords: PasswordsDep, user_id: int, changes: UserReplace | UserPatch
) -> UserPublic:
    """Hashing is for the owner only, and not done while a transaction is open."""
    password_hash = None
    if changes.password is not MISSING:
        await caller.read(service.check_own, caller.token, user_id)
        caller.token.check_recent()
        password_hash = await passwords.hash(changes.password.get_secret_value())
    return await caller.write(service.update_user, caller.token, user_id, changes, password_hash)
