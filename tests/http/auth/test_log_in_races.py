"""The account changes while a password is being verified."""

from collections.abc import Callable

import pytest
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from taskapi.security.passwords import Passwords, Verification
from taskapi.settings import Settings
from tests.api import PASSWORD, Api, request_token
from tests.databases import execute

HASHER = PasswordHash((Argon2Hasher(memory_cost=32, time_cost=1, parallelism=1),))


@pytest.fixture
def meanwhile(
    anna: Api, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], int]:
    """Log in, and run a statement after the password is verified for the first time."""

    def log_in(statement: str) -> int:
        verify = Passwords.verify
        statements = [statement]

        async def verify_and_run(
            self: Passwords, password: str, password_hash: str | None
        ) -> Verification:
            verification = await verify(self, password, password_hash)
            if statements:
                execute(settings.database_url, statements.pop())
            return verification

        monkeypatch.setattr(Passwords, "verify", verify_and_run)
        return request_token(anna.client, anna.email).status_code

    return log_in


def test_a_new_hash_of_the_same_password_is_accepted(meanwhile: Callable[[str], int]) -> None:
    """Failed: of two processes that rehashed a password at once, one refused it."""
    assert meanwhile(f"UPDATE users SET password_hash = '{HASHER.hash(PASSWORD)}'") == 200  # noqa: S608 -- written here


@pytest.mark.parametrize("change", ["password", "email", "deletion"])
def test_changed_credentials_are_refused(meanwhile: Callable[[str], int], change: str) -> None:
    """Failed for the e-mail: a session started with one that the account no longer had."""
    statements = {
        "password": f"UPDATE users SET password_hash = '{HASHER.hash('another password')}'",  # noqa: S608 -- written here
        "email": "UPDATE users SET email_key = 'other@example.com'",
        "deletion": "DELETE FROM users",
    }
    assert meanwhile(statements[change]) == 400
