import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from anyio import Lock

from taskapi.exceptions import InvalidGrant
from taskapi.rate_limit import RateLimiter, Throttle
from taskapi.settings import Settings


class LoginThrottle:
    """Limit failed attempts to log in: per account and address together, per account, per address.

    The first limit stops guesses from one address and leaves the account open to its owner, who has
    another address. The second limit stops guesses from many addresses, and is higher, so that the
    owner is not locked out for long. Attempts at one account run one after another, because
    concurrent attempts could exceed the limit.
    """

    def __init__(self, limiter: RateLimiter, settings: Settings) -> None:
        self._together = Throttle(limiter, "login", settings.login_limit)
        self._account = Throttle(limiter, "login-account", settings.login_account_limit)
        self._address = Throttle(limiter, "login-address", settings.login_address_limit)
        self._locks = WeakValueDictionary[str, Lock]()

    @asynccontextmanager
    async def attempt(self, account: str, address: str) -> AsyncIterator[None]:
        """Run one attempt. InvalidGrant counts as a failure; success resets the account's counts.

        `account` is the key of the account, which the limits' storage has as a hash only.

        Raises:
            TooManyRequests: there were too many failures.
        """
        account = hashlib.sha256(account.encode()).hexdigest()
        together = f"{account}/{address}"
        async with self._locks.setdefault(account, Lock()):
            await self._together.test(together)
            await self._account.test(account)
            await self._address.test(address)
            try:
                yield
            except InvalidGrant:
                await self._together.hit(together)
                await self._account.hit(account)
                await self._address.hit(address)
                raise
            await self._together.clear(together)
            await self._account.clear(account)
