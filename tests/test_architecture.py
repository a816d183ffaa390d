"""The shape of the code: imports point one way, and stand at the top of their file."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from taskapi.main import app
from tests.server import ROOT

PACKAGE = ROOT / "taskapi"
FILES = sorted(PACKAGE.rglob("*.py"))

LAYERS = ("main", "app", "router", "auth.deps", "service", "models", "spine", "settings")
"""From the top: a module imports from its own layer and those below it."""


def module(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def layer(name: str) -> int:
    last = name.rpartition(".")[2]
    if name in {"backup", "move"}:
        return LAYERS.index("main")
    if name in {"health", "docs"}:
        return LAYERS.index("router")
    if name == "tasks.listing":
        return LAYERS.index("service")
    for candidate in (name, last):
        if candidate in LAYERS:
            return LAYERS.index(candidate)
    return LAYERS.index("spine")


def imports(path: Path) -> set[str]:
    """The modules of this package that one imports, whichever way it writes that."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    modules = {module(file) for file in FILES}
    return {name.removeprefix("taskapi.") for name in names} & modules


@pytest.mark.parametrize("path", FILES, ids=module)
def test_imports_point_down(path: Path) -> None:
    above = {name for name in imports(path) if layer(name) < layer(module(path))}
    assert above == set()


def test_imports_make_no_circle() -> None:
    order = TopologicalSorter({module(path): imports(path) for path in FILES}).static_order()
    assert set(order) == {module(path) for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=module)
def test_no_import_hides_in_a_function(path: Path) -> None:
    top = ast.parse(path.read_text())
    everywhere = [node for node in ast.walk(top) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert all(node in top.body for node in everywhere)


@pytest.mark.parametrize("path", FILES, ids=module)
def test_files_stay_small(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= 250
    assert path.name != "__init__.py" or lines == []


def test_handlers_are_thin() -> None:
    for path in [*PACKAGE.rglob("router.py"), PACKAGE / "health.py"]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.AsyncFunctionDef):
                statements = [s for s in node.body if not isinstance(s, ast.Expr)]
                assert len(statements) <= 5, f"{path}: {node.name}"


def test_importing_the_application_makes_nothing(tmp_path: Path) -> None:
    assert app.title == "taskapi"
    assert list(tmp_path.iterdir()) == []
