"""Media: uploads, the tweets and profiles that take them, and that whatever nobody shows any more is removed."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from actors.core import limits
from actors.core.attachments import Attachment
from actors.core.errors import ConflictError, InvalidError, NotFoundError, TooLargeError
from actors.core.facts import ATTACHMENTS, read_facts
from actors.core.features import blobs, media
from actors.core.joining import TweetPieces
from actors.core.media_names import media_id_of, picture_media_id, picture_url, prefix_of
from actors.core.outbound import SendVerdict, read_outbound
from actors.core.shape_table import MASTODON
from tests.core.hostile_media import facts_of, rendition, upload
from tests.core.test_moving import three_people

BASE = "http://127.0.0.1:8000/media"
HOUR_MS, DAY_MS = limits.HOUR_MS, limits.DAY_MS
world = pytest.fixture(three_people)


def with_media(*media_ids: Any) -> list[list[Any]]:
    return [[ATTACHMENTS, list(media_ids)]]


def tweet_of(world: Any, tweet_id: int) -> dict[str, Any]:
    return orjson.loads(world.read("tweet", tweet_id, 0))


def media_of(world: Any, tweet_id: int) -> list[int]:
    return [int(medium["media_id"]) for medium in tweet_of(world, tweet_id)["media"]]


def buried(world: Any) -> dict[int, int]:
    """Return media that are to be removed, and when."""
    found = {}
    for replica in world.replicas:
        for media_id, number in replica.state.things.kind_of.items():
            if number == blobs.BLOB.number:
                found[media_id] = read_outbound(replica.state.papers.get(blobs.BLOB, media_id)).due_ms
    return found


def uploads(world: Any, account_id: int) -> list[int]:
    return list(world.state_of(account_id).papers.keys(media.MEDIA, account_id))


def edit(world: Any, author: int, tweet_id: int, *media_ids: Any, text: str = "hello") -> None:
    world.now_ms += 1
    world.do("edit", tweet_id, author, text, b"", [], None, with_media(*media_ids))


def let_fall_due(world: Any, by_ms: int) -> None:
    world.now_ms += by_ms
    for shard, replica in enumerate(world.replicas):
        while (command := replica.due_command(world.now_ms)) is not None:
            world.run(shard, command)
    world.exchange()


def settle(world: Any, account_id: int, media_id: int, verdict: SendVerdict, attempts: int = 0) -> None:
    row = [blobs.BLOB.number, media_id, 0, attempts, int(verdict), 0]
    world.run(world.shard_of(account_id), ["outcome", world.now_ms, [row]])


# ---- uploads --------------------------------------------------------------------------------------------------------


def test_an_upload_is_processed_and_then_ready_and_only_its_account_is_told(world):
    media_id = world.do("media_begin", world.ada, "attachment", "a cat", 500, -250)
    state, purpose, reason, shown = world.read("media", world.ada, media_id)
    assert (state, purpose, reason) == ("processing", "attachment", "")
    assert orjson.loads(shown)["url"] is None
    state, *_, shown = world.do("media_done", world.ada, media_id, "image", facts_of(media_id))
    found = orjson.loads(shown)
    assert state == "ready"
    assert found["id"] == found["media_id"] == str(media_id)
    assert (found["type"], found["description"], found["meta"]["focus"]) == ("image", "a cat", {"x": 0.5, "y": -0.25})
    assert found["url"] == f"{BASE}/{prefix_of(media_id)}0123456789abcdef-original.jpg"
    assert found["preview_url"].endswith("-small.jpg")
    assert found["meta"]["original"] == {"width": 1600, "height": 1200, "size": "1600x1200", "aspect": 1600 / 1200}
    assert world.read("media_many", world.ada, [7, media_id]) == [None, world.read("media", world.ada, media_id)]
    for other in (world.bob, world.eve):
        with pytest.raises(NotFoundError):
            world.read("media", other, media_id)


def test_a_job_that_says_the_same_twice_changes_nothing_and_other_facts_are_refused(world):
    media_id = upload(world, world.ada)
    world.do("media_describe", world.ada, media_id, "said since", [1, 2], None)
    before = world.digests()
    world.do("media_done", world.ada, media_id, "image", facts_of(media_id))
    assert world.digests() == before
    with pytest.raises(ConflictError):
        world.do("media_done", world.ada, media_id, "image", facts_of(media_id, blurhash="other"))


def test_a_job_that_fails_says_why_and_its_objects_go_at_once(world):
    media_id = world.do("media_begin", world.ada, "attachment", "", 0, 0)
    assert world.do("media_fail", world.ada, media_id, "x.svg is no picture that is taken here")[0] == "failed"
    assert buried(world) == {media_id: world.now_ms}
    assert world.read("media", world.ada, media_id)[2].startswith("x.svg")
    with pytest.raises(InvalidError, match=r"could not be processed: x\.svg"):
        world.post(world.ada, facts=with_media(media_id))
    let_fall_due(world, DAY_MS)
    assert uploads(world, world.ada) == []


def test_a_job_that_says_nothing_has_failed_after_an_hour(world):
    media_id = world.do("media_begin", world.ada, "attachment", "", 0, 0)
    let_fall_due(world, HOUR_MS - 1)
    assert (world.read("media", world.ada, media_id)[0], buried(world)) == ("processing", {})
    let_fall_due(world, 1)
    assert world.read("media", world.ada, media_id)[0] == "failed"
    assert list(buried(world)) == [media_id]
    with pytest.raises(ConflictError):
        world.do("media_done", world.ada, media_id, "image", facts_of(media_id))


def test_what_no_tweet_takes_within_a_day_goes(world):
    media_id = upload(world, world.ada)
    let_fall_due(world, DAY_MS - 1)
    assert uploads(world, world.ada) == [media_id]
    let_fall_due(world, 1)
    assert (uploads(world, world.ada), list(buried(world))) == ([], [media_id])


def test_what_is_dropped_while_its_job_may_still_write_is_removed_once_that_has_ended(world):
    ready, processing = upload(world, world.ada), world.do("media_begin", world.ada, "attachment", "", 0, 0)
    begun_ms = world.now_ms
    world.now_ms += 60_000
    for media_id in (ready, processing):
        world.do("media_drop", world.ada, media_id)
    assert buried(world) == {ready: world.now_ms, processing: begun_ms + HOUR_MS}
    with pytest.raises(NotFoundError):
        world.do("media_drop", world.ada, ready)


def test_an_account_has_so_many_uploads_that_wait_and_no_more(world, monkeypatch):
    for _ in range(limits.MEDIA_WAITING_COUNT_MAX):
        media_id = world.do("media_begin", world.ada, "attachment", "", 0, 0)
    with pytest.raises(InvalidError):
        world.do("media_begin", world.ada, "attachment", "", 0, 0)
    world.do("media_drop", world.ada, media_id)
    world.do("media_begin", world.ada, "attachment", "", 0, 0)


def test_description_focus_and_thumbnail_change_until_a_tweet_has_it(world):
    media_id = upload(world, world.ada)
    thumbnail = rendition(media_id, "small", "png", 40, 30)
    world.do("media_describe", world.ada, media_id, "a dog", [1, -1], thumbnail)
    shown = orjson.loads(world.do("media_describe", world.ada, media_id, None, None, None)[3])
    assert (shown["description"], shown["meta"]["focus"]) == ("a dog", {"x": 0.001, "y": -0.001})
    assert shown["preview_url"].endswith("-small.png")
    for wrong in (rendition(media_id, "original", "png", 4, 3), rendition(media_id + 64, "small", "png", 4, 3)):
        with pytest.raises(InvalidError):
            world.do("media_describe", world.ada, media_id, None, None, wrong)
    world.post(world.ada, facts=with_media(media_id))
    with pytest.raises(NotFoundError):
        world.do("media_describe", world.ada, media_id, "late", None, None)


# ---- tweets ---------------------------------------------------------------------------------------------------------


def test_a_tweet_takes_uploads_in_their_order_and_shows_them_in_both_apis(world):
    first, second = upload(world, world.ada, description="one"), upload(world, world.ada)
    world.do("follow", world.bob, world.ada)
    world.home(world.bob)
    tweet_id = world.post(world.ada, facts=with_media(second, [first, None, [10, 20]]))
    assert media_of(world, tweet_id) == [second, first]
    shown = tweet_of(world, tweet_id)["media"][1]
    assert shown == {
        "media_id": str(first), "type": "image", "url": f"{BASE}/{prefix_of(first)}0123456789abcdef-original.jpg",
        "preview_url": f"{BASE}/{prefix_of(first)}0123456789abcdef-small.jpg", "description": "one", "width": 1600,
        "height": 1200, "blurhash": "LEHV6nWB2yk8pyo0adR*.7kCMdnj", "focus": {"x": 0.01, "y": 0.02},
        "duration_ms": None,
    }  # fmt: skip
    assert world.home(world.bob) == [tweet_id]
    replica = world.replicas[world.shard_of(world.ada)]
    status = TweetPieces.of(replica.read("tweet", [tweet_id, 0], replica.shaped(MASTODON).lookups)).piece
    attached = orjson.loads(status[: status.index(b',"poll"')] + b"}")["media_attachments"]
    assert [medium["id"] for medium in attached] == [str(second), str(first)]
    assert (uploads(world, world.ada), buried(world)) == ([], {})


def test_a_video_shows_how_long_it_is_and_sound_has_no_sides(world):
    facts = {"duration_ms": 2_500, "frame_rate": 29.97, "bitrate": 800_000}
    film, sound = (upload(world, world.ada, kind, **facts) for kind in ("video", "audio"))
    meta = orjson.loads(world.read("media", world.ada, film)[3])["meta"]
    expected = {"width": 1600, "height": 1200, "frame_rate": "29970/1000", "duration": 2.5, "bitrate": 800_000}
    assert meta["original"] == expected
    shown = orjson.loads(world.read("media", world.ada, sound)[3])
    assert shown["preview_url"] is None
    assert shown["meta"]["original"] == {"frame_rate": "29970/1000", "duration": 2.5, "bitrate": 800_000}


@pytest.mark.parametrize("kinds", [("image", "video"), ("video", "video"), ("audio", "image"), ("audio", "audio")])
def test_a_video_or_sound_stands_alone(world, kinds):
    chosen = [upload(world, world.ada, kind) for kind in kinds]
    with pytest.raises(InvalidError, match="together"):
        world.post(world.ada, facts=with_media(*chosen))
    assert media_of(world, world.post(world.ada, facts=with_media(chosen[0]))) == [chosen[0]]
    pictures = [upload(world, world.ada, kind) for kind in ("image", "gifv", "image")]
    assert media_of(world, world.post(world.ada, facts=with_media(*pictures))) == pictures


def test_what_is_no_upload_of_ones_own_that_is_ready_and_free_is_refused_by_its_id(world):
    taken, others, avatar = (
        upload(world, world.ada),
        upload(world, world.bob),
        upload(world, world.ada, purpose="avatar"),
    )
    processing = world.do("media_begin", world.ada, "attachment", "", 0, 0)
    world.post(world.ada, facts=with_media(taken))
    before = world.digests()
    for wrong in (taken, others, avatar, processing, 12345):
        with pytest.raises(InvalidError, match=str(wrong)) as refused:
            world.post(world.ada, facts=with_media(wrong))
        assert refused.value.field == "media_ids"
    free = upload(world, world.ada)
    for wrong in ([free, free], [[free]], [[free, "x" * 7_000, None]], [[free, None, [0, 1001]]], [0], [True], "x"):
        with pytest.raises((InvalidError, TooLargeError)):
            world.post(world.ada, facts=[[ATTACHMENTS, wrong]])
    world.do("media_drop", world.ada, free)
    assert len(before) == 2


def test_two_tweets_of_one_request_cannot_share_a_medium(world):
    media_id = upload(world, world.ada)
    row = [world.ada, "x", 0, 0, 0, b"", [], [], None, with_media(media_id)]
    shard = world.shard_of(world.ada)
    with pytest.raises(InvalidError, match="two tweets"):
        world.write_on(shard, "post_many", [[row, row]])
    world.write_on(shard, "post_many", [[row]])
    assert uploads(world, world.ada) == []


def test_what_older_clients_call_media_is_shown_as_it_is_and_nothing_else(world):
    world.do("post", world.ada, "old", 0, 0, 0, b"", [12345], [], None)
    body, *_ = world.read("user_timeline", world.ada, 0, 0, 0, 0, 1)
    assert orjson.loads(body)[0]["media"] == [{"media_id": "12345"}]


def test_a_deleted_tweets_media_are_removed_or_are_uploads_again(world):
    gone, kept = upload(world, world.ada), upload(world, world.ada, description="kept")
    first, second = (world.post(world.ada, facts=with_media(medium)) for medium in (gone, kept))
    world.do("delete", first, world.ada)
    assert list(buried(world)) == [gone]
    world.do("delete", second, world.ada, None, True)
    assert uploads(world, world.ada) == [kept]
    again = world.post(world.ada, facts=with_media(kept))
    assert tweet_of(world, again)["media"][0]["description"] == "kept"
    assert list(buried(world)) == [gone]


def test_a_repost_shows_the_media_and_takes_none_along_when_it_goes(world):
    media_id = upload(world, world.ada)
    tweet_id = world.post(world.ada, facts=with_media(media_id))
    repost_id = world.repost(world.bob, tweet_id)
    assert tweet_of(world, repost_id)["repost_of"]["media"][0]["media_id"] == str(media_id)
    world.do("unrepost", world.bob, tweet_id)
    assert buried(world) == {}
    world.repost(world.bob, tweet_id)
    world.do("delete", tweet_id, world.ada)
    assert list(buried(world)) == [media_id]


def test_an_edit_changes_words_and_order_adds_and_removes(world):
    first, second, third = (upload(world, world.ada, description=name) for name in ("one", "two", "three"))
    tweet_id = world.post(world.ada, facts=with_media(first, second))
    repost_id = world.repost(world.bob, tweet_id)
    edit(world, world.ada, tweet_id, third, [first, "changed", [1, 1]])
    shown = tweet_of(world, tweet_id)["media"]
    assert [(medium["media_id"], medium["description"]) for medium in shown] == [
        (str(third), "three"), (str(first), "changed"),
    ]  # fmt: skip
    assert tweet_of(world, repost_id)["repost_of"]["media"] == shown
    assert (list(buried(world)), uploads(world, world.ada)) == ([second], [])
    _, versions = world.read("versions", tweet_id, 0)
    shown = [orjson.loads(version.removesuffix(b',"account":') + b"}")["media_attachments"] for version in versions]
    assert [[medium["id"] for medium in each] for each in shown] == [[str(first)], [str(third), str(first)]]
    world.do("edit", tweet_id, world.ada, "other words", b"", [], None, [[7, True]])
    assert media_of(world, tweet_id) == [third, first], "an edit that says nothing of them leaves them"
    edit(world, world.ada, tweet_id)
    assert (media_of(world, tweet_id), sorted(buried(world))) == ([], sorted([first, second, third]))


def test_a_tweet_that_got_its_media_by_an_edit_takes_them_along(world):
    tweet_id, media_id = world.post(world.ada), upload(world, world.ada)
    edit(world, world.ada, tweet_id, media_id)
    world.do("delete", tweet_id, world.ada)
    assert list(buried(world)) == [media_id]


def test_the_same_edit_again_changes_nothing(world):
    media_id = upload(world, world.ada)
    tweet_id = world.post(world.ada, facts=with_media(media_id))
    before = world.digests()
    edit(world, world.ada, tweet_id, media_id)
    assert world.digests() == before


def test_a_scheduled_tweet_has_its_media_until_it_is_published_or_cancelled(world):
    first, second = upload(world, world.ada), upload(world, world.ada)
    due_ms = world.now_ms + 2 * DAY_MS
    made = [
        orjson.loads(world.do("schedule", world.ada, due_ms, "x", 0, 0, 0, b"", [], [], with_media(medium)))
        for medium in (first, second)
    ]
    assert [shown["media"][0]["media_id"] for shown in made] == [str(first), str(second)]
    status = orjson.loads(world.read("scheduled_status", world.ada, int(made[0]["scheduled_id"])))
    assert status["params"]["media_ids"] == [str(first)] == [medium["id"] for medium in status["media_attachments"]]
    with pytest.raises(InvalidError):
        world.post(world.ada, facts=with_media(first))
    world.do("unschedule", world.ada, int(made[1]["scheduled_id"]))
    assert list(buried(world)) == [second]
    let_fall_due(world, 2 * DAY_MS)
    body, *_ = world.read("user_timeline", world.ada, 0, 0, 0, 0, 1)
    assert orjson.loads(body)[0]["media"][0]["media_id"] == str(first)
    assert list(buried(world)) == [second]


# ---- profiles, and accounts that go ---------------------------------------------------------------------------------


def test_a_profile_takes_an_upload_and_gives_up_the_one_before(world):
    first, second = (upload(world, world.ada, purpose="avatar", moves=moves) for moves in (True, False))
    world.do("update_profile", world.ada, {"avatar": f"media:{first}", "bio": "x"})
    account = world.state_of(world.ada).people.get(world.ada)
    assert picture_media_id(account.avatar) == first
    url = f"{BASE}/{prefix_of(first)}0123456789abcdef-original.jpg"
    assert orjson.loads(world.read("profile", world.ada, 0))["avatar"] == url
    assert orjson.loads(world.replicas[world.shard_of(world.ada)].read("cards", [[world.ada]])[0])["avatar"] == url
    assert picture_url(BASE, account.avatar, still=True).endswith("-static.png")
    world.do("update_profile", world.ada, {"avatar": account.avatar})
    assert buried(world) == {}
    world.do("update_profile", world.ada, {"avatar": f"media:{second}"})
    assert list(buried(world)) == [first]
    world.do("update_profile", world.ada, {"avatar": "https://example.org/me.png"})
    assert list(buried(world)) == [first, second]
    assert orjson.loads(world.read("profile", world.ada, 0))["avatar"] == "https://example.org/me.png"


def test_a_profile_takes_no_other_upload_and_no_name_of_an_object(world):
    picture, others = upload(world, world.ada), upload(world, world.bob, purpose="avatar")
    header = upload(world, world.ada, purpose="header")
    name = f"media:{prefix_of(others)}0123456789abcdef-original.jpg"
    for wrong in (f"media:{picture}", f"media:{others}", f"media:{header}", "media:7", "media:", name):
        with pytest.raises(InvalidError):
            world.do("update_profile", world.ada, {"avatar": wrong})
    world.do("update_profile", world.ada, {"header": f"media:{header}"})


def test_an_account_that_goes_leaves_nothing_behind(world):
    attached, free, scheduled = (upload(world, world.ada) for _ in range(3))
    avatar, header = (upload(world, world.ada, purpose=purpose) for purpose in ("avatar", "header"))
    processing = world.do("media_begin", world.ada, "attachment", "", 0, 0)
    world.post(world.ada, facts=with_media(attached))
    later_ms = world.now_ms + DAY_MS
    world.do("schedule", world.ada, later_ms, "x", 0, 0, 0, b"", [], [], with_media(scheduled))
    world.do("update_profile", world.ada, {"avatar": f"media:{avatar}", "header": f"media:{header}"})
    world.do("delete_account", world.ada)
    shard = world.shard_of(world.ada)
    while (piece := world.replicas[shard].leavings.next_piece()) is not None:
        world.run(shard, piece)
        world.exchange()
    assert sorted(buried(world)) == sorted([attached, free, scheduled, avatar, header, processing])
    assert world.ada not in world.replicas[shard].state.people.leaving
    settle(world, world.ada, attached, SendVerdict.DONE)
    assert attached not in buried(world)


# ---- removal --------------------------------------------------------------------------------------------------------


def test_removal_is_tried_until_it_is_done_however_long_the_store_is_away(world):
    media_id = upload(world, world.ada)
    world.do("media_drop", world.ada, media_id)
    lookups = world.replicas[world.shard_of(world.ada)].lookups
    for _ in range(40):
        item = read_outbound(world.state_of(world.ada).papers.get(blobs.BLOB, media_id))
        assert blobs.CHANNEL.facts(lookups, world.now_ms, media_id, 0, item) == prefix_of(media_id)
        settle(world, world.ada, media_id, SendVerdict.LATER, item.attempts)
        world.now_ms = max(world.now_ms + 1, buried(world)[media_id])
    assert world.now_ms > DAY_MS
    settle(world, world.ada, media_id, SendVerdict.DONE, limits.OUTBOUND_KEPT_ATTEMPTS_MAX)
    assert buried(world) == {}


def test_uploads_and_what_is_to_be_removed_move_with_their_account(world):
    ready, gone, attached = (upload(world, world.ada) for _ in range(3))
    processing = world.do("media_begin", world.ada, "attachment", "", 0, 0)
    tweet_id = world.post(world.ada, facts=with_media(attached))
    world.do("media_drop", world.ada, gone)
    world.move(1 - world.shard_of(world.ada), world.ada)
    world.sweep()
    assert sorted(uploads(world, world.ada)) == sorted([ready, processing])
    assert list(buried(world)) == [gone]
    assert media_of(world, tweet_id) == [attached]
    let_fall_due(world, HOUR_MS)
    assert sorted(buried(world)) == sorted([gone, processing])
    settle(world, world.ada, gone, SendVerdict.DONE)
    world.post(world.ada, facts=with_media(ready))
    world.do("delete", tweet_id, world.ada)
    assert sorted(buried(world)) == sorted([processing, attached])


# ---- names ----------------------------------------------------------------------------------------------------------


def test_names_say_whose_they_are_and_nothing_else_is_a_name():
    name = f"{prefix_of(12345)}0123456789abcdef-original.jpg"
    assert media_id_of(name) == 12345
    assert prefix_of(12345) == name[: len("ab/cd/12345-")]
    for wrong in (
        "", "x", name + "/", name.replace("original", "other"), name.replace("12345", "12346"), "/" + name,
        name.replace("0123", "012G"), name.replace(".jpg", ""), name.replace(".jpg", ".JPG"), name.upper(),
        name.replace("0123456789abcdef", "0123"), name.replace("12345", "012345"), name.replace("12345", "١٢٣"),
        name.replace(".jpg", ".j/g"), f"../{name}", name + "\n",
    ):  # fmt: skip
        assert media_id_of(wrong) == 0, wrong


def test_a_tweets_facts_hold_what_is_shown_and_no_more(world):
    media_id = upload(world, world.ada)
    tweet_id = world.post(world.ada, facts=with_media(media_id))
    (medium,) = read_facts(world.state_of(world.ada).tweets.get(tweet_id).body).attachments
    assert isinstance(medium, Attachment)
    assert medium.renditions == [
        ["0123456789abcdef-original.jpg", 1600, 1200, 12_345], ["0123456789abcdef-small.jpg", 400, 300, 12_345],
    ]  # fmt: skip
