"""A browser without a window, for what looks at the page; whoever has none is told so."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def chromium(playwright: Playwright) -> str | None:
    """Where one is: the system's, or else what `playwright install chromium` has brought."""
    own = playwright.chromium.executable_path
    return next(filter(None, map(shutil.which, NAMES)), own if Path(own).exists() else None)


@contextmanager
def browsing() -> Iterator[Browser]:
    """The browser; the test is skipped if there is none."""
    with sync_playwright() as playwright:
        path = chromium(playwright)
        if path is None:
            pytest.skip("no Chromium: apt-get install chromium, or .venv/bin/playwright install chromium")
        sandbox = ["--no-sandbox"] if os.getuid() == 0 else []  # which Chromium refuses to have as root
        browser = playwright.chromium.launch(executable_path=path, args=sandbox)
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """A page in a context of its own, and all that it asked for and complained of."""

    def __init__(self, browser: Browser, url: str, **context: Any) -> None:
        self._context = browser.new_context(**context)
        self.page: Page = self._context.new_page()
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", self._listen)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(url)

    def _listen(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def run(self, script: str, given: Any = None) -> Any:
        """What an async function in the page returns."""
        return self.page.evaluate(script, given)

    def texts(self, selector: str) -> list[str]:
        """Of all elements that fit."""
        return self.page.locator(selector).all_inner_texts()

    def wait(self, selector: str, text: str, seconds: float = 40) -> None:
        """Until an element that fits has `text`."""
        self.page.locator(selector, has_text=text).first.wait_for(timeout=1000 * seconds)

    def close(self) -> None:
        """Close it; it has asked nobody but who has served it."""
        origin = self.page.evaluate("location.origin")
        self._context.close()
        assert [url for url in self.asked if not url.startswith(f"{origin}/")] == []
