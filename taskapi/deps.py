"""The services that the application is made of, and the dependencies that provide them.

This is the only module that uses `app.state`.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, FastAPI, Request, Response

from taskapi.database.core import Database
from taskapi.exceptions import RegistrationClosed, TooManyRequests, Unavailable
from taskapi.http.pagination import Cursors, PageParams, Pager
from taskapi.http.parameters import QueryParameters, reads
from taskapi.http.raises import raises
from taskapi.rate_limit import Throttle, client_address
from taskapi.security.access_tokens import AccessTokens
from taskapi.security.login_throttle import LoginThrottle
from taskapi.security.passwords import Passwords
from taskapi.settings import Settings

P = TypeVar("P", bound=PageParams)


@dataclass(frozen=True, slots=True)
class Services:
    """Objects that live as long as the application. Its lifespan creates and closes them."""

    settings: Settings
    database: Database
    access_tokens: AccessTokens
    cursors: Cursors
    passwords: Passwords
    registration_throttle: Throttle
    login_throttle: LoginThrottle
    password_change_throttle: Throttle


def set_services(app: FastAPI, services: Services) -> None:
    app.state.services = services


def get_services(request: Request) -> Services:
    """Call this from other dependencies. As a dependency itself it would run in a thread."""
    services: Services = request.app.state.services
    return services


async def get_settings(request: Request) -> Settings:
    return get_services(request).settings


@raises(Unavailable)
async def get_database(request: Request) -> Database:
    return get_services(request).database


async def get_access_tokens(request: Request) -> AccessTokens:
    return get_services(request).access_tokens


def pager_for(model: type[P]) -> Callable[[Request, Response], Awaitable[Pager[P]]]:
    """Return a dependency that reads the query as this model."""
    query = QueryParameters(model)

    @reads(query)
    async def get_pager(request: Request, response: Response) -> Pager[P]:
        return Pager(get_services(request).cursors, query.read(request), request, response)

    return get_pager


async def get_passwords(request: Request) -> Passwords:
    address = client_address(request)
    return get_services(request).passwords.for_client(f"address {address}")


@raises(RegistrationClosed)
async def check_registration(request: Request) -> None:
    if get_services(request).settings.registration == "closed":
        raise RegistrationClosed("This service has no open registration.")


@raises(TooManyRequests)
async def get_registration_throttle(request: Request) -> Throttle:
    return get_services(request).registration_throttle


@raises(TooManyRequests, Unavailable)
async def get_login_throttle(request: Request) -> LoginThrottle:
    return get_services(request).login_throttle


@raises(TooManyRequests)
async def get_password_change_throttle(request: Request) -> Throttle:
    return get_services(request).password_change_throttle


SettingsDep = Annotated[Settings, Depends(get_settings)]
DatabaseDep = Annotated[Database, Depends(get_database)]
AccessTokensDep = Annotated[AccessTokens, Depends(get_access_tokens)]
PagerDep = Annotated[Pager[PageParams], Depends(pager_for(PageParams))]
PasswordsDep = Annotated[Passwords, Depends(get_passwords)]
RegistrationThrottleDep = Annotated[Throttle, Depends(get_registration_throttle)]
LoginThrottleDep = Annotated[LoginThrottle, Depends(get_login_throttle)]
PasswordChangeThrottleDep = Annotated[Throttle, Depends(get_password_change_throttle)]
