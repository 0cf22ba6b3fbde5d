"""Timelines of everybody: public, and of a hashtag. The server is shared, so only what a test has said is looked at."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from actors.core.joining import TweetPieces
from api.mastodon.operations.public_timelines import merged
from api.mastodon.pages import Window
from tests.api.media_port import IMAGE

PUBLIC = "/api/v1/timelines/public"


def ids(statuses: list[dict[str, Any]], *among: Any) -> list[str]:
    """Return the ids of statuses, of some authors if they are named."""
    authors = {person.id for person in among}
    return [status["id"] for status in statuses if not among or status["account"]["id"] in authors]


def test_everybody_sees_what_is_public_and_answers_nobody(ada, bob, stranger):
    first = ada.says("first")
    ada.says("for followers", visibility="followers")
    bob.says("an answer", in_reply_to=first)
    second = bob.says("second")
    for page in (stranger.get(PUBLIC).json(), ada.get(PUBLIC), ada.get(PUBLIC, local=True)):
        assert ids(page, ada, bob) == [second, first]
        assert ids(page) == sorted(ids(page), key=int, reverse=True)
    assert ada.get(PUBLIC, remote=True) == []


def test_only_media_are_statuses_that_show_something(ada, bob, stranger):
    word = tag("seen", ada)
    said = []
    for number in range(3):
        medium = ada.http.post("/api/v1/media", files={"file": ("a", IMAGE + b"%d" % number)}).json()["id"]
        said.append(ada.post("/api/v1/statuses", status=f"{number} #{word}", media_ids=[medium])["id"])
        ada.says(f'nothing "media_attachments":[] {number} #{word}')
    bob.post(f"/api/v1/statuses/{said[0]}/reblog")
    path = f"/api/v1/accounts/{ada.id}/statuses"
    for url in (PUBLIC, path, f"/api/v1/timelines/tag/{word}"):
        assert ids(stranger.get(url, params={"only_media": True}).json(), ada) == said[::-1]
        assert len(ids(stranger.get(url).json(), ada)) == 6
    assert bob.get(f"/api/v1/accounts/{bob.id}/statuses", only_media=True) == []
    for url in (PUBLIC, path):
        first = stranger.get(url, params={"only_media": True, "limit": 2})
        second = stranger.get(first.links["next"]["url"])
        assert [*ids(first.json(), ada), *ids(second.json(), ada)][:3] == said[::-1]
        above = stranger.get(url, params={"only_media": True, "limit": 2, "min_id": said[0]}).json()
        assert ids(above, ada) == said[:0:-1]


def test_pages_of_it_go_on_by_the_link(ada, bob, stranger):
    said = [each.says(text) for text in "abc" for each in (ada, bob)][::-1]
    page = stranger.get(PUBLIC, params={"limit": 2})
    assert ids(page.json()) == said[:2]
    page = stranger.get(page.links["next"]["url"])
    assert ids(page.json()) == said[2:4]
    assert ids(stranger.get(page.links["prev"]["url"]).json()) == said[:2]
    assert ids(stranger.get(PUBLIC, params={"min_id": said[4], "limit": 2}).json()) == said[2:4]
    assert ids(stranger.get(PUBLIC, params={"since_id": said[1]}).json()) == said[:1]


def test_whom_one_has_blocked_or_muted_is_left_out_and_filters_act(ada, bob, new_person):
    cyd, dee = new_person("cyd"), new_person("dee")
    seen, blocked, muted = (each.says("a spoiler") for each in (bob, cyd, dee))
    assert ids(ada.get(PUBLIC), bob, cyd, dee) == [muted, blocked, seen]
    for act, whom in (("block", cyd), ("mute", dee)):
        assert ada.http.post(f"/{ada.id}/{act}/{whom.id}").status_code in (200, 201)
    assert ids(ada.get(PUBLIC), bob, cyd, dee) == [seen]
    assert ids(cyd.get(PUBLIC), ada, bob, cyd, dee) == [muted, blocked, seen]
    ada.post("/api/v2/filters", title="x", context=["public"], keywords_attributes=[{"keyword": "spoiler"}])
    (status,) = (status for status in ada.get(PUBLIC) if status["id"] == seen)
    assert status["filtered"][0]["keyword_matches"] == ["spoiler"]


def tag(name: str, person: Any) -> str:
    """Return a hashtag that no other test has."""
    return f"{name}{person.id}"


def test_a_hashtag_has_a_timeline(ada, bob, stranger):
    word, other = tag("Word", ada), tag("other", ada)
    said = [ada.says(f"one #{word}"), bob.says(f"two #{word.lower()} #{other}"), ada.says(f"three #{other}")]
    ada.says(f"hidden #{word}", visibility="followers")
    path = f"/api/v1/timelines/tag/{word}"
    for reader in (lambda **query: stranger.get(path, params=query).json(), lambda **query: ada.get(path, **query)):
        assert ids(reader()) == [said[1], said[0]]
        assert ids(reader(**{"any[]": other})) == said[::-1]
        assert ids(reader(**{"all[]": [other]})) == [said[1]]
        assert ids(reader(**{"none[]": [f"#{other}"]})) == [said[0]]
        assert reader(remote=True) == []
    page = stranger.get(path, params={"limit": 1})
    assert ids(page.json()) == [said[1]]
    assert ids(stranger.get(page.links["next"]["url"]).json()) == [said[0]]
    (status,) = (status for status in ada.get(path) if status["id"] == said[0])
    assert status["tags"] == [{"name": word.lower(), "url": status["tags"][0]["url"]}]


@pytest.mark.parametrize(("path", "status"), [
    ("/api/v1/timelines/tag/%21%21", 404), ("/api/v1/timelines/tag/" + "x" * 101, 404),
    ("/api/v1/timelines/tag/x?any[]=a+b", 422), ("/api/v1/timelines/tag/x?" + "any[]=a&" * 16, 422),
    ("/api/v1/timelines/tag/x?max_id=now", 400), (f"{PUBLIC}?min_id=x", 400), (f"{PUBLIC}?local=perhaps", 200),
    (f"{PUBLIC}?remote=perhaps", 400),
])  # fmt: skip
def test_what_cant_be_asked_for_is_refused_in_words(stranger: httpx.Client, path: str, status: int):
    reply = stranger.get(path)
    assert reply.status_code == status
    if status != 200:
        assert reply.json()["error"]


def piece(tweet_id: int) -> list[Any]:
    return [tweet_id, 1, tweet_id, b"", b"", None]


@pytest.mark.parametrize(("answers", "window", "expected", "stopped"), [
    ([([9, 5], 0), ([7], 0)], Window(0, 0, 0, 20), [9, 7, 5], 0),
    ([([9, 5], 0), ([7], 0)], Window(0, 0, 0, 2), [9, 7], 0),
    ([([9, 5], 0), ([7], 6)], Window(0, 0, 0, 20), [9, 7], 6),
    ([([9], 8), ([7], 6)], Window(0, 0, 0, 20), [9], 8),
    ([([], 8), ([7], 0)], Window(0, 0, 0, 20), [], 8),
    ([([9, 5], 0), ([7], 6)], Window(0, 0, 0, 2), [9, 7], 0),
    ([([9, 5], 0), ([7], 0)], Window(0, 0, 4, 2), [7, 5], 0),
    ([([9, 5], 0), ([7], 8)], Window(0, 0, 4, 3), [7, 5], 8),
    ([], Window(0, 0, 0, 20), [], 0),
])  # fmt: skip
def test_a_page_of_several_shards_ends_where_one_of_them_has_stopped(answers, window, expected, stopped):
    tweets, stop = merged([[[*map(piece, shown)], stop] for shown, stop in answers], window)
    assert ([tweet.tweet_id for tweet in tweets], stop) == (expected, stopped)
    assert all(isinstance(tweet, TweetPieces) for tweet in tweets)
