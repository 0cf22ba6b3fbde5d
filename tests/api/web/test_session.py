"""The web client's session: a code without consent for our own page alone, and a token in a cookie of few paths."""

from __future__ import annotations

import re
from urllib.parse import urlencode

import pytest

from api.oauth.web_app import WEB_APP_ID, WEB_CLIENT_ID
from tests.api.conftest import PASSWORD, ServerThread, open_http
from tests.api.mastodon.browser import Browser, sent_back
from tests.api.mastodon.oauth_client import CHALLENGE, OOB, REDIRECT, VERIFIER, bearer, register_client

WEB_TOKEN = "/oauth/web/token"
OURS = {"rookery-web": "1", "sec-fetch-site": "same-origin"}


@pytest.fixture
def browser(server):
    made = Browser(server.base_url)
    yield made
    made.http.close()


@pytest.fixture
def signed_in(browser, ada):
    browser.open("/auth/sign_in")
    browser.sign_in(ada.username, PASSWORD)
    return browser


def asked(browser, **more):
    said = {
        "client_id": WEB_CLIENT_ID, "redirect_uri": f"{browser.base_url}/signed-in", "response_type": "code",
        "scope": "read write follow push", "state": "drawn", "code_challenge": CHALLENGE,
        "code_challenge_method": "S256", **more,
    }  # fmt: skip
    return f"/oauth/authorize?{urlencode({name: value for name, value in said.items() if value})}"


def code_of(browser, **more):
    reply = browser.http.get(asked(browser, **more))
    assert reply.status_code == 303, reply.text
    told = sent_back(reply, f"{browser.base_url}/signed-in")
    assert told["state"] == "drawn"
    return told["code"]


def exchange(browser, code, headers=None, **more):
    form = {
        "grant_type": "authorization_code", "client_id": WEB_CLIENT_ID, "code": code, "code_verifier": VERIFIER,
        "redirect_uri": f"{browser.base_url}/signed-in", **more,
    }  # fmt: skip
    said = {"origin": browser.base_url, **OURS} if headers is None else headers
    return browser.http.post("/oauth/token", data={k: v for k, v in form.items() if v}, headers=said)


def ours(browser, method="POST", **headers):
    return browser.http.request(method, WEB_TOKEN, headers={"origin": browser.base_url, **OURS, **headers})


