"""schemathesis compares the service with its OpenAPI document, with all checks on.

By default the requests are the same each time; `CONFORMANCE_EXAMPLES=800` sends many random ones.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.api import PASSWORD
from tests.server import ROOT, serve
from tests.waiting import HANG

EXAMPLES = os.environ.get("CONFORMANCE_EXAMPLES")
SHORT = ["--max-examples=15", "--generation-deterministic"]
LONG = [f"--max-examples={EXAMPLES}", "--generation-database=none"]
UNLIMITED = {
    f"TASKAPI_{kind}_LIMIT": ""
    for kind in ("LOGIN", "LOGIN_ACCOUNT", "LOGIN_ADDRESS", "REGISTRATION")
}
# They end the login that all other requests are made with.
ENDING = ["delete_user", "end_session", "revoke_token"]
SELECTIONS = {"exclude": ENDING, "include": [*ENDING, "create_user"]}  # for a link between them


PRINT_DOCUMENT = "from tests.documents.contract import render; print(render(), end='')"


def test_the_document_is_the_same_without_docstrings() -> None:
    """Failed: PYTHONOPTIMIZE=2 emptied the descriptions."""
    rendered = subprocess.run(
        [sys.executable, "-OO", "-c", PRINT_DOCUMENT],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert rendered.stdout == (ROOT / "docs" / "openapi.json").read_text()


def register(url: str, email: str) -> httpx2.Client:
    client = httpx2.Client(base_url=url, timeout=HANG)
    user = {"name": "Somebody", "email": email, "password": PASSWORD}
    form = {"grant_type": "password", "username": email, "password": PASSWORD}
    client.post("/users", json=user)
    token = client.post("/auth/token", data=form).json()["access_token"]
    client.headers["Authorization"] = f"Bearer {token}"
    return client


def everything_of(client: httpx2.Client) -> list[Any]:
    return [client.get(path).json() for path in ("/users/me", "/tasks", "/auth/sessions")]


@pytest.mark.parametrize("selection", SELECTIONS)
def test_the_service_conforms_to_its_document(tmp_path: Path, selection: str) -> None:
    with serve(tmp_path, **UNLIMITED) as url:
        boris, anna = register(url, "boris@example.com"), register(url, "anna@example.com")
        for title in ("One", "Two", "Three"):
            boris.post("/tasks", json={"title": title})
        before = everything_of(boris)
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json"]
        command += [f"--header=Authorization: {anna.headers['Authorization']}"]
        command += [f"--request-timeout={HANG:.0f}", "--checks=all", *(LONG if EXAMPLES else SHORT)]
        command += [
            f"--{selection}-operation-id={operation}" for operation in SELECTIONS[selection]
        ]
        hooks = {"PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": "tests.clients.conformance_hooks"}
        judged = subprocess.run(
            command, cwd=tmp_path, env={**os.environ, **hooks}, capture_output=True, check=False
        )
        print((judged.stdout + judged.stderr).decode())
        assert judged.returncode == 0
        assert everything_of(boris) == before
        boris.close()
        anna.close()
    assert "Traceback" not in (tmp_path / "server.log").read_text()
