import re

import pytest
from fastapi.testclient import TestClient

from taskapi.pages.problems import STATIC
from tests.api import check_problem

pytestmark = pytest.mark.one_database


@pytest.mark.parametrize(
    ("path", "target"), [("/", "/docs"), ("/docs/", "/docs"), ("/problems/", "/problems")]
)
def test_other_addresses_redirect_to_the_pages(client: TestClient, path: str, target: str) -> None:
    answer = client.get(path, headers={"Host": "evil.example"}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, target)


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


FILES = [
    "/docs",
    "/openapi.json",
    "/docs/swagger-ui-bundle.js",
    "/docs/docs.css",
    "/docs/favicon-32x32.png",
]


@pytest.mark.parametrize("path", FILES)
def test_files_that_the_browser_has_are_answered_304(client: TestClient, path: str) -> None:
    first = client.get(path)
    answer = client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (answer.status_code, answer.content) == (304, b"")
    for name in ("etag", "cache-control", "vary", "content-security-policy"):
        assert answer.headers[name] == first.headers[name]
    assert first.headers["cache-control"] == "no-cache"
    changed = client.get(path, headers={"If-None-Match": '"x"'})
    assert (changed.status_code, changed.content) == (200, first.content)


def test_each_form_of_a_file_has_its_own_strong_tag(client: TestClient) -> None:
    plain, compressed = (
        client.get("/openapi.json", headers={"Accept-Encoding": coding})
        for coding in ("identity", "gzip")
    )
    assert plain.content == compressed.content
    assert plain.headers["etag"] != compressed.headers["etag"]
    assert plain.headers["etag"].startswith('"')
    answer = client.get("/openapi.json", headers={"If-Match": compressed.headers["etag"]})
    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["/docs/swagger-ui-bundle.js", "/openapi.json"])
def test_files_are_compressed_once(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    first = client.get(path)
    for name in ("compress", "decompress"):
        monkeypatch.setattr(f"taskapi.pages.content.gzip.{name}", None)
    again = client.get(path)
    assert again.content == first.content
    assert again.headers["content-encoding"] == "gzip"
    assert int(again.headers["content-length"]) < len(again.content) / 3
    plain = client.get(path, headers={"Accept-Encoding": "identity"})
    assert plain.content == first.content


@pytest.mark.parametrize(
    ("accepted", "compressed"),
    [
        ("gzip", True),
        ("deflate, GZIP;q=0.5", True),
        ("*", True),
        ("br, *; q=0.1", True),
        ("", False),
        ("br", False),
        ("gzip;q=0", False),
        ("*, gzip; q=0.000", False),
        ("identity", False),
        ("gzip;q=x", False),
        ("gzip ; q=1.0\t, br", True),
    ],
)
def test_files_are_compressed_for_those_who_accept_it(
    client: TestClient, accepted: str, *, compressed: bool
) -> None:
    answer = client.get("/docs/docs.js", headers={"Accept-Encoding": accepted})
    assert ("content-encoding" in answer.headers) is compressed
    assert answer.headers["vary"] == "Accept-Encoding"
    assert answer.content == (STATIC / "docs.js").read_bytes()


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("value", ["bytes=0-9", "bytes=99999999-", "bytes=x", "lines=1-2", ""])
def test_ranges_are_ignored(client: TestClient, method: str, value: str) -> None:
    whole = client.request(method, "/docs/docs.js")
    answer = client.request(method, "/docs/docs.js", headers={"Range": value})
    assert (answer.status_code, answer.content) == (200, whole.content)
    assert answer.headers["content-length"] == whole.headers["content-length"]


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
    for path in ("/api/", "/api/docs/"):
        answer = behind_proxy.get(path, follow_redirects=False)
        assert answer.headers["location"] == "/api/docs"
    assert behind_proxy.get("/api/docs").status_code == 200
    servers = behind_proxy.get("/api/openapi.json").json()["servers"]
    assert [server["url"] for server in servers] == ["/api", "/"]
