"""Signing up through the API: a token at once, and what is wrong by field."""

from __future__ import annotations

import pytest

from actors.core.ids import bucket_of_account
from tests.api.conftest import PASSWORD, ServerThread, account_numbers, open_http
from tests.api.mastodon.oauth_client import OAuthClient, bearer, register_client


def sign_up(client: OAuthClient, token: str = "", **more):
    name = f"api_{next(account_numbers)}"
    body = {
        "username": name, "email": f"{name}@mail.example", "password": PASSWORD, "agreement": True, "locale": "en",
        **more,
    }  # fmt: skip
    return client.post("/api/v1/accounts", token or client.token("client_credentials", scope="write"), **body)


def waiting_on(live, account_id):
    """Return who waits on the shard of an account."""
    return live.fake.answer(bucket_of_account(account_id), "waiting", [800])


@pytest.fixture
def client(stranger):
    return register_client(stranger, "read write follow")


def test_who_signs_up_has_a_token_of_the_app_at_once(client):
    reply = sign_up(client, username=f"Api_{next(account_numbers)}").json()
    assert (reply["token_type"], reply["scope"]) == ("Bearer", "read write follow")
    account = client.get("/api/v1/accounts/verify_credentials", reply["access_token"]).json()
    assert account["username"].startswith("Api_")
    assert client.ask("password", username=account["username"], password=PASSWORD).status_code == 200


@pytest.mark.parametrize(
    ("wrong", "field", "code", "sentence"),
    [
        ({"username": ""}, "username", "ERR_BLANK", "Username can't be blank"),
        ({"username": "no name"}, "username", "ERR_INVALID",
         "Username must contain only letters, numbers and underscores"),
        ({"username": "x" * 31}, "username", "ERR_TOO_LONG", "Username is too long (maximum is 30 characters)"),
        ({"email": ""}, "email", "ERR_BLANK", "Email can't be blank"),
        ({"email": "nobody"}, "email", "ERR_INVALID", "Email is not an e-mail address"),
        ({"email": f"{'x' * 250}@a.example"}, "email", "ERR_INVALID", "Email is not an e-mail address"),
        ({"password": ""}, "password", "ERR_BLANK", "Password can't be blank"),
        ({"password": "short"}, "password", "ERR_TOO_SHORT", "Password must have 8 to 256 bytes, not 5"),
        ({"password": "password"}, "password", "ERR_INVALID", ""),
        ({"agreement": False}, "agreement", "ERR_ACCEPTED", "Agreement must be accepted"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_by_field(client, wrong, field, code, sentence):
    reply = sign_up(client, **wrong)
    said = reply.json()
    assert reply.status_code == 422
    assert said["error"].startswith(f"Validation failed: {sentence}")
    assert [each["error"] for each in said["details"][field]] == [code]
    assert list(said["details"]) == [field]


def test_all_that_is_wrong_is_told_at_once(client):
    reply = client.post("/api/v1/accounts", client.token("client_credentials", scope="write"))
    assert set(reply.json()["details"]) == {"username", "email", "password", "agreement"}


def test_a_name_that_is_taken_is_told_whatever_its_case(client, ada):
    said = sign_up(client, username=ada.username.upper()).json()
    assert said["error"] == "Validation failed: Username has already been taken"
    assert said["details"]["username"] == [{"error": "ERR_TAKEN", "description": "has already been taken"}]


def test_one_signs_in_by_the_address_too_whatever_its_case(client, bob):
    name = f"api_{next(account_numbers)}"
    assert sign_up(client, username=name, email=f"{name}@Mail.example").status_code == 200
    for address in (f"{name}@mail.EXAMPLE", f"{name.upper()}@mail.example"):
        token = client.token("password", username=address, password=PASSWORD)
        assert client.get("/api/v1/accounts/verify_credentials", token).json()["username"] == name
    assert client.ask("password", username=f"{bob.username}@mail.example", password=PASSWORD).status_code == 400
    assert client.ask("password", username=f"{name}@mail.example", password="wrong").status_code == 400


def test_an_address_is_one_account_s_until_that_is_gone(client):
    address = f"shared_{next(account_numbers)}@mail.example"
    token = sign_up(client, email=address).json()["access_token"]
    said = sign_up(client, email=address.upper()).json()
    assert said["details"]["email"] == [{"error": "ERR_TAKEN", "description": "has already been taken"}]
    account = client.get("/api/v1/accounts/verify_credentials", token).json()
    login = {"username": account["username"], "password": PASSWORD}
    native = client.http.post("/api/v1/login", json=login).json()["auth_token"]
    path = f"/api/v1/users/{account['id']}"
    reply = client.http.request("DELETE", path, headers=bearer(native), json={"password": PASSWORD})
    assert reply.status_code == 200, reply.text
    assert client.ask("password", username=address, password=PASSWORD).status_code == 400
    assert sign_up(client, email=address).status_code == 200


def test_only_an_app_with_the_scope_may_sign_people_up(client, ada):
    assert client.http.post("/api/v1/accounts", json={}).status_code == 401
    reply = sign_up(client, client.token("client_credentials", scope="read"))
    assert (reply.status_code, reply.json()) == (403, {"error": "This action is outside the authorized scopes"})
    assert sign_up(client, ada.token).status_code == 403, "it is a token of no app"


def test_where_registrations_are_closed_nobody_signs_up():
    with ServerThread({"registrations": "closed"}) as live, open_http(live.base_url) as http:
        assert sign_up(register_client(http)).status_code == 403


def test_where_an_operator_approves_nobody_is_in_before():
    with ServerThread({"registrations": "approval"}) as live, open_http(live.base_url) as http:
        client = register_client(http)
        name = f"api_{next(account_numbers)}"
        made = sign_up(client, username=name, reason="I like it here")
        assert made.status_code == 200
        token = made.json()["access_token"]
        login = {"username": name, "password": PASSWORD}
        assert client.get("/api/v1/timelines/home", token).status_code == 401
        assert client.ask("password", **login).status_code == 400
        assert client.http.post("/api/v1/login", json=login).status_code == 401
        assert client.http.post("/api/v1/users", json={**login, "username": f"{name}_2"}).status_code == 403
        account_id = int(http.get("/api/v1/accounts/lookup", params={"acct": name}).json()["id"])
        assert waiting_on(live, account_id)[-1][:3] == [account_id, name, "I like it here"]
        assert live.fake.answer_of("approve", account_id) is True
        assert client.get("/api/v1/timelines/home", token).status_code == 200
        assert client.ask("password", **login).status_code == 200
        assert not waiting_on(live, account_id)


@pytest.mark.parametrize("reason", ["x" * 501, "\x07"], ids=["long", "a bell"])
def test_a_reason_is_text(client, reason):
    assert list(sign_up(client, reason=reason).json()["details"]) == ["reason"]


def test_too_many_from_one_address_are_told_to_wait():
    rates = {"enabled": True, "register": [0.001, 2]}
    with ServerThread({"rate_limits": rates}) as live, open_http(live.base_url) as http:
        client = register_client(http)
        assert sign_up(client).status_code == 200
        reply = sign_up(client)
        assert reply.status_code == 429
        assert int(reply.headers["retry-after"]) > 0
