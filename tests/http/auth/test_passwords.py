from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from threading import Event

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from pwdlib import PasswordHash

from taskapi.security import passwords
from taskapi.settings import Settings
from tests.api import (
    PASSWORD,
    Api,
    check_problem,
    faults,
    from_address,
    log_in,
    request_token,
)
from tests.databases import execute
from tests.waiting import HANG, wait_until

pytestmark = pytest.mark.one_database

Start = Callable[[Settings], TestClient]


@pytest.fixture
def careful(start: Start, settings: Settings) -> TestClient:
    return start(settings.model_copy(update={"refuse_common_passwords": True}))


@pytest.mark.parametrize("password", ["password", "12345678", "Qwertyuiop", "iloveyou", "футболка"])
def test_common_passwords_can_be_refused(
    client: TestClient, careful: TestClient, password: str
) -> None:
    user = {"name": "Anna", "email": "anna@example.com", "password": password}
    answer = careful.post("/users", json=user)
    if password == "футболка":  # no such word in the list, which is of English
        assert answer.status_code == 201
    else:
        assert faults(answer) == [("body", "/password")]
        assert "most common" in answer.json()["errors"][0]["detail"]
        assert client.post("/users", json=user).status_code == 201


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_common_passwords_are_refused_in_changes(careful: TestClient, method: str) -> None:
    anna = Api.register(careful, "anna@example.com")
    body = {"name": "Anna", "email": anna.email, "password": "iloveyou"}
    assert faults(anna.request(method, f"/users/{anna.user_id}", json=body)) == [
        ("body", "/password")
    ]
    log_in(careful, anna.email)


def test_a_password_is_the_same_however_its_accents_are_composed(client: TestClient) -> None:
    user = {"name": "Anna", "email": "anna@example.com", "password": "cafe\u0301 au lait"}
    assert client.post("/users", json=user).status_code == 201
    log_in(client, "anna@example.com", "caf\u00e9 au lait")
    log_in(client, "anna@example.com", "cafe\u0301 au lait")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_half_a_character_in_a_password_is_refused(anna: Api, method: str) -> None:
    path = "/users" if method == "POST" else f"/users/{anna.user_id}"
    body = rb'{"name": "Vera", "email": "vera@example.com", "password": "\ud800 long password"}'
    answer = anna.request(method, path, content=body, headers={"Content-Type": "application/json"})
    assert faults(answer) == [("body", "/password")]
    assert answer.json()["errors"][0]["detail"] == "There is a character that is not allowed."


