"""What operations and dependencies declare of themselves, for the OpenAPI document."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from fastapi.dependencies.models import Dependant

F = TypeVar("F", bound=Callable[..., Any])


def declare(name: str, values: Iterable[object]) -> Callable[[F], F]:
    """Add values to those that a function has declared under this name."""
    added = tuple(values)

    def decorate(function: F) -> F:
        vars(function)[name] = (*vars(function).get(name, ()), *added)
        return function

    return decorate


def declared(dependant: Dependant, name: str) -> Iterator[Any]:
    """Return what an operation and its dependencies have declared under this name."""
    yield from getattr(dependant.call, name, ())
    for dependency in dependant.dependencies:
        yield from declared(dependency, name)
