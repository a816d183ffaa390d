import re
import tomllib
from html import unescape
from urllib.parse import urljoin

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx2 import Response

from taskapi.exceptions import PROBLEMS
from taskapi.pages.problems import STATIC
from tests.api import Api, check_problem, request_token
from tests.operations import documented

pytestmark = pytest.mark.one_database

WORDS = tomllib.loads((STATIC / "problems.toml").read_text())

PAGES = ["/problems", *(f"/problems/{slug}" for slug in PROBLEMS)]

each_problem = pytest.mark.parametrize("slug", PROBLEMS)
each_language = pytest.mark.parametrize("language", ["en", "ru"])


def get_page(client: TestClient, path: str, language: str = "en") -> Response:
    page = client.get(path, headers={"Accept-Language": language})
    assert page.status_code == 200
    return page


def words_of(page: Response) -> str:
    return unescape(re.sub("<[^>]*>", "", page.text))


def texts(slug: str, language: str) -> dict[str, str]:
    if language == "ru":
        translated: dict[str, str] = WORDS["ru"]["problems"][slug]
        return translated
    return {name: getattr(PROBLEMS[slug], name) for name in ("title", "description", "advice")}


@each_problem
@each_language
def test_every_problem_has_a_page_in_both_languages(
    client: TestClient, slug: str, language: str
) -> None:
    page = get_page(client, f"/problems/{slug}", language)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    words = words_of(page)
    for text in texts(slug, language).values():
        assert text
        assert text.replace("`", "") in words
    assert WORDS["requests"][slug].strip() in words
    assert f'"type": "/problems/{slug}"' in words


@each_language
def test_the_index_names_every_problem(client: TestClient, language: str) -> None:
    page = get_page(client, "/problems", language)
    for slug, kind in PROBLEMS.items():
        assert f'{kind.status}</span><a href="problems/{slug}">' in page.text
        assert texts(slug, language)["title"] in words_of(page)


@pytest.mark.parametrize("path", PAGES)
def test_pages_have_code_and_neither_scripts_nor_inline_styles(
    client: TestClient, path: str
) -> None:
    page = get_page(client, path)
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    assert "<code>" in page.text
    assert not re.search("`|<script|<style| style=", page.text)


@pytest.mark.parametrize("root_path", ["", "/api"])
@pytest.mark.parametrize("path", ["/problems", "/problems/not-found"])
def test_links_of_pages_lead_somewhere(client: TestClient, root_path: str, path: str) -> None:
    client = TestClient(client.app, root_path=root_path)
    links = re.findall(r'(?:src|href)="([^"]*)"', get_page(client, root_path + path).text)
    addresses = {urljoin(root_path + path, link) for link in links}
    assert {f"{root_path}/docs", f"{root_path}/problems"} <= addresses
    for address in addresses:
        assert client.get(address, follow_redirects=False).status_code == 200, address


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("ru", "ru"),
        ("ru-RU,ru;q=0.9,en-US;q=0.8,en;q=0.7", "ru"),
        ("en-GB, en;q=0.9, ru;q=0.8", "en"),
        ("en;q=0.2, RU ; q=0.3", "ru"),
        ("ru, en", "ru"),
        ("en, ru", "en"),
        ("de, ru;q=0.1", "ru"),
        ("ru;q=0.5, *", "en"),
        ("en;q=0, *", "ru"),
        ("ru;q=0", "en"),
        ("ru;q=0.001, ru-RU;q=0", "ru"),
        ("de", "en"),
        ("*", "en"),
        ("", "en"),
        ("ru;q=ё, \xff;;,=,ру", "en"),
    ],
)
def test_the_language_is_the_one_that_is_accepted_most(
    client: TestClient, accepted: str, language: str
) -> None:
    headers = [(b"Accept-Language", accepted.encode())]
    page = client.get("/problems/not-found", headers=headers)
    assert page.headers["content-language"] == language
    assert page.headers["vary"] == "Accept-Encoding, Accept-Language"
    assert f'<html lang="{language}">' in page.text


def test_pages_are_english_by_default(client: TestClient) -> None:
    answer = client.get("/problems")
    assert answer.headers["content-language"] == "en"


def test_each_language_has_its_own_tag(client: TestClient) -> None:
    tags = {name: get_page(client, "/problems", name).headers["etag"] for name in ("en", "ru")}
    for name, status in (("ru", 304), ("en", 200)):
        headers = {"If-None-Match": tags["ru"], "Accept-Language": name}
        answer = client.get("/problems", headers=headers)
        assert answer.status_code == status
        assert answer.headers["vary"] == "Accept-Encoding, Accept-Language"


@each_problem
def test_the_request_of_a_page_does_not_have_the_problem(anna: Api, slug: str) -> None:
    task = anna.create_task()
    refresh_token = request_token(anna.client, anna.email).json()["refresh_token"]
    head, _, body = WORDS["requests"][slug].strip().partition("\n\n")
    request, *fields = head.replace("/tasks/1", f"/tasks/{task['id']}").splitlines()
    headers = dict(field.split(": ", 1) for field in fields)
    if "Authorization" in headers:
        headers["Authorization"] = f"Bearer {anna.token}"
    body = re.sub("(?<=refresh_token=)kT9.*", refresh_token, body)
    answer = anna.client.request(*request.split(), headers=headers, content=body)
    assert answer.status_code < 300, answer.text


@each_problem
def test_translations_name_the_same_code(slug: str) -> None:
    english, russian = (
        [set(re.findall("`[^`]+`", text)) for text in texts(slug, language).values()]
        for language in ("en", "ru")
    )
    assert russian == english


def test_unknown_problems_have_no_page(client: TestClient) -> None:
    check_problem(client.get("/problems/nothing"), 404, "not-found")


def test_problem_types_have_the_root_path(client: TestClient) -> None:
    behind_proxy = TestClient(client.app, root_path="/api")
    assert behind_proxy.get("/api/nothing").json()["type"] == "/api/problems/not-found"


def test_documented_errors_have_schema_and_example(
    client: TestClient,
) -> None:
    assert isinstance(client.app, FastAPI)
    schemas = client.app.openapi()["components"]["schemas"]
    for operation in documented(client.app).values():
        for status, response in operation["responses"].items():
            if status >= "400":
                [(media_type, content)] = response["content"].items()
                schema = schemas[content["schema"]["$ref"].rsplit("/", 1)[1]]
                for example in content["examples"].values():
                    assert str(example["value"]["status"]) == status
                    assert set(schema["required"]) == set(example["value"])
                    oauth2 = "error" in example["value"]
                    assert (media_type == "application/json") is oauth2
                    assert oauth2 or media_type == "application/problem+json"
    assert "HTTPValidationError" not in schemas
