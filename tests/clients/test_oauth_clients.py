"""Clients of OAuth 2.0 that were not written for this service."""

import shutil
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.api import PASSWORD
from tests.clients.programs import SESSIONS, run
from tests.requirements import import_module

EMAIL = "anna@example.com"


@pytest.fixture(autouse=True)
def account(url: str) -> None:
    user = {"name": "Anna", "email": EMAIL, "password": PASSWORD}
    assert httpx2.post(f"{url}/users", json=user).status_code == 201


@pytest.mark.usefixtures("node")
def test_openid_client(tmp_path: Path, url: str) -> None:
    """It reads errors only in the format of RFC 6749."""
    shutil.copy(SESSIONS / "oauth.mjs", tmp_path)
    assert run(tmp_path, "node", "oauth.mjs", url, EMAIL, PASSWORD).splitlines() == [
        "400 invalid_grant: The e-mail or the password is wrong.",
        "400 invalid_request: Missing or invalid: password.",
        "400 unsupported_grant_type: grant_type must be password or refresh_token.",
        f"200 {EMAIL}",
        "400 invalid_grant: The refresh token is not valid any more.",
    ]


def authlib(name: str) -> Any:
    return import_module(f"authlib.{name}", install="uv sync --group judges")


def test_authlib(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    refused = authlib("integrations.base_client").OAuthError
    found = httpx2.get(f"{url}/.well-known/oauth-authorization-server").json()
    with authlib("integrations.httpx_client").OAuth2Client(
        client_id="any",
        token_endpoint=found["token_endpoint"],
        token_endpoint_auth_method="none",
        revocation_endpoint_auth_method="none",
    ) as client:
        with pytest.raises(refused, match="invalid_grant: The e-mail or the password is wrong"):
            client.fetch_token(username=EMAIL, password="wrong")
        client.fetch_token(username=EMAIL, password=PASSWORD)
        client.refresh_token()
        assert client.get(f"{url}/users/me").json()["email"] == EMAIL
        client.revoke_token(found["revocation_endpoint"])
        with pytest.raises(refused, match="invalid_grant: The refresh token is not valid"):
            client.refresh_token()


def test_the_metadata_is_valid_to_authlib(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    found = httpx2.get(f"{url}/.well-known/oauth-authorization-server").json()
    metadata = authlib("oauth2.rfc8414").AuthorizationServerMetadata(found)
    assert found.keys() <= set(metadata.REGISTRY_KEYS)
    # Authlib refuses an empty list of these, which a server without an authorization endpoint has.
    for name in set(metadata.REGISTRY_KEYS) - {"response_types_supported"}:
        getattr(metadata, f"validate_{name}")()
