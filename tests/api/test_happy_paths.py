"""What the API is for: accounts, tweets, timelines, edges, profiles, over real HTTP."""

from __future__ import annotations

import re

import pytest

from actors.core.ids import bucket_of_account, bucket_of_name
from tests.api.conftest import PASSWORD


def test_register_places_the_account_in_the_bucket_of_its_name(register):
    user = register("Grace_Hopper")
    assert bucket_of_account(int(user.user_id)) == bucket_of_name("Grace_Hopper")
    assert user.token.startswith("rk_")


def test_a_name_is_taken_without_regard_to_case(register, anonymous):
    register("Kathleen")
    reply = anonymous.post("/api/v1/users", json={"username": "KATHLEEN", "password": PASSWORD})
    assert reply.status_code == 409
    assert reply.json()["error"]["code"] == "conflict"


def test_login_gives_a_token_that_works_and_logout_ends_it(ada, anonymous):
    body = anonymous.post("/api/v1/login", json={"username": ada.username.upper(), "password": PASSWORD}).json()
    assert body["user_id"] == ada.user_id
    headers = {"authorization": f"Bearer {body['auth_token']}"}
    query = {"user_id": ada.user_id}
    assert anonymous.get("/feed", params=query, headers=headers).status_code == 200
    assert anonymous.post("/api/v1/logout", headers=headers).json() == {"revoked": True}
    assert anonymous.get("/feed", params=query, headers=headers).status_code == 401
    assert ada.http.get("/feed", params=query).status_code == 200


def test_a_tweet_has_the_shape_that_was_asked_for(ada):
    tweet = ada.tweet("hello world", media_ids=[ada.upload(), int(ada.upload())])
    assert re.fullmatch(r"[A-Z][a-z]{2} [A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d \+0000 \d{4}", tweet["created_at"])
    assert tweet["status"] == "hello world"
    assert tweet["user_id"] == ada.user_id
    assert tweet["username"] == ada.username
    assert tweet["tweet_id"].isdigit()
    assert tweet["in_reply_to"] is None
    assert len(tweet["media"]) == 2
    assert tweet["counts"] == {"replies": 0, "reposts": 0, "likes": 0}


@pytest.mark.parametrize("path", ["/api/v1/tweet", "/tweet"])
def test_a_tweet_may_come_as_a_form_or_multipart(ada, path):
    values = {"user_id": ada.user_id, "status": "tea & cake"}
    assert ada.http.post(path, data=values).json()["status"] == "tea & cake"
    files = {name: (None, value) for name, value in values.items()}
    assert ada.http.post(path, files=files).json()["status"] == "tea & cake"


def test_the_token_may_come_in_the_body_or_the_query(ada, anonymous):
    values = {"user_id": ada.user_id, "auth_token": ada.token, "status": "hi"}
    assert anonymous.post("/tweet", json=values).status_code == 201
    assert anonymous.post("/tweet", data=values).status_code == 201
    assert anonymous.get("/feed", params={"user_id": ada.user_id, "auth_token": ada.token}).status_code == 200


def test_form_media_ids_may_be_repeated_or_joined(ada):
    for name, is_joined in (("media_ids[]", False), ("media_ids", False), ("media_ids", True)):
        ids = [ada.upload(), ada.upload()]
        data = {name: ",".join(ids) if is_joined else ids}
        reply = ada.http.post("/tweet", data={"user_id": ada.user_id, "status": "x", **data})
        assert len(reply.json()["media"]) == 2


def test_a_follower_sees_the_tweet_at_home_and_an_unfollow_takes_it_away(ada, bob):
    assert ada.http.post(f"/{ada.user_id}/follow/{bob.user_id}").json() == {
        "user_id": ada.user_id,
        "target_id": bob.user_id,
        "following": True,
    }
    tweet = bob.tweet("for followers", visibility="followers")
    assert [t["tweet_id"] for t in ada.home()] == [tweet["tweet_id"]]
    assert ada.http.request("DELETE", f"/{ada.user_id}/follow/{bob.user_id}").json()["following"] is False
    assert ada.home() == []


def test_both_home_paths_answer_alike_with_private_caching(ada):
    ada.tweet("one")
    replies = [ada.http.get(path, params={"user_id": ada.user_id}) for path in ("/feed", "/api/v1/home_timeline")]
    assert replies[0].content == replies[1].content
    assert replies[0].headers["cache-control"] == "private, no-store"
    assert replies[0].headers["content-type"] == "application/json"


def test_replies_likes_and_reposts_count(ada, bob):
    tweet_id = ada.tweet("original")["tweet_id"]
    reply = bob.tweet("me too", in_reply_to=tweet_id)
    assert reply["in_reply_to"] == tweet_id
    for _ in range(2):
        assert bob.http.post(f"/api/v1/tweet/{tweet_id}/like").json()["liked"] is True
        repost = bob.http.post(f"/api/v1/tweet/{tweet_id}/repost").json()
    assert repost["status"] == ""
    assert repost["repost_of"]["tweet_id"] == tweet_id
    assert ada.http.get(f"/api/v1/tweet/{tweet_id}").json()["counts"] == {"replies": 1, "reposts": 1, "likes": 1}
    assert bob.http.delete(f"/api/v1/tweet/{tweet_id}/like").json()["liked"] is False
    assert bob.http.delete(f"/api/v1/tweet/{tweet_id}/repost").json()["reposted"] is False
    assert ada.http.get(f"/api/v1/tweet/{tweet_id}").json()["counts"] == {"replies": 1, "reposts": 0, "likes": 0}


def test_only_public_tweets_may_be_reposted(ada):
    tweet_id = ada.tweet("private", visibility="followers")["tweet_id"]
    assert ada.http.post(f"/api/v1/tweet/{tweet_id}/repost").status_code == 403


