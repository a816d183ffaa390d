import ipaddress
import logging
import math
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from fastapi import Request
from limits import RateLimitItem, parse_many
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import FixedWindowRateLimiter
from limits.errors import StorageError

from taskapi.exceptions import TooManyRequests

T = TypeVar("T")

REDIS_TIMEOUT = 1.0

STORAGE_RETRY_SECONDS = 5.0
"""How long a shared storage that could not be reached is left alone."""

logger = logging.getLogger(__name__)


class RateLimiter:
    """Counts events in windows, each of which begins with its first event.

    While a shared storage can't be reached, this process counts by itself.
    """

    def __init__(self, storage: str) -> None:
        """`storage` is `memory://` or the URL of a Redis, as the limits library writes it."""
        self._redis = None if storage == "memory://" else _redis(storage)
        self._shared = FixedWindowRateLimiter(self._redis or MemoryStorage())
        self._own = FixedWindowRateLimiter(MemoryStorage())
        self._away_until = 0.0

    async def close(self) -> None:
        if self._redis:
            redis = self._redis.bridge.get_connection()  # type: ignore[attr-defined] # not declared
            await redis.aclose()

    async def count(self, limit: RateLimitItem, key: str) -> bool:
        """Count an event. False if that is one too many."""
        return await self._call(lambda limiter: limiter.hit(limit, key))

    async def has_room(self, limit: RateLimitItem, key: str) -> bool:
        return await self._call(lambda limiter: limiter.test(limit, key))

    async def forget(self, limit: RateLimitItem, key: str) -> None:
        await self._call(lambda limiter: limiter.clear(limit, key))

    async def seconds_left(self, limit: RateLimitItem, key: str) -> int:
        """Until the window ends, rounded up."""
        window = await self._call(lambda limiter: limiter.get_window_stats(limit, key))
        return max(1, math.ceil(window.reset_time - time.time()))

    async def _call(self, ask: Callable[[FixedWindowRateLimiter], Awaitable[T]]) -> T:
        if time.monotonic() >= self._away_until:
            try:
                return await ask(self._shared)
            except StorageError as error:
                logger.warning("rate limit storage unavailable: %s", error.storage_error)
                self._away_until = time.monotonic() + STORAGE_RETRY_SECONDS
        return await ask(self._own)


def _redis(url: str) -> RedisStorage:
    return RedisStorage(
        url,
        wrap_exceptions=True,
        implementation="redispy",
        socket_connect_timeout=REDIS_TIMEOUT,
        socket_timeout=REDIS_TIMEOUT,
    )


class Throttle:
    """How many events of one kind are accepted for a key, such as an address."""

    def __init__(self, limiter: RateLimiter, kind: str, limits: str) -> None:
        """`limits` as the limits library writes them, such as `10/minute;100/hour`, or empty."""
        self._limiter = limiter
        self._kind = kind
        self._limits = parse_many(limits) if limits else []

    async def check(self, key: str) -> None:
        """
        Raises:
            TooManyRequests: no further event is accepted.
        """
        for limit in self._limits:
            if not await self._limiter.has_room(limit, self._key(key)):
                await self._refuse(limit, key)

    async def count(self, key: str) -> None:
        """Count an event.

        Raises:
            TooManyRequests: it is one too many.
        """
        for limit in self._limits:
            if not await self._limiter.count(limit, self._key(key)):
                await self._refuse(limit, key)

    async def forget(self, key: str) -> None:
        for limit in self._limits:
            await self._limiter.forget(limit, self._key(key))

    def _key(self, key: str) -> str:
        return f"taskapi/{self._kind}/{key}"

    async def _refuse(self, limit: RateLimitItem, key: str) -> None:
        seconds = await self._limiter.seconds_left(limit, self._key(key))
        raise TooManyRequests(
            f"Try again in {seconds} seconds.", headers={"Retry-After": str(seconds)}
        )


def client_address(request: Request) -> str:
    """The client's address, as the server knows it; of IPv6 the network, which is one client's.

    Behind proxies that the server trusts (uvicorn's `--forwarded-allow-ips`), it is the address
    that they name.
    """
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.version == 6:
        return str(ipaddress.ip_network((int(address), 64), strict=False))
    return host
