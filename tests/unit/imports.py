"""The layers of the package, and the diagram of its imports."""

import ast
from fnmatch import fnmatch
from pathlib import Path

from tests.server import ROOT

PACKAGE = ROOT / "taskapi"
FILES = sorted(PACKAGE.rglob("*.py"))

LAYERS = (
    ("main", "__main__"),
    ("commands.*",),
    ("app",),
    ("health", "pages.*"),
    ("*.*",),
    ("auth.*",),
    ("deps",),
    ("security.*",),
    ("database.*", "http.*", "rate_limit"),
    ("models", "exceptions", "logging", "startup", "telemetry.*"),
    ("settings",),
)
"""From the top. A module imports from its own layer and from those below it. Folders without a
layer of their own are features, such as `tasks`.
"""

UPWARD = {("auth.queries", "users.models")}
"""The imports from a layer above: logging in reads the table of accounts."""

Graph = dict[str, set[str]]


def module(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer(name: str) -> int:
    """The layer whose pattern is the longest that matches."""
    return max(
        (len(pattern), index)
        for index, patterns in enumerate(LAYERS)
        for pattern in patterns
        if fnmatch(name, pattern)
    )[1]


MODULES = [path for path in FILES if path.stem != "__init__"]


def imports(path: Path) -> set[str]:
    """The modules of this package that a file imports, in either form of the statement."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    modules = {module(file) for file in MODULES}
    own = {name for name in names if name.startswith("taskapi.")}  # not Python's logging
    return {name.removeprefix("taskapi.") for name in own} & modules


def diagram() -> str:
    """A box for each folder and for each module beside them, in Mermaid. Transitive arrows are
    left out; dotted ones point up.
    """
    members: dict[str, list[str]] = {}
    graph: Graph = {}
    for path in MODULES:
        name = module(path)
        box = _box(name)
        members.setdefault(box, []).append(name.rpartition(".")[2])
        below = {other for other in imports(path) if (name, other) not in UPWARD}
        graph.setdefault(box, set()).update(_box(other) for other in below)
    lines = ["flowchart TD"]
    for box, names in members.items():
        label = box if names == [box] else f"<b>{box}/</b><br>{', '.join(names)}"
        lines.append(f'  {box}["{label}"]')
    lines += [f"  {box} --> {other}" for box in graph for other in sorted(_next(box, graph))]
    upward = sorted({(_box(name), _box(other)) for name, other in UPWARD})
    lines += [f"  {box} -.-> {other}" for box, other in upward]
    return "\n".join(lines) + "\n"


def _box(name: str) -> str:
    return name.partition(".")[0]


def _next(box: str, graph: Graph) -> set[str]:
    others = graph[box] - {box}
    return others - {far for other in others for far in _below(other, graph)}


def _below(box: str, graph: Graph) -> set[str]:
    others = graph[box] - {box}
    return others | {far for other in others for far in _below(other, graph)}
