"""Addresses that codes confirm, forgotten passwords, and what is mailed: both APIs and the pages."""

from __future__ import annotations

import pytest

from actors.core import limits
from actors.core.ids import bucket_of_account
from api.access.afterwards import UNDER_WAY_MAX
from api.oauth.mail_paths import END_MAIL
from api.outgoing_keys import account_of_link, hash_of_code
from tests.api.conftest import PASSWORD, ServerThread, account_numbers, assert_error, open_http
from tests.api.mailed import code_of, mails_of
from tests.api.mastodon.browser import Browser
from tests.api.mastodon.oauth_client import register_client

NEW_PASSWORD = "another horse entirely"


@pytest.fixture(scope="module")
def server():
    with ServerThread({"sends_mail": True}) as live:
        yield live


@pytest.fixture
def cluster(server):
    return server.fake


@pytest.fixture
def http(server):
    with open_http(server.base_url) as client:
        yield client


@pytest.fixture
def browser(server):
    made = Browser(server.base_url)
    yield made
    made.http.close()


def address_of(person):
    return f"{person.username}@Mail.example"


def wants(person, address=None):
    return person.http.post(
        f"/{person.id}/mail/address", json={"email": address or address_of(person), "password": PASSWORD}
    )


def confirms(person, code):
    return person.http.post(f"/{person.id}/mail/confirmation", json={"code": code})


@pytest.fixture
def confirmed(ada, cluster):
    """Ada, with a confirmed address."""
    assert wants(ada).status_code == 202
    assert confirms(ada, code_of(cluster, int(ada.id), "confirm")).status_code == 200
    return ada


def waits_for_the_code(http, cluster, person, address=None):
    """Forget a password, and return the code that is mailed once the request has been looked at."""
    reply = http.post("/api/v1/password/forgotten", json={"email": address or address_of(person)})
    assert (reply.status_code, reply.json()) == (202, {"accepted": True})
    settle(http, cluster)
    return code_of(cluster, int(person.id), "reset")


def settle(http, cluster):
    """Let what was answered already be looked at."""
    worker = settle.server.worker
    for _ in range(1_000):
        http.get("/healthz")
        if not worker._services.afterwards._tasks:
            return
    raise AssertionError("a request for a forgotten password is never looked at")


@pytest.fixture(autouse=True)
def known(server):
    settle.server = server


class TestAddresses:
    def test_an_address_is_the_accounts_once_its_code_has_come_back(self, ada, cluster):
        reply = wants(ada)
        assert (reply.json()["email"], reply.json()["waiting"]) == (None, address_of(ada))
        assert mails_of(cluster, int(ada.id)) == [("confirm", address_of(ada))]
        code = code_of(cluster, int(ada.id), "confirm")
        found = confirms(ada, code.lower().replace("-", " ")).json()
        assert (found["email"], found["waiting"], found["digest"]) == (address_of(ada), None, True)
        assert not any(found["notify"].values())

    def test_a_wrong_code_is_refused_and_the_password_is_needed(self, ada):
        wants(ada)
        assert_error(confirms(ada, "AAAA-AAAA-AAAA-AAAA"), 422, "code")
        reply = ada.http.post(f"/{ada.id}/mail/address", json={"email": "x@y.example", "password": "wrong horse"})
        assert_error(reply, 403, "password")
        assert_error(wants(ada, "nobody"), 422, "email")

    def test_who_confirms_an_address_signs_in_by_it_and_not_by_the_one_before(self, confirmed, http, cluster):
        def signs_in(name):
            return http.post("/api/v1/login", json={"username": name, "password": PASSWORD}).status_code

        other = f"other.{confirmed.username}@mail.example"
        assert signs_in(address_of(confirmed)) == 200
        wants(confirmed, other)
        assert (signs_in(address_of(confirmed)), signs_in(other)) == (200, 401)
        confirms(confirmed, code_of(cluster, int(confirmed.id), "confirm"))
        assert (signs_in(address_of(confirmed)), signs_in(other)) == (401, 200)
        told = mails_of(cluster, int(confirmed.id))
        assert [what for what, to in told if to == address_of(confirmed)] == ["confirm", "changing", "changed"]

    def test_an_address_that_somebody_has_confirmed_stays_his(self, confirmed, bob, cluster):
        wants(bob, address_of(confirmed))
        reply = confirms(bob, code_of(cluster, int(bob.id), "confirm"))
        assert_error(reply, 409, "email")
        login = bob.http.post("/api/v1/login", json={"username": address_of(confirmed), "password": PASSWORD})
        assert login.json()["user_id"] == confirmed.id

    def test_who_confirms_an_address_takes_it_from_who_has_only_claimed_it(self, bob, stranger, cluster):
        client = register_client(stranger, "read write")
        name = f"claims_{next(account_numbers)}"
        body = {"username": name, "email": f"{name}@mail.example", "password": PASSWORD, "agreement": True}
        assert client.post("/api/v1/accounts", client.token("client_credentials", scope="write"), **body).is_success
        wants(bob, f"{name}@mail.example")
        assert confirms(bob, code_of(cluster, int(bob.id), "confirm")).status_code == 200
        login = bob.http.post("/api/v1/login", json={"username": f"{name}@mail.example", "password": PASSWORD})
        assert login.json()["user_id"] == bob.id

    def test_what_is_mailed_is_chosen_by_names(self, confirmed):
        reply = confirmed.http.put(f"/{confirmed.id}/mail", json={"notify": {"mention": True, "like": True}})
        assert [name for name, on in reply.json()["notify"].items() if on] == ["mention", "like"]
        reply = confirmed.http.put(f"/{confirmed.id}/mail", data={"notify": '{"like": false}', "digest": "false"})
        assert reply.json() == confirmed.get(f"/{confirmed.id}/mail")
        assert (reply.json()["notify"]["mention"], reply.json()["notify"]["like"]) == (True, False)
        assert reply.json()["digest"] is False

    @pytest.mark.parametrize(("wrong", "status"), [({"poke": True}, 422), ([], 400), ({"like": "x"}, 400), ("{", 400)])
    def test_what_there_isnt_cant_be_chosen(self, confirmed, wrong, status):
        assert_error(confirmed.http.put(f"/{confirmed.id}/mail", json={"notify": wrong}), status)

    def test_without_an_address_nothing_can_be_chosen(self, ada):
        assert_error(ada.http.put(f"/{ada.id}/mail", json={"digest": True}), 422, "email")


