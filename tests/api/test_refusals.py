"""Wrong input, route by route: each refusal has the right status, the one error shape, and names the field."""

from __future__ import annotations

import httpx
import pytest

from tests.api.conftest import PASSWORD, assert_error

TOO_BIG_ID = str(1 << 63)
BAD_IDS = [("abc", 400), ("1.5", 400), ("0", 422), ("-4", 422), (TOO_BIG_ID, 422), ("9" * 400, 422), ("٣", 400)]
GONE = "9223372036854775807"

REGISTRATIONS = [
    ({}, 422, "username"),
    ({"username": "has space", "password": PASSWORD}, 422, "username"),
    ({"username": "", "password": PASSWORD}, 422, "username"),
    ({"username": "a" * 31, "password": PASSWORD}, 422, "username"),
    ({"username": "ünï", "password": PASSWORD}, 422, "username"),
    ({"username": "nul\u0000", "password": PASSWORD}, 422, "username"),
    ({"username": 5, "password": PASSWORD}, 400, "username"),
    ({"username": ["a"], "password": PASSWORD}, 400, "username"),
    ({"username": "fine_name"}, 422, "password"),
    ({"username": "fine_name", "password": "short"}, 422, "password"),
    ({"username": "fine_name", "password": "x" * 257}, 422, "password"),
    ({"username": "fine_name", "password": "é" * 129}, 422, "password"),
    ({"username": "fine_name", "password": 12345678}, 400, "password"),
    ({"username": "fine_name", "password": PASSWORD, "display_name": "d" * 51}, 422, "display_name"),
    ({"username": "fine_name", "password": PASSWORD, "display_name": "a\nb"}, 422, "display_name"),
    ({"username": "fine_name", "password": PASSWORD, "bio": "b" * 501}, 422, "bio"),
    ({"username": "fine_name", "password": PASSWORD, "bio": {"a": 1}}, 400, "bio"),
]

TWEETS = [
    ({}, 422, "status"),
    ({"status": None}, 422, "status"),
    ({"status": ""}, 422, "status"),
    ({"status": "x" * 281}, 422, "status"),
    ({"status": "x" + "\u0300\u0316" * 10_000}, 422, "status"),
    ({"status": 7}, 400, "status"),
    ({"status": ["x"]}, 400, "status"),
    ({"status": " ".join(f"@{a}{b}" for a in "abcdefgh" for b in "abcdefghi")}, 422, "status"),
    ({"status": "bell\u0007"}, 422, "status"),
    ({"status": "nul\u0000"}, 422, "status"),
    ({"status": "tab\tbed"}, 422, "status"),
    ({"status": "\r\n"}, 422, "status"),
    ({"status": "c1\u0085"}, 422, "status"),
    ({"status": "bom\ufeff"}, 422, "status"),
    ({"status": "x", "visibility": "secret"}, 422, "visibility"),
    ({"status": "x", "visibility": 1}, 400, "visibility"),
    ({"status": "x", "media_ids": ["1", "2", "3", "4", "5"]}, 422, "media_ids"),
    ({"status": "x", "media_ids": ["1", "1"]}, 422, "media_ids"),
    ({"status": "x", "media_ids": ["one"]}, 422, "media_ids"),
    ({"status": "x", "media_ids": [True]}, 400, "media_ids"),
    ({"status": "x", "media_ids": {"a": 1}}, 400, "media_ids"),
    ({"status": "x", "in_reply_to": "soon"}, 400, "in_reply_to"),
    ({"status": "x", "in_reply_to": 1.0}, 400, "in_reply_to"),
    ({"status": "x", "in_reply_to": -1}, 422, "in_reply_to"),
    ({"status": "x", "in_reply_to": True}, 400, "in_reply_to"),
    ({"status": "x", "in_reply_to": 10**30}, 400, "in_reply_to"),
    ({"status": "x", "in_reply_to": GONE}, 404, "in_reply_to"),
]

