"""The pages on which people sign in and let apps in: every way through, and every refusal."""

from __future__ import annotations

from html import unescape

import pytest

from actors.core.scopes import BITS
from api.oauth.scope_words import in_words
from api.services import Services
from tests.api.conftest import PASSWORD, ServerThread, account_numbers
from tests.api.mastodon.browser import Browser, Form, sent_back
from tests.api.mastodon.oauth_client import OOB, REDIRECT, VERIFIER, bearer, refusal, register_client


@pytest.fixture
def client(stranger):
    return register_client(stranger, client_name="<b>Toot</b> & co")


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


def code_for(browser, client, **more):
    browser.authorize(client, **more)
    return sent_back(browser.send(), client.redirect)["code"]


def logins(person):
    return person.get(f"/{person.id}/tokens")["tokens"]


def redeem(client, code, **more):
    return client.ask("authorization_code", code=code, redirect_uri=REDIRECT, code_verifier=VERIFIER, **more)


class TestTheWholeWay:
    def test_from_an_app_through_signing_in_to_a_token(self, browser, client, ada):
        page = browser.authorize(client)
        assert 'id="user_email"' in page.text
        assert 'id="user_password"' in page.text
        page = browser.sign_in(ada.username, PASSWORD)
        assert page.status_code == 200
        assert f"@{ada.username}" in page.text
        told = sent_back(browser.send(), REDIRECT)
        assert told["state"] == "a state & more"
        reply = redeem(client, told["code"]).json()
        assert reply["scope"] == "read write"
        assert client.get("/api/v1/accounts/verify_credentials", reply["access_token"]).json()["id"] == ada.id

    def test_out_of_band_the_code_is_shown(self, signed_in, client):
        client.redirect = OOB
        signed_in.authorize(client)
        page = signed_in.send()
        assert page.status_code == 200
        code = page.text.split('<code class="code oauth-code"')[1].split(">")[1].split("<")[0]
        more = {"redirect_uri": OOB, "code_verifier": VERIFIER}
        assert client.ask("authorization_code", code=code, **more).status_code == 200

    def test_an_app_may_do_without_pkce(self, signed_in, client):
        code = code_for(signed_in, client, code_challenge="", code_challenge_method="")
        assert client.ask("authorization_code", code=code, redirect_uri=REDIRECT).status_code == 200

    def test_who_says_no_is_believed(self, signed_in, client):
        signed_in.authorize(client)
        told = sent_back(signed_in.send(1), REDIRECT)
        assert (told["error"], told["state"]) == ("access_denied", "a state & more")
        assert "code" not in told

    def test_force_login_asks_again_and_lets_another_one_in(self, signed_in, client, bob):
        page = signed_in.authorize(client, force_login="true")
        assert 'id="user_email"' in page.text
        page = signed_in.sign_in(bob.username, PASSWORD)
        assert f"@{bob.username}" in page.text


class TestCodes:
    def test_a_code_that_is_used_again_ends_its_token(self, signed_in, client):
        code = code_for(signed_in, client)
        token = redeem(client, code).json()["access_token"]
        assert client.get("/api/v1/timelines/home", token).status_code == 200
        assert refusal(redeem(client, code)) == (400, "invalid_grant")
        assert client.get("/api/v1/timelines/home", token).status_code == 401

    @pytest.mark.parametrize(
        "wrong",
        [{"redirect_uri": OOB}, {"code_verifier": "x" * 43}, {"code_verifier": ""}, {"code_verifier": "é" * 43}],
        ids=["another address", "another verifier", "no verifier", "none that can be one"],
    )
    def test_what_does_not_fit_is_refused_and_leaves_the_code(self, signed_in, client, wrong):
        code = code_for(signed_in, client)
        fields = {"redirect_uri": REDIRECT, "code_verifier": VERIFIER, **wrong}
        assert refusal(client.ask("authorization_code", code=code, **fields)) == (400, "invalid_grant")
        assert redeem(client, code).status_code == 200

    def test_another_app_can_not_use_it(self, signed_in, client, stranger):
        code = code_for(signed_in, client)
        assert refusal(redeem(register_client(stranger), code)) == (400, "invalid_grant")

    @pytest.mark.parametrize("code", ["nonsense", "A" * 43, "!" * 43])
    def test_what_never_was_a_code_is_refused(self, client, code):
        assert refusal(redeem(client, code)) == (400, "invalid_grant")

    @pytest.mark.parametrize("missing", ["code", "redirect_uri"])
    def test_what_is_missing_is_named(self, client, missing):
        fields = {"code": "x", "redirect_uri": REDIRECT, missing: ""}
        assert refusal(client.ask("authorization_code", **fields)) == (400, "invalid_request")

    def test_a_shown_code_is_shown_to_its_owner_only(self, signed_in, client, server, bob):
        client.redirect = OOB
        signed_in.authorize(client)
        signed_in.send()
        other = Browser(server.base_url)
        assert other.open(str(signed_in.page.url)).status_code == 404
        other.http.close()
        assert signed_in.open("/oauth/authorize/native?code=nonsense").status_code == 404


