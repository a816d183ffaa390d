"""What the documents name is there: commands, files, links, settings, operations, problems."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from taskapi.app import VERSION
from taskapi.exceptions import PROBLEMS
from taskapi.main import app
from taskapi.settings import PREFIX, Settings
from tests.documents.markdown import (
    DOCUMENTS,
    README,
    anchors,
    blocks,
    commands,
    links,
    name,
    prose,
    spans,
)
from tests.operations import documented
from tests.server import ROOT

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=name)

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

PROGRAMS_OF_OTHERS = {
    "[", "cat", "cd", "cp", "curl", "docker", "echo", "export", "git", "npm", "openssl", "rm", "uvx"
}  # fmt: skip
"""Programs that are not this project's, and of which nothing is known here."""

FENCES = {"sh", "haproxy", "json", "python", "text", "ts fetch", "ts heyapi", "mermaid", "yaml"}
"""What blocks may be. Shell commands are `sh`, so that none escapes these tests."""

PUBLIC_PATHS = {"/", "/docs", "/openapi.json", "/problems/{slug}"}
"""Paths that the OpenAPI document does not have."""

PATHS_OF_OTHERS = ("/data", "/prefix", "/run/secrets", "/tmp")  # noqa: S108 -- no file is made


@cache
def help_of(*command: str) -> str:
    """What a program says of its options; it must know the command."""
    with tempfile.TemporaryDirectory() as folder:  # for pytest-cov, which erases its file first
        done = subprocess.run(
            [*command, "--help"],
            cwd=ROOT,
            env={**os.environ, "COLUMNS": "200", "COVERAGE_FILE": f"{folder}/coverage"},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    assert done.returncode == 0, f"{shlex.join(command)}: {done.stdout}{done.stderr}"
    return done.stdout


def check_options(words: list[str], program: Path | str) -> None:
    first = next((n for n, word in enumerate(words) if word.startswith("-")), len(words))
    text = help_of(str(program), *words[1:first])
    for option in (word.partition("=")[0] for word in words[first:]):
        if re.fullmatch(r"--?[A-Za-z][\w-]*", option):
            assert re.search(rf"(?<![\w-]){option}(?![\w-])", text), f"{words[0]} has no {option}"


def check_uv(words: list[str]) -> None:
    """Extras and groups are the project's; what `uv run` runs is checked as well."""
    known = {
        "--extra": PROJECT["project"]["optional-dependencies"],
        "--group": PROJECT["dependency-groups"],
    }
    end = 2
    while end < len(words) and words[end].startswith("-"):
        if words[end] in known:
            assert words[end + 1] in known[words[end]], f"there is no {shlex.join(words[end:])}"
            end += 1
        end += 1
    if shutil.which("uv"):
        check_options(words[: end if words[1] == "run" else len(words)], "uv")
    if words[1] == "run":
        check_command(words[end:])


def check_module(words: list[str]) -> None:
    """`python -m` of a module of this project, whose options stand in its source."""
    assert words[1] == "-m"
    module = find_spec(words[2])
    assert module, f"there is no module {words[2]}"
    assert module.origin
    origin = Path(module.origin)
    files = origin.parent.rglob("*.py") if origin.name == "__init__.py" else [origin]
    source = "".join(path.read_text() for path in files)
    assert "__main__" in source or origin.with_name("__main__.py").exists()
    for option in (word.partition("=")[0] for word in words[3:] if word.startswith("--")):
        assert f'"{option}"' in source, f"{words[2]} has no {option}"


def check_command(words: list[str]) -> None:
    program, *_ = words
    own = next(
        (
            path
            for folder in (Path(sys.executable).parent, ROOT / ".ci/judges/node_modules/.bin")
            if (path := folder / program).exists()
        ),
        None,
    )
    if program == "uv":
        check_uv(words)
    elif program in {"python", "python3"} and words[1].startswith("-"):
        check_module(words)
    elif "/" in program:
        assert (ROOT / program).is_file(), f"there is no {program}"
    elif program not in PROGRAMS_OF_OTHERS | {"python3"}:
        if own is None and program in judges():
            pytest.skip("needs: uv sync --group judges, and npm ci in .ci/judges")
        assert own, f"there is no {program}"
        check_options(words, own)


def without_session(document: Path) -> str:
    """The first session of a README is run, by tests/documents/test_readme.py."""
    title, *sections = document.read_text().split("\n## ")
    return "\n## ".join([title, *(sections[1:] if "README" in document.name else sections)])


def judges() -> str:
    packages = (ROOT / ".ci/judges/package.json").read_text()
    return packages + str(PROJECT["dependency-groups"]["judges"])


def check_variable(variable: str, text: str) -> None:
    """A setting, a variable of libpq, or one that the document, a test or compose.yaml reads."""
    if variable.startswith(PREFIX):
        assert variable.removeprefix(PREFIX).lower() in Settings.model_fields
    elif not variable.startswith("PG") and not re.search(rf"\${{?{variable}\b", text):
        folders = ((ROOT / "tests").rglob("*.py"), (ROOT / ".ci").glob("*"), ROOT.glob("*.yaml"))
        readers = (path.read_text() for folder in folders for path in folder if path.is_file())
        assert any(re.search(rf'["{{]{variable}\b', text) for text in readers), (
            f"nothing reads {variable}"
        )


@pytest.mark.parametrize(
    ("document", "command"),
    [
        pytest.param(document, command, id=f"{name(document)}: {command}")
        for document in DOCUMENTS
        for command in dict.fromkeys(commands(without_session(document)))
    ],
)
def test_every_command_is_one_that_there_is(document: Path, command: str) -> None:
    words = [word for word in shlex.split(command) if word != "export"]
    while words and (assignment := re.match(r"(\w+)=", words[0])):
        check_variable(assignment[1], document.read_text())
        words = words[1:]
    if words:
        check_command(words)


@each_document
def test_every_block_says_what_it_is(document: Path) -> None:
    text = document.read_text()
    assert len(blocks(text)) * 2 == len(re.findall(r"(?m)^ *```", text))
    assert sum(len(blocks(text, fence)) for fence in FENCES) == len(blocks(text))


@each_document
def test_every_file_that_is_named_exists(document: Path) -> None:
    text = document.read_text()
    code = "\n".join([*spans(text), *blocks(text, "sh")])
    folders = r"\.ci|\.github|alembic|docs|taskapi|tests"
    named = set(re.findall(rf"(?<![\w/.-])(?:{folders})/[\w./-]*\w/?", code))
    assert {path for path in named if not (ROOT / path).exists()} == set()


@each_document
def test_every_link_leads_somewhere(document: Path) -> None:
    broken = []
    for link in links(document.read_text()):
        target, _, anchor = link.partition("#")
        if target.startswith(("https://", "http://127.0.0.1:8000/")):
            continue  # another site, or the service, whose paths another test knows
        path = document.parent / target if target else document
        if not path.exists() or (anchor and anchor not in anchors(path.read_text())):
            broken.append(link)
    assert broken == []


@each_document
def test_every_setting_that_is_named_is_one(document: Path) -> None:
    text = document.read_text()
    named = re.findall(rf"{PREFIX}([A-Z_]*[A-Z])", text)
    secrets = re.findall(rf"/run/secrets/{PREFIX.lower()}(\w+)", text)
    assert {setting.lower() for setting in [*named, *secrets]} - set(Settings.model_fields) == set()


@each_document
def test_every_operation_that_is_named_is_one(document: Path) -> None:
    text = document.read_text()
    known = set(documented(app)) | {f"GET {path}" for path in PUBLIC_PATHS}
    methods = "GET|HEAD|POST|PUT|PATCH|DELETE"
    named = set(re.findall(rf"\b((?:{methods}) /[\w./{{}}-]*)", "\n".join(spans(text))))
    assert named - known == set()
    paths = {operation.split(" ")[1] for operation in known}
    paths |= {f"/problems/{slug}" for slug in PROBLEMS}
    alone = {span for span in spans(text) if re.fullmatch(r"/[\w./{}-]+", span)}
    addresses = set(re.findall(r"http://127\.0\.0\.1:8000(/[\w./-]*)", text))
    assert {
        path for path in alone | addresses if not path.startswith(PATHS_OF_OTHERS)
    } - paths == set()


@each_document
def test_every_problem_that_is_named_is_one(document: Path) -> None:
    named = set(re.findall(r"/problems/([\w-]+)", document.read_text()))
    assert named - set(PROBLEMS) == set()


def test_the_page_of_errors_has_each_problem_as_the_service_explains_it() -> None:
    text = (ROOT / "docs/errors.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| `/problems/")]
    assert rows == [
        f"| `/problems/{problem.slug}` | {problem.status} | {problem.__doc__} | {problem.advice} |"
        for problem in sorted(PROBLEMS.values(), key=lambda problem: problem.status)
    ]


