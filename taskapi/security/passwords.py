import asyncio
import os
import secrets
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from copy import copy
from dataclasses import dataclass
from importlib import import_module
from typing import Self, TypeVar

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from taskapi.exceptions import InvalidRequest, Unavailable
from taskapi.security.decoys import Decoys
from taskapi.security.processors import available_processors
from taskapi.settings import Settings

T = TypeVar("T")

QUEUE_PER_THREAD = 32

ALL = ""
"""The key under which the passwords of all clients are counted."""


@dataclass(frozen=True, slots=True)
class Verification:
    matches: bool
    new_hash: str | None
    """A hash to store instead of the verified one, if its parameters are outdated."""


class Passwords:
    """Hash and verify passwords with Argon2id (RFC 9106), in threads of their own.

    There is one thread for each processor that the process may use, unless a number is given. The
    threads have a lower priority than the rest of the service. Passwords are normalized to NFC,
    because keyboards compose accents differently (RFC 8265, section 4.2.2).
    """

    def __init__(self, settings: Settings) -> None:
        hasher = Argon2Hasher(
            memory_cost=settings.password_hash_memory,
            time_cost=settings.password_hash_iterations,
            parallelism=1,
        )
        self._hasher = PasswordHash((hasher,))
        threads = settings.password_hash_threads or available_processors()
        self._threads = ThreadPoolExecutor(
            threads, initializer=_lower_priority if sys.platform == "linux" else None
        )
        self._pending = Counter[str]()
        self._max_workers = threads
        self._most_pending = threads * (1 + QUEUE_PER_THREAD)
        self._most_per_client = max(1, self._most_pending // 4)
        self._clients: tuple[str, ...] = ()
        self.decoys = Decoys()
        self.decoys.learn([self._hasher.hash(secrets.token_hex())])
        self._common = _common_passwords() if settings.refuse_common_passwords else frozenset()

    def for_client(self, client: str) -> Self:
        """Return the same service for the passwords of one client, such as an address. At most a
        quarter of the queue is for one client.
        """
        limited = copy(self)
        limited._clients = (*self._clients, client)  # noqa: SLF001 -- its own class
        return limited

    def waiting(self) -> int:
        """Return how many passwords wait for a thread."""
        return max(0, self._pending[ALL] - self._max_workers)

    def close(self) -> None:
        self._threads.shutdown()

    async def hash(self, password: str) -> str:
        """
        Raises:
            InvalidRequest: the password is one of the most common ones.
            Unavailable: too many passwords are waiting to be hashed.
        """
        password = _normalize(password)
        if password.lower() in self._common:
            detail = "This password is one of the most common ones. Choose another."
            raise InvalidRequest.at("body", "/password", detail)
        return await self._run_in_pool(lambda: self._hasher.hash(password))

    async def verify(self, password: str, password_hash: str | None) -> Verification:
        """Compare a password with a hash. Without a hash, match nothing.

        A wrong password takes the same time with every hash whose parameters are known, and
        without a hash.

        Raises:
            Unavailable: too many passwords are waiting to be hashed.
        """
        return await self._run_in_pool(lambda: self._verify(_normalize(password), password_hash))

    def _verify(self, password: str, password_hash: str | None) -> Verification:
        if password_hash:
            matches, new_hash = self._hasher.verify_and_update(password, password_hash)
            if matches:
                return Verification(matches, new_hash)
        for decoy in self.decoys.others(password_hash):
            self._hasher.verify_and_update(password, decoy)
        return Verification(matches=False, new_hash=None)

    async def _run_in_pool(self, work: Callable[[], T]) -> T:
        pending = self._pending
        full = pending[ALL] >= self._most_pending
        if full or any(pending[client] >= self._most_per_client for client in self._clients):
            detail = "Too many passwords are being checked."
            raise Unavailable(detail, retry_after=2, cause="passwords")
        keys = (ALL, *self._clients)
        pending.update(keys)
        try:
            run = copy_context().run  # the log has the request's id
            return await asyncio.get_running_loop().run_in_executor(self._threads, run, work)
        finally:
            pending.subtract(keys)
            for client in self._clients:
                if not pending[client]:
                    del pending[client]


def _lower_priority() -> None:
    """Lower the priority of the calling thread: on Linux, only that one (setpriority(2))."""
    os.setpriority(os.PRIO_PROCESS, 0, 10)


def _normalize(password: str) -> str:
    return unicodedata.normalize("NFC", password)


def _common_passwords() -> frozenset[str]:
    """Load zxcvbn's list. Imported here, because it takes time and memory."""
    lists: dict[str, list[str]] = import_module("zxcvbn.frequency_lists").FREQUENCY_LISTS
    return frozenset(lists["passwords"])
