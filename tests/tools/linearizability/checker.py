"""Linearizability of a history of calls (Herlihy and Wing, 1990).

A history is linearizable if its calls can be put in one order, in which each takes effect at once
between its invocation and its return, and has the answer that a sequential model gives. The search
is that of Wing and Gong (1993), with the cache of visited states of Lowe (2017).
"""

from bisect import bisect_left
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Generic, Protocol, TypeVar

State = TypeVar("State", bound=Hashable)

Answer = tuple[int, Hashable]
"""A status code, and what the model says of the rest."""

MAX_STATES = 300_000
MAX_STATES_TO_MINIMIZE = 3_000


class Undecided(Exception):
    """The search visited too many states."""


class Operation(Protocol[State]):
    def apply(self, state: State, /) -> tuple[Answer, State]:
        """Return the answer of the sequential model, and the state afterwards."""

    def only_reads(self, answer: Answer, /) -> bool:
        """Return whether the operation, with this answer, changes nothing in any state."""


@dataclass(frozen=True)
class Call(Generic[State]):
    """An operation that a client has called, with times of one clock, in seconds."""

    operation: Operation[State]
    invoked: float
    returned: float
    answer: Answer | None
    """None if it is unknown: the call may take effect at any time after its invocation, or not."""

    def forget(self) -> "Call[State]":
        """Return the call with an unknown outcome."""
        return replace(self, returned=inf, answer=None)


def is_linearizable(
    history: Sequence[Call[State]], initial: State, max_states: int = MAX_STATES
) -> bool:
    """
    Raises:
        Undecided: the history has too many possible orders.
    """
    calls = sorted(history, key=lambda call: call.invoked)
    answered = sum(1 << number for number, call in enumerate(calls) if call.answer)
    waiting = [(0, initial)]
    seen = set(waiting)
    while waiting:
        done, state = waiting.pop()
        if done & answered == answered:
            return True
        for step in _steps(calls, done, state):
            if step not in seen:
                seen.add(step)
                waiting.append(step)
        if len(seen) > max_states:
            raise Undecided
    return False


def _steps(calls: Sequence[Call[State]], done: int, state: State) -> list[tuple[int, State]]:
    """Take each call that can be the next: none that is left has returned before its invocation.
    The search continues with the last step, which takes the call that returned first.

    A call that changes nothing in any state can go first: no other order permits more.
    """
    left = [number for number in range(len(calls)) if not done >> number & 1]
    first_return = min(calls[number].returned for number in left)
    left.sort(key=lambda number: calls[number].returned, reverse=True)
    steps = []
    for number in left:
        call = calls[number]
        if call.invoked > first_return:
            continue
        answer, after = call.operation.apply(state)
        if call.answer is None:
            if after != state:
                steps.append((done | 1 << number, after))
        elif answer == call.answer:
            if call.operation.only_reads(answer):
                return [(done | 1 << number, state)]
            steps.append((done | 1 << number, after))
    return steps


def minimize(history: Sequence[Call[State]], initial: State) -> list[Call[State]]:
    """Return calls that contradict each other, from a history that is not linearizable.

    The others may have taken effect or not: the contradiction does not depend on their outcome.
    """
    ends = sorted(call.returned for call in history if call.answer)
    end = bisect_left(ends, x=True, key=lambda end: not _may_be(_until(history, end), initial))
    calls = _until(history, ends[min(end, len(ends) - 1)])
    for number in reversed(range(len(calls))):
        fewer = [*calls[:number], calls[number].forget(), *calls[number + 1 :]]
        if not _may_be(fewer, initial):
            calls = fewer
    return [call for call in calls if call.answer]


def _until(history: Sequence[Call[State]], end: float) -> list[Call[State]]:
    """Cut the history off at a time, when other calls are under way."""
    calls = [call if call.returned <= end else call.forget() for call in history]
    return sorted((call for call in calls if call.invoked < end), key=lambda call: call.invoked)


def _may_be(history: Sequence[Call[State]], initial: State) -> bool:
    try:
        return is_linearizable(history, initial, MAX_STATES_TO_MINIMIZE)
    except Undecided:
        return True
