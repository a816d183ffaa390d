import os
import secrets
import unicodedata

from anyio import CapacityLimiter, to_thread
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher


class Passwords:
    """Argon2id hashes, computed on as many threads as there are processors, apart from other work.

    Passwords are compared after NFC, so that it does not matter which keyboard composed an accent
    (RFC 8265, section 4.2.2).
    """

    def __init__(self, memory: int, iterations: int) -> None:
        """`memory` in KiB; `iterations` are passes over it."""
        self._hasher = PasswordHash((Argon2Hasher(memory_cost=memory, time_cost=iterations),))
        self._processors = CapacityLimiter(os.cpu_count() or 1)
        self._decoy = self._hasher.hash(secrets.token_hex())

    async def hash(self, password: str) -> str:
        return await to_thread.run_sync(
            self._hasher.hash, _normalize(password), limiter=self._processors
        )

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """With no hash, take as long as with one, and answer False."""
        matches = await to_thread.run_sync(
            self._hasher.verify,
            _normalize(password),
            password_hash or self._decoy,
            limiter=self._processors,
        )
        return matches and password_hash is not None


def _normalize(password: str) -> str:
    return unicodedata.normalize("NFC", password)
