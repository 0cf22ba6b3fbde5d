"""Notifications: grouped, by kind, read where one has read, the same number in every tab, requests and policy."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.serving import wait_for

BADGE = ".rk-nav .badge"


def test_groups_kinds_and_dismissing(site, open_page):
    ada, bob, cleo = site.people(3)
    said = ada.post("like this")
    for who in (bob, cleo):
        who.ask("POST", f"v1/statuses/{said['id']}/favourite")
    bob.follow(ada)
    bob.post(f"@{ada.name} hello there")
    page = open_page("/notifications", ada)
    expect(page.locator(".rk-notice")).to_have_count(3)
    liked = page.locator(".rk-notice.favourite")
    expect(liked).to_contain_text("liked your post")
    expect(liked).to_contain_text(bob.name)
    expect(liked).to_contain_text(cleo.name)
    page.get_by_role("link", name="Mentions").click()
    expect(page.locator(".rk-notice")).to_have_count(1)
    expect(page.locator(".rk-notice")).to_contain_text("hello there")
    page.locator(".rk-notice").get_by_role("button", name="Dismiss").click()
    expect(page.locator(".rk-notice")).to_have_count(0)


def test_what_was_seen_is_read_and_every_tab_agrees(site, open_page):
    ada, bob = site.people(2)
    bob.follow(ada)
    bob.post(f"@{ada.name} one")
    page = open_page("/explore", ada)
    expect(page.locator(BADGE)).to_contain_text("2")
    other = page.context.new_page()
    other.goto("/notifications")
    expect(other.locator(".rk-notice.unread")).to_have_count(2)
    newest = ada.ask("GET", "v1/notifications")[0]["id"]
    wait_for(lambda: read_up_to(ada) == newest)
    for each in (page, other):
        expect(each.locator(BADGE)).to_be_hidden()
    bob.post(f"@{ada.name} two")
    expect(page.locator(BADGE)).to_contain_text("1")
    expect(other.get_by_role("button", name="Show 1 new notification")).to_be_visible()
    expect(other.locator(".rk-notice")).to_have_count(2)
    other.get_by_role("button", name="Show 1 new notification").click()
    expect(other.locator(".rk-notice")).to_have_count(3)
    expect(page.locator(BADGE)).to_be_hidden()


def read_up_to(person) -> str:
    return person.ask("GET", "v1/markers?timeline[]=notifications").get("notifications", {}).get("last_read_id")


def test_follow_requests_are_answered(site, open_page):
    ada, bob = site.people(2)
    ada.ask("PATCH", "v1/accounts/update_credentials", locked=True)
    bob.follow(ada)
    page = open_page("/notifications", ada)
    page.locator(".rk-notice.follow_request").get_by_role("button", name="Allow").click()
    expect(page.locator(".rk-notice.follow_request")).to_have_count(0)
    (stands,) = bob.ask("GET", f"v1/accounts/relationships?id[]={ada.user_id}")
    assert stands["following"] is True


def test_the_policy_lets_wait_and_requests_let_through(site, open_page):
    ada, bob = site.people(2)
    page = open_page("/notifications?part=policy", ada)
    with page.expect_response("**/notifications/policy") as answer:
        page.locator("select[name=for_not_following]").select_option("filter")
    assert answer.value.ok
    bob.post(f"@{ada.name} may I?")
    page.goto("/notifications?part=requests")
    expect(page.locator(".rk-account")).to_contain_text(bob.name)
    page.get_by_role("button", name="Allow").click()
    expect(page.locator(".rk-account")).to_have_count(0)
    assert ada.ask("GET", "v1/notifications")[0]["status"]["content"].find("may I?") > 0
