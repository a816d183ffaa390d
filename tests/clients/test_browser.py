"""The documentation page, and the pages of problems, in a real browser."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.api import PASSWORD
from tests.requirements import import_module, require_path, require_programs
from tests.server import ROOT, serve
from tests.waiting import HANG

AXE = ROOT / ".ci/judges/node_modules/axe-core/axe.min.js"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
FLAGS += ["--disable-background-networking", "--disable-component-update"]
CREATE = "#operations-tasks-create_task"


class Browser:
    """A page with the documentation, and what went wrong on it."""

    def __init__(self, page: Any, url: str) -> None:
        self.page = page
        self.url = url
        self.faults: list[str] = []
        self.requests: list[str] = []
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto(url)
        page.wait_for_selector(".opblock")

    def _hear(self, message: Any) -> None:
        if message.type in {"error", "warning"}:
            self.faults.append(message.text)

    def fill_in(self, password: str) -> None:
        self.page.click(".btn.authorize")
        self.page.fill("#oauth_username", "anna@example.com")
        self.page.fill("#oauth_password", password)

    def log_in(self) -> None:
        self.fill_in(PASSWORD)
        self.page.press("#oauth_password", "Enter")
        self.page.wait_for_selector(".auth-container >> text=Logout")
        self.page.click(".btn-done")


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    playwright = import_module("playwright.sync_api", install="uv sync --group judges")
    path = require_programs("chromium", install="apt-get install chromium")
    with serve(tmp_path) as url, playwright.sync_playwright() as driver:
        user = {"name": "Anna", "email": "anna@example.com", "password": PASSWORD}
        httpx2.post(f"{url}/users", json=user)
        chromium = driver.chromium.launch(executable_path=path, args=FLAGS, timeout=HANG * 1000)
        page = chromium.new_page()
        page.set_default_timeout(HANG * 1000)
        yield Browser(page, url)
        chromium.close()


def test_enter_logs_in_and_a_task_can_be_created(browser: Browser) -> None:
    browser.log_in()
    browser.page.click(f"{CREATE} .opblock-summary-control")
    browser.page.fill(f"{CREATE} textarea", '{"title": "Купить хлеб", "status": "в процессе"}')
    browser.page.click(f"{CREATE} .execute")
    answer = browser.page.locator(f"{CREATE} .live-responses-table tbody .response-col_description")
    answer.first.wait_for()
    assert '"status": "в процессе"' in answer.first.inner_text()
    assert browser.faults == []


def test_a_wrong_password_is_explained(browser: Browser) -> None:
    browser.fill_in("wrong password")
    browser.page.click(".auth-container .authorize")
    message = browser.page.locator(".auth-container .errors")
    message.wait_for()
    assert "The e-mail or the password is wrong." in message.inner_text()


def test_a_reload_keeps_the_token_and_no_password(browser: Browser) -> None:
    browser.log_in()
    browser.page.reload()
    browser.page.wait_for_selector(".btn.authorize.locked")
    kept = browser.page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
    assert "access_token" in kept
    assert PASSWORD not in kept
    browser.page.click(".btn.authorize")
    browser.page.click(".auth-container >> text=Logout")
    browser.page.reload()
    browser.page.wait_for_selector(".btn.authorize.unlocked")


def test_the_dialog_asks_for_name_and_password_only(browser: Browser) -> None:
    browser.page.click(".btn.authorize")
    fields = browser.page.locator(".auth-container input, .auth-container select")
    shown = [field.get_attribute("id") for field in fields.all() if field.is_visible()]
    assert shown == ["oauth_username", "oauth_password"]
    assert "scopes" not in browser.page.locator(".auth-container").first.inner_text().lower()


def test_the_page_loads_nothing_from_other_hosts(browser: Browser) -> None:
    browser.log_in()
    browser.page.click(f"{CREATE} .opblock-summary-control")
    assert {url.split("/")[2] for url in browser.requests if not url.startswith("data:")} == {
        browser.url.split("/")[2]
    }
    blocked = browser.page.evaluate(
        """() => new Promise(resolve => {
            document.addEventListener("securitypolicyviolation", e => resolve(e.violatedDirective));
            const script = document.createElement("script");
            script.textContent = "window.injected = true";
            document.body.append(script);
            setTimeout(() => resolve("none"), 60_000);
        })"""
    )
    assert blocked == "script-src-elem"
    assert browser.page.evaluate("window.injected") is None


def test_axe_finds_no_critical_violation(browser: Browser) -> None:
    require_path(AXE, install="npm ci, in .ci/judges")
    browser.page.evaluate(AXE.read_text())
    found = browser.page.evaluate("axe.run()")
    critical = [rule for rule in found["violations"] if rule["impact"] == "critical"]
    assert critical == [], json.dumps(critical, indent=2)


@pytest.mark.parametrize("path", ["/problems", "/problems/invalid-token-request"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_problem_pages_fit_a_phone_in_both_color_schemes(
    browser: Browser, path: str, scheme: str
) -> None:
    require_path(AXE, install="npm ci, in .ci/judges")
    browser.page.emulate_media(color_scheme=scheme)
    browser.page.set_viewport_size({"width": 375, "height": 800})
    browser.page.goto(browser.url + path)
    assert browser.page.evaluate("document.documentElement.scrollWidth") == 375
    background = browser.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(28, 32, 34)"}[scheme]
    browser.page.evaluate(AXE.read_text())
    found = browser.page.evaluate("axe.run()")
    assert found["violations"] == [], json.dumps(found["violations"], indent=2)
    assert browser.faults == []