class TestWhatIsAskedFor:
    @pytest.mark.parametrize("wrong", [{"client_id": "nobody"}, {"redirect_uri": "https://evil.example/"},
                                       {"redirect_uri": f"{REDIRECT}/"}, {"redirect_uri": ""}], ids=str)  # fmt: skip
    def test_nobody_is_sent_anywhere_while_the_app_or_its_address_is_wrong(self, signed_in, client, wrong):
        page = signed_in.authorize(client, **wrong)
        assert page.status_code == 400
        assert "location" not in page.headers

    @pytest.mark.parametrize(
        ("wrong", "error"),
        [
            ({"response_type": "token"}, "unsupported_response_type"), ({"scope": "nonsense"}, "invalid_scope"),
            ({"scope": "profile"}, "invalid_scope"), ({"code_challenge_method": "plain"}, "invalid_request"),
            ({"code_challenge": "short"}, "invalid_request"), ({"code_challenge_method": ""}, "invalid_request"),
        ],
    )  # fmt: skip
    def test_other_mistakes_are_told_to_the_app(self, signed_in, client, wrong, error):
        told = sent_back(signed_in.authorize(client, **wrong), REDIRECT)
        assert (told["error"], told["state"]) == (error, "a state & more")

    def test_without_a_scope_read_is_meant(self, signed_in, client):
        code = code_for(signed_in, client, scope="")
        assert redeem(client, code).json()["scope"] == "read"

    def test_every_scope_has_words(self):
        assert len({words for bit in BITS.values() for words in in_words(bit)}) == len(BITS)


