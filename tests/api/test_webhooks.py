"""Webhooks over HTTP: made, listed, tested, given another secret, ended; and which addresses are taken."""

from __future__ import annotations

import base64

import pytest

from api.native.notification_json import TYPE_NAMES
from tests.api.conftest import PASSWORD, ServerThread, open_http

URL = "https://example.org/hook"


def make(user, **more):
    return user.http.post(f"/{user.user_id}/webhooks", json={"url": URL, **more})


def listed(user):
    return user.http.get(f"/{user.user_id}/webhooks").json()


def test_a_webhook_is_made_with_a_secret_that_is_told_once(register):
    ada = register()
    reply = make(ada, types=["mention", "like"])
    assert reply.status_code == 201
    made = reply.json()
    assert len(base64.b64decode(made.pop("secret").removeprefix("whsec_"))) == 32
    assert (made["url"], made["types"], made["waiting_count"]) == (URL, ["mention", "like"], 0)
    assert listed(ada) == [made]


def test_types_are_all_by_default_and_may_be_written_in_one_text(register):
    ada = register()
    assert make(ada).json()["types"] == list(TYPE_NAMES)
    assert make(ada, url=URL + "/2", types="edit,poll").json()["types"] == ["poll", "edit"]


def test_an_address_has_one_webhook(register):
    ada, bob = register(), register()
    assert make(ada).status_code == 201
    assert make(ada).status_code == 409
    assert make(bob).status_code == 201


@pytest.mark.parametrize(
    "url",
    [
        "", "example.org", "http://example.org/", "ftp://example.org/", "https://", "https:///hook", "https://[::1/",
        "https://127.0.0.1/", "https://[::1]/", "https://10.0.0.1:8443/", "https://169.254.169.254/latest",
        "https://user:password@example.org/", "https://example.org:99999/", "https://example.org\\@127.0.0.1/",
        "https://exa mple.org/", "https://exämple.org/", 7, None, ["https://example.org/"], "https://[64:ff9b::1]/",
        "https://example.org:0/", "https://example.org/\r\nX-Injected: 1", "https://[fe80::1%25eth0]/",
        "https://example.org/\x00", "https://[::ffff:127.0.0.1]/", "https://" + "a" * 2_100 + ".example/",
    ],
)  # fmt: skip
def test_an_address_to_which_nothing_would_be_sent_is_refused(register, url):
    ada = register()
    reply = make(ada, url=url)
    assert reply.status_code in (400, 422)
    assert reply.json()["error"]["field"] == "url"
    assert listed(ada) == []


@pytest.mark.parametrize("types", [[], "", "unknown", ["mention", "unknown"], [1], 1, {"mention": True}, [["mention"]]])
def test_types_that_there_are_not_are_refused(register, types):
    reply = make(register(), types=types)
    assert reply.status_code == 422
    assert reply.json()["error"]["field"] == "types"


def test_a_test_waits_to_be_sent_and_a_new_secret_is_another(register):
    ada = register()
    made = make(ada).json()
    where = f"/{ada.user_id}/webhooks/{made['webhook_id']}"
    key = {"Idempotency-Key": "once"}
    first, again = (ada.http.post(f"{where}/test", headers=key) for _ in range(2))
    assert first.status_code == again.status_code == 202
    assert first.json() == again.json()
    assert first.json()["message_id"].startswith(f"{ada.user_id}-")
    assert listed(ada)[0]["waiting_count"] == 1
    rotated = ada.http.post(f"{where}/secret").json()
    assert rotated["secret"] != made["secret"]
    assert rotated["rotated_at"] == listed(ada)[0]["rotated_at"] is not None


