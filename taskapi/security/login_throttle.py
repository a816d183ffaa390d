import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from anyio import Lock

from taskapi.exceptions import InvalidGrant
from taskapi.rate_limit import RateLimiter, Throttle
from taskapi.settings import Settings


class LoginThrottle:
    """Limits failed logins per account and address together, per account, and per address.

    A guesser is stopped by the first soon, and by the second when coming from many addresses; the
    owner, coming from another address, is kept out by neither for long. Attempts at one account
    wait for each other, so that many at once don't get more guesses than one after another.
    """

    def __init__(self, limiter: RateLimiter, settings: Settings) -> None:
        self._together = Throttle(limiter, "login", settings.login_limit)
        self._account = Throttle(limiter, "login-account", settings.login_account_limit)
        self._address = Throttle(limiter, "login-address", settings.login_address_limit)
        self._locks = WeakValueDictionary[str, Lock]()

    @asynccontextmanager
    async def attempt(self, username: str, address: str) -> AsyncIterator[None]:
        """The context of one login. A success makes the account's failures forgotten.

        Raises:
            TooManyRequests: there were too many failures.
        """
        account = hashlib.sha256(username.lower().encode()).hexdigest()
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