def test_the_options_that_the_readme_names_are_the_servers() -> None:
    options = {span.split()[0] for span in spans(README.read_text()) if span.startswith("--")}
    assert options
    server = help_of(str(Path(sys.executable).with_name("fastapi")), "run")
    assert {option for option in options if f"{option} " not in server} == set()


def test_every_document_is_linked_from_another() -> None:
    linked = {
        (document.parent / link.partition("#")[0]).resolve()
        for document in DOCUMENTS
        for link in links(document.read_text())
        if "://" not in link
    }
    orphans = [name(document) for document in DOCUMENTS if document not in linked]
    assert orphans == []


def test_the_version_is_the_same_everywhere() -> None:
    newest = re.findall(r"(?m)^## \[?(\d+\.\d+\.\d+)\b", (ROOT / "docs/CHANGELOG.md").read_text())
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    locked = [package for package in lock["package"] if package["name"] == "taskapi"]
    assert VERSION == PROJECT["project"]["version"] == newest[0] == locked[0]["version"]
    assert app.openapi()["info"]["version"] == VERSION


def test_every_decision_says_why_and_what_follows() -> None:
    records = sorted((ROOT / "docs/decisions").glob("0*.md"))
    assert [int(record.name[:4]) for record in records] == list(range(1, len(records) + 1))
    for record in records:
        headings = re.findall(r"(?m)^#+ (.*)$", prose(record.read_text()))
        assert headings[0].startswith(f"{int(record.name[:4])}. ")
        assert headings[1:] == ["Context", "Decision", "Consequences"], record.name
        assert len(record.read_text().splitlines()) <= 40
    index = (ROOT / "docs/decisions/README.md").read_text()
    assert [link for link in links(index) if link[0] == "0"] == [record.name for record in records]


def test_the_hooks_before_commits_are_the_checks_of_ci() -> None:
    hooks = re.findall(r"(?m)^ +entry: (.*)$", (ROOT / ".pre-commit-config.yaml").read_text())
    script = (ROOT / ".ci/run").read_text().partition("uv sync")[2].splitlines()[1:]
    assert [re.sub(r"^\w+=\S+ ", "", line) for line in script] == hooks
