import re

import pytest
from fastapi.testclient import TestClient

from tests.api import check_problem

pytestmark = pytest.mark.one_database


def test_the_root_redirects_to_the_docs(client: TestClient) -> None:
    answer = client.get("/", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, "/docs")


def test_the_docs_page_loads_local_assets_only(client: TestClient) -> None:
    page = client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    links = re.findall(r'(?:src|href)="([^"]*)"', page.text)
    assert len(links) == 5
    for link in links:
        asset = client.get(link)
        assert asset.status_code == 200
        assert len(asset.content) > 100
    assert 'url: "openapi.json"' in client.get("/docs/docs.js").text


def test_the_docs_page_has_a_strict_policy(client: TestClient) -> None:
    policy = client.get("/docs").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize("name", ["nothing.js", "__init__.py", "..%2Fapp.py", "%00"])
def test_other_files_are_not_served(client: TestClient, name: str) -> None:
    check_problem(client.get(f"/docs/{name}"), 404, "not-found")


def test_the_docs_work_under_a_root_path(client: TestClient) -> None:
    behind_proxy = TestClient(client.app, root_path="/api")
    answer = behind_proxy.get("/api/", follow_redirects=False)
    assert answer.headers["location"] == "/api/docs"
    assert behind_proxy.get("/api/docs").status_code == 200
