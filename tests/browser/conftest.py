"""Chromium on the web client: fixtures for all tests of this folder, which carry the marker `browser` by themselves.

How a test is written

    def test_a_like_is_seen_by_others(site, open_page):
        ada, bob = site.people(2)                       # people of this test's own: the site is shared by all
        said = bob.post("hello")                        # a Mastodon status; `bob.ask("GET", "v1/...")` asks anything
        page = open_page(f"/@{bob.name}/{said['id']}", ada)     # signed in as Ada; without her: nobody
        page.get_by_role("button", name="Like").click()         # Playwright's own page; it waits by itself
        expect(page.get_by_role("button", name="Unlike")).to_be_visible()
        assert not page.problems                        # asserted for you at the end

    def test_it_is_accessible(open_page, axe):
        assert axe(open_page("/explore")) == []         # one line for each violation

Rules of this file
- One browser and one site a session; each test has pages (contexts) of its own. A site with other settings:
  `with serving(auth_mode="open") as site` of site.py; it costs 0.5 s.
- Whatever a page says in its console as an error, throws, or is refused by the policy fails its test. A test that
  provokes it says so first: `open_page.allow("503")` allows messages that hold this text.
- Nothing sleeps: Playwright's `expect` waits for what must become true, at most WAIT_MS.
- `open_page(path, person, width=..., height=..., dark=True, rtl=True, touch=True, workers=True, **context)`;
  service workers are blocked unless `workers` asks for them.
- `page.offline(True)` cuts the network. `page.page` isn't needed: what `open_page` returns is the page itself.
- The machine of CI is slow: no time is measured here.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from tests.browser.site import Person, Site, serving
from tests.components import REQUIRED

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WAIT_MS = 60_000
AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_loops: list[asyncio.AbstractEventLoop] = []  # Playwright's, while there is a browser
_FOLDER = os.path.dirname(__file__)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark this folder's tests: all of them share one browser, in one worker of pytest-xdist."""
    for item in items:
        if str(item.path).startswith(_FOLDER):
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.xdist_group("browser"))
            if PROGRAM is None and not REQUIRED:
                item.add_marker(pytest.mark.skip(reason="needs Chromium"))


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """The site that all tests share; see site.py for who is there."""
    with serving() as served:
        yield served


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; Playwright's own browsers aren't used."""
    options = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium refuses to run as root otherwise
    with sync_playwright() as driver:
        expect.set_options(timeout=WAIT_MS)
        _loops.append(asyncio.get_running_loop())
        started = driver.chromium.launch(executable_path=PROGRAM, args=[*options, "--disable-dev-shm-usage"])
        yield started
        asyncio._set_running_loop(_loops.pop())
        started.close()
    asyncio._set_running_loop(None)


@pytest.fixture(autouse=True)
def no_loop_is_left() -> Iterator[None]:
    """Playwright has its event loop marked as running between calls: no other test of this process could run one."""
    if _loops:
        asyncio._set_running_loop(_loops[0])
    yield
    asyncio._set_running_loop(None)


class Opener:
    """Opens pages and notes what goes wrong in them."""

    def __init__(self, browser: Browser, site: Site) -> None:
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
        for each in self._contexts:
            each.close()


def cookie_name(site: Site) -> str:
    """Return the name of the cookie that keeps somebody signed in."""
    from api.oauth.web_session import cookie_name_of

    return cookie_name_of(site.cluster.outgoing_keys, is_secure=False)


@pytest.fixture
def open_page(browser: Browser, site: Site) -> Iterator[Opener]:
    """See the head of the file."""
    opener = Opener(browser, site)
    yield opener
    opener.close()
    assert opener.problems == []


@pytest.fixture
def page(open_page: Opener) -> Page:
    """The start page, of nobody."""
    return open_page("/")


@pytest.fixture(scope="session")
def axe() -> Callable[..., list[str]]:
    """Return what axe-core finds wrong with a page, a line for each violation. within: a selector, the page by default.

    It runs by `evaluate`: a script in the page falls to the page's own policy.
    """

    def run(page: Page, within: str | None = None) -> list[str]:
        if not page.evaluate("() => 'axe' in window"):
            page.evaluate(AXE_SCRIPT)
        options = {"resultTypes": ["violations"], "runOnly": AXE_TAGS}
        found = page.evaluate(
            "([within, options]) => axe.run(within || document, options)", [within, options]
        )["violations"]  # fmt: skip
        return [
            f"{each['id']}: {each['help']}: {node['html'][:200]} {node['failureSummary'][:300]}"
            for each in found for node in each["nodes"]
        ]  # fmt: skip

    return run
