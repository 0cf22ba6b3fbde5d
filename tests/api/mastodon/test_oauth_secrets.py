"""No secret is written down: neither in logs nor on a shard."""

from __future__ import annotations

import structlog

from actors.core.ids import bucket_of_thing, thing_of_name
from tests.api.conftest import PASSWORD, ServerThread, account_numbers
from tests.api.mastodon.browser import Browser, sent_back
from tests.api.mastodon.oauth_client import REDIRECT, VERIFIER, register_client


def test_the_log_of_all_requests_names_no_secret():
    name = f"quiet_{next(account_numbers)}"
    with structlog.testing.capture_logs() as logs, ServerThread({"access_log": "all"}) as live:
        browser = Browser(live.base_url)
        client = register_client(browser.http)
        made = {"username": name, "email": f"{name}@mail.example", "password": PASSWORD, "agreement": True}
        own = client.token("client_credentials", scope="write")
        signed_up = client.post("/api/v1/accounts", own, **made).json()["access_token"]
        assert client.ask("password", username=name, password="a wrong guess").status_code == 400
        browser.authorize(client)
        browser.sign_in(name, PASSWORD)
        code = sent_back(browser.send(), REDIRECT)["code"]
        token = client.token("authorization_code", code=code, redirect_uri=REDIRECT, code_verifier=VERIFIER)
        session = browser.http.cookies["rookery_session"]
        browser.http.close()
    written = repr(logs)
    assert "/oauth/token" in written
    assert "/auth/sign_in" in written
    typed = [PASSWORD, "a wrong guess", f"{name}@mail.example", VERIFIER]
    drawn = [own, signed_up, token, code, session, client.entity["client_secret"]]
    assert not [secret for secret in [*typed, *drawn] if secret in written]


def test_a_shard_keeps_hashes(server, stranger):
    client = register_client(stranger)
    app_id = thing_of_name(client.id)
    kept = server.fake.answer(bucket_of_thing(app_id), "app", [app_id])
    assert client.entity["client_secret"] not in repr(kept)
    assert len(kept[1]) == 32
