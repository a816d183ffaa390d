import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fastapi.testclient import TestClient

from taskapi.auth.keys import load_secret_keys
from taskapi.settings import Settings
from tests.api import Api


def test_a_key_is_made_once_beside_the_database_and_kept(
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


def test_all_who_start_at_once_get_the_same_key(tmp_path: Path) -> None:
    for number in range(20):
        database = tmp_path / f"{number}.db"
        with ThreadPoolExecutor(8) as pool:
            keys = list(
                pool.map(lambda _, file=database: load_secret_keys(Settings(), file), range(8))
            )
        assert len({key for [key] in keys}) == 1
    assert len(list(tmp_path.iterdir())) == 20