class TestTheWholeWay:
    def test_a_code_without_consent_then_a_token_and_its_cookie(self, signed_in, ada):
        reply = exchange(signed_in, code_of(signed_in))
        assert reply.status_code == 200, reply.text
        token = reply.json()["access_token"]
        line = reply.headers["set-cookie"]
        assert re.fullmatch(
            rf"rookery_web_[0-9a-f]{{8}}={re.escape(token)}; "
            "Path=/oauth/web; Max-Age=2592000; HttpOnly; SameSite=Strict",
            line,
        )
        assert "no-store" in reply.headers["cache-control"]
        given = ours(signed_in)
        assert given.status_code == 200
        assert given.json()["access_token"] == token
        assert given.json()["account"]["id"] == ada.user_id
        assert given.headers["cache-control"] == "private, no-store"
        assert "Max-Age=2592000" in given.headers["set-cookie"]
        home = signed_in.http.get("/api/v1/timelines/home", headers=bearer(token))
        assert home.status_code == 200

    def test_the_cookie_is_no_token_for_the_api(self, signed_in):
        exchange(signed_in, code_of(signed_in))
        name, value = next((c.name, c.value) for c in signed_in.http.cookies.jar if c.name.startswith("rookery_web"))
        reply = signed_in.http.get("/api/v1/timelines/home", headers={"cookie": f"{name}={value}"})
        assert reply.status_code == 401

    def test_signing_up_leads_back_to_the_client(self, browser):
        page = browser.open(f"/auth/sign_up?{urlencode({'next': asked(browser)})}")
        assert page.status_code == 200
        name = "new_here"
        reply = browser.send(**{
            "user[account_attributes][username]": name, "user[email]": f"{name}@example.org",
            "user[password]": PASSWORD, "user[agreement]": "1",
        })  # fmt: skip
        assert reply.status_code == 303, reply.text
        code = sent_back(reply, f"{browser.base_url}/signed-in")["code"]
        assert exchange(browser, code).status_code == 200
        assert ours(browser).json()["account"]["username"] == name

    def test_signing_out_ends_token_cookie_and_the_pages_session(self, signed_in):
        token = exchange(signed_in, code_of(signed_in)).json()["access_token"]
        reply = ours(signed_in, "DELETE")
        assert reply.status_code == 200
        assert "Max-Age=0" in reply.headers["set-cookie"]
        assert signed_in.http.get("/api/v1/timelines/home", headers=bearer(token)).status_code == 401
        assert ours(signed_in).json() == {}
        again = signed_in.http.get(asked(signed_in))
        assert again.headers["location"].startswith("/auth/sign_in")
        assert ours(signed_in, "DELETE").status_code == 200

    def test_the_link_of_a_terminal_puts_its_token_into_the_cookie(self, browser, ada):
        reply = ours(browser, "PUT", authorization=f"Bearer {ada.token}")
        assert reply.status_code == 200
        assert reply.json()["account"]["username"] == ada.username
        assert ours(browser).json()["access_token"] == ada.token

    @pytest.mark.parametrize("token", ["", "Bearer", "Bearer x", "Bearer rk_9_zzz", "Basic YTpi"])
    def test_what_is_no_token_is_not_kept(self, browser, token):
        reply = ours(browser, "PUT", authorization=token)
        assert reply.status_code == 401
        assert "set-cookie" not in reply.headers

    def test_a_token_that_has_ended_is_forgotten(self, browser, ada):
        ours(browser, "PUT", authorization=f"Bearer {ada.token}")
        assert ada.http.post("/api/v1/logout").status_code == 200
        reply = ours(browser)
        assert (reply.status_code, reply.json()) == (200, {})
        assert "Max-Age=0" in reply.headers["set-cookie"]

    def test_a_session_of_the_pages_is_no_token_of_the_client(self, signed_in):
        session = next(c.value for c in signed_in.http.cookies.jar if c.name == "rookery_session")
        assert ours(signed_in, "PUT", authorization=f"Bearer {session}").status_code == 401

    def test_a_status_and_the_log_ins_name_the_app(self, signed_in):
        token = exchange(signed_in, code_of(signed_in)).json()["access_token"]
        said = signed_in.http.post("/api/v1/statuses", json={"status": "from here"}, headers=bearer(token)).json()
        assert said["application"]["name"] == "Rookery"
        app = signed_in.http.get("/api/v1/apps/verify_credentials", headers=bearer(token)).json()
        assert (app["name"], app["id"]) == ("Rookery", str(WEB_APP_ID))


