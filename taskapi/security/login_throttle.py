import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from weakref import WeakValueDictionary

from anyio import CancelScope, Condition, Lock, fail_after

from taskapi.database.timeouts import QUEUE_TIMEOUT, RETRY_SECONDS
from taskapi.exceptions import InvalidGrant, Unavailable
from taskapi.rate_limit import RateLimiter, Throttle
from taskapi.settings import Settings


class _Attempts:
    """The attempts of one address that are under way."""

    def __init__(self) -> None:
        self.count = 0
        self.changed = Condition()


class LoginThrottle:
    """Limit failed attempts to log in: per account and address together, per account, per address.

    The first limit stops guesses from one address and leaves the account open to its owner, who has
    another address. The second limit stops guesses from many addresses, and is higher, so that the
    owner is not locked out for long.

    Concurrent attempts could exceed the limits. Therefore attempts at one account run one after
    another, and an address has no more attempts under way than it has failures left.
    """

    def __init__(self, limiter: RateLimiter, settings: Settings) -> None:
        self._together = Throttle(limiter, "login", settings.login_limit)
        self._account = Throttle(limiter, "login-account", settings.login_account_limit)
        self._address = Throttle(limiter, "login-address", settings.login_address_limit)
        self._locks = WeakValueDictionary[str, Lock]()
        self._addresses = WeakValueDictionary[str, _Attempts]()

    @asynccontextmanager
    async def attempt(self, account: str, address: str) -> AsyncIterator[None]:
        """Run one attempt. InvalidGrant counts as a failure; success resets the account's counts.

        `account` is the key of the account, which the limits' storage has as a hash only.

        Raises:
            TooManyRequests: there were too many failures.
            Unavailable: other attempts took too long.
        """
        account = hashlib.sha256(account.encode()).hexdigest()
        together = f"{account}/{address}"
        async with AsyncExitStack() as turn:
            try:
                with fail_after(QUEUE_TIMEOUT):
                    await turn.enter_async_context(self._turn(address))
                    await turn.enter_async_context(self._locks.setdefault(account, Lock()))
            except TimeoutError:
                detail = "Other attempts to log in take too long."
                raise Unavailable(detail, retry_after=RETRY_SECONDS, cause="login") from None
            await self._together.test(together)
            await self._account.test(account)
            try:
                yield
            except InvalidGrant:
                await self._together.hit(together)
                await self._account.hit(account)
                await self._address.hit(address)
                raise
            await self._together.clear(together)
            await self._account.clear(account)

    @asynccontextmanager
    async def _turn(self, address: str) -> AsyncIterator[None]:
        """Wait until the address has a failure left for each of its attempts that is under way."""
        attempts = self._addresses.setdefault(address, _Attempts())
        async with attempts.changed:
            await self._address.test(address)
            while attempts.count and not await self._address.allows(address, attempts.count + 1):
                await attempts.changed.wait()
                await self._address.test(address)
            attempts.count += 1
        try:
            yield
        finally:
            with CancelScope(shield=True):
                async with attempts.changed:
                    attempts.count -= 1
                    attempts.changed.notify_all()
