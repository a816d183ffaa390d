import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """An opaque refresh token (RFC 6749, section 1.5), of which the database has hashes only.

    `family` stays the same as long as the login; `secret`, of 256 bits, is replaced at each use. A
    token with the family's name and an outdated secret must have been issued here, and is a replay.
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
        """The next token. It follows from this one and a secret key, so that a client that lost the
        answer, and two that ask at once, get the same one, although only its hash is stored.
        """
        digest = hmac.digest(key.encode(), f"refresh {self}".encode(), "sha256")
        return type(self)(self.family, urlsafe_b64encode(digest).decode().rstrip("="))


def _hash(secret: str) -> str:
    """Random secrets of this length need no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()
