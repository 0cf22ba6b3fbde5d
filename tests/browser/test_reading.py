"""Reading: only the reader moves the timeline, nothing is missing, every list has every state, and it stays small."""

from __future__ import annotations

import json

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.looks import faults_of, has_keys

HOME = "**/api/v1/timelines/home?*"
FIRST = """() => {
    const head = document.querySelector(".rk-head").getBoundingClientRect().bottom;
    const all = [...document.querySelectorAll("article[data-id]")];
    const first = all.find((each) => each.getBoundingClientRect().bottom > head + 8);
    return {id: first.dataset.id, top: first.getBoundingClientRect().top};
}"""
TOP_OF = """(id) => document.querySelector(`article[data-id="${id}"]`).getBoundingClientRect().top"""
STREAM_LIVE = """async () => {
    const address = document.querySelector("script[type=module]").src.replace("main.js", "net/stream.js");
    const {stream} = await import(address);
    await new Promise((live) => {
        stream.subscribe({stream: "user"}, {state: (state) => state === "live" && live()});
    });
}"""


@pytest.fixture
def reader(site, open_page):
    """Return somebody who follows a writer, and the writer."""
    ada, bob = site.people(2)
    ada.follow(bob)
    return ada, bob


def posts(bob, count: int) -> list[str]:
    return [bob.post(f"Said as number {number}, in some words.")["id"] for number in range(count)]


def rows(page: Page) -> list[str]:
    return page.evaluate(
        "() => document.querySelector('rk-feed').timeline.rows.map((row) => row.gap ? 'gap' : row.ids.join(' '))"
    )


def ids(page: Page) -> list[str]:
    return " ".join(row for row in rows(page) if row != "gap").split()


@pytest.mark.parametrize("by_hand", [False, True], ids=["native", "by hand"])
def test_what_comes_is_counted_and_moves_nothing(reader, open_page, by_hand):
    ada, bob = reader
    old = posts(bob, 25)
    page = open_page("/", ada, height=600)
    expect(page.locator(f'article[data-id="{old[-1]}"]')).to_be_visible()
    page.evaluate(STREAM_LIVE)
    if by_hand:
        page.evaluate("() => { document.documentElement.dataset.anchor = 'hand'; }")
    page.mouse.move(500, 400)
    page.evaluate("() => scrollTo(0, 700)")
    page.wait_for_function("() => document.querySelector('rk-feed').fresh.count === 0")
    before = page.evaluate(FIRST)
    new = posts(bob, 3)
    expect(page.get_by_role("button", name="3 new", exact=True)).to_be_visible()
    assert abs(page.evaluate(TOP_OF, before["id"]) - before["top"]) < 1
    page.evaluate("() => scrollBy(0, -200)")  # near the top: they are met above
    page.wait_for_function("(id) => document.querySelector(`article[data-id='${id}']`)", arg=new[-1])
    assert abs(page.evaluate(TOP_OF, before["id"]) - before["top"] - 200) < 1
    assert ids(page) == [*reversed(new), *reversed(old)][: len(ids(page))]
    page.keyboard.press(".")
    page.wait_for_function("() => scrollY === 0")
    expect(page.locator(f'article[data-id="{new[-1]}"]')).to_be_focused()


def test_home_opens_where_one_stopped_and_what_is_new_is_above(reader, open_page):
    ada, bob = reader
    all_ids = posts(bob, 70)
    ada.ask("POST", "v1/markers", home={"last_read_id": all_ids[20]})
    page = open_page("/", ada, height=600)
    here = page.locator(f'article[data-id="{all_ids[20]}"]')
    expect(here).to_be_in_viewport()
    expect(page.get_by_role("button", name="20+ new", exact=True)).to_be_visible()
    assert page.evaluate(FIRST)["id"] == all_ids[20]
    assert ids(page)[:20] == all_ids[40:20:-1]
    has_keys(page).keyboard.press(".")  # the newest, a gap below it
    expect(page.locator(f'article[data-id="{all_ids[-1]}"]')).to_be_in_viewport()
    assert rows(page).count("gap") == 1
    page.keyboard.press("'")
    expect(here).to_be_in_viewport()
    gap = page.locator(".rk-gap")
    gap.get_by_role("button", name="Load newer ones").scroll_into_view_if_needed()
    above = page.locator(f'article[data-id="{all_ids[51]}"]')
    expect(above).to_be_in_viewport()
    before = page.evaluate(TOP_OF, all_ids[51])
    gap.get_by_role("button", name="Load newer ones").click()
    expect(gap).to_have_count(0)
    assert abs(page.evaluate(TOP_OF, all_ids[51]) - before) < 1
    assert ids(page)[:60] == all_ids[:9:-1]
    expect(page.get_by_text("isn't loaded")).to_have_count(0)


