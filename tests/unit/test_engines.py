import sys
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from taskapi.settings import Settings


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite://", "must be a file"),
        ("sqlite:///:memory:", "must be a file"),
        ("sqlite:///file:x?mode=memory&uri=true", "must be a file"),
        ("mysql://localhost/taskapi", "must be sqlite:///a-file.db or postgresql://"),
        ("sqlite:///a.db?timeout=long", "could not convert string to float: 'long'"),
    ],
)
def test_an_unsupported_database_is_refused_at_the_start(
    start: Callable[[Settings], TestClient], url: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        start(Settings(database_url=url))


def test_the_error_for_a_missing_driver_says_how_to_install_it(
    start: Callable[[Settings], TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ValueError, match="uv sync --extra postgresql"):
        start(Settings(database_url="postgresql://localhost/taskapi"))
