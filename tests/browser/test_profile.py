"""A profile: who it is, following with its real states, the menu, one's own with pictures."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.looks import answered
from tests.browser.site import png


def follow_button(page, name):
    return page.locator("rk-profile .rk-header rk-follow button")


def test_follow_shows_its_real_state_at_once_and_older_posts_are_in_home(site, open_page):
    ada, bob = site.people(2)
    older = bob.post("written before anybody followed")
    page = open_page(f"/@{bob.name}", ada)
    button = follow_button(page, bob.name)
    expect(button).to_have_text("Follow")
    with page.expect_response("**/follow") as answer:
        button.click()
        expect(button).to_have_text("Following")
    assert answer.value.ok
    assert older["id"] in [each["id"] for each in ada.ask("GET", "v1/timelines/home")]
    button.click()
    expect(button).to_have_text("Follow")
    page.get_by_role("button", name="Undo").click()
    expect(button).to_have_text("Following")


def test_a_locked_account_is_asked_and_who_follows_is_said(site, open_page):
    ada, bob = site.people(2)
    bob.follow(ada)
    bob.ask("PATCH", "v1/accounts/update_credentials", locked=True)
    page = open_page(f"/@{bob.name}", ada)
    expect(page.locator(".state")).to_contain_text("Follows you")
    button = follow_button(page, bob.name)
    expect(button).to_have_text("Follow back")
    button.click()
    expect(button).to_have_text("Requested")
    expect(page.locator(".state")).to_contain_text("You asked to follow")
    button.click()
    expect(button).to_have_text("Follow back")


def test_a_refused_follow_is_taken_back_and_said(site, open_page):
    open_page.allow("503")
    ada, bob = site.people(2)
    page = open_page(f"/@{bob.name}", ada)
    button = follow_button(page, bob.name)
    expect(button).to_be_enabled()
    with answered(page, f"/{bob.user_id}/follow", 503, '{"error": "too much at once"}'):
        button.click()
        expect(page.get_by_text("too much at once")).to_be_visible()
        expect(button).to_have_text("Follow")


def test_the_menu_mutes_blocks_and_reports(site, open_page):
    ada, bob = site.people(2)
    page = open_page(f"/@{bob.name}", ada)
    more = page.get_by_role("button", name=f"More about @{bob.name}")
    expect(follow_button(page, bob.name)).to_be_enabled()
    more.click()
    page.get_by_role("menuitem", name="Mute…").click()
    page.get_by_label("For how long").select_option("3600")
    page.get_by_role("dialog").get_by_role("button", name="Mute", exact=True).click()
    expect(page.locator(".state")).to_contain_text("You mute this account until")
    more.click()
    page.get_by_role("menuitem", name="Report…").click()
    page.get_by_label("What the operator should know").fill("Spam, again and again")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("The report was sent")).to_be_visible()
    page.get_by_role("button", name="Done").click()
    more.click()
    page.get_by_role("menuitem", name="Block").click()
    page.get_by_role("dialog").get_by_role("button", name="Block", exact=True).click()
    expect(page.locator(".state")).to_contain_text("You block this account")
    expect(follow_button(page, bob.name)).to_have_text("Unblock")
    (stands,) = ada.ask("GET", f"v1/accounts/relationships?id[]={bob.user_id}")
    assert stands["muting"] is stands["blocking"] is stands["muting_notifications"] is True


def test_parts_show_what_they_say_by_keyboard_alone(site, open_page):
    bob = site.person()
    root = bob.post("A post of mine")
    bob.post("Answering myself, elsewhere", in_reply_to_id=site.cleo.post("hm")["id"])
    bob.post("With a picture", media_ids=[bob.picture("A square")])
    bob.ask("POST", f"v1/statuses/{root['id']}/favourite")
    page = open_page(f"/@{bob.name}", bob)
    expect(page.get_by_text("A post of mine")).to_be_visible()
    expect(page.get_by_text("Answering myself")).to_have_count(0)
    for part, text in (("Replies", "Answering myself"), ("Media", "With a picture"), ("Likes", "A post of mine")):
        page.get_by_role("link", name=re.compile(f"^{part}")).focus()
        page.keyboard.press("Enter")
        expect(page.locator("rk-profile rk-feed").get_by_text(text)).to_be_visible()
        assert page.url.endswith(f"?part={part.lower()}")


def test_nobody_is_said_and_strangers_see_no_buttons(site, open_page):
    open_page.allow("404")
    page = open_page("/@nobody_at_all")
    expect(page.get_by_role("alert")).to_contain_text("There is no account @nobody_at_all")
    page.goto("/@bob")
    expect(page.locator("rk-profile p.who")).to_contain_text("bob")
    expect(page.locator("rk-follow")).to_have_count(0)


def test_ones_own_profile_is_edited_with_its_picture(site, open_page):
    ada = site.person()
    page = open_page(f"/@{ada.name}", ada)
    page.get_by_role("link", name="Edit profile").click()
    page.get_by_label("Name", exact=True).fill("Ada, the first")
    page.get_by_label("About you").fill("I write of kites.")
    page.get_by_label("Label 1").fill("Home")
    page.get_by_label("Content 1").fill("the sea")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved", exact=True)).to_be_visible()
    picture = {"name": "a.png", "mimeType": "image/png", "buffer": png(64, 64)}
    with page.expect_response("**/update_credentials") as answer:
        page.get_by_label("Choose a picture").first.set_input_files(picture)
    assert answer.value.ok
    own = ada.ask("GET", "v1/accounts/verify_credentials")
    assert (own["display_name"], own["source"]["note"]) == ("Ada, the first", "I write of kites.")
    assert own["source"]["fields"][0]["value"] == "the sea"
    assert "/avatars/" not in own["avatar"]