def test_who_was_away_misses_nothing(reader, open_page):
    ada, bob = reader
    old = posts(bob, 3)
    page = open_page("/", ada)
    page.evaluate(STREAM_LIVE)
    open_page.allow("WebSocket")
    open_page.allow("ERR_INTERNET_DISCONNECTED")
    page.offline(True)
    page.evaluate("() => dispatchEvent(new Event('online'))")  # it notices: the socket is opened anew, in vain
    new = posts(bob, 5)
    bob.ask("DELETE", f"v1/statuses/{new.pop(2)}")
    page.offline(False)
    expect(page.get_by_role("button", name="4 new", exact=True)).to_be_visible()
    page.keyboard.press(".")
    page.wait_for_function("(id) => document.querySelector('rk-feed').timeline.top === id", arg=new[-1])
    assert ids(page) == [*reversed(new), *reversed(old)]


def test_what_a_stream_cannot_tell_is_read_again(reader, open_page):
    ada, bob = reader
    old = posts(bob, 3)
    open_page.allow("favicon.ico")
    page = open_page("/robots.txt", ada)
    recovered = json.dumps({"stream": ["user"], "event": "recovered", "payload": "false"})

    def tell_no_updates(socket):
        server = socket.connect_to_server()
        server.on_message(lambda frame: socket.send(recovered if '"event":"update"' in frame else frame))

    page.route_web_socket("**/api/v1/streaming", tell_no_updates)
    page.goto("/")
    page.evaluate(STREAM_LIVE)
    new = posts(bob, 5)
    expect(page.get_by_role("button", name="5 new", exact=True)).to_be_visible()
    has_keys(page).keyboard.press(".")
    page.wait_for_function("(id) => document.querySelector('rk-feed').timeline.top === id", arg=new[-1])
    assert ids(page) == [*reversed(new), *reversed(old)]


def test_what_changes_is_patched_and_what_is_deleted_leaves_a_stub(reader, open_page):
    ada, bob = reader
    first, second = posts(bob, 2)
    page = open_page("/", ada)
    page.evaluate(STREAM_LIVE)
    article = page.locator(f'article[data-id="{first}"]')
    article.evaluate("(it) => { it.dataset.mine = '1'; }")
    bob.ask("PUT", f"v1/statuses/{first}", status="Said in other words.")
    expect(article).to_contain_text("Said in other words.")
    expect(article).to_have_attribute("data-mine", "1")
    article.get_by_role("button", name="Edited").click()
    expect(page.get_by_role("dialog", name="Earlier versions").get_by_role("listitem")).to_have_count(2)
    page.keyboard.press("Escape")
    before = page.evaluate(TOP_OF, first)
    bob.ask("DELETE", f"v1/statuses/{second}")
    expect(page.locator(f'article[data-id="{second}"]')).to_have_text("This post was deleted.")
    assert abs(page.evaluate(TOP_OF, first) - before) < 1


def test_an_action_shows_at_once_and_is_taken_back_when_refused(reader, open_page):
    ada, bob = reader
    (said,) = posts(bob, 1)
    page = open_page("/", ada)
    like = page.get_by_role("button", name="Like")
    has_keys(page).keyboard.press("j")
    page.keyboard.press("l")
    expect(like).to_have_attribute("aria-pressed", "true")
    expect(like).to_have_accessible_name("Like, 1")
    page.route("**/bookmark", lambda route: route.fulfill(status=422, json={"error": "Not today"}))
    open_page.allow("422")
    page.keyboard.press("d")
    expect(page.get_by_text("Not today")).to_be_visible()
    expect(page.get_by_role("button", name="Bookmark")).to_have_attribute("aria-pressed", "false")
    assert ada.ask("GET", f"v1/statuses/{said}")["favourited"]


