"""The shell, before and behind the client: its policy holds in a real browser, and nothing is asked of anybody else."""

from __future__ import annotations

import httpx
from playwright.sync_api import expect

from tests.api.conftest import PASSWORD
from tests.browser.site import serving


def test_the_start_page_loads_from_here_alone(site, open_page):
    asked = []
    page = open_page("/explore")
    page.on("request", lambda request: asked.append(request.url))
    page.goto("/")
    expect(page).to_have_title("Rookery")
    assert asked
    assert all(url.startswith((f"{site.address}/", "blob:", "data:")) for url in asked)


def test_nobody_needs_javascript_to_read_a_status(site, open_page):
    said = site.bob.post("readable by everybody")
    page = open_page(f"/@bob/{said['id']}", java_script_enabled=False)
    expect(page.get_by_text("readable by everybody")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text("bob")


def test_who_has_a_cookie_is_given_the_token_of_the_page(site, open_page):
    open_page.allow("favicon.ico")  # which Chromium asks for beside what is no page
    page = open_page("/robots.txt", site.ada)
    given = page.evaluate("""() => fetch("/oauth/web/token", {method: "POST", headers: {"Rookery-Web": "1"}})
        .then(answer => answer.json())""")
    assert given["access_token"] == site.ada.token
    assert given["account"]["username"] == "ada"
    assert page.evaluate("() => document.cookie") == ""


def test_the_first_post_needs_three_requests_one_after_the_other(site, open_page):
    page = open_page("/", site.ada)
    expect(page.get_by_role("article").first).to_be_visible()
    entries = page.evaluate("""() => performance.getEntriesByType("resource").map((each) => [
        new URL(each.name).pathname, each.startTime, each.responseEnd, each.initiatorType])""")
    asked = [each for each in entries if each[0].startswith(("/api/", "/oauth/"))]
    home = next(each for each in asked if each[0] == "/api/v1/timelines/home")
    before = [path for path, _, ended, _ in asked if ended <= home[1]]
    assert before == ["/oauth/web/token"]
    late = [path for path, began, _, kind in entries if path.endswith(".js") and kind == "other" and began > home[1]]
    assert late == []


def test_the_link_of_the_terminal_asks_before_it_signs_in(site, open_page):
    page = open_page(f"/signed-in#token={site.bob.token}")
    expect(page.get_by_text("@bob").first).to_be_visible()
    assert "token" not in page.url
    assert page.context.cookies(f"{site.address}/oauth/web") == []
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Home")
    [cookie] = page.context.cookies(f"{site.address}/oauth/web/token")
    assert cookie["value"] == site.bob.token
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("Home")
    stored = page.evaluate("() => JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
    assert site.bob.token not in stored
    assert site.bob.token not in page.content()


def test_the_whole_way_of_signing_in_and_out(site, open_page):
    open_page.allow("401")  # the session ends behind the client's back
    page = open_page("/")
    page.get_by_role("button", name="Sign in").first.click()
    page.fill("input[name='user[email]']", "cleo")
    page.fill("input[name='user[password]']", PASSWORD)
    page.press("input[name='user[password]']", "Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Home")
    assert "code" not in page.url
    token = page.evaluate("""() => fetch("/oauth/web/token", {method: "POST", headers: {"Rookery-Web": "1"}})
        .then(answer => answer.json()).then(said => said.access_token)""")
    said = {"authorization": f"Bearer {token}"}
    assert httpx.get(f"{site.address}/api/v1/timelines/home", headers=said).status_code == 200
    page.evaluate("""() => fetch("/oauth/web/token", {method: "DELETE", headers: {"Rookery-Web": "1"}})""")
    assert httpx.get(f"{site.address}/api/v1/timelines/home", headers=said).status_code == 401
    assert page.context.cookies(f"{site.address}/oauth/web/token") == []


def test_where_every_client_is_believed_the_page_says_so(open_page):
    with serving(auth_mode="open") as site:
        page = open_page("/", site=site)
        expect(page.get_by_role("article").first).to_be_visible()
        expect(page.get_by_role("button", name="Sign in")).to_have_count(0)
        open_page.close()
