"""The clock is set back and forward, and strikes the hours that are special."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from taskapi.settings import Settings
from tests.api import Api, check_problem, refresh, request_token
from tests.clock import Clock

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@pytest.fixture
def tokens(
    clock: Clock,  # noqa: ARG001 -- comes first, so that the login is made by it
    anna: Api,
) -> dict[str, Any]:
    logged_in: dict[str, Any] = request_token(anna.client, anna.email).json()
    anna.token = logged_in["access_token"]
    return logged_in


@pytest.fixture
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The system's time zone."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield request.param
    time.tzset()


@pytest.mark.usefixtures("tokens")
def test_a_clock_set_back_ends_no_session(clock: Clock, anna: Api) -> None:
    task = anna.create_task()
    clock.moment -= 30 * DAY
    path = f"/tasks/{task['id']}"
    assert anna.get(path).json() == task
    assert anna.patch(path, json={"title": "Then"}).status_code == 200
    assert anna.get(path).headers["etag"] == '"2"'
    assert len(anna.get("/auth/sessions").json()) == 2
    assert request_token(anna.client, anna.email).status_code == 200


def test_access_tokens_expire_when_the_clock_is_set_forward(
    clock: Clock, anna: Api, tokens: dict[str, Any]
) -> None:
    clock.moment += HOUR
    refused = anna.get("/users/me")
    check_problem(refused, 401, "unauthorized")
    assert "has expired" in refused.headers["www-authenticate"]
    anna.token = refresh(anna.client, tokens["refresh_token"]).json()["access_token"]
    assert anna.get("/users/me").status_code == 200
    clock.moment -= HOUR
    assert anna.get("/users/me").status_code == 200


def test_sessions_end_when_the_clock_passes_their_lifetime(
    clock: Clock, anna: Api, tokens: dict[str, Any]
) -> None:
    clock.moment += 31 * DAY
    check_problem(anna.get("/users/me"), 401, "unauthorized")
    check_problem(refresh(anna.client, tokens["refresh_token"]), 400, "invalid-grant")


def test_a_clock_set_back_revives_no_used_token(
    clock: Clock, anna: Api, tokens: dict[str, Any]
) -> None:
    """Or the clock would give a thief the hour that it was set back by."""
    stolen = tokens["refresh_token"]
    assert refresh(anna.client, stolen).status_code == 200
    clock.moment -= HOUR
    check_problem(refresh(anna.client, stolen), 400, "invalid-grant")
    check_problem(anna.get("/users/me"), 401, "unauthorized")


def test_clocks_may_differ_by_the_grace(clock: Clock, anna: Api, tokens: dict[str, Any]) -> None:
    first = refresh(anna.client, tokens["refresh_token"]).json()
    clock.moment -= timedelta(seconds=9)
    again = refresh(anna.client, tokens["refresh_token"])
    assert again.json()["refresh_token"] == first["refresh_token"]


@pytest.mark.usefixtures("tokens")
def test_a_clock_set_back_makes_no_authentication_recent(clock: Clock, anna: Api) -> None:
    clock.moment -= HOUR
    path = f"/users/{anna.user_id}"
    check_problem(anna.patch(path, json={"email": "new@example.com"}), 401, "login-too-old")
    anna.token = request_token(anna.client, anna.email).json()["access_token"]
    assert anna.patch(path, json={"email": "new@example.com"}).status_code == 200


@pytest.mark.usefixtures("tokens")
def test_idempotency_keys_are_kept_for_a_day(clock: Clock, anna: Api) -> None:
    def create() -> int:
        key = {"Idempotency-Key": "one"}
        answer = anna.post("/tasks", json={"title": "x"}, headers=key)
        assert answer.status_code == 201
        task_id: int = answer.json()["id"]
        return task_id

    first = create()
    clock.moment -= DAY
    assert create() == first
    clock.moment += 2 * DAY - timedelta(seconds=1)
    anna.token = request_token(anna.client, anna.email).json()["access_token"]
    assert create() == first
    clock.moment += timedelta(seconds=2)
    assert create() != first


MOMENTS = [
    datetime(2028, 2, 28, 23, 59, 59, 999_990, UTC),  # a leap day comes
    datetime(2028, 2, 29, 12, tzinfo=UTC),
    datetime(2027, 3, 28, 0, 59, 59, tzinfo=UTC),  # summer time begins in Europe
    datetime(2027, 10, 31, 0, 59, 59, tzinfo=UTC),  # and ends, so that an hour comes twice
    datetime(2027, 12, 31, 23, 59, 59, 999_990, UTC),
    datetime(2038, 1, 19, 3, 14, 7, tzinfo=UTC),  # 2**31 - 1 seconds since 1970
    datetime(2027, 6, 1, tzinfo=UTC),  # no fraction of a second
]


@pytest.mark.parametrize("zone", ["Europe/Berlin"], indirect=True)
@pytest.mark.usefixtures("zone")
def test_timestamps_are_utc_and_ordered_on_special_days(
    start: Callable[[Settings], TestClient],
    settings: Settings,
    clock: Clock,
) -> None:
    """The connections of the service are made in the zone too."""
    client = start(settings)
    for number, moment in enumerate(MOMENTS):
        clock.moment = moment
        check_timestamps(clock, Api.register(client, f"{number}@example.com"))


def check_timestamps(clock: Clock, anna: Api) -> None:
    moment = clock.moment
    made = [anna.create_task(str(number)) for number in range(3)]
    clock.moment += 2 * HOUR
    tokens = request_token(anna.client, anna.email).json()
    anna.token = tokens["access_token"]
    made.append(anna.create_task("later"))
    listed = anna.get("/tasks?sort=created_at&limit=2")
    rest = anna.get(listed.headers["link"].partition(">")[0][1:])
    assert listed.json() + rest.json() == made
    stamps = [task[name] for task in made for name in ("created_at", "updated_at")]
    stamps += [anna.get("/users/me").json()["created_at"]]
    for login in anna.get("/auth/sessions").json():
        stamps += [login["created_at"], login["last_used_at"], login["expires_at"]]
    for stamp in stamps:
        assert stamp.endswith("Z")
        assert abs(datetime.fromisoformat(stamp) - moment) < 31 * DAY
    [session] = [login for login in anna.get("/auth/sessions").json() if login["current"]]
    lifetime = datetime.fromisoformat(session["expires_at"]) - datetime.fromisoformat(
        session["created_at"]
    )
    assert lifetime == 30 * DAY
    assert refresh(anna.client, tokens["refresh_token"]).status_code == 200