class TestForms:
    def test_names_of_apps_are_no_markup(self, signed_in, client):
        text = signed_in.authorize(client).text
        assert "&lt;b&gt;Toot&lt;/b&gt; &amp; co" in text
        assert "<b>" not in text

    def test_what_was_typed_comes_back_as_text(self, browser):
        browser.open("/auth/sign_in")
        page = browser.sign_in('"><script>x', "wrong")
        assert page.status_code == 422
        assert "<script" not in page.text
        assert 'role="alert"' in page.text
        assert Form(page.text).fields["user[email]"] == '"><script>x'

    @pytest.mark.parametrize("path", ["/auth/sign_in", "/auth/sign_up", "/oauth/authorize"])
    def test_pages_may_be_neither_framed_nor_kept_and_run_nothing(self, browser, path):
        headers = browser.open(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "private, no-store"
        assert headers["x-frame-options"] == "DENY"
        assert "access-control-allow-origin" not in headers

    def test_only_the_authorize_page_may_lead_away(self, signed_in, client):
        assert "form-action" not in signed_in.authorize(client).headers["content-security-policy"]
        assert "form-action 'self'" in signed_in.open("/auth/sign_in").headers["content-security-policy"]

    @pytest.mark.parametrize("token", ["", "0" * 64, "é"])
    def test_a_form_without_its_token_does_nothing(self, signed_in, client, token):
        signed_in.authorize(client)
        page = signed_in.send(authenticity_token=token)
        assert page.status_code == 403
        assert "location" not in page.headers

    def test_a_token_of_another_form_or_visitor_will_not_do(self, signed_in, client, browser, server):
        token = Form(signed_in.open("/auth/sign_in").text).fields["authenticity_token"]
        signed_in.authorize(client)
        assert signed_in.send(authenticity_token=token).status_code == 403
        signed_in.authorize(client)
        fields = Form(signed_in.page.text).fields
        other = Browser(server.base_url)
        other.open("/auth/sign_in")
        assert other.send_as("/oauth/authorize", fields).status_code == 403
        other.http.close()

    @pytest.mark.parametrize(
        "headers",
        [{"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"origin": "https://evil.example"}],
        ids=str,
    )
    def test_a_form_of_another_site_does_nothing(self, signed_in, client, headers):
        signed_in.authorize(client)
        assert signed_in.send(headers=headers).status_code == 403

    def test_our_own_origin_will_do(self, signed_in, client, server):
        signed_in.authorize(client)
        assert signed_in.send(headers={"origin": server.base_url}).status_code == 303

    def test_a_slash_at_the_end_changes_nothing(self, browser):
        assert 'id="user_email"' in browser.open("/auth/sign_in/").text

    def test_other_methods_are_refused(self, browser):
        assert browser.http.put("/auth/sign_in").status_code == 405
        assert browser.http.options("/auth/sign_in").headers["allow"] == "GET, POST, OPTIONS"


class TestSessions:
    def test_the_cookie_is_no_script_s_and_no_other_site_s(self, browser, ada):
        browser.open("/auth/sign_in")
        form = Form(browser.page.text)
        fields = {**form.fields, "user[email]": ada.username, "user[password]": PASSWORD}
        cookies = browser.http.post("/auth/sign_in", data=fields).headers.get_list("set-cookie")
        (session,) = [cookie for cookie in cookies if cookie.startswith("rookery_session=")]
        assert "; HttpOnly; SameSite=Lax; Max-Age=" in session
        assert "Secure" not in session, "this server is known by http"

    def test_it_is_secure_where_we_are_known_by_https(self):
        with ServerThread({"public_url": "https://rookery.example"}) as live:
            browser = Browser(live.base_url)
            cookie = browser.open("/auth/sign_in").headers["set-cookie"]
            browser.http.close()
        assert cookie.startswith("rookery_visit=")
        assert "; HttpOnly; SameSite=Lax; Secure" in cookie

    def test_the_api_takes_it_neither_as_a_cookie_nor_as_a_token(self, signed_in):
        assert signed_in.http.get("/api/v1/timelines/home").status_code == 401
        session = signed_in.http.cookies["rookery_session"]
        for path in ("/api/v1/accounts/verify_credentials", "/oauth/userinfo"):
            assert signed_in.http.get(path, headers=bearer(session)).status_code == 401

    def test_a_token_of_an_app_is_no_session(self, browser, stranger, ada):
        client = register_client(stranger, "profile")
        token = client.token("password", username=ada.username, password=PASSWORD)
        for each in (token, ada.token, "nonsense", "rk_" + "A" * 54):
            browser.http.cookies.set("rookery_session", each)
            assert 'id="user_email"' in browser.open("/auth/sign_in").text
            browser.http.cookies.clear()

    def test_signing_out_ends_it_everywhere(self, signed_in):
        session = signed_in.http.cookies["rookery_session"]
        assert "You are signed in" in signed_in.open("/auth/sign_in").text
        assert 'id="user_email"' in signed_in.send().text
        signed_in.http.cookies.set("rookery_session", session)
        assert 'id="user_email"' in signed_in.open("/auth/sign_in").text

    def test_it_ends_after_thirty_days_whatever_the_browser_keeps(self, signed_in, ada, monkeypatch):
        session = signed_in.http.cookies["rookery_session"]
        (made_ms,) = [each["created_at"] for each in logins(ada) if each["name"] == "Web browser"]
        assert made_ms
        monkeypatch.setattr(Services, "wall_ms", lambda _: 1 << 62)
        assert 'id="user_email"' in signed_in.open("/auth/sign_in").text
        monkeypatch.undo()
        signed_in.http.cookies.set("rookery_session", session)
        assert 'id="user_email"' in signed_in.open("/auth/sign_in").text
        assert "Web browser" not in [each["name"] for each in logins(ada)]

    def test_it_ends_with_all_log_ins(self, signed_in, ada):
        ada.http.delete(f"/{ada.id}/tokens")
        assert 'id="user_email"' in signed_in.open("/auth/sign_in").text

    def test_signing_in_anew_ends_the_one_before(self, signed_in, ada):
        before = signed_in.http.cookies["rookery_session"]
        signed_in.open("/auth/sign_in", again="1")
        signed_in.sign_in(ada.username, PASSWORD)
        assert signed_in.http.cookies["rookery_session"] != before
        names = [token["name"] for token in ada.get(f"/{ada.id}/tokens")["tokens"]]
        assert names.count("Web browser") == 1

    @pytest.mark.parametrize("address", ["https://evil.example/", "//evil.example", "/oauth/authorize", "/api/v1/x",
                                         "/oauth/authorize?\r\nx: y"])  # fmt: skip
    def test_nobody_is_sent_on_to_elsewhere(self, browser, ada, address):
        browser.open("/auth/sign_in", next=address)
        assert "You are signed in" in browser.sign_in(ada.username, PASSWORD).text


class TestSigningUp:
    def fill_in(self, browser, **more):
        name = f"new_{next(account_numbers)}"
        fields = {
            "user[account_attributes][username]": name, "user[email]": f"{name}@mail.example",
            "user[password]": PASSWORD, "user[agreement]": "1", **more,
        }  # fmt: skip
        return name, browser.send(**fields)

    def test_who_signs_up_is_signed_in_and_goes_on_to_the_app(self, browser, client):
        browser.authorize(client)
        browser.open(unescape(browser.page.text.split('<a href="')[1].split('"')[0]))
        name, page = self.fill_in(browser)
        assert f"@{name}" in page.text
        assert redeem(client, sent_back(browser.send(), REDIRECT)["code"]).status_code == 200

    def test_what_is_wrong_is_told_beside_its_field(self, browser, ada):
        browser.open("/auth/sign_up")
        _, page = self.fill_in(browser, **{"user[account_attributes][username]": "no name", "user[password]": "short"})
        assert page.status_code == 422
        assert page.text.count('aria-invalid="true"') == 2
        assert "short" not in Form(page.text).fields.values()
        _, page = self.fill_in(browser, **{"user[account_attributes][username]": ada.username})
        assert "has already been taken" in page.text

    def test_where_registrations_are_closed_there_is_no_form(self):
        with ServerThread({"registrations": "closed"}) as live:
            browser = Browser(live.base_url)
            assert browser.open("/auth/sign_up").status_code == 403
            assert "sign_up" not in browser.open("/auth/sign_in").text
            reply = browser.http.post("/api/v1/users", json={"username": "x", "password": PASSWORD})
            assert (reply.status_code, reply.json()["error"]["code"]) == (403, "forbidden")
            browser.http.close()
