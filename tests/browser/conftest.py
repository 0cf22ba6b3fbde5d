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

import os
from collections.abc import Callable, Iterator

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, Page

from tests.browser.opening import PROGRAM, WAIT_MS, Opener, launched, mark, unmark
from tests.browser.site import Site, serving
from tests.components import REQUIRED

__all__ = ["WAIT_MS"]
AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
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
    """The one browser."""
    with launched() as started:
        yield started


@pytest.fixture(autouse=True)
def other_loops_may_run_afterwards() -> Iterator[None]:
    """See opening.py."""
    mark()
    yield
    unmark()


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
