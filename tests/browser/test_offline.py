"""What the service worker keeps: files and the shell for when there is no network, and no answers."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect


@pytest.fixture
def controlled(site, open_page) -> Page:
    """A page of Ada's whose service worker is at work."""
    page = open_page("/", site.ada, workers=True)
    expect(page.get_by_role("article").first).to_be_visible()
    page.evaluate("""() => navigator.serviceWorker.ready.then(() => navigator.serviceWorker.controller
        || new Promise((done) => navigator.serviceWorker.addEventListener("controllerchange", done, {once: true}))
    ).then(() => true)""")
    return page


def test_the_service_worker_keeps_files_and_the_shell_and_no_answers(controlled):
    kept = controlled.evaluate("""async () => {
        const found = [];
        for (const name of await caches.keys())
            for (const request of await (await caches.open(name)).keys()) found.push(new URL(request.url).pathname);
        return found;
    }""")
    assert "/" in kept
    assert any(path.endswith("/main.js") for path in kept)
    others = [path for path in kept if not path.startswith("/assets/")]
    assert sorted(others) == ["/", "/favicon.svg", "/manifest.webmanifest"]
