"""Report startup failures in one line instead of a traceback, and tune the garbage collector."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from taskapi.settings import PREFIX, ConfigurationError, Settings

GC_THRESHOLD = 5_000
"""Allocations that trigger a collection of the youngest generation. With the default threshold,
in-flight objects are promoted, which triggers full collections."""


@contextmanager
def exit_on_error(action: str, *expected: type[Exception]) -> Iterator[None]:
    """Exit with "taskapi can't ACTION: REASON" on errors that need no traceback.

    These are errors of the configuration, the database, files and the network, and `expected`.
    """
    try:
        yield
    except Exception as error:
        reason = str(error) if isinstance(error, expected) else _reason(error)
        if reason is None:
            raise
        sys.exit(_failure(action, reason))


def load_settings(action: str = "start") -> Settings:
    """Read the settings.

    Raises:
        SystemExit: they are invalid. The message has all reasons, after "taskapi can't ACTION".
    """
    with exit_on_error(action):
        return _read_settings()


def _read_settings() -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        reasons = [_setting_error(details["loc"], details["msg"]) for details in error.errors()]
        raise ConfigurationError("; ".join(reasons)) from None
    except (OSError, ValueError) as error:  # the .env file can't be read
        raise ConfigurationError(f"the settings can't be read: {error}") from None


def _setting_error(location: tuple[int | str, ...], message: str) -> str:
    message = message.removeprefix("Value error, ")
    if not location:
        return message
    name = str(location[0]).upper()
    return f"{name if name.startswith(PREFIX) else PREFIX + name}: {message}"


def _reason(error: BaseException | None) -> str | None:
    """None for errors of the code, which need their traceback."""
    match error:
        case DBAPIError():
            return f"the database can't be used: {error.orig}"
        case OSError() | ConfigurationError():
            return str(error)
        case _:
            return None


def _failure(action: str, reason: str) -> str:
    return f"taskapi can't {action}: {' '.join(reason.split())}"


class StartupErrorMiddleware:
    """ASGI middleware: replaces the traceback of a failed start with its reason, if it is known."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_reason(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                reason = _reason(sys.exception())
                if reason:
                    message["message"] = _failure("start", reason)
            await send(message)

        await self._app(scope, receive, send_reason if scope["type"] == "lifespan" else send)


@contextmanager
def gc_frozen() -> Iterator[None]:
    """Exclude all existing objects from garbage collection, and collect less often.

    A full collection of the service's own objects takes about 100 ms, in which no request is
    answered. This changes the collector of the whole process; the exit restores it.
    """
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