PROFILES = [
    ({}, 422, None),
    ({"nonsense": 1}, 422, None),
    ({"display_name": "d" * 51}, 422, "display_name"),
    ({"bio": "b" * 501}, 422, "bio"),
    ({"location": "l" * 101}, 422, "location"),
    ({"location": "a\nb"}, 422, "location"),
    ({"url": "javascript:alert(1)"}, 422, "url"),
    ({"url": "ftp://example.org"}, 422, "url"),
    ({"url": "http://[::bad/"}, 422, "url"),
    ({"url": "https://"}, 422, "url"),
    ({"url": "https://" + "a" * 300}, 422, "url"),
    ({"avatar": "data:image/png;base64,AA"}, 422, "avatar"),
    ({"fields": "not json"}, 400, "fields"),
    ({"fields": [1]}, 400, "fields"),
    ({"fields": [{"name": "a"}]}, 400, "fields"),
    ({"fields": [{"name": "", "value": "v"}]}, 422, "fields"),
    ({"fields": [{"name": "n" * 101, "value": "v"}]}, 422, "fields"),
    ({"fields": [{"name": "n", "value": "v" * 301}]}, 422, "fields"),
    ({"fields": [{"name": "n", "value": "v"}] * 9}, 422, "fields"),
]


@pytest.mark.parametrize(("body", "status", "field"), REGISTRATIONS)
def test_register_refuses(anonymous, body, status, field):
    assert_error(anonymous.post("/api/v1/users", json=body), status, field)


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({}, 422, "username"),
        ({"username": "nobody_at_all"}, 422, "password"),
        ({"username": "nobody_at_all", "password": PASSWORD}, 401, None),
        ({"username": "not a name", "password": PASSWORD}, 401, None),
        ({"username": 3, "password": PASSWORD}, 400, "username"),
    ],
)
def test_login_refuses(anonymous, body, status, field):
    assert_error(anonymous.post("/api/v1/login", json=body), status, field)


def test_login_says_the_same_for_a_wrong_password_as_for_an_unknown_name(ada, anonymous):
    wrong = anonymous.post("/api/v1/login", json={"username": ada.username, "password": PASSWORD + "x"})
    unknown = anonymous.post("/api/v1/login", json={"username": "nobody_at_all", "password": PASSWORD})
    assert_error(wrong, 401)
    assert wrong.json() == unknown.json()


@pytest.mark.parametrize(("body", "status", "field"), TWEETS)
def test_tweet_refuses(ada, body, status, field):
    assert_error(ada.http.post("/api/v1/tweet", json={"user_id": ada.user_id, **body}), status, field)


def test_a_refused_character_is_named_with_its_index(ada):
    error = assert_error(ada.http.post("/tweet", json={"user_id": ada.user_id, "status": "ab\u0007c"}), 422, "status")
    assert "U+0007" in error["message"]
    assert "index 2" in error["message"]


@pytest.mark.parametrize("key", ["", "k" * 129, "tab\tkey"])
def test_an_unfit_idempotency_key_is_refused(ada, key):
    body = {"user_id": ada.user_id, "status": "x"}
    assert_error(ada.http.post("/tweet", json=body, headers={"idempotency-key": key}), 422, "Idempotency-Key")


@pytest.mark.parametrize(("body", "status", "field"), PROFILES)
def test_profile_change_refuses(ada, body, status, field):
    assert_error(ada.http.patch(f"/{ada.user_id}/profile", json=body), status, field)


@pytest.mark.parametrize(("value", "status"), BAD_IDS)
@pytest.mark.parametrize(
    "path",
    ["/{}/followers", "/{}/following", "/{}/profile", "/api/v1/tweet/{}", "/api/v1/user_timeline?user_id={}"],
)
def test_an_unfit_id_is_refused_by_name(anonymous, path, value, status):
    assert_error(anonymous.get(path.format(value)), status)


@pytest.mark.parametrize(
    "path", ["/{}/followers", "/{}/profile", "/api/v1/tweet/{}", "/api/v1/user_timeline?user_id={}"]
)
def test_what_does_not_exist_is_404(anonymous, path):
    assert_error(anonymous.get(path.format(GONE)), 404)