def test_a_warning_covers_until_it_is_asked_for_a_poll_is_voted_in_and_pictures_open(reader, open_page):
    ada, bob = reader
    bob.post("The end.", spoiler_text="Ends badly")
    bob.post("Which?", poll={"options": ["Red", "Blue"], "expires_in": 86_400})
    bob.post("Look.", media_ids=[bob.picture("A red kite"), bob.picture("Dunes")])
    page = open_page("/", ada)
    expect(page.get_by_text("The end.")).to_be_hidden()
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("The end.")).to_be_visible()
    page.get_by_label("Blue").check()
    page.get_by_role("button", name="Vote").click()
    expect(page.get_by_text("100 %")).to_be_visible()
    page.get_by_role("link", name="A red kite").click()
    expect(page.locator(".rk-dialog").get_by_role("img", name="A red kite")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".rk-dialog").get_by_role("img", name="Dunes")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".rk-dialog")).to_have_count(0)


# -- the states of a list ----------------------------------------------------------------------------------------------


def status_of(number: int) -> dict:
    """Return a status as the server has it."""
    identity = str(100_000_000_000_000_000 + number)
    account = {
        "id": str(1000 + number % 7), "username": f"p{number % 7}", "acct": f"p{number % 7}",
        "display_name": f"Person {number % 7}",
        "avatar": "", "url": "", "note": "", "fields": [], "emojis": [], "created_at": "2026-01-01T00:00:00.000Z",
    }  # fmt: skip
    return {
        "id": identity, "created_at": f"2026-11-{1 + number % 28:02}T10:00:00.000Z", "account": account,
        "visibility": "public",
        "content": f"<p>Number {number}, {'in many more words than before, ' * (number % 5)}and no more.</p>",
        "language": "en",
        "spoiler_text": "", "sensitive": False, "media_attachments": [], "mentions": [], "tags": [], "emojis": [],
        "replies_count": number % 3, "reblogs_count": number % 5, "favourites_count": number, "reblog": None,
        "poll": None, "card": None,
        "quote": None, "in_reply_to_id": None, "in_reply_to_account_id": None, "edited_at": None, "filtered": [],
    }  # fmt: skip


def answers_from(page: Page, numbers: list[int], **headers: str) -> None:
    """Have home answer from statuses of these numbers, the newest last."""

    def answer(route):
        asked = dict(each.split("=") for each in route.request.url.partition("?")[2].split("&") if "=" in each)
        newest = int(asked.get("max_id", 10**18)) - 10**17
        oldest = int(asked.get("min_id", 0)) - 10**17
        fit = [each for each in numbers if oldest < each < newest]
        limit = int(asked.get("limit", 20))
        part = fit[:limit] if "min_id" in asked else fit[-limit:]
        body = [status_of(each) for each in reversed(part)]
        links = (
            {"link": f'<{route.request.url.partition("?")[0]}?max_id={body[-1]["id"]}>; rel="next"'}
            if body and part[0] > numbers[0]
            else {}
        )
        route.fulfill(status=200, content_type="application/json", body=json.dumps(body), headers={**links, **headers})

    page.route(HOME, answer)


