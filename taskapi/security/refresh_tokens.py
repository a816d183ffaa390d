import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """An opaque refresh token (RFC 6749, section 1.5). The database stores hashes only.

    `family` identifies the session and never changes; `secret`, of 256 bits, is replaced at each
    use. A token with a known family and an outdated secret is a replay.
    """

    family: str
    secret: str

    @classmethod
    def generate(cls) -> Self:
        return cls(secrets.token_urlsafe(16), secrets.token_urlsafe(32))

    @classmethod
    def parse(cls, text: str) -> Self:
        family, _, secret = text.partition(".")
        return cls(family, secret)

    def __str__(self) -> str:
        return f"{self.family}.{self.secret}"

    @property
    def family_hash(self) -> str:
        return _hash(self.family)

    @property
    def secret_hash(self) -> str:
        return _hash(self.secret)

    def successor(self, key: str) -> Self:
        """Derive the next token from this one and a secret key.

        A client that repeats the request, because it lost the answer or ran twice, gets the same
        token, although only its hash is stored.
        """
        digest = hmac.digest(key.encode(), f"refresh {self}".encode(), "sha256")
        return type(self)(self.family, urlsafe_b64encode(digest).decode().rstrip("="))


def _hash(secret: str) -> str:
    """A fast hash is enough for random secrets of this length."""
    return hashlib.sha256(secret.encode()).hexdigest()
