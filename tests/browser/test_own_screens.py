"""What is one's own: lists, messages, filters, settings of the device and of the account, being told."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.api.conftest import PASSWORD
from tests.browser.looks import answered, go
from tests.browser.site import serving

PUSHES = """
    const endpoint = "https://push.example/abc";
    const keys = {
        p256dh: "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
        auth: "BTBZMqHH6r4Tts7J_aSIgg",
    };
    const made = {endpoint, toJSON: () => ({endpoint, keys}), unsubscribe: async () => true};
    let own = null;
    const pushManager = {subscribe: async () => (own = made), getSubscription: async () => own};
    const worker = {ready: Promise.resolve({pushManager}), getRegistration: async () => ({pushManager}),
        register: async () => {}, addEventListener() {}, controller: null};
    Object.defineProperty(navigator, "serviceWorker", {value: worker});
    window.told = [];
    window.Notification = class { constructor(title, how) { told.push([title, how.body]); } close() {}
        static permission = "granted"; static requestPermission = async () => "granted"; };
"""


def test_a_list_is_made_filled_changed_and_deleted(site, open_page):
    ada, bob = site.people(2)
    ada.follow(bob)
    bob.post("for the list")
    page = open_page("/lists", ada)
    page.locator("summary", has_text="Make a list").click()
    page.get_by_label("Name").fill("Close ones")
    page.get_by_role("button", name="Make a list").click()
    page.get_by_role("link", name="Close ones").click()
    page.get_by_role("link", name="Members").first.click()
    page.get_by_role("searchbox", name="Find among those you follow").fill(bob.name)
    page.get_by_role("button", name="Search").click()
    page.get_by_role("button", name=f"Put @{bob.name} on the list").click()
    expect(page.get_by_role("button", name=f"Take @{bob.name} off the list")).to_be_visible()
    page.get_by_role("link", name="Posts").click()
    expect(page.get_by_text("for the list")).to_be_visible()
    page.get_by_role("link", name="Settings", exact=True).last.click()
    page.get_by_label("Name").last.fill("Closest")
    page.get_by_label("Answers shown").last.select_option("none")
    page.get_by_label("Leave its members out at home").last.check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved", exact=True)).to_be_visible()
    (made,) = ada.ask("GET", "v1/lists")
    assert (made["title"], made["replies_policy"], made["exclusive"]) == ("Closest", "none", True)
    page.get_by_role("button", name="Delete this list").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    page.wait_for_url("**/lists")
    assert ada.ask("GET", "v1/lists") == []


def test_messages_are_read_and_forgotten(site, open_page):
    ada, bob = site.people(2)
    said = bob.post(f"@{ada.name} between us", visibility="direct")
    page = open_page("/messages", ada)
    row = page.locator(".rk-message")
    expect(row).to_have_class("rk-message unread")
    with page.expect_response("**/read"):
        row.get_by_role("link").click()
    page.wait_for_url(f"**/@{bob.name}/{said['id']}")
    assert ada.ask("GET", "v1/conversations")[0]["unread"] is False
    page.go_back()
    row.get_by_role("button", name="Forget").click()
    page.get_by_role("dialog").get_by_role("button", name="Forget").click()
    expect(row).to_have_count(0)
    assert ada.ask("GET", "v1/conversations") == []


def test_filters_are_made_changed_and_deleted(site, open_page):
    ada = site.person()
    page = open_page("/settings?part=filters", ada)
    expect(page.get_by_text("No filters yet")).to_be_visible()
    page.locator("summary", has_text="Make a filter").click()
    page.get_by_label("Name").fill("Noise")
    page.get_by_label("Words, one a line").fill("drums\nhorns")
    page.get_by_label("What happens").select_option("hide")
    page.get_by_role("button", name="Save").click()
    made = page.locator("details", has_text="Noise")
    expect(made).to_contain_text("Leave it out")
    (stands,) = ada.ask("GET", "v2/filters")
    assert [each["keyword"] for each in stands["keywords"]] == ["drums", "horns"]
    assert (stands["filter_action"], stands["expires_at"]) == ("hide", None)
    made.locator("summary").click()
    made.get_by_label("Words, one a line").fill("horns\nbells")
    made.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved", exact=True).last).to_be_visible()
    expect(page.locator("details[open]")).to_have_count(0)
    assert sorted(each["keyword"] for each in ada.ask("GET", "v2/filters")[0]["keywords"]) == ["bells", "horns"]
    made.locator("summary").click()
    made.get_by_role("button", name="Delete this filter").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.get_by_text("No filters yet")).to_be_visible()


def test_the_look_is_kept_on_the_device_and_other_tabs_follow(site, open_page):
    page = open_page("/settings", site.ada)
    other = page.context.new_page()
    other.goto("/keys")
    page.get_by_role("radio", name="Dark").check()
    page.get_by_role("radio", name="150 %").check()
    for each in (page, other):
        expect(each.locator("html")).to_have_attribute("data-theme", "dark")
        assert each.evaluate("getComputedStyle(document.documentElement).fontSize") == "25.5px"
    page.reload()
    expect(page.get_by_role("radio", name="Dark")).to_be_checked()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert site.ada.token not in page.evaluate("JSON.stringify([localStorage, sessionStorage])")


def test_muted_and_blocked_are_listed_and_taken_back(site, open_page):
    ada, bob, cleo = site.people(3)
    ada.ask("POST", f"v1/accounts/{bob.user_id}/mute", duration=3600)
    ada.ask("POST", f"v1/accounts/{cleo.user_id}/block")
    page = open_page("/settings?part=muted", ada)
    expect(page.locator(".rk-account")).to_contain_text("until")
    page.get_by_role("button", name=f"Unmute @{bob.name}").click()
    expect(page.get_by_text("You mute nobody")).to_be_visible()
    page.get_by_role("link", name="Blocked").click()
    page.get_by_role("button", name=f"Unblock @{cleo.name}").click()
    expect(page.get_by_text("You block nobody")).to_be_visible()
    for each in ada.ask("GET", f"v1/accounts/relationships?id[]={bob.user_id}&id[]={cleo.user_id}"):
        assert (each["muting"], each["blocking"]) == (False, False)


def test_a_hashtag_is_followed_and_who_is_suggested_is_refused(site, open_page):
    ada = site.person()
    page = open_page("/tags/kites", ada)
    page.get_by_role("button", name="Follow hashtag").click()
    expect(page.get_by_role("button", name="Following")).to_be_visible()
    expect(page.locator("rk-status").first).to_be_visible()
    page.goto("/settings?part=tags")
    page.get_by_role("button", name="Unfollow #kites").click()
    expect(page.get_by_text("You follow no hashtag")).to_be_visible()
    assert ada.ask("GET", "v1/followed_tags") == []
    page.goto("/explore?part=directory")
    expect(page.locator(".rk-account").first).to_be_visible()
    page.get_by_role("radio", name="Came last").check()
    expect(page.locator(".rk-account").first).to_be_visible()


def test_one_is_told_by_pop_ups_and_push_once_one_asks_for_it(open_page):
    with serving(sends_push=True) as site:
        ada, bob = site.people(2)
        page = open_page("/keys", ada, site=site)
        page.add_init_script(PUSHES)
        page.goto("/settings?part=notifications")
        page.get_by_role("checkbox", name="Pop-ups").check()
        with page.expect_response(told_by("POST")) as answer:
            page.get_by_role("checkbox", name="Push notifications to this browser").check()
        assert answer.value.ok, answer.value.text()
        with page.expect_response(told_by("PUT")) as answer:
            page.get_by_role("checkbox", name="Likes").uncheck()
        with page.expect_response(told_by("PUT")) as answer:
            page.get_by_label("Of whom").select_option("followed")
        stands = answer.value.json()
        assert (stands["policy"], stands["alerts"]["favourite"], stands["alerts"]["mention"]) == (
            "followed",
            False,
            True,
        )
        page.evaluate("Object.defineProperty(document, 'hidden', {value: true})")
        bob.post(f"@{ada.name} are you there?")
        page.wait_for_function("told.length")
        ((title, body),) = page.evaluate("told")
        assert (title, "are you there?" in body) == (f"{bob.name} mentioned you", True)
        page.close()


def told_by(method: str):
    """Return what knows the answer to such a request about the subscription."""
    return lambda answer: answer.url.endswith("/push/subscription") and answer.request.method == method


def test_log_ins_end_and_the_account_goes_with_its_password(site, open_page):
    ada = site.person()
    ada.http.post("/api/v1/login", json={"username": ada.name, "password": PASSWORD, "token_name": "Ada's phone"})
    page = open_page("/settings?part=account", ada)
    page.get_by_role("button", name="End Ada's phone").click()
    expect(page.get_by_text("Ada's phone")).to_have_count(0)
    expect(page.get_by_text("this one")).to_be_visible()
    for name, path in (("Take your data along", "/settings/export"), ("Bring data in", "/settings/import")):
        expect(page.get_by_role("link", name=name)).to_have_attribute("href", path)
    open_page.allow("401", "404")
    page.locator("summary", has_text="Delete the account").click()
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_role("button", name="Delete the account").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete the account").click()
    page.wait_for_url(f"{site.address}/")
    assert site.ada.http.get(f"/api/v1/accounts/{ada.user_id}").status_code == 404


FAILING = (
    ("/notifications", "/api/v2/notifications"), ("/notifications?part=policy", "/notifications/policy"),
    ("/settings?part=filters", "/api/v2/filters"), ("/settings?part=profile", "/verify_credentials"),
    ("/settings?part=account", "/tokens"), ("/@bob", "/accounts/lookup"), ("/lists", "/api/v1/lists"),
    ("/explore?part=tags", "/trends/tags"), ("/search?q=kites", "type=statuses"),
)  # fmt: skip


def test_what_fails_is_said_in_the_servers_words(site, open_page):
    open_page.allow("500")
    page = open_page("/keys", site.ada)
    for screen, path in FAILING:
        with answered(page, path, 500, '{"error": "the shard stumbled"}'):
            go(page, screen)
            expect(page.get_by_text("the shard stumbled").locator("visible=true").first).to_be_visible()
