import sys
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from taskapi.database.engines import describe, open_engine
from taskapi.settings import ConfigurationError, Settings


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


@pytest.mark.parametrize(
    ("url", "description"),
    [
        ("postgresql://me:Tr0ub4dor#3x@db/taskapi", "postgresql://db/taskapi"),
        ("postgresql://me:Tr0ub?dor[3x]@db:5433/tasks?sslmode=require", "postgresql://db/tasks"),
        ("postgresql://me@db1,db2,[::1]/taskapi", "postgresql://db1,db2,::1/taskapi"),
        ("postgresql://me@/taskapi?host=/tmp&password=Tr0ub", "postgresql:///tmp/taskapi"),
        ("postgresql:///", "postgresql:///"),
    ],
)
def test_the_log_has_the_host_and_the_database_only(url: str, description: str) -> None:
    assert describe(url) == description


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:Tr0ub/3x@db/taskapi",
        "postgresql://me:123/45@db/taskapi",
        "postgresql://me:Tr0ub@3x@db/taskapi",
        "postgresql://me:Tr0ub/4?dor@db/taskapi",
        "postgresql://me:Tr0ub%dor@db/taskapi",
        "postgresql://me:[Tr0ub/4@db/taskapi",
        "postgresql://me:Tr0ub@db:543x/taskapi",
        "mysql://me:Tr0ub/3x@db:Tr0ub/taskapi",
        "mysql://me@db:Tr0ub",
    ],
)
def test_an_address_that_can_not_be_read_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^the database") as refusal:
        open_engine(url)
    assert refusal.value.__suppress_context__ or not refusal.value.__context__
    assert "Tr0ub" not in str(refusal.value)


def test_the_error_for_a_missing_driver_says_how_to_install_it(
    start: Callable[[Settings], TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ValueError, match="uv sync --extra postgresql"):
        start(Settings(database_url="postgresql://localhost/taskapi"))
