"""Debian's Chromium by Playwright, and pages in it that note whatever goes wrong in them.

Rules of this file
- Playwright has its event loop marked as running between calls, in which no other test of this process could run one:
  whoever has started a browser calls `unmark` when a test is over, and `mark` when the next one begins.
- Playwright's own browsers aren't used. Chromium refuses to run as root in its sandbox, and there alone is without.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from api.oauth.web_cookie import cookie_name_of
from tests.browser.site import Person, Site
from tests.components import needs

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = needs(PROGRAM, "Chromium")
WAIT_MS = 60_000
_loops: list[asyncio.AbstractEventLoop] = []  # Playwright's, while there is a browser


@contextmanager
def launched() -> Iterator[Browser]:
    """Run a browser while the block runs."""
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as driver:
        expect.set_options(timeout=WAIT_MS)
        _loops.append(asyncio.get_running_loop())
        browser = driver.chromium.launch(executable_path=PROGRAM, args=[*options, "--disable-dev-shm-usage"])
        try:
            yield browser
        finally:
            mark()
            _loops.clear()
            browser.close()
    unmark()


def mark() -> None:
    """Let Playwright go on, if there is a browser."""
    if _loops:
        asyncio._set_running_loop(_loops[0])


def unmark() -> None:
    """Let other loops run."""
    asyncio._set_running_loop(None)


class Opener:
    """Opens pages and notes what goes wrong in them."""

    def __init__(self, browser: Browser, site: Site | None) -> None:
        """site: whose pages are opened, if none is named."""
        self._browser, self._site = browser, site
        self._contexts: list[BrowserContext] = []
        self._allowed: list[str] = []
        self.problems: list[str] = []

    def allow(self, *texts: str) -> None:
        """Let problems pass that hold one of these texts."""
        self._allowed += texts

    def __call__(
        self, path: str = "/", person: Person | None = None, *, site: Site | None = None, width: int = 1_280,
        height: int = 800, dark: bool = False, rtl: bool = False, touch: bool = False, workers: bool = False,
        **context: Any,
    ) -> Page:  # fmt: skip
        """Return a page at a path. person: who is signed in."""
        site = site or self._site
        assert site is not None
        made = self._browser.new_context(
            base_url=site.address, viewport={"width": width, "height": height}, has_touch=touch, is_mobile=touch,
            color_scheme="dark" if dark else "light", locale="ar" if rtl else "en-GB", timezone_id="UTC",
            reduced_motion="reduce", service_workers="allow" if workers else "block", **context,
        )  # fmt: skip
        self._contexts.append(made)
        made.set_default_timeout(WAIT_MS)
        if person is not None:
            made.add_cookies([{"name": cookie_name(site), "value": person.token, "url": f"{site.address}/oauth/web",
                               "httpOnly": True, "sameSite": "Strict"}])  # fmt: skip
        if rtl:
            made.add_init_script("document.documentElement.dir = 'rtl'")
        page = made.new_page()
        page.problems = self.problems
        page.offline = made.set_offline
        page.on("console", self._note)
        page.on("pageerror", lambda error: self._say(f"thrown: {error}"))
        page.goto(path)
        return page

    def _note(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._say(f"{message.text} ({message.location.get('url', '')})")

    def _say(self, text: str) -> None:
        if not any(each in text for each in self._allowed):
            self.problems.append(text)

    def close(self) -> None:
        """Close the pages."""
        while self._contexts:
            self._contexts.pop().close()


def cookie_name(site: Site) -> str:
    """Return the name of the cookie that keeps somebody signed in."""
    return cookie_name_of(site.cluster.outgoing_keys, is_secure=False)