def test_the_same_key_gets_the_same_webhook_with_the_same_secret(register):
    ada, key = register(), {"Idempotency-Key": "make"}
    first, again = (ada.http.post(f"/{ada.user_id}/webhooks", json={"url": URL}, headers=key) for _ in range(2))
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert ada.http.post(f"/{ada.user_id}/webhooks", json={"url": URL + "/2"}, headers=key).status_code == 409
    where, key = f"/{ada.user_id}/webhooks/{first.json()['webhook_id']}/secret", {"Idempotency-Key": "rotate"}
    rotated, repeated = (ada.http.post(where, headers=key).json() for _ in range(2))
    assert rotated == repeated
    other = ada.http.post(where, headers={"Idempotency-Key": "other"}).json()
    assert ada.http.post(where, headers=key).json() == rotated  # what was answered then
    assert len({first.json()["secret"], rotated["secret"], other["secret"]}) == 3


def test_no_answer_that_is_kept_has_a_secret(register, fake):
    ada = register()
    made = ada.http.post(f"/{ada.user_id}/webhooks", json={"url": URL}, headers={"Idempotency-Key": "make"}).json()
    secret = base64.b64decode(made["secret"].removeprefix("whsec_"))
    known = [each for shard in fake.sim.shards for each in shard.replica.state.idempotency.values()]
    kept = [each for each in known if isinstance(each, bytes)]
    assert kept
    assert not [answer for answer in kept if secret in answer or made["secret"].encode() in answer]


def test_a_webhook_of_an_accounts_own_stays_when_tokens_end_and_the_password_changes(register):
    ada = register()
    make(ada)
    body = {"password": PASSWORD, "new_password": f"{PASSWORD} and another"}
    changed = ada.http.post(f"/{ada.user_id}/password", json=body)
    assert changed.status_code == 200, changed.text
    headers = {"authorization": f"Bearer {changed.json()['auth_token']}"}
    assert len(ada.http.get(f"/{ada.user_id}/webhooks", headers=headers).json()) == 1


def test_a_webhook_that_is_ended_is_there_no_more(register):
    ada = register()
    where = f"/{ada.user_id}/webhooks/{make(ada).json()['webhook_id']}"
    assert ada.http.delete(where).json()["url"] == URL
    assert listed(ada) == []
    for method, path in (("DELETE", ""), ("POST", "/test"), ("POST", "/secret")):
        assert ada.http.request(method, where + path).status_code == 404


def test_what_somebody_is_notified_of_waits_for_the_webhook(register):
    ada, bob = register(), register()
    make(ada, types=["like"])
    tweet_id = ada.tweet("hello")["tweet_id"]
    bob.http.post(f"/api/v1/tweet/{tweet_id}/like")
    bob.http.post(f"/api/v1/tweet/{tweet_id}/repost")
    assert listed(ada)[0]["waiting_count"] == 1


@pytest.fixture(scope="module")
def unconfigured():
    with ServerThread({"webhooks": False}) as live, open_http(live.base_url) as http:
        yield http


def test_a_server_on_which_they_are_not_configured_has_none(unconfigured):
    account = {"username": "ada", "password": "correct horse battery"}
    made = unconfigured.post("/api/v1/users", json=account).json()
    headers = {"authorization": f"Bearer {made['auth_token']}"}
    reply = unconfigured.post(f"/{made['user_id']}/webhooks", json={"url": URL}, headers=headers)
    assert reply.status_code == 404
    assert "configure" in reply.json()["error"]["message"]


def test_networks_that_an_operator_allows_may_be_named_and_by_http():
    with (
        ServerThread({"webhooks": True, "webhook_networks": ["127.0.0.0/8"]}) as live,
        open_http(live.base_url) as http,
    ):
        made = http.post("/api/v1/users", json={"username": "ada", "password": "correct horse battery"}).json()
        headers = {"authorization": f"Bearer {made['auth_token']}"}

        def status(url: str) -> int:
            return http.post(f"/{made['user_id']}/webhooks", json={"url": url}, headers=headers).status_code

        assert [status(f"http://{host}/") for host in ("127.0.0.1:8080", "10.0.0.1", "8.8.8.8")] == [201, 422, 422]
