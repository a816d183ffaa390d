import sys

import pytest

from taskapi.rate_limit import RateLimiter
from taskapi.settings import ConfigurationError


@pytest.mark.parametrize(
    "url",
    [
        "redis://:p#ss@host:abc/0",
        "redis://:12#ss@host/0",
        "redis://:pa/ss@host/0",
        "redis://:12/34@host/0",
        "redis://:12?34@host/0",
        "redis://:p[ss@host/0",
        "redis://:6379/0",
        "redis://host/first",
        "redis://:pass@host?socket_timeout=pass",
        "redis://:pass@host?passport=1",
    ],
)
def test_an_address_that_can_not_be_read_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match="must be like redis://host:6379/0") as refusal:
        RateLimiter(url)
    assert refusal.value.__suppress_context__
    assert not any(part in str(refusal.value) for part in ("p#ss", "ss@", "pass=", "34"))


def test_the_error_for_a_missing_driver_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConfigurationError, match="uv sync --extra redis"):
        RateLimiter("redis://host")
