"""uvicorn's HTTP/1.1 protocol, with the offer of another protocol ignored.

Name it on uvicorn's command line: `--http taskapi.http.protocol:HTTPProtocol`.
"""

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class HTTPProtocol(HttpToolsProtocol):
    """Serves a request that offers an upgrade as if it offered none (RFC 9110, section 7.8).

    httptools takes all that follows the head of such a request for the other protocol, its body
    included. The head is therefore parsed again without the offer, and the rest after it.
    """

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        rest = memoryview(data)
        try:
            while rest:
                rest = self._feed(rest)
        except httptools.HttpParserError:
            message = "Invalid HTTP request received."
            self.logger.warning(message)
            self.send_400_response(message)

    def _feed(self, data: memoryview) -> memoryview:
        """Return what has not been parsed."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            end_of_head: int = upgrade.args[0]
            if self._should_upgrade():
                head = self._head_without_offer()
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
                self.parser.feed_data(head)
                return data[end_of_head:]
        return data[:0]

    def _should_upgrade(self) -> bool:
        """Keep the request from starting before its head is complete without the offer.

        CONNECT has no such form, and is answered by the application, which closes the connection.
        """
        return self.scope["method"] != "CONNECT"

    def _head_without_offer(self) -> bytes:
        version = self.scope["http_version"].encode()
        lines = [b"%s %s HTTP/%s" % (self.scope["method"].encode(), self.url, version)]
        lines += [b"%s: %s" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])
