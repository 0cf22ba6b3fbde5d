"""Push subscriptions in Mastodon's API: of the token that asks, and of no other."""

from __future__ import annotations

import base64
import os

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from api.vapid import raw_public_key, unpadded, vapid_of
from tests.api.conftest import PASSWORD, ServerThread, open_http
from tests.api.mastodon.oauth_client import register_client

ENDPOINT = "https://push.example/abc"
PATH = "/api/v1/push/subscription"


@pytest.fixture(scope="module")
def server():
    with ServerThread({"sends_push": True}) as live:
        yield live


def keys():
    key = raw_public_key(ec.generate_private_key(ec.SECP256R1()).public_key())
    return {"p256dh": unpadded(key), "auth": unpadded(os.urandom(16))}


def wanted(**data):
    return {"subscription": {"endpoint": ENDPOINT, "keys": keys(), "standard": True}, "data": data}


def test_a_client_subscribes_reads_changes_and_ends_it(ada, server):
    assert ada.http.get(PATH).status_code == 404
    made = ada.post(PATH, **wanted(alerts={"mention": True, "favourite": True}, policy="followed"))
    assert (made["endpoint"], made["standard"], made["policy"]) == (ENDPOINT, True, "followed")
    assert [name for name, on in made["alerts"].items() if on] == ["mention", "favourite"]
    assert made["server_key"] == vapid_of(server.fake.outgoing_keys.vapid).public_key
    assert ada.get(PATH) == made
    changed = ada.put(PATH, data={"alerts": {"follow": True}})
    assert [name for name, on in changed["alerts"].items() if on] == ["follow"]
    assert (changed["id"], changed["policy"]) == (made["id"], "followed")
    assert ada.delete(PATH) == {}
    assert ada.http.get(PATH).status_code == 404
    assert ada.delete(PATH) == {}


def test_forms_are_read_as_browsers_send_them(ada):
    body = {
        "subscription[endpoint]": ENDPOINT, **{f"subscription[keys][{name}]": value for name, value in keys().items()},
        "data[alerts][mention]": "true", "data[alerts][poll]": "0", "data[policy]": "none",
    }  # fmt: skip
    made = ada.http.post(PATH, data=body).json()
    assert (made["alerts"]["mention"], made["alerts"]["poll"], made["policy"]) == (True, False, "none")


def test_keys_are_read_in_every_spelling_of_base_64(ada):
    key = raw_public_key(ec.generate_private_key(ec.SECP256R1()).public_key())
    body = wanted(alerts={"mention": True})
    body["subscription"]["keys"] = {"p256dh": base64.b64encode(key).decode(), "auth": "AAAAAAAAAAAAAAAAAAAAAA=="}
    assert ada.post(PATH, **body)["alerts"]["mention"] is True


def test_a_token_has_one_and_another_token_of_the_account_has_its_own(ada, server):
    with open_http(server.base_url) as other:
        said = {"username": ada.username, "password": PASSWORD}
        other.headers["authorization"] = f"Bearer {other.post('/api/v1/login', json=said).json()['auth_token']}"
        ada.post(PATH, **wanted(alerts={"mention": True}))
        assert other.get(PATH).status_code == 404
        assert other.put(PATH, json={"data": {}}).status_code == 404
        other.request("DELETE", PATH)
        assert ada.get(PATH)["alerts"]["mention"] is True
        first, second = (ada.post(PATH, **wanted(alerts={}))["id"] for _ in range(2))
        assert first != second


@pytest.mark.parametrize(
    "wrong",
    [
        {"endpoint": "http://push.example/"}, {"endpoint": "https://127.0.0.1/"}, {"endpoint": "https://[::1]/"},
        {"endpoint": "https://10.0.0.1:8443/x"}, {"endpoint": "https://user@push.example/"}, {"endpoint": ""},
        {"endpoint": "https://push.example/ x"}, {"endpoint": "https://[x/"}, {"endpoint": "ftp://push.example/"},
        {"endpoint": "https://push.example/" + "x" * 2_000}, {"endpoint": "https://push.example:99999/"},
        {"keys": {"p256dh": "AAAA", "auth": "AAAAAAAAAAAAAAAAAAAAAA"}}, {"keys": {}},
        {"keys": {**keys(), "auth": "x"}}, {"keys": {**keys(), "auth": "é" * 22}},
        {"keys": {**keys(), "p256dh": unpadded(b"\x04" + b"\1" * 64)}},
    ],
)  # fmt: skip
def test_what_no_message_could_be_sent_to_is_refused(ada, wrong):
    body = wanted(alerts={"mention": True})
    reply = ada.http.post(PATH, json={**body, "subscription": {**body["subscription"], **wrong}})
    assert reply.status_code == 422
    assert reply.json()["error"].startswith("Validation failed: ")
    assert ada.http.get(PATH).status_code == 404


def test_a_policy_that_there_isnt_is_refused(ada):
    assert ada.http.post(PATH, json=wanted(policy="some")).status_code == 422


def test_the_scope_push_is_needed(ada, stranger):
    client = register_client(stranger, "read write push")
    for scope, status in (("read write", 403), ("push", 200)):
        token = client.token("password", username=ada.username, password=PASSWORD, scope=scope)
        assert client.post(PATH, token, **wanted()).status_code == status


def test_apps_and_the_instance_say_the_key_by_which_clients_subscribe(ada, stranger, server):
    key = vapid_of(server.fake.outgoing_keys.vapid).public_key
    assert ada.get("/api/v2/instance")["configuration"]["vapid"] == {"public_key": key}
    app = stranger.post("/api/v1/apps", json={"client_name": "x", "redirect_uris": "urn:ietf:wg:oauth:2.0:oob"}).json()
    assert app["vapid_key"] == key


def test_where_nothing_is_pushed_it_is_not_available_yet():
    with ServerThread() as live, open_http(live.base_url) as http:
        made = http.post("/api/v1/users", json={"username": "plain", "password": PASSWORD}).json()
        http.headers["authorization"] = f"Bearer {made['auth_token']}"
        for method in ("GET", "POST", "PUT", "DELETE"):
            reply = http.request(method, PATH)
            assert (reply.status_code, reply.json()) == (404, {"error": "not available yet"})
        assert "vapid" not in http.get("/api/v2/instance").json()["configuration"]
