import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from ipaddress import IPv6Address
from threading import Event
from types import SimpleNamespace

import pytest
from anyio import to_thread
from anyio.lowlevel import checkpoint
from fastapi.testclient import TestClient
from httpx2 import Response
from pydantic import ValidationError

from taskapi.security.passwords import Passwords, Verification
from taskapi.settings import Settings
from tests.api import PASSWORD, Api, check_problem, from_address, log_in, request_token
from tests.waiting import HANG

pytestmark = pytest.mark.one_database

Start = Callable[[Settings], TestClient]
Clients = Callable[[str], TestClient]


@pytest.fixture
def clients(client: TestClient) -> Clients:
    """Clients of one service, from addresses of their own."""
    assert client.get("/livez").status_code == 200
    return lambda address: from_address(client, address)


def fail(client: TestClient, email: str) -> int:
    return request_token(client, email, "wrong password").status_code


def check_refused(answer: Response, most_seconds: int) -> None:
    problem = check_problem(answer, 429, "too-many-requests")
    seconds = int(answer.headers["retry-after"])
    assert 0 < seconds <= most_seconds
    assert problem["detail"] == f"Try again in {seconds} seconds."


def check_login_refused(answer: Response, most_seconds: int = 60) -> None:
    check_refused(answer, most_seconds)
    assert answer.json()["error"] == "temporarily_unavailable"


def test_an_account_allows_ten_failures_a_minute(anna: Api) -> None:
    assert [fail(anna.client, anna.email) for _ in range(10)] == [400] * 10
    check_login_refused(request_token(anna.client, anna.email))
    check_login_refused(request_token(anna.client, anna.email.upper(), "wrong password"))


def test_an_unknown_account_is_limited_too(client: TestClient) -> None:
    assert [fail(client, "nobody@example.com") for _ in range(10)] == [400] * 10
    check_login_refused(request_token(client, "nobody@example.com"))


@pytest.mark.parametrize(
    ("email", "spelling"),
    [
        ("anna@example.com", "anna@\uff45xample.com"),
        ("anna@bücher.example", "anna@xn--bcher-kva.example"),
        ("ασ@example.com", "ΑΣ@example.com"),
    ],
)
def test_all_spellings_of_an_email_share_the_limit(
    client: TestClient, email: str, spelling: str
) -> None:
    Api.register(client, email)
    log_in(client, spelling)
    assert [fail(client, email) for _ in range(5)] == [400] * 5
    assert [fail(client, spelling) for _ in range(6)] == [400] * 5 + [429]


def test_success_resets_the_failures_of_the_account_and_address(anna: Api) -> None:
    for _ in range(3):
        assert [fail(anna.client, anna.email) for _ in range(9)] == [400] * 9
        log_in(anna.client, anna.email)


def test_success_resets_the_failures_of_the_account(start: Start, settings: Settings) -> None:
    client = start(settings.model_copy(update={"login_account_limit": "3/hour"}))
    anna = Api.register(client, "anna@example.com")
    for _ in range(3):
        assert [fail(client, anna.email) for _ in range(2)] == [400] * 2
        log_in(client, anna.email)
    assert [fail(client, anna.email) for _ in range(4)] == [400] * 3 + [429]


def test_successes_are_not_limited(anna: Api) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = pool.map(lambda _: request_token(anna.client, anna.email), range(32))
        assert {answer.status_code for answer in answers} == {200}


