"""The documents that are made from the code. `python -m tests.documents.generated` writes them."""

import re
from pathlib import Path

from taskapi.exceptions import PROBLEMS
from taskapi.settings import PREFIX, Settings
from tests.documents.contract import render
from tests.server import ROOT
from tests.unit.imports import diagram


def errors() -> str:
    kinds = sorted(PROBLEMS.values(), key=lambda kind: kind.status)
    rows = [f"| `/problems/{kind.slug}` | {kind.status} | {kind.title} |\n" for kind in kinds]
    return "".join(["| `type` | status | `title` |\n|---|---|---|\n", *rows])


def environment() -> str:
    lines = ["# Copy to .env and uncomment what is to differ. README.md explains each.\n\n"]
    for name, field in Settings.model_fields.items():
        default = field.default
        value = ",".join(default) if isinstance(default, tuple) else str(default)
        value = value.lower() if isinstance(default, bool) else value
        lines.append(f"# {PREFIX}{name.upper()}={value}\n")
    return "".join(lines)


def replaced(path: str, pattern: str, text: str) -> str:
    """The document with `text` in place of the one part that matches."""
    document = (ROOT / path).read_text()
    [part] = re.findall(pattern, document, re.MULTILINE | re.DOTALL)
    return document.replace(part, text)


def documents() -> dict[Path, str]:
    texts = {
        ".env.example": environment(),
        "docs/openapi.json": render(),
        "docs/architecture.md": replaced(
            "docs/architecture.md", "^flowchart.*?(?=^```)", diagram()
        ),
        "docs/errors.md": replaced("docs/errors.md", r"^\| `type` \| status.*?(?=^$|\Z)", errors()),
    }
    return {ROOT / path: text for path, text in texts.items()}


if __name__ == "__main__":
    for path, text in documents().items():
        path.write_text(text)
