"""Previews of links: which link it is, who shows it, and that its picture goes with whatever showed it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from actors.core import limits
from actors.core.errors import InvalidError, OverloadedError
from actors.core.facts import ATTACHMENTS, LANGUAGE, PREVIEW, pack_facts, read_facts
from actors.core.features.media import MEDIA
from actors.core.features.previews import wanted_link
from actors.core.joining import TweetPieces
from actors.core.link_previews import first_link, is_preview
from actors.core.media_names import prefix_of
from actors.core.met_links import MetLinks
from actors.core.shape_table import MASTODON
from tests.core.harness import Shards
from tests.core.hostile_media import upload
from tests.core.hostile_previews import URL, links, page, post_links
from tests.core.test_media import BASE, buried, let_fall_due, tweet_of, uploads
from tests.core.test_moving import three_people

world = pytest.fixture(three_people)
PICTURE = "0123456789abcdef-original.jpg"


def with_picture(world: Any, tweet_id: int, url: str = URL) -> int:
    """Give a tweet a preview with a picture; return the medium."""
    media_id = int(world.do("media_begin", world.ada, "attachment", "", 0, 0))
    assert world.do("preview", tweet_id, url, media_id, page(media_id)) is True
    return media_id


def status_of(world: Any, tweet_id: int) -> dict[str, Any]:
    replica = world.replicas[world.shard_of(world.ada)]
    status = TweetPieces.of(replica.read("tweet", [tweet_id, 0], replica.shaped(MASTODON).lookups)).piece
    found = orjson.loads(status[: status.index(b',"poll"')] + b"}")
    assert isinstance(found, dict)
    return found


def edit(world: Any, tweet_id: int, *urls: str, more: Any = None) -> None:
    world.now_ms += 1
    world.do("edit", tweet_id, world.ada, " ".join(urls), links(*urls), [], None, more)


@pytest.mark.parametrize(
    ("urls", "found"),
    [
        ([], ""), ([URL, "https://other.example/"], URL), (["example.com/x"], "https://example.com/x"),
        (["HTTP://example.com/X"], "http://example.com/X"), (["ftp://example.com/", URL], ""),
        (["https://example.com/" + "x" * limits.PREVIEW_URL_BYTES_MAX], ""),
    ],
)  # fmt: skip
def test_a_tweet_shows_the_page_of_its_first_link_if_that_can_be_fetched(urls, found):
    assert first_link(links(*urls), {}, ATTACHMENTS) == found
    assert first_link(links(*urls), {ATTACHMENTS: [1]}, ATTACHMENTS) == ""


def test_both_apis_show_what_a_page_says_of_itself_and_it_is_no_edit(world):
    tweet_id = post_links(world, world.ada, URL)
    assert "preview" not in tweet_of(world, tweet_id)
    assert wanted_link(world.state_of(world.ada).tweets.get(tweet_id)) == URL
    media_id = with_picture(world, tweet_id)
    shown = tweet_of(world, tweet_id)
    address = f"{BASE}/{prefix_of(media_id)}{PICTURE}"
    assert shown["preview"] == {
        "url": URL, "title": "A title", "description": "What it is about", "site": "Site", "picture_url": address,
        "width": 640, "height": 360, "blurhash": "LEHV6nWB",
    }  # fmt: skip
    assert "edited_at" not in shown
    card = status_of(world, tweet_id)["card"]
    assert (card["image"], card["type"], card["html"], card["published_at"]) == (
        address, "link", "", "2023-11-14T22:13:20.000Z",
    )  # fmt: skip
    assert card["authors"] == [{"name": "Ada", "url": "", "account": None}]
    assert uploads(world, world.ada) == []
    assert wanted_link(world.state_of(world.ada).tweets.get(tweet_id)) == ""
    world.check()


def test_copies_on_other_shards_and_in_reposts_show_it_whichever_came_first(world):
    tweet_id = post_links(world, world.ada, URL)
    before = world.repost(world.bob, tweet_id)
    late = world.read("tweet_ref", tweet_id, world.eve)[3]
    assert world.do("preview", tweet_id, URL, 0, page()) is True
    world.do("repost", world.eve, late)
    after = world.state_of(world.eve).reposts[world.row_of(world.eve)][tweet_id]
    for account_id, repost_id in ((world.bob, before), (world.eve, after)):
        shown = orjson.loads(world.read("tweet", repost_id, account_id))["repost_of"]
        assert shown["preview"]["title"] == "A title", repost_id
    world.check()


def test_an_edit_keeps_the_preview_of_the_same_link_and_drops_that_of_another(world):
    tweet_id = post_links(world, world.ada, URL)
    media_id = with_picture(world, tweet_id)
    edit(world, tweet_id, URL, "https://other.example/", more=[[LANGUAGE, "en"]])
    assert tweet_of(world, tweet_id)["preview"]["url"] == URL
    assert buried(world) == {}
    edit(world, tweet_id, "https://other.example/")
    assert "preview" not in tweet_of(world, tweet_id)
    assert set(buried(world)) == {media_id}
    other = with_picture(world, tweet_id, "https://other.example/")
    medium = upload(world, world.ada)
    edit(world, tweet_id, "https://other.example/", more=[[ATTACHMENTS, [medium]]])
    assert "preview" not in tweet_of(world, tweet_id)
    assert set(buried(world)) == {media_id, other}
    world.check()


@pytest.mark.parametrize("keeps", [True, False])
def test_a_picture_goes_with_its_tweet_also_when_that_is_drafted_anew(world, keeps):
    tweet_id = post_links(world, world.ada, URL)
    media_id = with_picture(world, tweet_id)
    assert [media_id, 1, [prefix_of(media_id) + PICTURE]] in world.replicas[world.shard_of(world.ada)].read(
        "media_held", [0, 0, 100]
    )[2]
    world.do("delete", tweet_id, world.ada, None, keeps)
    assert set(buried(world)) == {media_id}


def test_what_comes_too_late_changes_nothing_and_can_be_taken_back(world):
    tweet_id = post_links(world, world.ada, URL)
    media_id = int(world.do("media_begin", world.ada, "attachment", "", 0, 0))
    edit(world, tweet_id, "https://other.example/")
    assert world.do("preview", tweet_id, URL, media_id, page(media_id)) is False
    world.do("media_drop", world.ada, media_id)
    assert set(buried(world)) == {media_id}
    assert world.do("preview", tweet_id, "https://other.example/", 0, page()) is True
    assert world.do("preview", tweet_id, "https://other.example/", 0, page(title="another")) is False
    assert world.do("preview", tweet_id + (1 << 30), URL, 0, page()) is False
    world.do("delete", tweet_id, world.ada)
    assert world.do("preview", tweet_id, URL, 0, page()) is False


def test_a_picture_whose_upload_was_given_up_is_in_no_tweet(world):
    tweet_id = post_links(world, world.ada, URL)
    media_id = int(world.do("media_begin", world.ada, "attachment", "", 0, 0))
    let_fall_due(world, limits.MEDIA_PROCESSING_MS)
    assert set(buried(world)) == {media_id}
    assert world.do("preview", tweet_id, URL, media_id, page(media_id)) is False
    state = world.state_of(world.ada)
    foreign = int(world.do("media_begin", world.bob, "attachment", "", 0, 0))
    assert world.do("preview", tweet_id, URL, foreign, page(foreign)) is False
    assert state.papers.packed(MEDIA.number, world.ada, foreign) is None


@pytest.mark.parametrize(
    "facts",
    [
        [], page()[:-1], page(title=""), page(title="x" * (limits.PREVIEW_TITLE_BYTES_MAX + 1)), page(7),
        [*page()[:4], -1, *page()[5:]], [*page()[:6], "ab/cd/7-x", []],
    ],
)  # fmt: skip
def test_what_no_page_can_say_is_refused(world, facts):
    tweet_id = post_links(world, world.ada, URL)
    with pytest.raises(InvalidError):
        world.do("preview", tweet_id, URL, 0, facts)


def test_no_client_says_what_a_page_says(world):
    with pytest.raises(InvalidError, match="no fact 13"):
        post_links(world, world.ada, URL, facts=[[PREVIEW, [URL, "t", "", "", "", 0, 0, "", []]]])
    assert not is_preview(["javascript:x", "t", "", "", "", 0, 0, "", []])
    assert not is_preview([URL, "t", "", "", "", 0, 7, "", []])


def test_links_are_met_as_tweets_come_and_only_the_newest_are_kept(world):
    state = world.state_of(world.ada)
    state.met_links = met = MetLinks()
    assert world.post(world.ada)
    tweet_id = post_links(world, world.ada, URL)
    edit(world, tweet_id, "https://other.example/")
    assert met.take(10) == [tweet_id, tweet_id]
    rows = [[world.ada, "x", 0, 0, 0, links(URL) if n % 2 else b"", [], [], None] for n in range(10)]
    world.write_on(world.shard_of(world.ada), "post_many", [rows])
    assert len(met) == 5
    body = read_facts(state.tweets.get(tweet_id).body)
    for n in range(limits.PREVIEW_WISHES_COUNT_MAX):
        met.met(n, pack_facts(body))
    assert (len(met), met.passed_over) == (limits.PREVIEW_WISHES_COUNT_MAX, 5)


def test_an_older_cluster_writes_none():
    old = Shards(1, level=3)
    account = old.account_on(0)
    old.register(account)
    with pytest.raises(OverloadedError, match="upgraded"):
        old.do("preview", post_links(old, account, URL), URL, 0, page())
