"""Histories for tests of the models and of the checker."""

from collections.abc import Sequence
from math import inf

from tests.tools.linearizability.checker import Answer, Call, Operation, State, is_linearizable

OK: Answer = (200, None)
DONE: Answer = (204, None)
UNAUTHORIZED: Answer = (401, None)

Step = tuple[Operation[State], Answer]


def call(
    operation: Operation[State],
    answer: Answer | None,
    invoked: float = 0,
    returned: float = 1,
) -> Call[State]:
    return Call(operation, invoked, returned if answer else inf, answer)


def in_turn(steps: Sequence[Step[State]], initial: State) -> bool:
    """Each is called after the one before it has returned."""
    calls = [call(*step, time, time + 0.5) for time, step in enumerate(steps)]
    return is_linearizable(calls, initial)


def refutes(steps: Sequence[Step[State]], initial: State) -> bool:
    """Return whether the history is linearizable, and is not with another last answer."""
    *before, (operation, (status, content)) = steps
    wrong = [*before, (operation, (status + 1, content))]
    return in_turn(steps, initial) and not in_turn(wrong, initial)
