"""The documentation page in a real browser, which draws no pointer, so that the film adds it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

from film import Film
from playwright.sync_api import sync_playwright

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
FLAGS += ["--disable-background-networking", "--disable-component-update"]
ZOOM = 1.25
CREATE = "#operations-tasks-create_task"
POINTER = """<svg style="left:{:.0f}px;top:{:.0f}px" viewBox="0 0 22 32">
  <path d="M2 2v23l5.5-5 4 9 4-2-4-8.5h7.5z" fill="#0d1117" stroke="#fff" stroke-width="2"/>
</svg>"""


@contextmanager
def chromium() -> Iterator[Any]:
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        yield browser
        browser.close()


class DocsPage:
    def __init__(self, browser: Any, film: Film, folder: Path) -> None:  # noqa: ANN401
        self.page = browser.new_page(
            viewport={"width": round(1280 / ZOOM), "height": round(642 / ZOOM)},
            device_scale_factor=1.5 * ZOOM,
        )
        self.film = film
        self.folder = folder
        self.pictures = 0
        self.pointer = (500.0, 300.0)

    def create_a_task(self, url: str) -> None:
        self.film.begin("The documentation page", "Страница документации")
        self.page.goto(url)
        self.page.wait_for_selector(".opblock")
        self.show(1.5)
        self.film.begin("Authorize: log in with Enter", "Вход по клавише Enter")
        self.click(".btn.authorize")
        self.click("#oauth_username")
        self.type("anna@example.com")
        self.click("#oauth_password")
        self.type("correct horse battery staple")
        self.page.keyboard.press("Enter")
        self.page.wait_for_selector(".auth-container >> text=Logout")
        self.show(1.2)
        self.click(".btn-done")
        self.film.begin("Try it out: create a task", "Создать задачу прямо здесь")
        self.bring_up(CREATE)
        self.click(f"{CREATE} .opblock-summary-control")
        self.bring_up(f"{CREATE} textarea")
        self.click(f"{CREATE} textarea")
        self.page.keyboard.press("ControlOrMeta+a")
        self.show(0.3)
        self.type('{"title": "Полить цветы 🌷", "status": "в процессе"}')
        self.bring_up(f"{CREATE} .execute")
        self.click(f"{CREATE} .execute")
        answer = f"{CREATE} .live-responses-table"
        self.bring_up(answer)
        shown = self.page.locator(
            f"{answer} .response-col_description .microlight"
        ).first.inner_text()
        if '"title": "Полить цветы 🌷"' not in shown:
            raise RuntimeError(f"the page shows {shown}")
        self.show(3.5)

    def show(self, seconds: float) -> None:
        self.pictures += 1
        picture = self.folder / f"page-{self.pictures:04}.png"
        self.page.screenshot(path=picture)
        self.picture = picture.as_uri()
        self._add()
        self.film.clock += seconds

    def _add(self) -> None:
        pointer = POINTER.format(*(ZOOM * place for place in self.pointer))
        figure = f'<figure><img src="{self.picture}">{pointer}</figure>'
        self.film.show(f"<h2>{escape(self.page.url)}</h2>{figure}")

    def click(self, selector: str) -> None:
        box = self.page.locator(selector).first.bounding_box()
        x, y = self.pointer
        to_x, to_y = box["x"] + min(box["width"] / 2, 120), box["y"] + box["height"] / 2
        for step in range(1, 13):
            part = step / 12
            eased = part * part * (3 - 2 * part)
            self.pointer = (x + (to_x - x) * eased, y + (to_y - y) * eased)
            self._add()
            self.film.clock += 0.04
        self.page.mouse.click(*self.pointer)
        self.show(0.5)

    def type(self, text: str) -> None:
        for key in text:
            self.page.keyboard.type(key)
            self.show(0.04)
        self.show(0.4)

    def bring_up(self, selector: str) -> None:
        """Scroll until it is near the top, as far as the page goes."""
        self.page.locator(selector).first.wait_for()
        way = self.page.locator(selector).first.bounding_box()["y"] - 60
        for _ in range(10):
            self.page.evaluate("way => scrollBy(0, way)", way / 10)
            self.show(0.04)
        self.show(0.4)
