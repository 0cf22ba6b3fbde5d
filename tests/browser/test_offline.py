"""Without a network: the client starts with what the device has, and says so; the service worker keeps no answers."""

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


def test_it_starts_with_the_newest_of_home_and_says_that_it_is_offline(controlled, open_page):
    page = controlled
    first = page.get_by_role("article").first.inner_text()
    page.wait_for_function("""() => new Promise((done) => {
        const asked = indexedDB.open("rookery");
        asked.onerror = () => done(false);
        asked.onsuccess = () => {
            const base = asked.result;
            if (!base.objectStoreNames.contains("kept")) { base.close(); done(false); return; }
            const got = base.transaction("kept").objectStore("kept").get("home");
            got.onsuccess = () => { base.close(); done(Boolean(got.result)); };
            got.onerror = () => { base.close(); done(false); };
        };
    })""")
    open_page.allow("ERR_INTERNET_DISCONNECTED", "WebSocket", "Failed to fetch")
    page.offline(True)
    page.reload()
    expect(page.get_by_role("article").first).to_be_visible()
    assert page.get_by_role("article").first.inner_text().splitlines()[0] == first.splitlines()[0]
    expect(page.get_by_text("offline", exact=False).first).to_be_visible()


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