def test_a_deleted_tweet_is_gone(ada, anonymous):
    tweet_id = ada.tweet("oops")["tweet_id"]
    assert ada.http.delete(f"/api/v1/tweet/{tweet_id}").json()["status"] == "oops"
    assert anonymous.get(f"/api/v1/tweet/{tweet_id}").status_code == 404


def test_a_tweet_for_followers_does_not_exist_for_others(ada, anonymous):
    tweet_id = ada.tweet("private", visibility="followers")["tweet_id"]
    assert anonymous.get(f"/api/v1/tweet/{tweet_id}").status_code == 404
    assert ada.http.get(f"/api/v1/tweet/{tweet_id}").status_code == 200


def test_a_mention_reaches_its_account_with_offsets_in_code_points(ada, bob, anonymous):
    tweet = ada.tweet(f"😀 @{bob.username.upper()} @nobody_at_all #ハッシュ https://example.com/x", visibility="direct")
    facts = tweet["entities"]
    assert bob.http.get(f"/api/v1/tweet/{tweet['tweet_id']}").status_code == 200
    assert anonymous.get(f"/api/v1/tweet/{tweet['tweet_id']}").status_code == 404
    assert len(facts["mentions"]) == len(facts["hashtags"]) == len(facts["urls"]) == 1


@pytest.mark.parametrize(("op", "member"), [("block", "blocking"), ("mute", "muting"), ("follow", "following")])
def test_edges_are_idempotent_both_ways(ada, bob, op, member):
    for method, holds in (("POST", True), ("POST", True), ("DELETE", False), ("DELETE", False)):
        reply = ada.http.request(method, f"/{ada.user_id}/{op}/{bob.user_id}")
        assert reply.status_code == 200
        assert reply.json() == {"user_id": ada.user_id, "target_id": bob.user_id, member: holds}


def test_followers_and_following_are_listed_newest_first_in_pages(register, ada):
    fans = [register() for _ in range(5)]
    for fan in fans:
        fan.http.post(f"/{fan.user_id}/follow/{ada.user_id}")
    seen, cursor = [], "0"
    while cursor:
        reply = ada.http.get(f"/{ada.user_id}/followers", params={"count": 2, "cursor": cursor})
        body = reply.json()
        seen += [user["user_id"] for user in body["users"]]
        cursor = body["next_cursor"]
        assert ("link" in reply.headers) == bool(cursor)
        if cursor:
            next_url = re.search(r"<([^>]+)>; rel=\"next\"", reply.headers["link"])[1]
            assert f"cursor={cursor}" in next_url
            assert "count=2" in next_url
    assert seen == [fan.user_id for fan in reversed(fans)]
    users = ada.http.get(f"/{fans[0].user_id}/following").json()["users"]
    assert [user["username"] for user in users] == [ada.username]


def test_a_profile_changes_only_what_is_given(ada, anonymous):
    change = {"display_name": "Ada", "bio": "two\nlines", "url": "https://example.org/ada"}
    assert ada.http.patch(f"/{ada.user_id}/profile", json=change).status_code == 200
    change = {"fields": [{"name": "Site", "value": "example.org"}], "url": ""}
    body = ada.http.patch(f"/{ada.user_id}/profile", json=change).json()
    assert body["display_name"] == "Ada"
    assert body["url"] == ""
    assert body["fields"] == [{"name": "Site", "value": "example.org"}]
    assert anonymous.get(f"/{ada.user_id}/profile").json()["bio"] == "two\nlines"


def test_pages_follow_links_through_the_whole_timeline(ada):
    ids = [ada.tweet(f"tweet {n}")["tweet_id"] for n in range(7)][::-1]
    seen: list[str] = []
    url = f"/api/v1/user_timeline?user_id={ada.user_id}&count=3"
    while True:
        reply = ada.http.get(url)
        page = [t["tweet_id"] for t in reply.json()]
        if not page:
            assert "link" not in reply.headers
            break
        seen += page
        links = dict(reversed(pair) for pair in re.findall(r"<([^>]+)>; rel=\"(\w+)\"", reply.headers["link"]))
        url = links["next"]
        newer = [t["tweet_id"] for t in ada.http.get(links["prev"]).json()]
        at = ids.index(page[0])
        assert newer == ids[max(0, at - 3) : at]
    assert seen == ids
    assert [t["tweet_id"] for t in ada.home(since_id=ids[2])] == ids[:2]
    assert [t["tweet_id"] for t in ada.home(min_id=ids[4], count=2)] == ids[2:4]


def test_links_never_carry_a_token(ada, anonymous):
    ada.tweet("x")
    reply = anonymous.get("/feed", params={"user_id": ada.user_id, "auth_token": ada.token})
    assert "auth_token" not in reply.headers["link"]


def test_an_idempotency_key_makes_one_tweet(ada, bob):
    def post(user, key, status="once"):
        body = {"user_id": user.user_id, "status": status}
        return user.http.post("/tweet", json=body, headers={"idempotency-key": key}).json()["tweet_id"]

    assert post(ada, "k1") == post(ada, "k1")
    assert post(ada, "k1") != post(ada, "k2")
    assert post(ada, "k1") != post(bob, "k1")
    assert ada.tweet("twice")["tweet_id"] != ada.tweet("twice")["tweet_id"]


def test_text_is_stored_in_nfc_and_counted_in_code_points(ada):
    assert ada.tweet("cafe\u0301")["status"] == "caf\u00e9"
    assert ada.tweet("😀" * 280)["status"] == "😀" * 280
    assert ada.tweet("e\u0301" * 280)["status"] == "\u00e9" * 280
    assert ada.tweet("line\nline")["status"] == "line\nline"
