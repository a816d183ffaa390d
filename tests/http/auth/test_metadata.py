"""OAuth clients find the endpoints by the metadata of RFC 8414."""

import pytest
from fastapi.testclient import TestClient

from tests.api import PASSWORD, Api, faults

pytestmark = pytest.mark.one_database

PATH = "/.well-known/oauth-authorization-server"


def test_the_endpoints_are_where_the_metadata_says(anna: Api) -> None:
    answer = anna.client.get(PATH)
    assert answer.headers["content-type"] == "application/json"
    found = answer.json()
    assert found["grant_types_supported"] == ["password", "refresh_token"]
    form = {"grant_type": "password", "username": anna.email, "password": PASSWORD}
    tokens = anna.client.post(found["token_endpoint"], data=form).json()
    revocation = {"token": tokens["refresh_token"]}
    assert anna.client.post(found["revocation_endpoint"], data=revocation).status_code == 200
    assert anna.client.get(found["service_documentation"]).status_code == 200


@pytest.mark.parametrize(
    ("host", "issuer"),
    [
        ("api.example.com", "http://api.example.com"),
        ("[2001:db8::1]:8000", "http://[2001:db8::1]:8000"),
    ],
)
def test_the_issuer_is_the_requested_address(client: TestClient, host: str, issuer: str) -> None:
    answer = client.get(PATH, headers={b"Host": host.encode()})
    assert answer.json()["issuer"] == issuer
    assert answer.json()["token_endpoint"] == f"{issuer}/auth/token"


@pytest.mark.parametrize("host", ["x/y?z#", "[", "example.com:999999", "пример.рф", ""])
def test_a_malformed_host_is_not_in_the_issuer(client: TestClient, host: str) -> None:
    answer = client.get(PATH, headers={b"Host": host.encode()})
    assert answer.json()["issuer"].startswith("http://testserver")


@pytest.mark.parametrize(
    ("prefix", "issuer"),
    [("/api", "https://example.com/api"), ("/а б", "https://example.com/%D0%B0%20%D0%B1")],
)
def test_the_issuer_has_the_root_path(client: TestClient, prefix: str, issuer: str) -> None:
    behind_proxy = TestClient(client.app, "https://example.com", root_path=prefix)
    found = behind_proxy.get(f"{prefix}{PATH}").json()
    assert found["issuer"] == issuer
    assert found["revocation_endpoint"] == f"{issuer}/auth/revoke"


def test_the_metadata_has_no_parameters(client: TestClient) -> None:
    assert faults(client.get(PATH, params={"resource": "x"})) == [("query", "/resource")]
