"""Tokens by every grant, and every refusal on the way to one."""

from __future__ import annotations

import pytest

from tests.api.conftest import PASSWORD
from tests.api.mastodon.oauth_client import OOB, REDIRECT, refusal, register_client


@pytest.fixture
def client(stranger):
    return register_client(stranger)


class TestApps:
    def test_an_app_gets_credentials_that_no_cache_keeps(self, stranger):
        body = {"client_name": "Toot ⚑", "redirect_uris": REDIRECT, "website": "https://client.example"}
        reply = stranger.post("/api/v1/apps", json=body)
        app = reply.json()
        assert reply.headers["cache-control"] == "private, no-store"
        assert (app["name"], app["website"]) == ("Toot ⚑", "https://client.example")
        assert (app["redirect_uri"], app["redirect_uris"], app["scopes"]) == (REDIRECT, [REDIRECT], ["read"])
        assert len(app["client_secret"]) >= 43
        assert app["client_secret_expires_at"] == 0

    @pytest.mark.parametrize(
        "fields",
        [
            {"redirect_uris": f"{REDIRECT}\n{OOB}"}, {"redirect_uris[]": [REDIRECT, OOB]},
            {"redirect_uris": [REDIRECT, OOB]},
        ],
        ids=["line ends", "brackets", "a name again"],
    )  # fmt: skip
    def test_addresses_come_in_several_forms(self, stranger, fields):
        reply = stranger.post("/api/v1/apps", data={"client_name": "x", "scopes": "read write", **fields})
        assert reply.json()["redirect_uris"] == [REDIRECT, OOB]
        assert reply.json()["redirect_uri"] == f"{REDIRECT}\n{OOB}"
        assert reply.json()["website"] is None

    @pytest.mark.parametrize(
        "wrong",
        [
            {"client_name": ""}, {"client_name": "x" * 61}, {"redirect_uris": ""}, {"redirect_uris": "no-uri"},
            {"redirect_uris": "javascript:alert(1)"}, {"redirect_uris": "DATA:text/html,x"},
            {"redirect_uris": "https://"}, {"redirect_uris": "https://a.example/#part"},
            {"redirect_uris": 'https://a.example/"x'}, {"redirect_uris": [f"https://a.example/{n}" for n in range(5)]},
            {"scopes": "read nonsense"}, {"website": "nonsense"}, {"redirect_uris": "https://[::1"},
        ],
        ids=str,
    )  # fmt: skip
    def test_what_is_no_app_is_refused(self, stranger, wrong):
        body = {"client_name": "x", "redirect_uris": REDIRECT, **wrong}
        reply = stranger.post("/api/v1/apps", json=body)
        assert reply.status_code == 422
        assert reply.json()["error"].startswith("Validation failed: ")

    @pytest.mark.parametrize("uri", ["app.example.client://callback", "http://127.0.0.1:8080/x?y=z", "x:/y"])
    def test_apps_may_have_schemes_of_their_own(self, stranger, uri):
        assert register_client(stranger, redirect_uris=uri).entity["redirect_uris"] == [uri]

    def test_an_app_sees_itself_by_any_token_of_its(self, client, ada):
        own = client.token("client_credentials")
        hers = client.token("password", username=ada.username, password=PASSWORD, scope="write")
        for token in (own, hers):
            app = client.get("/api/v1/apps/verify_credentials", token).json()
            assert (app["id"], app["name"]) == (client.entity["id"], "Test client")
            assert "client_secret" not in app
        assert ada.get("/api/v1/apps/verify_credentials")["redirect_uris"] == []
        assert client.http.get("/api/v1/apps/verify_credentials").status_code == 401


