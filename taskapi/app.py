import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from anyio import to_thread
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from taskapi import health
from taskapi import logging as logs
from taskapi.auth.router import router as auth_router
from taskapi.database import migrations
from taskapi.database.core import Database
from taskapi.database.engines import describe
from taskapi.deps import Services, set_services
from taskapi.http import exception_handlers as errors
from taskapi.http.middleware import (
    HeadMiddleware,
    RequestLoggingMiddleware,
    SecurityHeadersMiddleware,
    UnhandledErrorMiddleware,
)
from taskapi.http.openapi import HEADERS, DocumentedAPI
from taskapi.http.pagination import Cursors
from taskapi.http.request_limits import BodyLimitMiddleware, HeadLimitMiddleware
from taskapi.http.upgrades import UpgradeMiddleware
from taskapi.pages.router import router as pages_router
from taskapi.rate_limit import RateLimiter, Throttle
from taskapi.security.access_tokens import AccessTokens
from taskapi.security.keys import load_secret_keys
from taskapi.security.login_throttle import LoginThrottle
from taskapi.security.passwords import Passwords
from taskapi.settings import Settings
from taskapi.startup import StartupErrorMiddleware, gc_frozen
from taskapi.tasks.router import router as tasks_router
from taskapi.telemetry.environment import Telemetry, load_telemetry
from taskapi.telemetry.metrics import metrics
from taskapi.users.router import router as users_router

VERSION = "2.0.0"

DESCRIPTION = "Register with `POST /users`, then log in with **Authorize** and try the calls out."

TAGS = [
    {"name": "auth", "description": "Logging in and out (OAuth 2.0), and your sessions."},
    {
        "name": "users",
        "description": "Accounts: visible to all logged-in users, changed by their owner only.",
    },
    {"name": "tasks", "description": "Tasks: visible to their owner only."},
    {"name": "health", "description": "Health checks for operators."},
]

ROUTERS = (tasks_router, users_router, auth_router, health.router, pages_router)
"""Their routes are tried in this order, the busiest first.

`include_router` would match each request twice. Without it, `dependency_overrides` have no effect.
"""

CROSS_ORIGIN_HEADERS = (
    "Authorization",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "X-Request-ID",
)
"""Request headers that CORS allows beyond the safelist."""

MAX_TASK_BODY = 128 * 1024
"""Bytes: the longest task, fully \\u-escaped, takes 120 KiB."""

logger = logging.getLogger(__name__)


def create_app(settings: Settings) -> FastAPI:
    """Create an application. Several, with different settings, can run in one process.

    Raises:
        ConfigurationError: the variables of OpenTelemetry can't be used.
    """
    telemetry = load_telemetry(VERSION)
    return DocumentedAPI(
        routes=[route for router in ROUTERS for route in router.routes],
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
        openapi_url=None,  # /docs and /openapi.json are routes of `pages`
        redirect_slashes=False,  # the redirect would trust the Host header
        exception_handlers=errors.HANDLERS,
        middleware=_middleware(settings),
        lifespan=partial(_lifespan, settings=settings, telemetry=telemetry),
        telemetry=telemetry.config,
    )


def _middleware(settings: Settings) -> list[Middleware]:
    """The outermost first."""
    cross_origin = Middleware(
        CORSMiddleware,
        allow_origins=settings.cors_origins,
        allow_methods=errors.METHODS,
        allow_headers=CROSS_ORIGIN_HEADERS,
        expose_headers=list(HEADERS),
    )
    return [
        Middleware(StartupErrorMiddleware),
        Middleware(UpgradeMiddleware),  # outside, so that every answer closes the connection
        Middleware(SecurityHeadersMiddleware),
        Middleware(RequestLoggingMiddleware),
        *([cross_origin] if settings.cors_origins else []),  # all answers pass through it
        Middleware(UnhandledErrorMiddleware),
        Middleware(HeadMiddleware),
        Middleware(HeadLimitMiddleware),
        Middleware(BodyLimitMiddleware, limits={"tasks": MAX_TASK_BODY}),
    ]


@asynccontextmanager
async def _lifespan(app: FastAPI, settings: Settings, telemetry: Telemetry) -> AsyncIterator[None]:
    """Open the services, and close them in the reverse order, after a failed start as well.

    This changes three things of the whole process: the logging, uvicorn's access log included, the
    metrics and the garbage collector.
    """
    logs.configure(settings.log_format)
    async with AsyncExitStack() as stack:
        stack.enter_context(telemetry.exporting)
        services = await _open_services(settings, stack)
        metrics.observe_queues(services.database.waiting, services.passwords.waiting)
        set_services(app, services)
        stack.enter_context(gc_frozen())
        yield


async def _open_services(settings: Settings, stack: AsyncExitStack) -> Services:
    database = Database(settings)
    stack.callback(database.close)
    logger.info("database: %s", describe(settings.database_url))
    if database.file:  # PostgreSQL is migrated once, not by each process that starts
        await to_thread.run_sync(migrations.upgrade, settings.database_url)
    keys = load_secret_keys(settings, database.file)
    passwords = Passwords(settings)
    stack.callback(passwords.close)
    limiter = RateLimiter(settings.rate_limit_storage)
    stack.push_async_callback(limiter.close)
    return Services(
        settings=settings,
        database=database,
        access_tokens=AccessTokens(keys, settings.access_token_lifetime),
        cursors=Cursors(keys),
        passwords=passwords,
        registration_throttle=Throttle(limiter, "registration", settings.registration_limit),
        login_throttle=LoginThrottle(limiter, settings),
        password_change_throttle=Throttle(limiter, "password-change", settings.login_limit),
    )
