from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from fastapi.testclient import TestClient
from pwdlib import PasswordHash

from taskapi.security import passwords
from taskapi.settings import Settings
from tests.api import PASSWORD, Api, check_problem, faults, log_in, request_token
from tests.databases import execute

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


def test_logging_in_updates_an_outdated_hash(start: Start, settings: Settings, anna: Api) -> None:
    stronger = start(settings.model_copy(update={"password_hash_iterations": 2}))
    log_in(stronger, anna.email)
    [(stored,)] = execute(settings.database_url, "SELECT password_hash FROM users")
    assert stored.startswith("$argon2id$v=19$m=32,t=2,p=1$")
    log_in(stronger, anna.email)
    log_in(anna.client, anna.email)


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("anna@example.com", PASSWORD),
        ("anna@example.com", "wrong password"),
        ("nobody@example.com", PASSWORD),
        ("not an e-mail", PASSWORD),
    ],
)
@pytest.mark.usefixtures("anna")
def test_each_attempt_to_log_in_verifies_one_hash(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, email: str, password: str
) -> None:
    verified = []
    verify = PasswordHash.verify_and_update

    def count(
        self: PasswordHash, password: str | bytes, password_hash: str | bytes
    ) -> tuple[bool, str | None]:
        verified.append(str(password_hash))
        return verify(self, password, password_hash)

    monkeypatch.setattr(PasswordHash, "verify_and_update", count)
    request_token(client, email, password)
    [password_hash] = verified
    assert password_hash.startswith("$argon2id$v=19$m=32,t=1,p=1$")


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