class TestMastodons:
    def test_the_code_is_mailed_once_more_and_to_another_address_while_none_is_confirmed(self, ada, cluster):
        assert ada.get("/api/v1/emails/check_confirmation") is False
        reply = ada.http.post("/api/v1/emails/confirmations")
        assert reply.status_code == 403
        assert reply.json()["error"].startswith("This method is only available while")
        assert ada.post("/api/v1/emails/confirmations", email=address_of(ada)) == {}
        assert ada.post("/api/v1/emails/confirmations") == {}
        assert mails_of(cluster, int(ada.id)) == [("confirm", address_of(ada))] * 2
        confirms(ada, code_of(cluster, int(ada.id), "confirm"))
        assert ada.get("/api/v1/emails/check_confirmation") is True
        for body in ({}, {"email": "thief@mail.example"}):
            assert ada.http.post("/api/v1/emails/confirmations", json=body).status_code == 403

    def test_signing_up_mails_a_code(self, stranger, cluster):
        client = register_client(stranger, "read write")
        name = f"mailed_{next(account_numbers)}"
        body = {"username": name, "email": f"{name}@mail.example", "password": PASSWORD, "agreement": True}
        made = client.post("/api/v1/accounts", client.token("client_credentials", scope="write"), **body).json()
        account = client.get("/api/v1/accounts/verify_credentials", made["access_token"]).json()
        assert mails_of(cluster, int(account["id"])) == [("confirm", f"{name}@mail.example")]


