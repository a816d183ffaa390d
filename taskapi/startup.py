"""What keeps the service from starting is said in a line, without the code's own traceback."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from taskapi.settings import PREFIX, ConfigurationError, Settings

PREAMBLE = "taskapi can't start: "


def load_settings() -> Settings:
    """
    Raises:
        SystemExit: they can't be used; it says why.
    """
    try:
        return Settings()
    except ValidationError as error:
        faults = [_fault(details["loc"], details["msg"]) for details in error.errors()]
        sys.exit(PREAMBLE + "; ".join(faults))
    except (OSError, ValueError) as error:  # of a .env file that is none
        sys.exit(f"{PREAMBLE}the settings can't be read: {error}")


def _fault(place: tuple[int | str, ...], message: str) -> str:
    message = message.removeprefix("Value error, ")
    if not place:
        return message
    name = str(place[0]).upper()
    return f"{name if name.startswith(PREFIX) else PREFIX + name}: {message}"


def _explain(error: BaseException | None) -> str | None:
    """None for faults of the code, whose traceback is needed."""
    match error:
        case DBAPIError():
            return f"the database can't be used: {error.orig}"
        case OSError() | ConfigurationError():
            return str(error)
        case _:
            return None


class StartupErrorMiddleware:
    """ASGI middleware: a start that can't succeed tells the server why, not where in the code."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_briefly(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                reason = _explain(sys.exception())
                if reason:
                    message["message"] = PREAMBLE + reason
            await send(message)

        await self._app(scope, receive, send_briefly if scope["type"] == "lifespan" else send)


GC_THRESHOLD = 5_000
"""Objects after which the collector looks for cycles among them. With Python's own 700, those of
the requests in flight soon pass for old ones, which takes going through all there are."""


@contextmanager
def gc_frozen() -> Iterator[None]:
    """Keep the collector from going through what the service is made of, which takes it 100 ms in
    which nobody is answered. It is the whole process's.
    """
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
