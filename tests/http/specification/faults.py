"""Faults to plant in the service, each of which the specification must find."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlmodel import col, delete

from taskapi.auth.models import UserSession
from taskapi.auth.sessions import guard_session, lock_session
from taskapi.database.connections import Connection
from taskapi.http.etags import Preconditions
from taskapi.http.pagination import CursorPosition, Cursors
from taskapi.models import utc_now
from taskapi.security.access_tokens import AccessToken
from taskapi.tasks.models import TaskPatch, VersionedTask

Patch = pytest.MonkeyPatch


def ignore(*_: object) -> None:
    return


def if_match_is_ignored(patch: Patch) -> None:
    patch.setattr(Preconditions, "_check_match", ignore)


def keys_are_forgotten(patch: Patch) -> None:
    patch.setattr("taskapi.tasks.service.store_response", ignore)


def keys_never_expire(patch: Patch) -> None:
    patch.setattr("taskapi.http.idempotency.LIFETIME", timedelta(days=1000))


def sessions_are_checked_once_a_minute(patch: Patch) -> None:
    checked: dict[AccessToken, datetime] = {}
    for check in (guard_session, lock_session):

        def remember(
            connection: Connection,
            token: AccessToken,
            max_age: int,
            check: Callable[[Connection, AccessToken, int], None] = check,
        ) -> None:
            if checked.get(token, token.auth_time) + timedelta(minutes=1) <= utc_now():
                check(connection, token, max_age)
                checked[token] = utc_now()

        patch.setattr(f"taskapi.auth.deps.{check.__name__}", remember)


def a_new_password_keeps_other_sessions(patch: Patch) -> None:
    patch.setattr("taskapi.users.service.end_other_sessions", ignore)


def a_field_of_two_is_lost(patch: Patch) -> None:
    def dump(self: TaskPatch) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in self.model_fields_set}
        if len(values) > 1:
            values.pop("description", None)
        return values

    patch.setattr(TaskPatch, "model_dump", dump)


def cursors_are_off_by_one(patch: Patch) -> None:
    encode = Cursors.encode

    def encode_next(self: Cursors, order: str, position: CursorPosition) -> str:
        return encode(self, order, (position[0], position[1] + 1))

    patch.setattr(Cursors, "encode", encode_next)


def ties_are_skipped(patch: Patch) -> None:
    """After a page, rows with the same sort value as its last row are left out."""
    encode = Cursors.encode

    def encode_last(self: Cursors, order: str, position: CursorPosition) -> str:
        return encode(self, order, (position[0], 2**53 - 1) if position[0] else position)

    patch.setattr(Cursors, "encode", encode_last)


def versions_stay(patch: Patch) -> None:
    dump = VersionedTask.model_dump

    def dump_without_version(self: VersionedTask, exclude: set[str]) -> dict[str, Any]:
        return dump(self, exclude=exclude | {"version"})

    patch.setattr(VersionedTask, "model_dump", dump_without_version)


def replays_end_no_session(patch: Patch) -> None:
    nothing = delete(UserSession).where(col(UserSession.id) == 0)
    patch.setattr("taskapi.auth.service.DELETE_SESSION", nothing)


def the_grace_is_a_second_longer(patch: Patch) -> None:
    patch.setattr("taskapi.auth.service.max_repeat_delay", lambda _: 81)


def old_logins_change_passwords(patch: Patch) -> None:
    patch.setattr(AccessToken, "check_recent", ignore)


def yo_is_not_found_as_ye(patch: Patch) -> None:
    patch.setattr("taskapi.tasks.service.fold", str.casefold)


def emails_differ_by_case(patch: Patch) -> None:
    patch.setattr("taskapi.users.service.account_key", str)


FAULTS: list[Callable[[Patch], None]] = [
    emails_differ_by_case,
    replays_end_no_session,
    a_field_of_two_is_lost,
    versions_stay,
    old_logins_change_passwords,
    sessions_are_checked_once_a_minute,
    if_match_is_ignored,
    keys_are_forgotten,
    keys_never_expire,
    yo_is_not_found_as_ye,
    a_new_password_keeps_other_sessions,
    cursors_are_off_by_one,
    ties_are_skipped,
    the_grace_is_a_second_longer,
]
"""Those first that are found soonest."""