@pytest.mark.parametrize("path", ["/api/v1/home_timeline", "/feed", "/api/v1/user_timeline"])
@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ("count=0", 422, "count"),
        ("count=201", 422, "count"),
        ("count=-1", 422, "count"),
        ("count=ten", 400, "count"),
        ("count=1.5", 400, "count"),
        ("count=" + "9" * 300, 422, "count"),
        ("max_id=x", 400, "max_id"),
        ("max_id=0", 422, "max_id"),
        (f"max_id={TOO_BIG_ID}", 422, "max_id"),
        ("since_id=-1", 422, "since_id"),
        ("min_id=1e5", 400, "min_id"),
        ("count=1&count=2", 400, "count"),
        ("count=%ff", 400, None),
        ("x=" + "y" * 13000, 400, None),
    ],
)
def test_timelines_refuse_unfit_windows(ada, path, query, status, field):
    assert_error(ada.http.get(f"{path}?user_id={ada.user_id}&{query}"), status, field)


def test_a_timeline_without_a_user_id_is_refused(ada):
    assert_error(ada.http.get("/feed"), 422, "user_id")
    assert_error(ada.http.get("/api/v1/user_timeline"), 422, "user_id")
    assert_error(ada.http.get("/feed?user_id=me"), 400, "user_id")


@pytest.mark.parametrize("query", ["cursor=x", "count=0", "cursor=-1"])
def test_lists_refuse_unfit_cursors(ada, query):
    reply = ada.http.get(f"/{ada.user_id}/followers?{query}")
    assert reply.status_code in (400, 422)
    assert_error(reply, reply.status_code)


@pytest.mark.parametrize("op", ["follow", "block", "mute"])
def test_edges_need_two_existing_accounts(ada, op):
    assert_error(ada.http.post(f"/{ada.user_id}/{op}/{ada.user_id}"), 422, "id")
    assert_error(ada.http.post(f"/{ada.user_id}/{op}/{GONE}"), 404)
    assert_error(ada.http.post(f"/{ada.user_id}/{op}/somebody"), 400, "id")
    assert_error(ada.http.post(f"/me/{op}/{ada.user_id}"), 400, "user_id")


def test_a_blocked_account_can_not_follow(ada, bob):
    ada.http.post(f"/{ada.user_id}/block/{bob.user_id}")
    assert_error(bob.http.post(f"/{bob.user_id}/follow/{ada.user_id}"), 403)


@pytest.mark.parametrize("op", ["like", "repost"])
def test_a_tweet_that_does_not_exist_can_not_be_liked_or_reposted(ada, op):
    assert_error(ada.http.post(f"/api/v1/tweet/{GONE}/{op}"), 404)
    assert_error(ada.http.post(f"/api/v1/tweet/x/{op}"), 400, "tweet_id")


def test_only_the_author_deletes_a_tweet(ada, bob):
    tweet_id = ada.tweet("mine")["tweet_id"]
    assert_error(bob.http.delete(f"/api/v1/tweet/{tweet_id}"), 403)


@pytest.mark.parametrize("path", ["/nothing/here", "/api", "/oauth", "/favicon.ico", "/%00", "/a/b/c/d"])
def test_an_unknown_path_is_404_in_our_shape(anonymous, path):
    assert_error(anonymous.get(path), 404)


@pytest.mark.parametrize(
    "path", ["/api/v1/", "/api/v1/home_timeline/", "/api/v3/x", "/oauth/x", "/.well-known/x", "/nodeinfo/9"]
)
def test_an_unknown_path_where_mastodons_clients_ask_is_404_in_their_shape(anonymous, path):
    reply = anonymous.get(path)
    assert (reply.status_code, reply.json()) == (404, {"error": "Not found"})


def test_a_wrong_method_is_405_with_all_that_the_path_takes(anonymous):
    reply = anonymous.put("/api/v1/tweet/5")
    assert_error(reply, 405)
    assert reply.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH"
    assert_error(anonymous.post("/feed"), 405)
    assert anonymous.request("BREW", "/feed").status_code in (400, 405)


