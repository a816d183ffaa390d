import gzip
import hashlib
from typing import NamedTuple

from fastapi import Request, Response

from taskapi.http.etags import NotModified, Preconditions
from taskapi.pages.negotiation import accepts_gzip

HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}


class Form(NamedTuple):
    body: bytes
    tag: str

    @classmethod
    def of(cls, body: bytes) -> "Form":
        return cls(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


class Content:
    """Content that is compressed and hashed once, and sent often."""

    def __init__(self, body: bytes, media_type: str | None, language: str | None = None) -> None:
        """`language` is the one that was chosen by Accept-Language, if any."""
        self._plain = Form.of(body)
        self._compressed = Form.of(gzip.compress(body, mtime=0))
        self._media_type = media_type
        self._language = language

    def respond(self, request: Request) -> Response:
        """Send the content, or 304. Ranges are ignored (RFC 9110, section 14.2)."""
        compress = accepts_gzip(request)
        body, tag = self._compressed if compress else self._plain
        vary = "Accept-Encoding, Accept-Language" if self._language else "Accept-Encoding"
        headers = {**HEADERS, "ETag": tag, "Vary": vary}
        try:
            Preconditions(request).check_read(tag)
        except NotModified:
            return Response(status_code=304, headers=headers)
        if compress:
            headers["Content-Encoding"] = "gzip"
        if self._language:
            headers["Content-Language"] = self._language
        return Response(body, headers=headers, media_type=self._media_type)
