"""What `create_app` has built, for handlers to ask for."""

from typing import Annotated

from fastapi import Depends, Request

from taskapi.database.core import Database
from taskapi.exceptions import TooManyRequests, Unavailable
from taskapi.http.raises import raises
from taskapi.rate_limit import Throttle
from taskapi.security.passwords import Passwords
from taskapi.settings import Settings


@raises(Unavailable)
async def get_database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


async def get_passwords(request: Request) -> Passwords:
    passwords: Passwords = request.app.state.passwords
    return passwords


async def get_settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


@raises(TooManyRequests)
async def get_registrations(request: Request) -> Throttle:
    registrations: Throttle = request.app.state.registrations
    return registrations


DatabaseDep = Annotated[Database, Depends(get_database)]
PasswordsDep = Annotated[Passwords, Depends(get_passwords)]
RegistrationsDep = Annotated[Throttle, Depends(get_registrations)]
SettingsDep = Annotated[Settings, Depends(get_settings)]
