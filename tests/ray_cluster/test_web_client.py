"""From a cluster that was just started to a like, as somebody does it who has never seen one (four actions), and by way
of an account of one's own: Chromium on a served cluster of two workers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from mastodon import Mastodon
from playwright.sync_api import Page, expect

from tests.browser.opening import WAIT_MS, launched, needs_chromium
from tests.ray_cluster.rounds import new_person
from tests.serving import ServedCluster, wait_for

pytestmark = [
    pytest.mark.ray, pytest.mark.slow, pytest.mark.browser, pytest.mark.timeout(400),
    pytest.mark.xdist_group("watched"), needs_chromium,
]  # fmt: skip

_names = itertools.count()


@pytest.fixture(scope="module")
def base(watched: ServedCluster) -> str:
    return f"http://127.0.0.1:{watched.port}"


@pytest.fixture
def page(base: str) -> Iterator[Page]:
    with launched() as browser:
        context = browser.new_context(base_url=base, locale="en-GB", service_workers="block")
        context.set_default_timeout(WAIT_MS)
        made = context.new_page()
        problems: list[str] = []
        made.on("pageerror", lambda error: problems.append(str(error)))
        made.on("console", lambda message: message.type == "error" and problems.append(message.text))
        yield made
        assert problems == []


@pytest.fixture
def bob(base: str) -> Mastodon:
    return new_person(base, f"web_{next(_names)}")


def like(page: Page, bob: Mastodon, said: str, text: str) -> None:
    post = page.get_by_role("article").filter(has_text=text).first
    post.get_by_role("button", name="Like").click()
    wait_for(lambda: bob.status(said).favourites_count == 1)


def test_from_the_link_of_the_terminal_to_a_like_and_over_a_reload(base, page, bob):
    ada = new_person(base, f"web_{next(_names)}")
    ada.account_follow(bob.me().id)
    said = bob.status_post("a kite over the dunes").id
    page.goto(f"/signed-in#token={ada.access_token}")
    expect(page.get_by_text(f"@{ada.me().username}").first).to_be_visible()
    assert "token" not in page.url
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("a kite over the dunes")).to_be_visible()
    like(page, bob, said, "a kite over the dunes")
    page.reload()
    expect(page.get_by_text("a kite over the dunes")).to_be_visible()
    stored = page.evaluate("() => JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
    assert ada.access_token not in stored


def test_who_makes_an_account_lands_in_the_client_and_likes_what_everybody_may_read(base, page, bob):
    said = bob.status_post("everybody reads this").id
    name = f"web_{next(_names)}"
    page.goto("/")
    expect(page.get_by_text("everybody reads this").first).to_be_visible()
    page.get_by_role("button", name="Make an account").or_(
        page.get_by_role("link", name="Make an account")
    ).first.click()
    page.fill("input[name='user[account_attributes][username]']", name)
    page.fill("input[name='user[email]']", f"{name}@example.org")
    page.fill("input[name='user[password]']", "a long enough password")
    page.check("input[name='user[agreement]'][type=checkbox]")
    page.locator("form button[type=submit], form button").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Home")
    page.goto(f"/@{bob.me().username}/{said}")
    like(page, bob, said, "everybody reads this")