class TestClientCredentials:
    def test_an_app_s_own_token_is_for_read_unless_it_asks_for_more(self, client):
        reply = client.ask("client_credentials").json()
        assert (reply["token_type"], reply["scope"]) == ("Bearer", "read")
        assert client.ask("client_credentials", scope="read write").json()["scope"] == "read write"

    def test_it_stands_for_nobody(self, client, ada):
        token = client.token("client_credentials", scope="read write")
        assert client.get(f"/api/v1/accounts/{ada.id}", token).json()["id"] == ada.id
        reply = client.get("/api/v1/accounts/verify_credentials", token)
        assert reply.status_code == 422
        assert reply.json() == {"error": "This method requires an authenticated user", "details": {}}
        assert client.post("/api/v1/tweet", token, status="x").status_code == 401

    @pytest.mark.parametrize(
        "wrong", [{"client_secret": "x"}, {"client_id": "x"}, {"client_id": "", "client_secret": ""}]
    )
    def test_without_the_secret_there_is_none(self, client, wrong):
        reply = client.ask("client_credentials", **wrong)
        assert refusal(reply) == (401, "invalid_client")
        assert reply.headers["cache-control"] == "no-store"

    def test_credentials_may_come_in_the_header_but_not_in_both_places(self, client):
        data = {"grant_type": "client_credentials"}
        auth = (client.id, client.entity["client_secret"])
        assert client.http.post("/oauth/token", data=data, auth=auth).status_code == 200
        twice = client.http.post("/oauth/token", data={**data, **client.credentials}, auth=auth)
        assert refusal(twice) == (400, "invalid_request")
        wrong = client.http.post("/oauth/token", data=data, headers={"authorization": "Basic !"})
        assert refusal(wrong) == (401, "invalid_client")
        assert wrong.headers["www-authenticate"].startswith("Basic")

    @pytest.mark.parametrize("scope", ["write", "read nonsense", "profile"])
    def test_what_the_app_did_not_register_for_is_refused(self, stranger, scope):
        client = register_client(stranger, "read")
        assert refusal(client.ask("client_credentials", scope=scope)) == (400, "invalid_scope")

    def test_a_part_of_what_it_registered_for_will_do(self, stranger):
        client = register_client(stranger, "read")
        assert client.ask("client_credentials", scope="read:statuses").json()["scope"] == "read:statuses"

    def test_an_app_without_read_gets_what_it_registered_for(self, stranger):
        client = register_client(stranger, "write:statuses profile")
        assert client.ask("client_credentials").json()["scope"] == "profile write:statuses"


class TestPassword:
    def test_a_password_makes_a_token_of_the_app(self, client, ada):
        reply = client.ask("password", username=ada.username.upper(), password=PASSWORD, scope="read write").json()
        assert (reply["scope"], reply["token_type"]) == ("read write", "Bearer")
        assert client.get("/api/v1/accounts/verify_credentials", reply["access_token"]).json()["id"] == ada.id

    def test_parameters_may_be_json(self, client, ada):
        body = {**client.credentials, "grant_type": "password", "username": ada.username, "password": PASSWORD}
        assert client.http.post("/oauth/token", json=body).json()["scope"] == "read"

    @pytest.mark.parametrize("wrong", [{"password": "wrong"}, {"username": "nobody_at_all"}, {"password": "x" * 5_000},
                                       {"username": "no name"}], ids=str)  # fmt: skip
    def test_a_wrong_one_and_an_unknown_name_are_one_refusal(self, client, ada, wrong):
        reply = client.ask("password", **{"username": ada.username, "password": PASSWORD, **wrong})
        assert refusal(reply) == (400, "invalid_grant")
        assert reply.json()["error_description"].startswith("The provided authorization grant is invalid")

    @pytest.mark.parametrize("missing", ["username", "password", "grant_type"])
    def test_what_is_missing_is_named(self, client, missing):
        body = {"grant_type": "password", "username": "a", "password": "b", **client.credentials}
        del body[missing]
        reply = client.http.post("/oauth/token", data=body)
        assert refusal(reply) == (400, "invalid_request")
        assert missing in reply.json()["error_description"]

    def test_other_grants_are_not_known(self, client):
        assert refusal(client.ask("refresh_token", refresh_token="x")) == (400, "unsupported_grant_type")