def test_options_lists_methods_and_head_answers_like_get(ada, anonymous):
    reply = anonymous.options(f"/{ada.user_id}/profile")
    assert reply.status_code == 204
    assert reply.headers["allow"] == "GET, HEAD, OPTIONS, PATCH"
    for path in (f"/{ada.user_id}/profile", f"/feed?user_id={ada.user_id}"):
        head, get = ada.http.head(path), ada.http.get(path)
        assert head.status_code == get.status_code == 200
        assert head.content == b""
        assert head.headers["content-length"] == str(len(get.content))


class TestAuthMatrix:
    """Who may do what: nobody 401, a false token 401, another's token 403, one's own 2xx."""

    PRIVATE = (
        ("GET", "/api/v1/home_timeline?user_id={me}", None),
        ("GET", "/feed?user_id={me}", None),
        ("POST", "/api/v1/tweet", {"user_id": "{me}", "status": "x"}),
        ("POST", "/tweet", {"user_id": "{me}", "status": "x"}),
        ("POST", "/{me}/follow/{other}", None),
        ("DELETE", "/{me}/follow/{other}", None),
        ("POST", "/{me}/block/{other}", None),
        ("DELETE", "/{me}/block/{other}", None),
        ("POST", "/{me}/mute/{other}", None),
        ("DELETE", "/{me}/mute/{other}", None),
        ("PATCH", "/{me}/profile", {"bio": "x"}),
    )
    PUBLIC = ("/api/v1/user_timeline?user_id={me}", "/{me}/profile", "/{me}/followers", "/{me}/following")

    def _send(self, client: httpx.Client, call, me, other, **more) -> httpx.Response:
        method, path, body = call
        body = {k: v.format(me=me) for k, v in body.items()} if body else None
        return client.request(method, path.format(me=me, other=other), json=body, **more)

    @pytest.mark.parametrize("call", PRIVATE)
    def test_private_calls(self, call, register, anonymous):
        me, other = register(), register()
        assert_error(self._send(anonymous, call, me.user_id, other.user_id), 401)
        for header in (
            "Bearer nonsense",
            "Bearer rk_" + "A" * 54,
            "Basic YTpi",
            "Bearer",
            "Bearer " + "x" * 5000,
            me.token,
        ):
            reply = self._send(anonymous, call, me.user_id, other.user_id, headers={"authorization": header})
            assert_error(reply, 401)
            assert reply.headers["www-authenticate"] == "Bearer"
        assert_error(self._send(other.http, call, me.user_id, other.user_id), 403)
        assert self._send(me.http, call, me.user_id, other.user_id).status_code in (200, 201)

    @pytest.mark.parametrize("path", PUBLIC)
    def test_public_reads(self, path, ada, bob, anonymous):
        path = path.format(me=ada.user_id)
        assert anonymous.get(path).status_code == 200
        assert bob.http.get(path).status_code == 200
        assert_error(anonymous.get(path, headers={"authorization": "Bearer nonsense"}), 401)
        assert_error(anonymous.get(path, params={"auth_token": "nonsense"} | dict(httpx.URL(path).params)), 401)

    @pytest.mark.parametrize("op", ["like", "repost"])
    def test_likes_and_reposts_need_a_token(self, op, ada, bob, anonymous):
        tweet_id = ada.tweet("x")["tweet_id"]
        for method in ("POST", "DELETE"):
            path = f"/api/v1/tweet/{tweet_id}/{op}"
            assert_error(anonymous.request(method, path), 401)
            assert_error(bob.http.request(method, path, json={"user_id": ada.user_id}), 403)
            assert bob.http.request(method, path, json={"user_id": bob.user_id}).status_code == 200

    def test_a_tampered_token_is_unknown(self, ada, bob, anonymous):
        def status(token):
            query = {"user_id": ada.user_id}
            return anonymous.get("/feed", params=query, headers={"authorization": f"Bearer {token}"}).status_code

        assert status(ada.token) == 200
        assert status(ada.token[:-2] + ("AA" if ada.token[-2:] != "AA" else "BB")) == 401
        assert status(ada.token[:13] + bob.token[13:]) in (401, 403)
        assert status(ada.token.upper()) == 401
