"""What keeps the service from starting is said in a line, without the code's own traceback."""

import sys

from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from taskapi.settings import PREFIX, Misconfigured, Settings

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
        case OSError() | Misconfigured():
            return str(error)
        case _:
            return None


class BriefStart:
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
