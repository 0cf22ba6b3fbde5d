"""Flow 3, in a browser: who writes loses nothing and posts nothing twice, whatever network, page and server do."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, Route, expect

from api.web.assets import client_files
from tests.browser.site import Person, png
from tests.serving import wait_for

CHARS_MAX = 280


def text_of(page: Page):
    """Return where one writes."""
    return page.get_by_role("textbox", name="Text of the post")


def compose(page: Page, **asked) -> None:
    """Open the composer as a status' buttons do."""
    address = client_files().address("parts/composer.js")
    page.evaluate("async ([address, asked]) => { await (await import(address)).compose(asked); }", [address, asked])


def pick(page: Page, *names: str) -> None:
    """Pick pictures."""
    files = [
        {"name": name, "mimeType": "image/png", "buffer": png(40 + number, 30)} for number, name in enumerate(names)
    ]
    page.locator("rk-composer input[type=file]").set_input_files(files)
    expect(page.locator(".tile")).to_have_count(len(names))


def send(page: Page) -> None:
    """Press the button."""
    page.get_by_role("button", name="Post", exact=True).click()


def posts_of(person: Person) -> list[dict]:
    """Return what somebody has posted."""
    return person.ask("GET", f"v1/accounts/{person.user_id}/statuses")


def only_post_of(person: Person) -> dict:
    """Wait until somebody has posted, and return the only post."""
    wait_for(lambda: posts_of(person))
    (post,) = posts_of(person)
    return post


def nothing_waits(page: Page) -> None:
    """Wait until the outbox is empty."""
    address = client_files().address("net/sending.js")
    page.wait_for_function("async (address) => !(await (await import(address)).outbox.list()).length", arg=address)


def test_pictures_and_their_words_survive_lost_network_and_reload_and_are_one_post(site, open_page):
    person = site.person()
    open_page.allow("ERR_INTERNET_DISCONNECTED", "ERR_FAILED")
    page = open_page("/compose", person)
    text_of(page).fill("Two kites over the dunes")
    page.offline(True)
    pick(page, "one.png", "two.png")
    page.get_by_label("Description of file 1").fill("A red kite")
    page.get_by_label("Description of file 2").fill("A blue one")
    expect(page.get_by_text("Waits for the network")).to_have_count(2)
    page.wait_for_function("() => navigator.onLine === false")
    page.evaluate("() => dispatchEvent(new Event('pagehide'))")
    page.offline(False)
    page.reload()
    expect(text_of(page)).to_have_value("Two kites over the dunes")
    expect(page.get_by_label("Description of file 2")).to_have_value("A blue one")
    page.get_by_role("button", name="Move file 1 backwards").click()
    page.offline(True)
    send(page)
    expect(page.get_by_text("Waits for the network, and is sent once it is back.")).to_be_visible()
    page.offline(False)
    post = only_post_of(person)
    nothing_waits(page)
    assert [each["description"] for each in post["media_attachments"]] == ["A blue one", "A red kite"]
    assert len(posts_of(person)) == 1


def test_a_lost_answer_and_a_reload_make_one_post(site, open_page):
    person = site.person()
    open_page.allow("ERR_FAILED")
    page = open_page("/compose", person)
    keys = []

    def lose(route: Route) -> None:
        if route.request.method != "POST":
            return route.continue_()
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) > 2:
            return route.continue_()
        route.fetch()
        return route.abort()

    page.route("**/api/v1/statuses", lose)
    text_of(page).fill("Said once")
    send(page)
    wait_for(lambda: page.wait_for_timeout(10) or keys)
    page.reload()
    wait_for(lambda: page.wait_for_timeout(10) or len(keys) > 2)
    nothing_waits(page)
    assert len(set(keys)) == 1
    assert "Said once" in only_post_of(person)["content"]


def test_at_the_limit_it_is_taken_and_beyond_it_isnt_sent(site, open_page):
    person = site.person()
    page = open_page("/compose", person)
    text_of(page).fill("e\u0301" * CHARS_MAX + "x")
    expect(page.locator(".composer-count")).to_have_text("-1")
    send(page)
    expect(page.get_by_role("alert")).to_have_text("It is too long.")
    text_of(page).fill("\U0001f600" * (CHARS_MAX - 1) + "e\u0301")
    expect(page.locator(".composer-count")).to_have_text("0")
    send(page)
    only_post_of(person)
    nothing_waits(page)


