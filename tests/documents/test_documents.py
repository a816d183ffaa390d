"""What the documents name exists: modules, files, links, settings, operations and problems."""

import json
import re
import shlex
import tomllib
from importlib.util import find_spec

from taskapi.app import VERSION
from taskapi.exceptions import PROBLEMS
from taskapi.main import app
from taskapi.settings import PREFIX, Settings
from tests.documents.generated import documents
from tests.documents.markdown import DOCUMENTS, anchors, blocks, commands, links, name, prose, spans
from tests.operations import documented
from tests.server import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

TEXTS = {name(document): document.read_text() for document in DOCUMENTS}

FENCES = {
    "sh",
    "haproxy",
    "json",
    "python",
    "text",
    "toml",
    "ts fetch",
    "ts generator",
    "ts heyapi",
    "ts orval",
    "mermaid",
    "yaml",
}
"""The languages of blocks. Shell commands are `sh`."""

PUBLIC_PATHS = {"/", "/docs", "/openapi.json", "/problems", "/problems/{slug}"}
"""Paths that the OpenAPI document does not have."""

OTHER_PATHS = ("/data", "/etc", "/opt", "/prefix", "/run/secrets", "/tmp", "/var")  # noqa: S108 -- no file is made


def test_commands_name_modules_groups_and_extras_that_exist() -> None:
    known = {
        "--group": PROJECT["dependency-groups"],
        "--extra": PROJECT["project"]["optional-dependencies"],
        "-m": None,
    }
    unknown = []
    for document, text in TEXTS.items():
        for command in commands(text):
            for option, value in zip(shlex.split(command), shlex.split(command)[1:], strict=False):
                if option == "-m" and "python" in command:
                    found = find_spec(value) is not None
                else:
                    found = value in (known.get(option) or {value})
                if not found:
                    unknown.append(f"{document}: {command}")
    assert unknown == []


def test_blocks_name_their_language() -> None:
    for document, text in TEXTS.items():
        assert len(blocks(text)) * 2 == len(re.findall(r"(?m)^ *```", text)), document
        assert sum(len(blocks(text, fence)) for fence in FENCES) == len(blocks(text)), document


def test_files_that_are_named_exist() -> None:
    folders = r"\.ci|\.github|alembic|docs|taskapi|tests"
    missing = []
    for document, text in TEXTS.items():
        code = "\n".join([*spans(text), *blocks(text, "sh")])
        named = set(re.findall(rf"(?<![\w/.-])(?:{folders})/[\w./-]*\w/?", code))
        missing += [f"{document}: {path}" for path in named if not (ROOT / path).exists()]
    assert missing == []


def test_links_within_the_repository_lead_somewhere() -> None:
    broken = []
    for document in DOCUMENTS:
        for link in links(TEXTS[name(document)]):
            target, _, anchor = link.partition("#")
            if target.startswith(("https://", "http://127.0.0.1:8000/")):
                continue
            path = document.parent / target if target else document
            if not path.exists() or (anchor and anchor not in anchors(path.read_text())):
                broken.append(f"{name(document)}: {link}")
    assert broken == []


def test_settings_that_are_named_exist() -> None:
    for document, text in TEXTS.items():
        named = re.findall(rf"{PREFIX}([A-Z_]*[A-Z])", text)
        named += re.findall(rf"/run/secrets/{PREFIX.lower()}(\w+)", text)
        assert {setting.lower() for setting in named} <= set(Settings.model_fields), document


def test_operations_that_are_named_exist() -> None:
    operations = set(documented(app)) | {f"GET {path}" for path in PUBLIC_PATHS}
    paths = {operation.split(" ")[1] for operation in operations}
    paths |= {f"/problems/{slug}" for slug in PROBLEMS}
    methods = "GET|HEAD|POST|PUT|PATCH|DELETE"
    for document, text in TEXTS.items():
        code = "\n".join(spans(text))
        named = set(re.findall(rf"\b((?:{methods}) /[\w./{{}}-]*)", code))
        assert named <= operations, document
        alone = {span for span in spans(text) if re.fullmatch(r"/[\w./{}-]+", span)}
        alone |= set(re.findall(r"http://127\.0\.0\.1:8000(/[\w./-]*)", text))
        assert {path for path in alone if not path.startswith(OTHER_PATHS)} <= paths, document


def test_problems_that_are_named_exist() -> None:
    for document, text in TEXTS.items():
        assert set(re.findall(r"/problems/([\w-]+)", text)) <= set(PROBLEMS), document


def test_every_document_is_linked() -> None:
    linked = {
        (document.parent / link.partition("#")[0]).resolve()
        for document in DOCUMENTS
        for link in links(TEXTS[name(document)])
        if "://" not in link
    }
    assert [name(document) for document in DOCUMENTS if document not in linked] == []


def test_the_version_is_the_same_everywhere() -> None:
    newest = re.findall(r"(?m)^## \[?(\d+\.\d+\.\d+)\b", TEXTS["docs/CHANGELOG.md"])
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    locked = [package for package in lock["package"] if package["name"] == "taskapi"]
    assert VERSION == PROJECT["project"]["version"] == newest[0] == locked[0]["version"]
    assert app.openapi()["info"]["version"] == VERSION


def test_decisions_are_numbered_indexed_and_have_the_same_sections() -> None:
    records = sorted((ROOT / "docs/decisions").glob("0*.md"))
    assert [int(record.name[:4]) for record in records] == list(range(1, len(records) + 1))
    for record in records:
        headings = re.findall(r"(?m)^#+ (.*)$", prose(record.read_text()))
        assert headings[0].startswith(f"{int(record.name[:4])}. ")
        assert headings[1:] == ["Context", "Decision", "Consequences"], record.name
    index = links(TEXTS["docs/decisions/README.md"])
    assert [link for link in index if link[0] == "0"] == [record.name for record in records]


def test_generated_documents_are_current() -> None:
    for path, text in documents().items():
        assert path.read_text() == text, "run: uv run python -m tests.documents.generated"


def test_the_hooks_before_commits_are_the_checks_of_ci() -> None:
    configuration = (ROOT / ".pre-commit-config.yaml").read_text()
    hooks = re.findall(r"- id: (.*)\n +name: .*\n +entry: (.*)", configuration)
    parts = re.findall(r"(?m)^(\w+): (?:\w+=\S+ )*(.*)$", (ROOT / ".ci/parts").read_text())
    assert hooks == [("lock", ".ci/check_lock"), *parts, ("tests", "uv run pytest")]
    script = (ROOT / ".ci/run").read_text()
    for command in (".ci/check_lock", "lanes.py <.ci/parts", "uv run pytest"):
        assert f"{command} || status=$?" in script


def test_clients_are_named_with_the_versions_that_ci_runs() -> None:
    node = json.loads((ROOT / ".ci/judges/package.json").read_text())["dependencies"]
    lock = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    pinned = {package["name"]: package.get("version") for package in lock} | node
    named = re.findall(r"`(\S+)` (\d+\.\S+?)[ ,]", TEXTS["docs/clients.md"])
    assert len(named) > 5
    assert {name: pinned[name] for name, _ in named} == dict(named)