class TestStrangers:
    @pytest.mark.parametrize("headers", [
        {"rookery-web": ""}, {"rookery-web": "0"}, {"origin": "https://evil.example"}, {"origin": ""},
        {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"sec-fetch-site": "none"},
    ])  # fmt: skip
    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
    def test_nobody_but_our_own_page_is_answered(self, browser, ada, method, headers):
        ours(browser, "PUT", authorization=f"Bearer {ada.token}")
        reply = ours(browser, method, authorization=f"Bearer {ada.token}", **headers)
        assert reply.status_code == 403, reply.text
        assert ada.token not in reply.text
        assert reply.headers["cache-control"] == "private, no-store"
        assert not {"set-cookie", "access-control-allow-origin"} & reply.headers.keys()
        assert ours(browser).status_code == 200

    def test_an_origin_that_is_hidden_counts_where_the_browser_says_that_it_is_ours(self, browser, ada):
        ours(browser, "PUT", authorization=f"Bearer {ada.token}")
        assert ours(browser, origin="null").status_code == 200
        alone = browser.http.post(WEB_TOKEN, headers={"rookery-web": "1", "origin": "null"})
        assert alone.status_code == 403
        without = browser.http.post(WEB_TOKEN, headers={"rookery-web": "1", "origin": browser.base_url})
        assert without.status_code == 200  # a browser that says no site, as over plain http

    def test_other_methods(self, browser):
        assert browser.http.get(WEB_TOKEN).status_code == 405
        assert browser.http.options(WEB_TOKEN).headers.get("access-control-allow-origin") is None

    def test_the_exchange_sets_the_cookie_for_our_own_page_alone(self, signed_in):
        foreign = {"rookery-web": "1", "origin": signed_in.base_url, "sec-fetch-site": "cross-site"}
        for headers in ({"rookery-web": "1"}, {**OURS, "origin": "https://evil.example"}, foreign):
            assert exchange(signed_in, code_of(signed_in), headers).status_code == 403
        plain = exchange(signed_in, code_of(signed_in), {})
        assert plain.status_code == 200
        assert "set-cookie" not in plain.headers

    def test_without_pkce_there_is_no_code(self, signed_in):
        told = sent_back(
            signed_in.http.get(asked(signed_in, code_challenge="", code_challenge_method="")),
            f"{signed_in.base_url}/signed-in",
        )
        assert told["error"] == "invalid_request"

    @pytest.mark.parametrize("verifier", ["", "another verifier of more than forty-three characters"])
    def test_a_code_needs_its_verifier(self, signed_in, verifier):
        reply = exchange(signed_in, code_of(signed_in), code_verifier=verifier)
        assert (reply.status_code, reply.json()["error"]) == (400, "invalid_grant")
        assert "set-cookie" not in reply.headers

    @pytest.mark.parametrize("uri", [
        "https://evil.example/signed-in", "{}/signed-in/", "{}/signed-in?x", "{}/", REDIRECT, OOB,
        "{}.evil.example/signed-in",
    ])  # fmt: skip
    def test_it_is_sent_back_to_our_own_page_alone(self, signed_in, uri):
        reply = signed_in.http.get(asked(signed_in, redirect_uri=uri.format(signed_in.base_url)))
        assert reply.status_code == 400
        assert "location" not in reply.headers

    def test_other_apps_still_ask(self, signed_in, anonymous):
        client = register_client(anonymous)
        assert signed_in.authorize(client).status_code == 200
        assert "<form" in signed_in.page.text

    @pytest.mark.parametrize("grant", ["password", "client_credentials"])
    def test_the_name_of_the_client_gets_nothing_for_other_grants(self, browser, ada, grant):
        form = {"grant_type": grant, "client_id": WEB_CLIENT_ID, "username": ada.username, "password": PASSWORD}
        reply = browser.http.post("/oauth/token", data=form)
        assert (reply.status_code, reply.json()["error"]) == (400, "unauthorized_client")

    def test_a_code_of_the_client_is_of_no_use_to_another_app(self, signed_in, anonymous):
        client = register_client(anonymous)
        code = code_of(signed_in)
        reply = client.ask("authorization_code", code=code, code_verifier=VERIFIER,
                           redirect_uri=f"{signed_in.base_url}/signed-in")  # fmt: skip
        assert reply.status_code == 400

    def test_a_secret_does_not_prove_it(self, browser):
        reply = browser.http.post("/oauth/token", data={
            "grant_type": "client_credentials", "client_id": WEB_CLIENT_ID, "client_secret": "anything",
        })  # fmt: skip
        assert (reply.status_code, reply.json()["error"]) == (401, "invalid_client")


def test_over_https_the_cookie_is_secure_and_says_so_in_its_name():
    with ServerThread({"public_url": "https://rookery.example"}) as live, open_http(live.base_url) as http:
        made = http.post("/api/v1/users", json={"username": "ada", "password": PASSWORD}).json()
        headers = {**OURS, "origin": "https://rookery.example"}
        reply = http.put(WEB_TOKEN, headers={**headers, "authorization": f"Bearer {made['auth_token']}"})
        assert reply.status_code == 200, reply.text
        line = reply.headers["set-cookie"]
        assert line.startswith("__Secure-rookery_web_")
        assert line.endswith("; Secure")
        cookie = line.partition(";")[0]
        assert http.post(WEB_TOKEN, headers={**headers, "cookie": cookie}).status_code == 200