class TestForgotten:
    def test_a_code_gives_another_password_and_ends_all_tokens(self, confirmed, http, cluster):
        code = waits_for_the_code(http, cluster, confirmed)
        body = {"email": address_of(confirmed), "code": code, "new_password": NEW_PASSWORD}
        assert http.post("/api/v1/password/reset", json=body).json() == {"reset": True}
        assert confirmed.http.get(f"/{confirmed.id}/mail").status_code == 401
        for password, status in ((PASSWORD, 401), (NEW_PASSWORD, 200)):
            said = {"username": confirmed.username, "password": password}
            assert http.post("/api/v1/login", json=said).status_code == status
        assert mails_of(cluster, int(confirmed.id))[-1] == ("password_changed", address_of(confirmed))
        assert_error(http.post("/api/v1/password/reset", json=body), 422, "code")

    def test_the_code_is_in_no_journal(self, confirmed, http, cluster):
        code = waits_for_the_code(http, cluster, confirmed)
        records = b"".join(record for shard in cluster.sim.shards for record in shard.log.values())
        assert hash_of_code(code) in records, "its hash is"
        for written in (code, code.replace("-", ""), code.lower()):
            assert written.encode() not in records

    def test_nobody_learns_whether_somebody_is_here(self, confirmed, http, cluster):
        asked = []
        for address in (address_of(confirmed), "nobody@mail.example"):
            cluster.calls.clear()
            reply = http.post("/api/v1/password/forgotten", json={"email": address})
            assert (reply.status_code, reply.json()) == (202, {"accepted": True})
            settle(http, cluster)
            asked.append(list(cluster.calls))
        assert asked[0] == asked[1] == ["address", "forgot_password"]
        replies = []
        for address in (address_of(confirmed), "nobody@mail.example"):
            cluster.calls.clear()
            body = {"email": address, "code": "AAAA-AAAA-AAAA-AAAA", "new_password": NEW_PASSWORD}
            reply = http.post("/api/v1/password/reset", json=body)
            replies.append((reply.status_code, reply.json(), list(cluster.calls)))
        assert replies[0] == replies[1]
        assert replies[0][2] == ["address", "reset_password"]

    def test_it_is_answered_before_anything_is_looked_at(self, confirmed, http, cluster):
        cluster.delay_s = 60.0
        try:
            reply = http.post("/api/v1/password/forgotten", json={"email": address_of(confirmed)})
            assert reply.status_code == 202
            for number in range(UNDER_WAY_MAX - 1):
                http.post("/api/v1/password/forgotten", json={"email": f"nobody{number}@mail.example"})
            assert_error(http.post("/api/v1/password/forgotten", json={"email": address_of(confirmed)}), 503)
        finally:
            cluster.delay_s = 0.0
            settle.server.loop.call_soon_threadsafe(settle.server.worker._services.afterwards.close)

    def test_a_password_that_is_tried_first_and_an_address_that_is_none_are_refused(self, http):
        body = {"email": "a@mail.example", "code": "x", "new_password": "password"}
        assert_error(http.post("/api/v1/password/reset", json=body), 422, "new_password")
        for path in ("forgotten", "reset"):
            said = {**body, "email": "nobody", "new_password": NEW_PASSWORD}
            assert_error(http.post(f"/api/v1/password/{path}", json=said), 422, "email")

    def test_tries_are_bounded_by_address_of_the_client_and_of_the_mail(self):
        with (
            ServerThread({"sends_mail": True, "rate_limits": {"login": [0.001, 20]}}) as live,
            open_http(live.base_url) as http,
        ):
            said = [
                http.post("/api/v1/password/forgotten", json={"email": "a@mail.example"}).status_code for _ in range(3)
            ]
            assert said == [202, 202, 429], "a tenth of the attempts at log-ins"
            assert http.post("/api/v1/password/forgotten", json={"email": "b@mail.example"}).status_code == 202
            assert http.post("/api/v1/login", json={"username": "a@mail.example", "password": "x"}).status_code == 401


class TestPages:
    def test_from_a_forgotten_password_to_another_one(self, browser, confirmed, http, cluster):
        browser.open("/auth/sign_in")
        assert "/auth/password/new" in browser.page.text
        browser.open("/auth/password/new")
        page = browser.send(**{"user[email]": address_of(confirmed)})
        assert "If an account here has confirmed that address" in page.text
        settle(http, cluster)
        page = browser.send(code="AAAA-AAAA-AAAA-AAAA", **{"user[password]": NEW_PASSWORD})
        assert (page.status_code, "This code is wrong" in page.text) == (422, True)
        code = code_of(cluster, int(confirmed.id), "reset")
        page = browser.send(code=code, **{"user[password]": NEW_PASSWORD})
        assert "signed out everywhere" in page.text
        browser.open("/auth/sign_in")
        assert f"@{confirmed.username}" in browser.sign_in(confirmed.username, NEW_PASSWORD).text

    def test_the_page_is_the_same_for_an_address_that_nobody_has(self, browser, confirmed):
        pages = []
        for address in (address_of(confirmed), "nobody@mail.example"):
            browser.open("/auth/password/new")
            pages.append(browser.send(**{"user[email]": address}).text.replace(address, "..."))
        assert pages[0] == pages[1]

    def test_an_address_is_chosen_and_confirmed_in_the_settings(self, browser, ada, cluster):
        browser.open("/settings/mail")
        browser.sign_in(ada.username, PASSWORD)
        assert "You have no confirmed address" in browser.page.text
        page = browser.send(**{"user[email]": address_of(ada), "user[current_password]": "wrong"})
        assert page.status_code == 422
        page = browser.send(**{"user[email]": address_of(ada), "user[current_password]": PASSWORD})
        assert "A code was mailed" in page.text
        assert browser.send(code="0").status_code == 422
        page = browser.send(code=code_of(cluster, int(ada.id), "confirm"))
        assert f"Your address is <strong>{address_of(ada)}</strong>" in page.text
        page = browser.send(**{"notify[mention]": "1", "notify[like]": "1"})
        assert page.text.count(" checked") == 2, "what isn't ticked isn't wanted: no digest"
        found = ada.get(f"/{ada.id}/mail")
        assert (found["notify"]["mention"], found["digest"]) == (True, False)

    def test_a_link_fills_in_a_form_and_changes_nothing(self, browser, ada, cluster):
        wants(ada)
        browser.open("/auth/sign_in")
        browser.sign_in(ada.username, PASSWORD)
        code = code_of(cluster, int(ada.id), "confirm")
        page = browser.open("/auth/confirmation", code=code)
        assert f'value="{code}"' in page.text
        assert ada.get(f"/{ada.id}/mail")["email"] is None

    def test_forms_of_others_change_nothing(self, browser, ada):
        browser.open("/auth/sign_in")
        browser.sign_in(ada.username, PASSWORD)
        for path in ("/settings/mail", "/settings/mail/address", "/auth/confirmation", "/auth/password/new"):
            assert browser.send_as(path, {"authenticity_token": "x"}).status_code == 403


