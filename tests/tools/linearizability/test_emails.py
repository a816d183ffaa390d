"""The model of addresses answers as the service should, and the check finds other answers."""

import pytest

from tests.tools.linearizability.checker import Answer, is_linearizable
from tests.tools.linearizability.emails import (
    EMAIL_TAKEN,
    ChangeAddress,
    CloseAccount,
    LogInTo,
    LookAt,
    Owners,
    Register,
)
from tests.tools.linearizability.histories import DONE, OK, UNAUTHORIZED, Step, call, refutes

INVALID_GRANT: Answer = (400, None)
OWNERS = Owners(frozenset({("a@x.y", 1), ("b@x.y", 2)}))


def registered(email: str) -> Answer:
    return 201, email


def shown(email: str) -> Answer:
    return 200, email


@pytest.mark.parametrize(
    "steps",
    [
        [(Register(3, "a@x.y"), EMAIL_TAKEN)],
        [(Register(3, "A@X.Y"), EMAIL_TAKEN)],
        [
            (Register(3, "C@x.y"), registered("c@x.y")),
            (LogInTo(3, "c@X.y"), OK),
            (LogInTo(3, "a@x.y"), INVALID_GRANT),
            (LookAt(1, 3), shown("c@x.y")),
        ],
        [
            (ChangeAddress(1, "b@x.y"), EMAIL_TAKEN),
            (ChangeAddress(1, "A@x.y"), shown("a@x.y")),
            (ChangeAddress(1, "c@x.y"), shown("c@x.y")),
            (ChangeAddress(2, "a@x.y"), shown("a@x.y")),
            (LogInTo(1, "a@x.y"), INVALID_GRANT),
            (LogInTo(2, "a@x.y"), OK),
            (Register(3, "b@x.y"), registered("b@x.y")),
        ],
        [
            (CloseAccount(1), DONE),
            (CloseAccount(1), UNAUTHORIZED),
            (LookAt(1, 2), UNAUTHORIZED),
            (LookAt(2, 1), (404, None)),
            (Register(3, "a@x.y"), registered("a@x.y")),
        ],
    ],
)
def test_a_sequence_has_these_answers_only(steps: list[Step[Owners]]) -> None:
    assert refutes(steps, OWNERS)


@pytest.mark.parametrize(
    "pair",
    [
        [(Register(3, "c@x.y"), registered("c@x.y")), (Register(4, "C@x.y"), registered("c@x.y"))],
        [
            (Register(3, "c@x.y"), registered("c@x.y")),
            (ChangeAddress(1, "c@x.y"), shown("c@x.y")),
        ],
        [(Register(3, "c@x.y"), EMAIL_TAKEN), (Register(4, "c@x.y"), EMAIL_TAKEN)],
        [(CloseAccount(1), DONE), (ChangeAddress(1, "c@x.y"), (404, None))],
    ],
)
def test_concurrent_calls_that_no_order_explains_are_found(pair: list[Step[Owners]]) -> None:
    assert not is_linearizable([call(*step) for step in pair], OWNERS)


def test_a_refusal_needs_an_owner_at_that_moment() -> None:
    released = call(ChangeAddress(1, "c@x.y"), shown("c@x.y"))
    refused = call(Register(3, "a@x.y"), EMAIL_TAKEN, 0.5, 2)
    assert is_linearizable([released, refused], OWNERS)
    late = call(Register(3, "a@x.y"), EMAIL_TAKEN, 1.5, 2)
    assert not is_linearizable([released, late], OWNERS)


def test_an_unanswered_registration_may_own_its_address_later() -> None:
    lost = call(Register(3, "a@x.y"), None)
    released = call(CloseAccount(1), DONE, 2, 3)
    refused = call(Register(4, "a@x.y"), EMAIL_TAKEN, 4, 5)
    assert is_linearizable([lost, released, refused], OWNERS)
    assert not is_linearizable([released, refused], OWNERS)
    assert is_linearizable([lost, released, call(LogInTo(3, "a@x.y"), OK, 4, 5)], OWNERS)
    assert not is_linearizable([lost, call(LogInTo(3, "a@x.y"), OK, 4, 5)], OWNERS)


def test_exchanged_addresses_have_a_moment_between() -> None:
    """Each can only take what the other has released."""
    first = call(ChangeAddress(1, "b@x.y"), shown("b@x.y"))
    second = call(ChangeAddress(2, "a@x.y"), shown("a@x.y"))
    assert not is_linearizable([first, second], OWNERS)
    released = call(ChangeAddress(1, "c@x.y"), shown("c@x.y"))
    assert is_linearizable([released, first, second], OWNERS)