class TestScopes:
    @pytest.fixture
    def token_for(self, client, ada):
        def make(scope):
            return client.token("password", username=ada.username, password=PASSWORD, scope=scope)

        return make

    def test_what_lies_outside_is_refused_in_mastodon_s_words(self, client, token_for):
        reply = client.get("/api/v1/timelines/home", token_for("write"))
        assert (reply.status_code, reply.json()) == (403, {"error": "This action is outside the authorized scopes"})

    @pytest.mark.parametrize("scope", ["read", "read:statuses", "read:lists read:statuses"])
    def test_what_covers_it_is_enough(self, client, token_for, scope):
        assert client.get("/api/v1/timelines/home", token_for(scope)).status_code == 200

    def test_it_is_refused_again_when_it_is_remembered(self, client, token_for):
        token = token_for("read:statuses")
        for _ in range(2):
            assert client.get("/api/v1/accounts/verify_credentials", token).status_code == 403
            assert client.get("/api/v1/timelines/home", token).status_code == 200

    def test_our_own_api_takes_none_that_is_for_less_than_everything(self, client, ada, token_for):
        token = token_for("read write follow")
        assert client.get("/api/v1/timelines/home", token).status_code == 200
        assert client.get(f"/api/v1/home_timeline?user_id={ada.id}", token).status_code == 403
        assert client.post("/api/v1/tweet", token, status="x").status_code == 403

    def test_tokens_of_our_own_api_are_for_everything(self, ada):
        assert ada.get("/api/v1/timelines/home") == []
        assert ada.get("/oauth/userinfo")["preferred_username"] == ada.username

    def test_who_one_is_is_told_for_profile_too(self, stranger, ada):
        client = register_client(stranger, "profile")
        token = client.token("password", username=ada.username, password=PASSWORD)
        assert client.get("/api/v1/accounts/verify_credentials", token).json()["id"] == ada.id
        assert client.get("/oauth/userinfo", token).json()["preferred_username"] == ada.username
        assert client.get("/api/v1/timelines/home", token).status_code == 403


class TestRevoking:
    def revoke(self, client, token, **more):
        return client.http.post("/oauth/revoke", data={**client.credentials, "token": token, **more})

    def test_a_token_that_was_revoked_is_good_for_nothing_at_once(self, client, ada):
        for token, path in (
            (client.token("password", username=ada.username, password=PASSWORD), "/api/v1/timelines/home"),
            (client.token("client_credentials"), "/api/v1/apps/verify_credentials"),
        ):
            assert client.get(path, token).status_code == 200
            reply = self.revoke(client, token)
            assert (reply.status_code, reply.json()) == (200, {})
            reply = client.get(path, token)
            assert (reply.status_code, reply.json()) == (401, {"error": "The access token is invalid"})

    def test_what_never_was_a_token_is_as_good_as_revoked(self, client):
        assert self.revoke(client, "nonsense").json() == {}
        assert refusal(self.revoke(client, "")) == (400, "invalid_request")

    def test_tokens_of_others_stay(self, client, stranger, ada):
        other = register_client(stranger)
        token = client.token("password", username=ada.username, password=PASSWORD)
        for each in (token, ada.token):
            assert refusal(self.revoke(other, each)) == (403, "unauthorized_client")
        assert refusal(self.revoke(client, token, client_secret="x")) == (403, "unauthorized_client")
        assert client.get("/api/v1/timelines/home", token).status_code == 200
        assert ada.get("/api/v1/timelines/home") == []


def test_discovery_says_where_everything_is(stranger):
    found = stranger.get("/.well-known/oauth-authorization-server").json()
    origin = str(stranger.base_url)
    assert found["issuer"] == f"{origin}/"
    assert found["token_endpoint"] == f"{origin}/oauth/token"
    assert {"authorization_code", "password", "client_credentials"} == set(found["grant_types_supported"])
    assert found["code_challenge_methods_supported"] == ["S256"]
    assert "write:statuses" in found["scopes_supported"]


def test_web_clients_of_other_origins_may_ask(stranger):
    for path in ("/oauth/token", "/api/v1/apps"):
        reply = stranger.options(path, headers={"origin": "https://web.example"})
        assert reply.headers["access-control-allow-origin"] == "*"
        assert "POST" in reply.headers["access-control-allow-methods"]
