"""A test client whose requests take little time of their own."""

from typing import Any

import httpx2
from fastapi.testclient import TestClient
from httpx2 import ASGITransport, AsyncByteStream, ByteStream


class Transport(httpx2.BaseTransport):
    """Runs a request with one call to the event loop's thread.

    The test client's own transport makes eight, which is most of the time of a short request.
    """

    def __init__(self, client: "Client", address: tuple[str, int]) -> None:
        self._client = client
        self._transport = ASGITransport(client.app, raise_app_exceptions=False, client=address)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        request.read()
        with self._client._portal_factory() as portal:  # noqa: SLF001 -- the test client's way to its thread
            return portal.call(self._handle, request)

    async def _handle(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._transport.handle_async_request(request)
        assert isinstance(response.stream, AsyncByteStream)
        content = b"".join([part async for part in response.stream])
        return httpx2.Response(
            response.status_code, headers=response.headers, stream=ByteStream(content)
        )


class Client(TestClient):
    """A test client that answers 500, as a server does, where the application raises."""

    def __init__(self, app: Any, address: tuple[str, int] = ("testclient", 50000)) -> None:
        super().__init__(app, raise_server_exceptions=False)
        self._transport = Transport(self, address)
