"""The shape of the code: imports point one way, and stand at the top of their file."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

from taskapi.main import app
from tests.server import ROOT
from tests.unit.imports import FILES, MODULES, PACKAGE, UPWARD, imports, layer, module


def test_imports_point_down() -> None:
    upward = {
        (module(path), name)
        for path in MODULES
        for name in imports(path)
        if layer(name) < layer(module(path))
    }
    assert upward <= UPWARD


def test_imports_have_no_cycle() -> None:
    order = TopologicalSorter({module(path): imports(path) for path in MODULES}).static_order()
    assert set(order) == {module(path) for path in MODULES}


def test_modules_that_are_described_exist() -> None:
    document = (ROOT / "docs/architecture.md").read_text()
    described = re.findall(r"(?m)^\| `([\w/]+)\.py` \| \S", document)
    modules = {module(path).replace(".", "/") for path in FILES if path.stem != "__init__"}
    assert described
    assert set(described) <= modules


def test_imports_are_at_the_top() -> None:
    for path in FILES:
        top = ast.parse(path.read_text())
        imported = [node for node in ast.walk(top) if isinstance(node, ast.Import | ast.ImportFrom)]
        assert all(node in top.body for node in imported), path


def test_files_stay_small() -> None:
    for path in FILES:
        lines = path.read_text().splitlines()
        assert len(lines) <= 250, path
        assert path.name != "__init__.py" or lines == [], path


def test_the_package_has_at_most_12_modules_beside_its_folders() -> None:
    modules = [path.name for path in PACKAGE.glob("*.py") if path.name != "__init__.py"]
    assert len(modules) <= 12, modules


def test_only_deps_uses_the_state_of_the_application() -> None:
    users = {
        module(path)
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and re.search(r"\bapp\.state$", ast.unparse(node))
    }
    assert users == {"deps"}


def test_handlers_are_thin() -> None:
    for path in [*PACKAGE.rglob("router.py"), PACKAGE / "health.py"]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.AsyncFunctionDef):
                statements = [s for s in node.body if not isinstance(s, ast.Expr)]
                assert len(statements) <= 5, f"{path}: {node.name}"


def test_importing_the_application_creates_no_files(tmp_path: Path) -> None:
    assert app.title == "taskapi"
    assert list(tmp_path.iterdir()) == []
