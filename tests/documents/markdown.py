"""The documents of the repository, and what stands in them."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

from tests.server import ROOT

README = ROOT / "README.md"
RUSSIAN = ROOT / "docs/README.ru.md"
DOCUMENTS = [
    README,
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / ".github").glob("*.md")),
]

COMMANDS = ("alembic", "docker", "fastapi", "git", "mypy", "npm", "npx", "openssl", "pre-commit",
            "pytest", "python", "python3", "ruff", "uv", "uvx")  # fmt: skip
"""Programs by which a command is recognized that stands in a line of text."""

FENCE = re.compile(r"^( *)```([^\n]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def name(document: Path) -> str:
    return str(document.relative_to(ROOT))


def blocks(text: str, language: str | None = None) -> list[str]:
    """The fenced blocks, all or those of one language."""
    return [
        dedent(match[3]) for match in FENCE.finditer(text) if language in {None, match[2].strip()}
    ]


def prose(text: str) -> str:
    """Everything but fenced blocks."""
    return FENCE.sub("", text)


def spans(text: str) -> list[str]:
    """What stands in backticks."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(text))]


def commands(text: str) -> list[str]:
    """Every command that a document shows, in a block or in a line of text."""
    in_text = [
        span
        for span in spans(text)
        if " " in span and re.sub(r"^(\w+=\S* )+", "", span).split()[0] in COMMANDS
    ]
    return [
        shlex.join(words)
        for script in [*blocks(text, "sh"), *in_text]
        for words in simple_commands(script)
    ]


def simple_commands(script: str) -> Iterator[list[str]]:
    """The words of each command, without the operators between and the files behind them."""
    pending = ""
    for line in script.replace("\\\n", " ").splitlines():
        pending += line + "\n"
        lexer = shlex.shlex(pending, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        try:
            tokens = list(lexer)
        except ValueError:  # a quotation goes on in the next line
            continue
        pending = ""
        words: list[str] = []
        for token in [*tokens, ";"]:
            if not set(token) <= set("();|&"):
                words.append(token)
            elif words:
                yield words
                words = []
    assert not pending, f"a quotation has no end: {pending}"


def section(text: str, title: str) -> str:
    return text.split(f"\n## {title}\n")[1].split("\n## ", maxsplit=1)[0]


def anchors(text: str) -> set[str]:
    """What GitHub makes of the headings, for links to them."""
    headings = re.findall(r"(?m)^#+ (.*)$", prose(text))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(text: str) -> list[str]:
    """The targets of links and pictures, in Markdown and in HTML."""
    markdown = re.findall(r"\]\(\s*([^)\s]+)[^)]*\)", prose(text))
    html = re.findall(r"""<(?:a|img|source)\b[^>]*?(?:href|src|srcset)=["']([^"']+)""", prose(text))
    return [*markdown, *html, *re.findall(r"<(https?://[^>\s]+)>", prose(text))]
