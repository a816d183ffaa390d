"""A shell in a terminal of its own: what is typed into it, and how its screen looks."""

import os
import pty
import re
import select
import termios
import time
from collections.abc import Callable, Mapping
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any

import pyte
from wcwidth import wcswidth

COLOURS = {
    "black": "#484f58",
    "red": "#ff7b72",
    "green": "#3fb950",
    "brown": "#d29922",
    "blue": "#58a6ff",
    "magenta": "#bc8cff",
    "cyan": "#39c5cf",
    "white": "#b1bac4",
    "brightblack": "#6e7681",
    "brightred": "#ffa198",
    "brightgreen": "#56d364",
    "brightbrown": "#e3b341",
    "brightblue": "#79c0ff",
    "brightmagenta": "#d2a8ff",
    "brightcyan": "#56d4dd",
    "brightwhite": "#f0f6fc",
}
SHELL = {
    "LC_ALL": "C.UTF-8",
    "PS1": r"\[\e[1;32m\]$\[\e[0m\] ",
    "PS2": "> ",
    "TERM": "xterm-256color",
    # Before each prompt the shell says, invisibly, how the last command ended.
    "PROMPT_COMMAND": r'printf "\e]133;D;%s\a" $?',
}
EMOJI_SELECTOR = "\N{VARIATION SELECTOR-16}".encode()  # pyte drops what follows it
ENDED = re.compile(rb"\x1b\]133;D;(\d+)\x07")


class Terminal:
    def __init__(
        self, folder: Path, environment: Mapping[str, str], *, columns: int, rows: int
    ) -> None:
        self.screen = pyte.Screen(columns, rows)
        self.stream = pyte.ByteStream(self.screen)
        self.output = b""
        child, self.pty = pty.fork()
        if child == 0:
            termios.tcsetwinsize(0, (rows, columns))
            os.chdir(folder)
            os.execvpe("bash", ["bash", "--noprofile", "--norc"], {**environment, **SHELL})  # noqa: S606, S607 -- a shell is what the film shows

    def write(self, text: str) -> None:
        self.output = b""
        os.write(self.pty, text.encode())

    def ended(self) -> int | None:
        """The exit status of the last command, once the shell asks for the next."""
        found = ENDED.search(self.output)
        return int(found[1]) if found else None

    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip()

    def html(self, rows: int) -> str:
        """The last rows down to the cursor."""
        end = max(self.screen.cursor.y + 1, rows)
        return "\n".join(self._line(y) for y in range(end - rows, end))

    def _line(self, y: int) -> str:
        row = self.screen.buffer[y]
        cursor = self.screen.cursor
        here = -1 if cursor.hidden or cursor.y != y else cursor.x
        cells = [
            (_glyph(row[x].data), self._style(row[x], turned=x == here))
            for x in range(self.screen.columns)
        ]
        return "".join(
            f'<span style="{style}">{"".join(glyph for glyph, _ in run)}</span>'
            for style, run in groupby(cells, key=lambda cell: cell[1])
        )

    def _style(self, cell: Any, *, turned: bool) -> str:  # noqa: ANN401 -- pyte is untyped
        ink, paper = _colour(cell.fg, "#e6edf3"), _colour(cell.bg, "#0d1117")
        if cell.reverse != turned:
            ink, paper = paper, ink
        weight, slant = "bold" * cell.bold or "normal", "italic" * cell.italics or "normal"
        return f"color:{ink};background:{paper};font-weight:{weight};font-style:{slant}"


def _colour(name: str, default: str) -> str:
    return default if name == "default" else COLOURS.get(name, f"#{name}")


def _glyph(text: str) -> str:
    """An emoji takes two cells, the second of which pyte leaves empty, whatever its font says."""
    return f"<i>{text}</i>" if wcswidth(text) == 2 else escape(text)


def watch(terminals: list[Terminal], seconds: float) -> bool:
    """Take in what the shells print within that time at most; tells whether there was anything."""
    ready, _, _ = select.select([terminal.pty for terminal in terminals], [], [], seconds)
    for terminal in terminals:
        if terminal.pty in ready:
            printed = os.read(terminal.pty, 65536).replace(EMOJI_SELECTOR, b"")
            terminal.output += printed
            terminal.stream.feed(printed)
    return bool(ready)


def until(done: Callable[[], bool], seconds: float) -> Callable[[], bool]:
    """Whether to go on waiting; raises when it has taken too long."""
    deadline = time.monotonic() + seconds

    def waiting() -> bool:
        if time.monotonic() > deadline:
            raise TimeoutError(f"not done after {seconds:.0f} s")
        return not done()

    return waiting
