"""All other screens: what each is for works, and each is whole in both themes and directions, wide and narrow."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.looks import TARGETS, faults_of, go

PARTS = 4  # tests that share the screens: a slow machine does a few within a test's time


@pytest.fixture(scope="module")
def settled(site):
    """Somebody with something on every screen."""
    who, friend = site.people(2)
    who.follow(friend, site.bob)
    friend.follow(who)
    said = friend.post("Something to keep, about #harbours")
    for what in ("bookmark", "favourite"):
        who.ask("POST", f"v1/statuses/{said['id']}/{what}")
    friend.post(f"@{who.name} between us", visibility="direct")
    made = who.ask("POST", "v1/lists", title="Close ones")
    who.ask("POST", f"v1/lists/{made['id']}/accounts", account_ids=[friend.user_id])
    who.ask("POST", "v2/filters", title="Noise", context=["home"], keywords_attributes=[{"keyword": "noise"}])
    who.ask("POST", f"v1/accounts/{site.cleo.user_id}/mute", duration=3600)
    who.ask("POST", "v1/tags/kites/follow")
    return who, friend, said, made["id"]


def screens(settled) -> list[str]:
    who, friend, said, list_id = settled
    parts = (
        "look",
        "reading",
        "keys",
        "notifications",
        "profile",
        "filters",
        "muted",
        "blocked",
        "requests",
        "tags",
        "account",
    )
    return [
        "/explore", "/explore?part=tags", "/explore?part=directory", "/explore?part=people", "/search", "/messages",
        "/search?q=harbours", "/notifications", "/notifications?part=policy", "/bookmarks", "/likes", "/lists",
        f"/lists/{list_id}", f"/lists/{list_id}?part=members", f"/lists/{list_id}?part=rules", f"/@{friend.name}",
        f"/@{who.name}?part=followers", f"/@{friend.name}/{said['id']}", "/tags/harbours", "/keys",
        *(f"/settings?part={part}" for part in parts),
    ]  # fmt: skip


@pytest.mark.parametrize("part", range(PARTS))
def test_every_screen_is_whole_in_every_look(open_page, axe, settled, part):
    page = open_page("/keys", settled[0])
    faults = []
    for turn, path in enumerate(screens(settled)[part::PARTS]):
        go(page, path)
        expect(page.locator("[aria-busy=true]:visible")).to_have_count(0)
        expect(page.locator("main h1")).to_have_count(1)
        expect(page.locator("main h1")).not_to_be_empty()  # a screen that is still loaded has no name yet
        faults += [f"{path}: {fault}" for fault in faults_of(page, axe, turn)]
    assert not faults, "\n".join(faults)


def test_fingers_find_their_targets(open_page, settled):
    page = open_page("/keys", settled[0], width=320, touch=True)
    faults = []
    for path in screens(settled):
        go(page, path)
        expect(page.locator("[aria-busy=true]:visible")).to_have_count(0)
        faults += [f"{path}: {fault}" for fault in page.evaluate(TARGETS, 44)]
    assert not faults, "\n".join(faults)
