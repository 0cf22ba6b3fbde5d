"""A conversation: the opened post stays where it is while what it answers arrives; what is left out is said."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.looks import answered, go

TOP = "() => document.querySelector('rk-thread .opened').getBoundingClientRect().top"


def thread(site, length: int):
    """Return (writers, statuses of a thread in which each answers the one before)."""
    ada, bob = site.people(2)
    said = [ada.post("The first of the thread")]
    for number in range(1, length):
        who = (bob, ada)[number % 2]
        said.append(who.post(f"Answer {number}. " + "Words to fill some lines. " * 6, in_reply_to_id=said[-1]["id"]))
    return ada, bob, said


def test_the_opened_post_stays_where_it_is_while_ancestors_arrive(site, open_page):
    ada, bob, said = thread(site, 12)
    opened = said[8]
    page = open_page("/keys", ada, height=600)
    held = []
    page.route("**/context*", lambda route: held.append(route))
    go(page, f"/@{bob.name}/{opened['id']}")
    expect(page.locator("rk-thread .opened rk-status")).to_be_visible()
    before = page.evaluate(TOP)
    for route in held:
        route.continue_()
    expect(page.locator("rk-thread .above .item")).to_have_count(8)
    assert abs(page.evaluate(TOP) - before) < 1
    expect(page.locator("rk-thread .below .item")).to_have_count(3)
    assert abs(page.evaluate(TOP) - before) < 1
    assert page.evaluate("scrollY") > 0


def test_what_is_left_out_is_said(site, open_page):
    open_page.allow("404")  # what everybody may see of a deleted post
    ada, bob, said = thread(site, 3)
    cleo = site.person()
    hides = {"title": "Spoilers", "context": ["thread"], "filter_action": "hide"}
    ada.ask("POST", "v2/filters", **hides, keywords_attributes=[{"keyword": "plot"}])
    bob.post("The plot is this", in_reply_to_id=said[0]["id"])
    cleo.post("Seen by nobody whom I block", in_reply_to_id=said[0]["id"])
    ada.ask("POST", f"v1/accounts/{cleo.user_id}/block")
    page = open_page(f"/@{ada.name}/{said[0]['id']}", ada)
    covered = page.locator(".below .item", has_text="Spoilers")
    expect(covered).to_be_visible()
    expect(page.get_by_text("The plot is this")).to_be_hidden()
    covered.locator("button.reveal").click()
    expect(page.get_by_text("The plot is this")).to_be_visible()
    expect(page.get_by_text("isn't shown: deleted, from somebody blocked")).to_be_visible()
    ada.ask("DELETE", f"v1/statuses/{said[0]['id']}")
    page.goto(f"/@{bob.name}/{said[1]['id']}")
    expect(page.get_by_text("What this answers can't be shown")).to_be_visible()


def test_a_gone_post_and_a_failing_server_are_said_and_asked_again(site, open_page):
    open_page.allow("404", "500")
    ada, _, said = thread(site, 2)
    page = open_page(f"/@{ada.name}/1", ada)
    expect(page.get_by_role("alert")).to_contain_text("deleted, or isn't for you")
    with answered(page, f"/statuses/{said[0]['id']}/context", 500, '{"error": "the shard stumbled"}'):
        page.goto(f"/@{ada.name}/{said[0]['id']}")
        expect(page.get_by_role("alert")).to_contain_text("the shard stumbled")
        expect(page.get_by_text("The first of the thread")).to_be_visible()
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("rk-thread .below .item")).to_have_count(1)


def test_who_liked_and_reposted_is_shown(site, open_page):
    ada, bob, said = thread(site, 1)
    bob.ask("POST", f"v1/statuses/{said[0]['id']}/favourite")
    page = open_page(f"/@{ada.name}/{said[0]['id']}?part=likes", ada)
    expect(page.locator(".rk-account")).to_contain_text(bob.name)
    page.get_by_role("link", name="Reposts").click()
    expect(page.get_by_text("Nobody yet.")).to_be_visible()