def spy_on_verifications(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let other attempts run during each verification, and return the passwords verified."""
    verify = Passwords.verify
    verified: list[str] = []

    async def verify_slowly(
        self: Passwords, password: str, password_hash: str | None
    ) -> Verification:
        verified.append(password)
        for _ in range(100):  # let the other attempts run
            await checkpoint()
        return await verify(self, password, password_hash)

    monkeypatch.setattr(Passwords, "verify", verify_slowly)
    return verified


def test_concurrent_failures_are_all_counted(anna: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    verified = spy_on_verifications(monkeypatch)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: fail(anna.client, anna.email), range(30)))
    assert sorted(answers) == [400] * 10 + [429] * 20
    assert len(verified) == 10


@pytest.mark.parametrize(
    ("email", "address_limit"),
    [("anna@example.com", "100/minute"), ("boris@example.com", "1/minute")],
    ids=["account", "address"],
)
def test_an_attempt_waits_for_another_no_longer_than_in_a_queue(
    start: Start,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    email: str,
    address_limit: str,
) -> None:
    """Failed: each attempt at an account waited for all before it, without a limit."""
    client = start(settings.model_copy(update={"login_address_limit": address_limit}))
    anna = Api.register(client, "anna@example.com")
    verify = Passwords.verify
    started, finish = Event(), Event()

    async def verify_when_told(
        self: Passwords, password: str, password_hash: str | None
    ) -> Verification:
        started.set()
        await to_thread.run_sync(finish.wait)
        return await verify(self, password, password_hash)

    monkeypatch.setattr(Passwords, "verify", verify_when_told)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(request_token, client, anna.email)
        assert started.wait(HANG)
        monkeypatch.setattr("taskapi.security.login_throttle.QUEUE_TIMEOUT", 0)
        second = pool.submit(request_token, client, email)
        wait([second], HANG)
        finish.set()
        assert first.result().status_code == 200
    problem = check_problem(second.result(), 503, "unavailable")
    assert problem["error"] == "temporarily_unavailable"
    assert second.result().headers["retry-after"] == "1"


def test_attempts_at_once_at_many_accounts_keep_the_limit_of_the_address(
    start: Start, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = start(settings.model_copy(update={"login_address_limit": "5/minute"}))
    verified = spy_on_verifications(monkeypatch)
    with ThreadPoolExecutor(16) as pool:
        emails = [f"{number}@example.com" for number in range(30)]
        answers = list(pool.map(lambda email: fail(client, email), emails))
    assert sorted(answers) == [400] * 5 + [429] * 25
    assert len(verified) == 5


def test_successes_at_once_wait_for_the_last_failure_that_is_left(
    start: Start, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = start(settings.model_copy(update={"login_address_limit": "3/minute"}))
    emails = [f"{number}@example.com" for number in range(8)]
    for email in emails:
        Api.register(client, email)
    assert [fail(client, "nobody@example.com") for _ in range(2)] == [400] * 2
    spy_on_verifications(monkeypatch)
    with ThreadPoolExecutor(16) as pool:
        answers = pool.map(lambda email: request_token(client, email), emails * 4)
        assert {answer.status_code for answer in answers} == {200}
    assert [fail(client, "nobody@example.com") for _ in range(2)] == [400, 429]


def test_the_owner_can_log_in_from_another_address(anna: Api, clients: Clients) -> None:
    for _ in range(11):
        fail(clients("192.0.2.1"), anna.email)
    check_login_refused(request_token(clients("192.0.2.1"), anna.email))
    assert request_token(clients("192.0.2.2"), anna.email).status_code == 200


def test_another_account_is_not_affected(anna: Api, boris: Api) -> None:
    for _ in range(11):
        fail(anna.client, anna.email)
    log_in(boris.client, boris.email)


def test_an_account_allows_a_hundred_failures_an_hour(anna: Api, clients: Clients) -> None:
    for address in range(10):
        assert [fail(clients(f"192.0.2.{address}"), anna.email) for _ in range(10)] == [400] * 10
    check_login_refused(request_token(clients("198.51.100.1"), anna.email), 3600)


def test_an_address_allows_a_hundred_failures_a_minute(anna: Api, clients: Clients) -> None:
    guesser = clients("192.0.2.1")
    assert [fail(guesser, f"{number}@example.com") for number in range(100)] == [400] * 100
    check_login_refused(request_token(guesser, anna.email))
    assert request_token(clients("192.0.2.2"), anna.email).status_code == 200


def test_ipv6_addresses_count_as_their_network(anna: Api, clients: Clients) -> None:
    for number in range(10):
        assert fail(clients(f"2001:db8::{number:x}:1"), anna.email) == 400
    check_login_refused(request_token(clients("2001:db8::ffff"), anna.email))
    assert request_token(clients("2001:db8:0:1::1"), anna.email).status_code == 200


@pytest.mark.parametrize(
    "address",
    [
        "::ffff:203.0.113.7",
        "::203.0.113.7",
        "::ffff:0:203.0.113.7",
        "64:ff9b::203.0.113.7",
        "2002:cb00:7107::1",
        "2001:0:c000:22d:8000:63bf:34ff:8ef8",
    ],
)
def test_an_ipv4_address_in_ipv6_is_that_client(anna: Api, clients: Clients, address: str) -> None:
    neighbour = str(IPv6Address(int(IPv6Address(address)) ^ (1 << 80 if "2002" in address else 1)))
    for client in [address] * 5 + ["203.0.113.7"] * 5:
        assert fail(clients(client), anna.email) == 400
    check_login_refused(request_token(clients(address), anna.email))
    check_login_refused(request_token(clients("203.0.113.7"), anna.email))
    assert request_token(clients(neighbour), anna.email).status_code == 200


def test_a_limit_ends_with_its_window(
    start: Start, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    clock = SimpleNamespace(time=lambda: now, monotonic=time.monotonic)
    monkeypatch.setattr("limits.aio.storage.memory.time", clock)
    monkeypatch.setattr("taskapi.rate_limit.time", clock)
    client = start(settings.model_copy(update={"login_limit": "2/minute"}))
    anna = Api.register(client, "anna@example.com")
    assert [fail(client, anna.email) for _ in range(2)] == [400] * 2
    check_login_refused(request_token(client, anna.email))
    now += 61
    log_in(client, anna.email)


def test_limits_can_be_disabled(
    start: Start, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("LOGIN", "LOGIN_ACCOUNT", "LOGIN_ADDRESS", "REGISTRATION"):
        monkeypatch.setenv(f"TASKAPI_{kind}_LIMIT", "")
    kept = settings.model_dump(exclude={name for name in Settings.model_fields if "limit" in name})
    client = start(Settings(**kept))
    Api.register(client, "anna@example.com")
    assert {fail(client, "anna@example.com") for _ in range(110)} == {400}


def test_registrations_from_one_address_are_limited(start: Start, settings: Settings) -> None:
    client = start(settings.model_copy(update={"registration_limit": "3/minute;5/hour"}))
    for number in range(3):
        Api.register(client, f"{number}@example.com")
    user = {"name": "Anna", "email": "anna@example.com", "password": PASSWORD}
    check_refused(client.post("/users", json=user), 60)
    assert from_address(client, "192.0.2.1").post("/users", json=user).status_code == 201


@pytest.mark.parametrize("limit", ["ten", "10", "10/fortnight", "-1/minute"])
def test_a_malformed_limit_stops_the_start(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setenv("TASKAPI_LOGIN_LIMIT", limit)
    with pytest.raises(ValidationError, match=re.escape("login_limit")):
        Settings()