@pytest.mark.parametrize(
    ("path", "secret", "form"),
    [
        ("token", "password", {"grant_type": "password", "username": "anna@example.com"}),
        ("token", "refresh_token", {"grant_type": "refresh_token"}),
        ("revoke", "token", {}),
    ],
)
def test_half_a_character_in_a_form_is_refused(
    anna: Api, path: str, secret: str, form: dict[str, str]
) -> None:
    """In UTF-7, which a form may be encoded in, half a character can be written."""
    fields = {name: value.replace("@", "+AEA-") for name, value in form.items()}
    fields[secret] = "+2AA- long password"
    body = "".join(
        f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    answer = anna.client.post(
        f"/auth/{path}",
        content=f"{body}--x--\r\n",
        headers={"Content-Type": "multipart/form-data; boundary=x; charset=utf-7"},
    )
    problem = check_problem(answer, 400, "invalid-token-request")
    assert problem["detail"] == f"Missing or invalid: {secret}."


def test_logging_in_updates_an_outdated_hash(start: Start, settings: Settings, anna: Api) -> None:
    stronger = start(settings.model_copy(update={"password_hash_iterations": 2}))
    log_in(stronger, anna.email)
    [stored] = execute(settings.database_url, "SELECT password_hash, version FROM users")
    assert stored.password_hash.startswith("$argon2id$v=19$m=32,t=2,p=1$")
    assert stored.version == 1, "the user has changed nothing"
    log_in(stronger, anna.email)
    log_in(anna.client, anna.email)


CHEAP, COSTLY = "$argon2id$v=19$m=32,t=1,p=1", "$argon2id$v=19$m=32,t=2,p=1"


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The parameters of each hash that a password is compared with."""
    parameters = []
    verify = PasswordHash.verify_and_update

    def record(self: PasswordHash, password: str, password_hash: str) -> tuple[bool, str | None]:
        parameters.append(password_hash.rsplit("$", 2)[0])
        return verify(self, password, password_hash)

    monkeypatch.setattr(PasswordHash, "verify_and_update", record)
    return parameters


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("anna@example.com", PASSWORD),
        ("anna@example.com", "wrong password"),
        ("nobody@example.com", PASSWORD),
        ("not an e-mail", PASSWORD),
    ],
)
def test_each_attempt_to_log_in_verifies_one_hash(
    start: Start, settings: Settings, verified: list[str], email: str, password: str
) -> None:
    anna = Api.register(start(settings), "anna@example.com")
    verified.clear()
    request_token(anna.client, email, password)
    assert verified == [CHEAP]


@pytest.fixture
def costly(start: Start, settings: Settings) -> Api:
    """An account from before the iterations were lowered."""
    former = settings.model_copy(update={"password_hash_iterations": 2})
    return Api.register(start(former), "costly@example.com")


@pytest.mark.usefixtures("anna", "costly")
def test_a_wrong_password_is_compared_with_a_hash_of_each_cost(
    start: Start, settings: Settings, verified: list[str]
) -> None:
    """Failed: an account with a costly hash took as long as that, and none as long as new ones."""
    client = start(settings)
    for email in ("nobody@example.com", "anna@example.com", "costly@example.com"):
        verified.clear()
        request_token(client, email, "wrong password")
        assert sorted(verified) == [CHEAP, COSTLY]


def test_costs_that_were_not_found_at_first_are_learned(
    start: Start,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    costly: Api,
    verified: list[str],
) -> None:
    monkeypatch.setattr("taskapi.auth.service.SAMPLE_SIZE", 0)
    client = start(settings)
    for email in ("nobody@example.com", costly.email, "nobody@example.com"):
        request_token(client, email, "wrong password")
    assert sorted(verified) == [CHEAP] * 3 + [COSTLY] * 2


def test_too_many_waiting_passwords_are_answered_503(
    start: Start, settings: Settings, monkeypatch: pytest.MonkeyPatch, anna: Api, boris: Api
) -> None:
    monkeypatch.setattr(passwords, "QUEUE_PER_THREAD", 0)
    client = start(settings.model_copy(update={"password_hash_threads": 1}))
    verify = PasswordHash.verify_and_update
    started, go_on = Event(), Event()

    def block(
        self: PasswordHash, password: str | bytes, password_hash: str | bytes
    ) -> tuple[bool, str | None]:
        started.set()
        go_on.wait(10)
        return verify(self, password, password_hash)

    monkeypatch.setattr(PasswordHash, "verify_and_update", block)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(request_token, client, anna.email)
        started.wait(10)
        answer = request_token(client, boris.email)
        user = {"name": "Vera", "email": "vera@example.com", "password": PASSWORD}
        check_problem(client.post("/users", json=user), 503, "unavailable")
        go_on.set()
    problem = check_problem(answer, 503, "unavailable")
    assert answer.headers["retry-after"] == "2"
    assert problem["error"] == "temporarily_unavailable"
    assert first.result().status_code == 200
    assert request_token(client, boris.email).status_code == 200


def test_a_burst_of_attempts_to_log_in_is_queued(client: TestClient, anna: Api, boris: Api) -> None:
    emails = [anna.email, boris.email] * 8
    with ThreadPoolExecutor(16) as pool:
        answers = pool.map(lambda email: request_token(client, email), emails)
        assert {answer.status_code for answer in answers} == {200}


QUARTER = passwords.QUEUE_PER_THREAD // 4


@pytest.fixture
def go_on(monkeypatch: pytest.MonkeyPatch) -> Iterator[Event]:
    """Hashing waits for this event."""
    event = Event()
    hash_password, verify = PasswordHash.hash, PasswordHash.verify_and_update

    def wait_and_hash(self: PasswordHash, password: str) -> str:
        event.wait(HANG)
        return hash_password(self, password)

    def wait_and_verify(
        self: PasswordHash, password: str, password_hash: str
    ) -> tuple[bool, str | None]:
        event.wait(HANG)
        return verify(self, password, password_hash)

    event.set()
    monkeypatch.setattr(PasswordHash, "hash", wait_and_hash)
    monkeypatch.setattr(PasswordHash, "verify_and_update", wait_and_verify)
    yield event
    event.set()


@pytest.fixture
def narrow(start: Start, settings: Settings, go_on: Event) -> TestClient:
    """A service with one thread for hashes. It does not limit attempts."""
    assert go_on.is_set()
    changes = {"password_hash_threads": 1, "login_limit": ""}
    return start(settings.model_copy(update=changes))


def fill_share(send: Callable[[], Response], pool: ThreadPoolExecutor) -> list[Future[Response]]:
    """Send requests until some are refused. Returns those that wait."""
    futures = [pool.submit(send) for _ in range(QUARTER + 2)]
    wait_until(lambda: sum(future.done() for future in futures) == 2)
    refused = [future.result() for future in futures if future.done()]
    for answer in refused:
        check_problem(answer, 503, "unavailable")
    return [future for future in futures if not future.done()]


def test_one_account_has_a_quarter_of_the_queue_for_new_passwords(
    narrow: TestClient, go_on: Event
) -> None:
    anna, boris = (Api.register(narrow, f"{name}@example.com") for name in ("anna", "boris"))
    addresses = (f"192.0.2.{number}" for number in count())
    path, body = f"/users/{anna.user_id}", {"password": "another horse battery staple"}

    def change() -> Response:
        client = from_address(narrow, next(addresses))
        return replace(anna, client=client).patch(path, json=body)

    with ThreadPoolExecutor(16) as pool:
        go_on.clear()
        waiting = fill_share(change, pool)
        other = pool.submit(request_token, narrow, boris.email)
        go_on.set()
    assert other.result().status_code == 200
    assert {future.result().status_code for future in waiting} <= {200, 400}


def test_one_address_has_a_quarter_of_the_queue(narrow: TestClient, go_on: Event) -> None:
    numbers = count()

    def attempt() -> Response:
        return request_token(from_address(narrow, "192.0.2.1"), f"{next(numbers)}@example.com")

    boris = Api.register(narrow, "boris@example.com")
    with ThreadPoolExecutor(16) as pool:
        go_on.clear()
        waiting = fill_share(attempt, pool)
        other = pool.submit(request_token, from_address(narrow, "192.0.2.2"), boris.email)
        go_on.set()
    assert other.result().status_code == 200
    assert {future.result().status_code for future in waiting} == {400}


@pytest.mark.own_database
def test_password_changes_of_one_account_are_limited(anna: Api) -> None:
    path = f"/users/{anna.user_id}"
    answers = [anna.patch(path, json={"password": PASSWORD}) for _ in range(11)]
    assert [answer.status_code for answer in answers] == [200] * 10 + [429]
    check_problem(answers[-1], 429, "too-many-requests")
    assert anna.patch(path, json={"name": "Anna"}).status_code == 200
