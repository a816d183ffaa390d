import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

HANG = 300.0
"""Seconds after which a test takes it that an event never comes."""


def wait_until(condition: Callable[[], T]) -> T:
    """Poll until the condition is true, and return its value.

    Raises:
        TimeoutError: it did not become true, even on a busy machine.
    """
    deadline = time.monotonic() + HANG
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.01)
    return value
