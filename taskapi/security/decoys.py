import secrets
from base64 import b64encode
from collections.abc import Iterable


class Decoys:
    """Hashes of no password, one of each known set of parameters.

    Stored hashes may have other parameters than new ones. If a wrong password is compared with one
    hash of each set, the time does not show which set the hash of an account has, nor whether there
    is an account.
    """

    def __init__(self) -> None:
        self.has_samples = False
        """Whether hashes from the database have been learned."""
        self._hashes: dict[str, str] = {}

    def learn(self, password_hashes: Iterable[str]) -> None:
        for parameters in map(_parameters, password_hashes):
            if parameters not in self._hashes:
                self._hashes[parameters] = _random_hash(parameters)

    def others(self, password_hash: str | None) -> list[str]:
        """Return a hash of each set of parameters except that of this hash, which is learned."""
        if password_hash is None:
            return list(self._hashes.values())
        self.learn([password_hash])
        own = _parameters(password_hash)
        return [decoy for parameters, decoy in self._hashes.copy().items() if parameters != own]


def _parameters(password_hash: str) -> str:
    """Return the part of a hash before its salt."""
    return password_hash.rsplit("$", 2)[0]


def _random_hash(parameters: str) -> str:
    salt, digest = (b64encode(secrets.token_bytes(size)).decode().rstrip("=") for size in (16, 32))
    return f"{parameters}${salt}${digest}"
