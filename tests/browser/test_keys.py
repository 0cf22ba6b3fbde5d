"""Keys: one table, of which the dispatcher, the dialog, the page and the documents are made."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.looks import has_keys

DOCUMENT = Path(__file__).parents[2] / "docs" / "web.md"
BROWSERS_OWN = {"PageUp", "PageDown", "Home", "End", " ", "Space", "ArrowUp", "ArrowDown", "Tab"}


@pytest.fixture
def table(open_page) -> list[dict]:
    """The rows of state/keys.js."""
    page = open_page("/keys")
    address = page.locator("script[type=module]").get_attribute("src").rpartition("/")[0]
    return page.evaluate("async (address) => (await import(address)).KEYS", f"{address}/state/keys.js")


def test_no_key_means_two_things_and_none_is_taken_from_the_browser(table):
    keys = [key for row in table for key in row["keys"]]
    assert len(keys) == len(set(keys))
    firsts = {key.split(" ")[0] for key in keys if " " in key}
    assert not firsts & set(keys)
    assert not {part for key in keys for part in re.split(r"[ +]", key)} & BROWSERS_OWN


def shown_as(key: str) -> str:
    return key.replace("Escape", "Esc").replace(" ", " then ")


def rows_on(page: Page, within: str) -> list[tuple[str, str]]:
    rows = page.locator(f"{within} .rk-keys tbody tr")
    expect(rows.first).to_be_visible()
    return [tuple(re.sub(r"\s+", " ", cell).strip() for cell in row) for row in page.evaluate(
        "(within) => [...document.querySelectorAll(within + ' .rk-keys tbody tr')]"
        ".map((row) => [...row.children].map((cell) => cell.textContent))", within)]  # fmt: skip


def test_page_dialog_and_documents_show_the_table(table, open_page):
    wanted = [(" or ".join(map(shown_as, row["keys"])), row["words"]) for row in table]
    page = has_keys(open_page("/keys"))
    assert rows_on(page, "main") == wanted
    page.keyboard.press("?")
    assert rows_on(page, "dialog[open]") == wanted
    page.keyboard.press("Escape")
    expect(page.locator("dialog[open]")).to_have_count(0)
    text = DOCUMENT.read_text(encoding="utf-8").partition("<!-- keys -->")[2].partition("<!-- end of keys -->")[0]
    lines = [line.strip("| ").split("|") for line in text.splitlines() if line.startswith("| `")]
    written = [tuple(cell.strip().replace("`", "") for cell in line) for line in lines]
    assert written == wanted


def test_sequences_go_places_and_typing_is_typing(site, open_page):
    page = has_keys(open_page("/keys", site.ada))
    expect(page.get_by_role("heading", level=1)).to_have_text("Keys")
    places = {"gn": "/notifications", "gb": "/bookmarks", "ge": "/explore", "gp": "/@ada", "gs": "/settings", "gh": "/"}
    for keys, path in places.items():
        for key in keys:
            page.keyboard.press(key)
        page.wait_for_url(f"{site.address}{path}")
    page.keyboard.press("/")
    page.wait_for_url(f"{site.address}/search")
    field = page.get_by_role("combobox")
    expect(field).to_be_focused()
    page.keyboard.type("g h?")
    expect(field).to_have_value("g h?")
    assert page.url == f"{site.address}/search"


def test_single_keys_can_be_switched_off(site, open_page):
    page = has_keys(open_page("/keys", site.ada))
    page.get_by_role("checkbox", name="Single keys act").uncheck()
    page.keyboard.press("g")
    page.keyboard.press("h")
    page.keyboard.press("?")
    expect(page.locator("dialog[open]")).to_have_count(0)
    page.get_by_role("checkbox", name="Single keys act").check()
    page.keyboard.press("?")
    expect(page.locator("dialog[open]")).to_have_count(1)
    assert page.url == f"{site.address}/keys"


def test_flows_go_by_keys_alone(site, open_page):
    """A profile, a post of it, its conversation, its author, notifications: without a pointer."""
    ada, bob = site.people(2)
    said = bob.post("to be found by keys")
    bob.post(f"@{ada.name} an answer", in_reply_to_id=said["id"])
    page = has_keys(open_page(f"/@{bob.name}", ada))
    expect(page.get_by_text("to be found by keys")).to_be_visible()
    page.keyboard.press("j")
    expect(page.locator("article:focus")).to_contain_text("an answer")
    page.keyboard.press("j")
    expect(page.locator("article:focus")).to_contain_text("to be found by keys")
    page.keyboard.press("l")
    expect(page.locator("article:focus").get_by_role("button", name="Like")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{site.address}/@{bob.name}/{said['id']}")
    expect(page.locator("rk-thread .below")).to_contain_text("an answer")
    for key in "gn":
        page.keyboard.press(key)
    page.wait_for_url(f"{site.address}/notifications")
    expect(page.locator(".rk-notice:visible")).to_contain_text("an answer")
    page.keyboard.press("j")
    expect(page.locator("article:focus")).to_contain_text("an answer")
    page.keyboard.press("u")
    page.wait_for_url(f"{site.address}/@{bob.name}")
