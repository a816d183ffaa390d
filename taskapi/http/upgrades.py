from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from taskapi.http.request_limits import UnacceptableBody


class UpgradeMiddleware:
    """Close the connection after a request that offers another protocol, and refuse its body.

    uvicorn's httptools protocol drops what follows the head of such a request, or of CONNECT, and
    takes the rest of the body for the next request. `taskapi.http.protocol` does not, and hides
    the offer from this middleware.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _offers_upgrade(scope):
            await self._app(scope, receive, send)
            return

        async def refuse_body() -> Message:
            raise UnacceptableBody(400, "A request with an Upgrade header can't have a body here.")

        async def send_and_close(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        await self._app(scope, refuse_body if _has_body(scope) else receive, send_and_close)


def _offers_upgrade(scope: Scope) -> bool:
    return scope["method"] == "CONNECT" or any(name == b"upgrade" for name, _ in scope["headers"])


def _has_body(scope: Scope) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0"))
        for name, value in scope["headers"]
    )