def test_by_keyboard_alone_with_suggestions_a_poll_and_a_warning(site, open_page):
    person = site.person()
    page = open_page("/keys", person)
    page.wait_for_selector("rk-composer[data-dock]", state="attached")
    page.keyboard.press("c")
    expect(text_of(page)).to_be_focused()
    page.keyboard.type("Which, @cle")
    expect(page.get_by_role("option", name="cleo")).to_be_visible()
    expect(text_of(page)).to_have_attribute("aria-activedescendant", "rk-suggestions-0")
    page.keyboard.press("Enter")
    expect(text_of(page)).to_have_value("Which, @cleo ")
    page.get_by_role("button", name="Add a content warning").press("Enter")
    page.keyboard.type("Choices")
    page.get_by_role("button", name="Add a poll").press("Enter")
    page.keyboard.type("Red")
    page.keyboard.press("Tab")
    page.keyboard.type("Blue")
    page.keyboard.press("Control+Enter")
    post = only_post_of(person)
    assert [each["title"] for each in post["poll"]["options"]] == ["Red", "Blue"]
    assert (post["spoiler_text"], post["mentions"][0]["acct"]) == ("Choices", "cleo")
    expect(page.get_by_text("Posted", exact=True)).to_be_visible()


def test_a_refusal_gives_the_words_back_under_another_key(site, open_page):
    person, other = site.people(2)
    open_page.allow("404")
    page = open_page("/keys", person)
    page.wait_for_selector("rk-composer[data-dock]", state="attached")
    root = other.post("Soon gone", visibility="unlisted")
    compose(page, replyTo=root)
    expect(page.get_by_role("heading", name=f"Reply to @{other.name}")).to_be_visible()
    expect(text_of(page)).to_have_value(f"@{other.name} ")
    expect(page.get_by_label("Who can see it")).to_have_value("unlisted")
    page.keyboard.type("an answer")
    other.ask("DELETE", f"v1/statuses/{root['id']}")
    keys = []
    page.on("request", lambda request: request.method == "POST" and "idempotency-key" in request.headers
            and keys.append(request.headers["idempotency-key"]))  # fmt: skip
    send(page)
    expect(page.get_by_role("alert")).to_have_text("Record not found")
    expect(text_of(page)).to_have_value(f"@{other.name} an answer")
    page.get_by_role("button", name="Don't answer or quote it").click()
    send(page)
    only_post_of(person)
    nothing_waits(page)
    assert len(set(keys)) == len(keys) == 2


def test_it_reminds_of_alt_texts_and_the_focal_point_moves_by_keys(site, open_page):
    person = site.person()
    page = open_page("/compose", person)
    text_of(page).fill("Look")
    pick(page, "one.png")
    send(page)
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_label("Description of file 1")).to_be_focused()
    page.keyboard.type("A kite")
    spot = page.get_by_role("button", name="Middle at 0, 0")
    spot.press("ArrowRight")
    page.get_by_role("button", name="Middle at 0.05, 0").press("ArrowUp")
    page.locator("summary").click()
    page.get_by_label("Across, -1 to 1").fill("-0.5")
    send(page)
    post = only_post_of(person)
    (medium,) = post["media_attachments"]
    assert medium["description"] == "A kite"
    assert medium["meta"]["focus"] == {"x": -0.5, "y": 0.05}
    nothing_waits(page)


def test_a_post_is_edited_and_deleted_to_be_written_again_with_its_pictures(site, open_page):
    person = site.person()
    media_id = person.picture("A kite")
    said = person.post("As it was", media_ids=[media_id])
    page = open_page("/keys", person)
    page.wait_for_selector("rk-composer[data-dock]", state="attached")
    compose(page, edit=said)
    expect(text_of(page)).to_have_value("As it was")
    text_of(page).fill("As it is")
    page.get_by_label("Description of file 1").fill("A red kite")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Saved")).to_be_visible()
    edited = only_post_of(person)
    assert ("As it is" in edited["content"], edited["id"]) == (True, said["id"])
    assert edited["media_attachments"][0]["description"] == "A red kite"
    page.evaluate("async ([address, asked]) => { void (await import(address)).compose(asked); }",
                  [client_files().address("parts/composer.js"), {"redraft": edited}])  # fmt: skip
    page.get_by_role("button", name="Delete and write again").click()
    expect(text_of(page)).to_have_value("As it is")
    assert posts_of(person) == []
    send(page)
    again = only_post_of(person)
    assert again["id"] != said["id"]
    assert again["media_attachments"][0]["id"] == media_id


def test_turning_and_navigating_keep_the_element_its_words_and_its_caret(site, open_page):
    page = open_page("/keys", site.person(), width=390, height=800)
    page.wait_for_selector("rk-composer[data-dock]", state="attached")
    page.keyboard.press("c")
    expect(text_of(page)).to_be_focused()
    page.keyboard.type("Half a word")
    page.keyboard.press("ArrowLeft")
    page.evaluate("() => { window.before = document.activeElement; }")
    for width, height in ((1_000, 390), (390, 800), (320, 640)):
        page.set_viewport_size({"width": width, "height": height})
        assert (
            page.evaluate("() => document.activeElement === before && before.selectionStart") == len("Half a word") - 1
        )
    page.get_by_role("button", name="Close").click()
    page.get_by_role("link", name="Explore").click()
    page.wait_for_url("**/explore")
    page.keyboard.press("c")
    assert page.evaluate("() => document.querySelector('[name=text]') === before && before.value") == "Half a word"


