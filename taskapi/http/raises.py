from collections.abc import Callable
from typing import Any, TypeVar

from taskapi.http.declarations import declare

F = TypeVar("F", bound=Callable[..., Any])


def raises(*sources: type[Exception] | Callable[..., Any]) -> Callable[[F], F]:
    """Declare which errors a function raises, for the OpenAPI document.

    Operations and dependencies declare their errors, and so do the functions that they call. A
    function among the `sources` stands for the errors that are declared on it.
    """
    errors: list[type[Exception]] = []
    for source in sources:
        errors += [source] if isinstance(source, type) else vars(source)["raises"]
    return declare("raises", errors)
