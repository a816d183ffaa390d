import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import to_thread
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from taskapi import docs, health
from taskapi import logging as logs
from taskapi.auth.router import router as auth_router
from taskapi.database import migrations
from taskapi.database.core import Database
from taskapi.database.engines import describe
from taskapi.http import exception_handlers as errors
from taskapi.http.middleware import (
    BodyLimitMiddleware,
    HeadMiddleware,
    RequestLoggingMiddleware,
    SecurityHeadersMiddleware,
)
from taskapi.http.openapi import HEADERS, DocumentedAPI
from taskapi.http.pagination import Cursors
from taskapi.rate_limit import RateLimiter, Throttle
from taskapi.security.access_tokens import AccessTokens
from taskapi.security.keys import load_secret_keys
from taskapi.security.login_throttle import LoginThrottle
from taskapi.security.passwords import Passwords
from taskapi.settings import Settings
from taskapi.startup import StartupErrorMiddleware, gc_frozen
from taskapi.tasks.router import router as tasks_router
from taskapi.users.router import router as users_router

VERSION = "1.0.0"

DESCRIPTION = "Register with `POST /users`, then log in with **Authorize** and try the calls out."

TAGS = [
    {"name": "auth", "description": "Logging in and out (OAuth 2.0), and one's own logins."},
    {"name": "users", "description": "Accounts: seen by everyone logged in, changed by their own."},
    {"name": "tasks", "description": "Tasks: seen and changed by their owner only."},
    {"name": "health", "description": "Whether the service runs, for those who run it."},
]

CROSS_ORIGIN_HEADERS = (
    "Authorization",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "X-Request-ID",
)
"""What pages of other origins may send, beside what they may anyway."""

logger = logging.getLogger(__name__)


def create_app(settings: Settings) -> FastAPI:
    """An application of its own: several, with different settings, can run in one process."""
    app = DocumentedAPI(
        title="taskapi",
        version=VERSION,
        summary="Users and their tasks",
        description=DESCRIPTION,
        contact={"name": "taskapi"},
        license_info={"name": "MIT", "identifier": "MIT"},
        servers=[
            {"url": "/", "description": "This server, local or production", "x-internal": False}
        ],
        openapi_tags=TAGS,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # it would redirect to whatever the Host header says
        exception_handlers=errors.HANDLERS,
        middleware=_middleware(settings),
        lifespan=_run,
        generate_unique_id_function=lambda route: route.name,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.settings = settings
    for router in (
        tasks_router,  # first, because routes are tried one after another
        users_router,
        auth_router,
        health.router,
        docs.router,
    ):
        app.include_router(router)
    return app


def _middleware(settings: Settings) -> list[Middleware]:
    """From the outside in."""
    cross_origin = Middleware(
        CORSMiddleware,
        allow_origins=settings.cors_origins,
        allow_methods=errors.METHODS,
        allow_headers=CROSS_ORIGIN_HEADERS,
        expose_headers=list(HEADERS),
    )
    return [
        Middleware(StartupErrorMiddleware),
        Middleware(SecurityHeadersMiddleware),
        Middleware(RequestLoggingMiddleware),
        *([cross_origin] if settings.cors_origins else []),
        Middleware(HeadMiddleware),
        Middleware(BodyLimitMiddleware),
    ]


@asynccontextmanager
async def _run(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    logs.configure(settings.log_format)
    database = Database(settings)
    logger.info("database: %s", describe(settings.database_url))
    if database.file:  # a server's schema is changed once, not by each process that starts
        await to_thread.run_sync(migrations.upgrade, settings.database_url)
    app.state.database = database
    keys = load_secret_keys(settings, database.file)
    app.state.tokens = AccessTokens(keys, settings.access_token_lifetime)
    app.state.cursors = Cursors(keys)
    passwords = Passwords(
        settings.password_hash_memory,
        settings.password_hash_iterations,
        refuse_common=settings.refuse_common_passwords,
    )
    app.state.passwords = passwords
    limiter = RateLimiter(settings.rate_limit_storage)
    app.state.registrations = Throttle(limiter, "registration", settings.registration_limit)
    app.state.login_throttle = LoginThrottle(limiter, settings)
    with gc_frozen():
        yield
    await limiter.close()
    passwords.close()
    database.close()