def test_every_state_of_a_list_is_drawn(site, open_page, axe):
    (ada,) = site.people(1)
    page = open_page("/", ada)
    expect(page.get_by_text("You follow nobody yet")).to_be_visible()  # empty, and the next step
    expect(page.get_by_role("heading", name="Some to begin with")).to_be_visible()
    open_page.allow("Failed to load resource")

    held = []
    page.route(HOME, lambda route: held.append(route))
    page.reload()
    expect(page.get_by_text("Loading…")).to_be_attached()  # loading
    assert page.locator(".rk-bone").count() == 6
    assert axe(page) == []
    held.pop().fulfill(status=500, json={"error": "It broke"}, headers={"x-request-id": "abc-1"})
    alert = page.locator(".rk-foot [role=alert]")
    expect(alert).to_contain_text("It broke")  # error
    expect(alert).to_contain_text("abc-1")
    assert axe(page) == []
    alert.get_by_role("button", name="Try again").click()
    expect(page.get_by_text("Loading…")).to_be_attached()
    held.pop().fulfill(status=503, json={"error": "Busy"}, headers={"retry-after": "1"})
    expect(alert).to_contain_text("Busy. Trying again in")  # overloaded: once more by itself, then asks
    assert axe(page) == []
    expect(page.get_by_text("Loading…")).to_be_attached()
    held.pop().fulfill(status=429, json={"error": "Busy"}, headers={"retry-after": "1"})
    expect(alert).to_contain_text("The server is busy.")
    page.unroute(HOME)
    answers_from(page, list(range(30)), **{"Rookery-Partial": "1/2"})
    alert.get_by_role("button", name="Try again").click()
    expect(page.get_by_text("1 of 2 parts of the cluster answered")).to_be_visible()  # partial
    assert axe(page) == []
    page.evaluate("() => scrollTo(0, document.body.scrollHeight)")
    expect(page.get_by_text("Only the newest 800 are kept")).to_be_visible()  # end


MANY = """(model) => {
    window.shifts = [];
    new PerformanceObserver((list) => window.shifts.push(...list.getEntries().map((each) => each.value)))
        .observe({type: "layout-shift", buffered: true});
    const real = window.fetch;
    const words = (number) => `<p>Number ${number}, ${"in many more words, ".repeat(number % 9)}.</p>`;
    const made = (number) => ({...model, id: String(10n ** 17n + BigInt(number)), content: words(number)});
    window.fetch = async (address, asked) => {
        const url = new URL(address, location.href);
        if (url.pathname !== "/api/v1/timelines/home") return real(address, asked);
        const limit = Number(url.searchParams.get("limit"));
        const number = (id) => id === null ? null : Number(BigInt(id) - 10n ** 17n);
        const [most, least] = ["max_id", "min_id"].map((name) => number(url.searchParams.get(name)));
        const from = least === null ? Math.max(0, (most ?? 2000) - limit) : least + 1;
        const to = least === null ? most ?? 2000 : Math.min(2000, from + limit);
        const body = Array.from({length: Math.max(0, to - from)}, (_, at) => made(to - 1 - at));
        const headers = from > 0 ? {link: `<${url.origin}${url.pathname}?max_id=${body.at(-1)?.id}>; rel="next"`} : {};
        return new Response(JSON.stringify(body), {headers});
    };
}"""


def test_two_thousand_posts_stay_small_and_nothing_shifts(site, open_page):
    (ada,) = site.people(1)
    open_page.allow("favicon.ico")
    page = open_page("/robots.txt", ada)
    page.add_init_script(f"({MANY})({json.dumps(status_of(1))})")
    page.goto("/")
    expect(page.locator("article[data-id]").first).to_be_visible()
    page.evaluate("""async () => {
        const {timeline} = document.querySelector("rk-feed");
        while (!timeline.bottomKnown) {
            scrollBy(0, 2400);
            await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
        }
    }""")
    assert len(ids(page)) == 2000
    assert page.evaluate("() => document.querySelectorAll('*').length") <= 6_000
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    assert session.send("Runtime.getHeapUsage")["usedSize"] <= 30_000_000
    assert page.evaluate("() => window.shifts.reduce((a, b) => a + b, 0)") == 0
    page.evaluate("() => scrollTo(0, document.body.scrollHeight / 2)")  # what was emptied is filled again
    page.wait_for_function(f"() => {{ try {{ return ({FIRST})().id; }} catch {{ return null; }} }}")


@pytest.mark.parametrize("who", ["somebody", "nobody"])
def test_home_and_public_are_accessible_in_every_look(site, open_page, axe, who):
    open_page.allow("favicon.ico")
    page = open_page("/robots.txt", site.ada if who == "somebody" else None)
    few = httpx.get(f"{site.address}/api/v1/timelines/public?limit=8").json()  # of each kind one
    page.route("**/api/v1/timelines/*", lambda route: route.fulfill(json=few))
    page.goto("/")
    expect(page.locator("article[data-id]").last).to_be_visible()
    assert [fault for turn in range(2) for fault in faults_of(page, axe, turn)] == []