class TestUnsubscribe:
    def link(self, cluster, person, address=None):
        return cluster.outgoing_keys.link(END_MAIL, int(person.id), address or address_of(person))

    @pytest.fixture
    def notified(self, confirmed):
        confirmed.put(f"/{confirmed.id}/mail", notify={"mention": True}, digest=True)
        return confirmed

    def test_one_click_ends_it_without_a_cookie_or_a_sign_in_and_for_good(self, notified, http, cluster):
        path = f"/unsubscribe?token={self.link(cluster, notified)}"
        for _ in range(2):
            http.cookies.clear()
            reply = http.post(path, data={"List-Unsubscribe": "One-Click"})
            assert reply.status_code == 200
            found = notified.get(f"/{notified.id}/mail")
            assert (any(found["notify"].values()), found["digest"]) == (False, False)

    def test_looking_at_the_link_ends_nothing(self, notified, browser, cluster):
        browser.open("/unsubscribe", token=self.link(cluster, notified))
        assert notified.get(f"/{notified.id}/mail")["digest"] is True
        assert "no more notifications" in browser.send().text
        assert notified.get(f"/{notified.id}/mail")["digest"] is False

    def test_a_link_of_another_account_or_address_or_with_a_letter_changed_ends_nothing(
        self, notified, bob, http, cluster
    ):
        good = self.link(cluster, notified)
        another = "A" if good[-3] != "A" else "B"
        for wrong in (
            "", "x", good[:-3] + another + good[-2:], good + "=", "é" * 32, self.link(cluster, bob),
            self.link(cluster, notified, "other@mail.example"), self.link(cluster, bob)[:11] + good[11:],
            cluster.outgoing_keys.link("confirm", int(notified.id), address_of(notified)),
        ):  # fmt: skip
            assert http.post("/unsubscribe", params={"token": wrong}).status_code == 404
        assert notified.get(f"/{notified.id}/mail")["digest"] is True

    def test_a_link_says_whose_it_is(self, ada, cluster):
        assert account_of_link(self.link(cluster, ada)) == int(ada.id)


@pytest.fixture(scope="module")
def plain():
    with ServerThread() as live:
        yield live


class TestWithoutMail:
    def test_everything_is_as_it_was(self, plain):
        with open_http(plain.base_url) as http:
            made = http.post("/api/v1/users", json={"username": "plain", "password": PASSWORD}).json()
            bearer = {"authorization": f"Bearer {made['auth_token']}"}
            for method, path in (("GET", "/mail"), ("PUT", "/mail"), ("POST", "/mail/address")):
                assert_error(http.request(method, f"/{made['user_id']}{path}", headers=bearer), 404)
            reply = http.post("/api/v1/emails/confirmations", headers=bearer)
            assert (reply.status_code, reply.json()) == (404, {"error": "not available yet"})
            assert_error(http.post("/api/v1/password/forgotten", json={"email": "a@mail.example"}), 404)
            for path in ("/auth/password/new", "/settings/mail", "/unsubscribe", "/auth/confirmation"):
                assert http.get(path).status_code == 404
            assert "Forgot" not in http.get("/auth/sign_in").text

    def test_signing_up_keeps_no_address(self, plain):
        with open_http(plain.base_url) as http:
            client = register_client(http, "read write")
            body = {"username": "kept", "email": "kept@mail.example", "password": PASSWORD, "agreement": True}
            made = client.post("/api/v1/accounts", client.token("client_credentials", scope="write"), **body).json()
            account = client.get("/api/v1/accounts/verify_credentials", made["access_token"]).json()
        assert mails_of(plain.fake, int(account["id"])) == []
        row = plain.fake.answer(bucket_of_account(int(account["id"])), "mailbox", [int(account["id"])])
        assert row == ["", "", 0, False]


def test_an_account_has_so_many_codes_an_hour(ada, cluster):
    for number in range(limits.MAIL_CODES_PER_HOUR_MAX):
        assert wants(ada, f"{number}.{address_of(ada)}").status_code == 202
    assert_error(wants(ada), 429)
