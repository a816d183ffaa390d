"""The film: what is to be seen from which moment on, drawn as frames once all has happened.

The moments are the film's, not the clock's: typing has a pace of its own, and what takes long is
shown sped up, with a label that says how much.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

FRAMES_PER_SECOND = 25


@dataclass(frozen=True)
class Shot:
    moment: float
    caption: tuple[str, str]
    body: str
    speed: float = 1

    def html(self) -> str:
        caption, also = map(escape, self.caption)
        speed = f"{self.speed:.0f}" if self.speed > 10 else f"{self.speed:.1f}"
        label = f'<p class="speed">{speed}× speed</p>' if self.speed > 1 else ""
        return f'<header><p>{caption}</p><p class="also">{also}</p>{label}</header>{self.body}'


class Film:
    def __init__(self) -> None:
        self.clock = 0.0
        self.caption = ("", "")
        self.scenes: dict[str, float] = {}
        self.shots: list[Shot] = []

    def begin(self, caption: str, translation: str) -> None:
        """Give what follows a caption."""
        self.caption = (caption, translation)
        self.scenes[caption] = self.clock
        print(f"{self.clock:6.1f} s  {caption}", flush=True)

    def show(self, body: str) -> None:
        self.shots.append(Shot(self.clock, self.caption, body))

    @contextmanager
    def at_most(self, seconds: float) -> Iterator[None]:
        """Show what happens meanwhile in that time, sped up if it takes longer."""
        start, first = self.clock, len(self.shots)
        yield
        speed = (self.clock - start) / seconds
        if speed > 1:
            self.clock = start + seconds
            self.shots[first:] = [
                replace(shot, moment=start + (shot.moment - start) / speed, speed=speed)
                for shot in self.shots[first:]
            ]

    def develop(self, browser: Any, folder: Path) -> int:  # noqa: ANN401 -- Playwright may be missing
        """Draw the frames into the folder, with `frames.ffconcat`, which lists them for ffmpeg."""
        page = browser.new_page(viewport={"width": 1280, "height": 720}, device_scale_factor=1.5)
        page.goto(Path(__file__).with_name("film.html").as_uri())
        lines = ["ffconcat version 1.0"]
        drawn: dict[str, str] = {}
        for html, frames in self._frames():
            if html not in drawn:
                drawn[html] = f"frame-{len(drawn):05}.png"
                page.evaluate(
                    """async html => {
                        document.body.innerHTML = html;
                        await Promise.all([...document.images].map(image => image.decode()));
                    }""",
                    html,
                )
                page.screenshot(path=folder / drawn[html])
            lines += [f"file {drawn[html]}", f"duration {frames / FRAMES_PER_SECOND}"]
        lines.append(lines[-2])
        (folder / "frames.ffconcat").write_text("\n".join(lines) + "\n")
        return len(drawn)

    def _frames(self) -> Iterator[tuple[str, int]]:
        """What each frame shows, the last shot before its moment, and for how many frames."""
        moments = [round(shot.moment * FRAMES_PER_SECOND) for shot in self.shots]
        moments.append(round(self.clock * FRAMES_PER_SECOND))
        for shot, start, end in zip(self.shots, moments, moments[1:], strict=False):
            if end > start:
                yield shot.html(), end - start
