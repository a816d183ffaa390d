"""Who imports whom in the package, and the diagram of it.

`python -m tests.imports` prints the diagram, for docs/architecture.md.
"""

import ast
from pathlib import Path

from tests.server import ROOT

PACKAGE = ROOT / "taskapi"
FILES = sorted(PACKAGE.rglob("*.py"))

LAYERS = ("main", "app", "router", "auth.deps", "service", "models", "spine", "settings")
"""From the top: a module imports from its own layer and those below it."""

FEATURES = ("users", "tasks", "auth")

Graph = dict[str, set[str]]


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


def diagram() -> str:
    """The layers of each feature in Mermaid. An arrow that follows from others is left out."""
    members: dict[str, list[str]] = {}
    graph: Graph = {}
    for path in (path for path in FILES if path.stem != "__init__"):
        name = module(path)
        box = _box(name)
        members.setdefault(box, []).append(name.rpartition(".")[2])
        graph.setdefault(box, set()).update(_box(other) for other in imports(path))
    lines = ["flowchart TD"]
    for feature in ("", *FEATURES):
        own = [box for box in graph if box.startswith(f"{feature}_")]
        lines += [f"  subgraph {feature}/"] if feature else []
        lines += [f'    {box}["{", ".join(members[box])}"]' for box in own]
        lines += ["  end"] if feature else []
    lines += [f"  {box} --> {other}" for box in graph for other in sorted(_next(box, graph))]
    return "\n".join(lines) + "\n"


def _box(name: str) -> str:
    """What stands in the diagram for a module: its layer in its folder."""
    return f"{name.rpartition('.')[0]}_{LAYERS[layer(name)].removeprefix('auth.')}"


def _next(box: str, graph: Graph) -> set[str]:
    others = graph[box] - {box}
    return others - {far for other in others for far in _below(other, graph)}


def _below(box: str, graph: Graph) -> set[str]:
    others = graph[box] - {box}
    return others | {far for other in others for far in _below(other, graph)}


if __name__ == "__main__":
    print(diagram(), end="")
