"""Forms that are not percent-encoded, as `curl` sends them, are read as UTF-8."""

import pytest
from fastapi.testclient import TestClient

from tests.api import check_problem

pytestmark = pytest.mark.one_database

FORM = "application/x-www-form-urlencoded"
EMAIL = "иван@пример.рф"
PASSWORD = "пароль & 100% +"


@pytest.mark.parametrize(
    "form",
    [
        f"username={EMAIL}&password=пароль+%26+100%25+%2B&grant_type=password",
        f"grant_type=password&username={EMAIL}&password=%D0%BFа%D1%80оль %26 100%25 %2b",
    ],
)
@pytest.mark.parametrize("content_type", [FORM, "Application/X-WWW-Form-URLencoded; charset=utf-8"])
def test_a_form_in_utf8_logs_in(client: TestClient, form: str, content_type: str) -> None:
    user = {"name": "Иван", "email": EMAIL, "password": PASSWORD}
    assert client.post("/users", json=user).status_code == 201
    headers = {"Content-Type": content_type}
    answer = client.post("/auth/token", content=form.encode(), headers=headers)
    assert answer.status_code == 200, answer.text
    refused = client.post("/auth/token", content=form.encode("cp1251"), headers=headers)
    check_problem(refused, 400, "invalid-grant")
