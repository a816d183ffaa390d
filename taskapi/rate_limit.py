import ipaddress
import logging
import math
import re
import time
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import TypeVar
from urllib.parse import SplitResult, urlsplit

from fastapi import Request
from limits import RateLimitItem, parse_many
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import FixedWindowRateLimiter
from limits.errors import ConfigurationError as UnusableStorage
from limits.errors import StorageError

from taskapi.exceptions import TooManyRequests
from taskapi.settings import ConfigurationError

T = TypeVar("T")

REDIS_TIMEOUT = 1.0

STORAGE_RETRY_SECONDS = 5.0
"""After a connection to the shared storage failed, it is not used for this long."""

IPV4_NETWORKS = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "::/96",  # IPv4-compatible (RFC 4291, section 2.5.5.1)
        "::ffff:0:0/96",  # IPv4-mapped (RFC 4291, section 2.5.5.2)
        "::ffff:0:0:0/96",  # IPv4-translated (RFC 2765)
        "64:ff9b::/96",  # NAT64 (RFC 6052)
    )
)
"""The networks whose addresses end in an IPv4 address."""

logger = logging.getLogger(__name__)


class RateLimiter:
    """Count events in fixed windows. A window begins with its first event.

    While the shared storage is unreachable, this process counts in memory.
    """

    def __init__(self, storage: str) -> None:
        """`storage` is `memory://` or a Redis URL, in the notation of the limits library."""
        self._redis = None if storage == "memory://" else _redis(storage)
        self._shared = FixedWindowRateLimiter(self._redis or MemoryStorage())
        self._own = FixedWindowRateLimiter(MemoryStorage())
        self._away_until = 0.0

    async def close(self) -> None:
        if self._redis:
            redis = self._redis.bridge.get_connection()  # type: ignore[attr-defined] # not declared
            await redis.aclose()

    async def hit(self, limit: RateLimitItem, key: str) -> bool:
        """Count an event. Return False if it exceeds the limit."""
        return await self._call(lambda limiter: limiter.hit(limit, key))

    async def test(self, limit: RateLimitItem, key: str, events: int = 1) -> bool:
        """Return whether so many more events are within the limit. Nothing is counted."""
        return await self._call(lambda limiter: limiter.test(limit, key, cost=events))

    async def clear(self, limit: RateLimitItem, key: str) -> None:
        await self._call(lambda limiter: limiter.clear(limit, key))

    async def seconds_left(self, limit: RateLimitItem, key: str) -> int:
        """Return the seconds until the window ends, rounded up."""
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
    """
    Raises:
        ConfigurationError: the URL can't be used, or the driver is not installed. The message has
            nothing of the URL, which may have a password.
    """
    try:
        import_module("redis")
    except ImportError:
        raise ConfigurationError("Redis needs a driver: uv sync --extra redis") from None
    try:
        if not _is_plain(urlsplit(url)):
            raise UnusableStorage  # noqa: TRY301 -- as the library does for other addresses
        return RedisStorage(
            url,
            wrap_exceptions=True,
            implementation="redispy",
            socket_connect_timeout=REDIS_TIMEOUT,
            socket_timeout=REDIS_TIMEOUT,
        )
    except (UnusableStorage, ValueError):
        raise ConfigurationError(
            "TASKAPI_RATE_LIMIT_STORAGE can't be read: it must be like redis://host:6379/0; "
            "percent-encode the password's characters : / ? # [ ] @ %"
        ) from None


def _is_plain(parts: SplitResult) -> bool:
    """Return whether there is no doubt where the password ends."""
    number = re.fullmatch("/?[0-9]*", parts.path)
    return bool(parts.hostname and number and not parts.fragment and "@" not in parts.query)


class Throttle:
    """Limits events of one kind per key, such as an address."""

    def __init__(self, limiter: RateLimiter, kind: str, limits: str) -> None:
        """`limits` is in the notation of the limits library, such as `10/minute;100/hour`.

        If it is empty, there is no limit.
        """
        self._limiter = limiter
        self._kind = kind
        self._limits = parse_many(limits) if limits else []

    async def test(self, key: str) -> None:
        """Check the limits without counting.

        Raises:
            TooManyRequests: another event would exceed a limit.
        """
        for limit in self._limits:
            if not await self._limiter.test(limit, self._key(key)):
                await self._refuse(limit, key)

    async def allows(self, key: str, events: int) -> bool:
        """Return whether the limits allow so many more events. Nothing is counted."""
        tests = [await self._limiter.test(limit, self._key(key), events) for limit in self._limits]
        return all(tests)

    async def hit(self, key: str) -> None:
        """Count an event.

        Raises:
            TooManyRequests: the event exceeds a limit.
        """
        for limit in self._limits:
            if not await self._limiter.hit(limit, self._key(key)):
                await self._refuse(limit, key)

    async def clear(self, key: str) -> None:
        for limit in self._limits:
            await self._limiter.clear(limit, self._key(key))

    def _key(self, key: str) -> str:
        return f"taskapi/{self._kind}/{key}"

    async def _refuse(self, limit: RateLimitItem, key: str) -> None:
        seconds = await self._limiter.seconds_left(limit, self._key(key))
        detail = f"Try again in {seconds} seconds."
        raise TooManyRequests(detail, retry_after=seconds, cause=self._kind)


def client_address(request: Request) -> str:
    """Return the client's address. IPv6 addresses are reduced to their /64, but an IPv4 address in
    an IPv6 address is IPv4: otherwise all IPv4 clients of a dual-stack socket or of a translator
    would be one client.

    Behind a proxy that uvicorn trusts (`--forwarded-allow-ips`), it is the address that the proxy
    forwards.
    """
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.version == 4:
        return host
    embedded = _embedded_ipv4(address)
    return str(embedded or ipaddress.ip_network((int(address), 64), strict=False))


def _embedded_ipv4(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if any(address in network for network in IPV4_NETWORKS):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address.teredo:
        return address.teredo[1]  # the client; the other one is its server
    return address.sixtofour
