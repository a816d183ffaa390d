import errno
import os
import secrets
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr, ValidationError

from taskapi.security.keys import load_secret_keys
from taskapi.settings import ConfigurationError, Settings
from tests.api import Api


@pytest.mark.own_database
@pytest.mark.database("sqlite")
def test_a_key_is_generated_once(
    start: Callable[[Settings], TestClient], settings: Settings, tmp_path: Path
) -> None:
    unconfigured = settings.model_copy(update={"secret_keys": ()})
    anna = Api.register(start(unconfigured), "anna@example.com")
    secret = tmp_path / "taskapi.secret"
    key = secret.read_text()
    assert len(key) == 64
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    restarted = Api(start(unconfigured), anna.user_id, anna.email, anna.token)
    assert restarted.get("/users/me").status_code == 200
    assert secret.read_text() == key


@pytest.mark.own_database
@pytest.mark.database("sqlite")
def test_the_key_of_a_file_is_that_of_the_variable(
    start: Callable[[Settings], TestClient], settings: Settings, tmp_path: Path
) -> None:
    """Failed: a newline was part of the key, which `$(cat taskapi.secret)` does not have."""
    key = secrets.token_hex(32)
    (tmp_path / "taskapi.secret").write_text(f"\ufeff{key}\r\n", encoding="utf-8")
    anna = Api.register(start(settings.model_copy(update={"secret_keys": ()})), "anna@example.com")
    moved = start(settings.model_copy(update={"secret_keys": (SecretStr(key),)}))
    assert Api(moved, anna.user_id, anna.email, anna.token).get("/users/me").status_code == 200


def test_what_was_signed_with_the_newline_of_a_file_is_valid(tmp_path: Path) -> None:
    key = secrets.token_hex(32)
    (tmp_path / "taskapi.secret").write_text(f"{key}\n")
    assert load_secret_keys(Settings(), tmp_path / "taskapi.db") == [key, f"{key}\n"]


def test_a_file_system_without_hard_links_is_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def link(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(ConfigurationError, match=r"has no hard links, which taskapi\.secret"):
        load_secret_keys(Settings(), tmp_path / "taskapi.db")
    assert list(tmp_path.iterdir()) == []


def test_the_folder_is_synchronized_after_a_key_is_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Failed: a power failure could lose the name of the key, and with it all sessions."""
    synced: list[tuple[bool, list[str]]] = []

    def fsync(descriptor: int) -> None:
        status = os.fstat(descriptor)
        names = [path.name for path in tmp_path.iterdir()]
        synced.append((stat.S_ISDIR(status.st_mode), names))

    monkeypatch.setattr(os, "fsync", fsync)
    load_secret_keys(Settings(), tmp_path / "taskapi.db")
    assert [is_folder for is_folder, _ in synced] == [False, True]
    assert synced[-1][1] == ["taskapi.secret"]


def test_database_servers_require_configured_keys() -> None:
    with pytest.raises(ValueError, match="`openssl rand -hex 32` makes a key"):
        load_secret_keys(Settings(), None)


def test_concurrent_starts_share_one_key(tmp_path: Path) -> None:
    for number in range(20):
        database = tmp_path / f"{number}.db"
        with ThreadPoolExecutor(8) as pool:
            keys = list(
                pool.map(lambda _, file=database: load_secret_keys(Settings(), file), range(8))
            )
        assert len({key for [key] in keys}) == 1
    assert len(list(tmp_path.iterdir())) == 20


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        ("a9f3c7", "has fewer than 32 characters"),
        ("0" * 64, "repeats itself"),
        ("abcdefghijklmnop" * 4, "repeats itself"),
        ("0123" * 16 + "x", "repeats itself"),
        ("change-me-please-0123456789-abcdefg", "looks like a placeholder"),
        ("MySecretKeyForTheTaskService-2026-11", "looks like a placeholder"),
        ("example-0123456789-abcdefghijklmnop", "looks like a placeholder"),
    ],
)
def test_guessable_keys_are_refused(monkeypatch: pytest.MonkeyPatch, key: str, fault: str) -> None:
    good = secrets.token_hex(32)
    monkeypatch.setenv("TASKAPI_SECRET_KEYS", f"{good},{key}")
    with pytest.raises(ValidationError) as refusal:
        Settings()
    assert f"a key {fault}; `openssl rand -hex 32` makes a good one" in str(refusal.value)
    assert key not in str(refusal.value)
    assert good not in str(refusal.value)


def test_random_keys_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    for make in (secrets.token_hex, secrets.token_urlsafe):
        for _ in range(20):
            monkeypatch.setenv("TASKAPI_SECRET_KEYS", make(32))
            assert len(Settings().secret_keys) == 1


@pytest.mark.parametrize("content", [b"", b"\n", b"0" * 64, b"\xff\xfe" + b"0\0" * 64])
def test_invalid_key_files_are_refused(tmp_path: Path, content: bytes) -> None:
    """As a power failure may leave it: an empty key would sign tokens that anybody can make."""
    secret = tmp_path / "taskapi.secret"
    secret.write_bytes(content)
    with pytest.raises(ConfigurationError, match=f"the key in {secret} "):
        load_secret_keys(Settings(), tmp_path / "taskapi.db")
    assert secret.read_bytes() == content