def test_another_tab_has_another_draft_and_signing_out_removes_them(site, open_page):
    person = site.person()
    page = open_page("/drafts", person)
    page.wait_for_selector("rk-composer[data-dock]", state="attached")
    compose(page, text="In the first tab")
    page.keyboard.type(" only")
    other = page.context.new_page()
    other.goto("/compose")
    expect(text_of(other)).to_have_value("")
    page.keyboard.press("Escape")
    other.close()
    page.get_by_role("listitem").filter(has_text="In the first tab only").get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No drafts.")).to_be_visible()
    page.keyboard.press("c")
    expect(text_of(page)).to_have_value("")
    page.keyboard.type("Another")
    page.keyboard.press("Escape")
    expect(page.get_by_role("listitem").filter(has_text="Another")).to_be_visible()
    page.evaluate(
        "async (address) => { await (await import(address)).session.signOut(); }",
        client_files().address("net/session.js"),
    )
    kept = page.evaluate("() => indexedDB.databases().then(all => all.map(each => each.name))")
    assert kept == []


def test_a_browser_that_keeps_nothing_says_so_and_sends_all_the_same(site, open_page):
    person = site.person()
    open_page.allow("favicon.ico")
    page = open_page("/robots.txt", person)
    page.add_init_script("""Object.defineProperty(window, "indexedDB", {value: {
        open() { throw new DOMException("no", "SecurityError"); },
    }})""")
    page.goto("/compose")
    text_of(page).fill("Here and now")
    expect(page.get_by_text("This browser keeps nothing on this device")).to_be_visible()
    send(page)
    only_post_of(person)


def test_what_is_shared_into_it_is_in_the_composer_once(site, open_page):
    page = open_page("/compose?title=A%20kite&text=Look&url=https%3A%2F%2Fkites.example%2F1", site.person())
    expect(text_of(page)).to_have_value("A kite\n\nLook\n\nhttps://kites.example/1")
    assert page.evaluate("() => location.search") == ""


@pytest.mark.parametrize(("width", "dark"), [(1_280, False), (320, True)])
def test_it_is_accessible_in_all_states(site, open_page, axe, width, dark):
    person = site.person()
    open_page.allow("ERR_INTERNET_DISCONNECTED", "ERR_FAILED")
    page = open_page("/compose", person, dark=dark, width=width)

    def looks_well() -> None:
        assert axe(page) == []
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width

    text_of(page).fill("x" * (CHARS_MAX + 1))
    page.get_by_role("button", name="Add a poll").click()
    page.get_by_role("button", name="Add a content warning").click()
    page.get_by_role("button", name="Post at another time").click()
    page.get_by_role("button", name="Schedule", exact=True).click()
    looks_well()
    page.get_by_role("button", name="Remove the poll").click()
    pick(page, "one.png", "two.png")
    page.locator("summary").first.click()
    text_of(page).fill("")
    text_of(page).press_sequentially("@cle")
    expect(page.get_by_role("option", name="cleo")).to_be_visible()
    looks_well()


def test_without_network_the_page_starts_one_writes_on_and_it_is_sent_once(site, open_page):
    person = site.person()
    open_page.allow("ERR_INTERNET_DISCONNECTED", "ERR_FAILED")
    page = open_page("/compose", person, workers=True)
    text_of(page).fill("Begun with a network")
    page.evaluate("() => navigator.serviceWorker.ready")
    page.wait_for_function("() => navigator.serviceWorker.controller")
    page.offline(True)
    page.reload()
    expect(text_of(page)).to_have_value("Begun with a network")
    text_of(page).fill("Ended without one")
    pick(page, "one.png")
    page.get_by_label("Description of file 1").fill("A kite")
    send(page)
    expect(page.get_by_text("Waits for the network, and is sent once it is back.")).to_be_visible()
    page.goto("/drafts")
    expect(page.get_by_role("heading", name="To be sent")).to_be_visible()
    other = page.context.new_page()  # it has the same outbox, and sends, too
    other.goto("/drafts")
    expect(other.get_by_role("heading", name="To be sent")).to_be_visible()
    page.offline(False)
    post = only_post_of(person)
    assert ("Ended without one" in post["content"], post["media_attachments"][0]["description"]) == (True, "A kite")
    nothing_waits(page)
    assert len(posts_of(person)) == 1
