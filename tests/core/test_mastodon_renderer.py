"""Statuses and accounts as Mastodon's clients read them: every member that must be there, in its form."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core import flags, ids
from actors.core.entries import Entry, pack
from actors.core.facts import Facts, pack_facts
from actors.core.features.viewer_flags import (
    BOOKMARKED,
    CONVERSATION_MUTED,
    LIKED,
    PINNABLE,
    PINNED,
    REPOSTED,
)
from actors.core.renderers.mastodon import FLAG_ENDS, MastodonRenderer
from actors.core.renderers.timestamps import timestamp
from actors.core.stores.people import Account, AccountCounts
from api.text.entities import find_entities, pack_entities

BASE = "https://rookery.example"
RENDERER = MastodonRenderer(BASE + "/")
TWEET_ID = ids.make_tweet_id(1_700_000_000_123, 3, 1)
# What https://docs.joinmastodon.org/entities says is always there.
STATUS_HAS = """id uri created_at account content visibility sensitive spoiler_text media_attachments mentions tags
    emojis reblogs_count favourites_count replies_count url in_reply_to_id in_reply_to_account_id reblog poll card
    language edited_at favourited reblogged muted bookmarked filtered application quote"""
ACCOUNT_HAS = """id username acct url uri display_name note avatar avatar_static header header_static locked fields
    emojis bot group discoverable indexable noindex created_at last_status_at statuses_count followers_count
    following_count roles hide_collections"""


def entry(text: str = "hello", orig: Entry | None = None, **other: Any) -> Entry:
    packed = pack_entities(find_entities(text), {"ada": 7, "bob": 8})
    body = pack_facts(Facts(text, "ada", other.pop("in_reply_to", 0), (), packed, other.pop("edited_ms", 0)))
    made = Entry(TWEET_ID, 7, 0, 0, TWEET_ID, 7, 1, 2, 3, body, [], None)
    if orig is not None:
        made = made._replace(flags=flags.FLAG_REPOST, orig_id=orig.tweet_id, orig=pack(list(orig)))
    return made._replace(**other)


def status(made: Entry, flag: int = 0, original: bytes | None = None) -> dict[str, Any]:
    account = RENDERER.account(Account(7, "ada", 1_600_000_000_000))
    found: dict[str, Any] = orjson.loads(
        RENDERER.piece(made)
        + account
        + (RENDERER.opening + original + RENDERER.closings[flag] if original else RENDERER.ends[flag])
    )
    return found


def test_a_status_has_all_members_and_no_others():
    found = status(entry())
    assert found.keys() == set(STATUS_HAS.split())
    assert found["account"].keys() == set(ACCOUNT_HAS.split())


def test_a_status_says_what_the_tweet_says():
    found = status(entry("hi @bob #Tag", flags=flags.FLAG_FOLLOWERS, in_reply_to=9, reply_author=8))
    assert (found["id"], found["created_at"], found["visibility"]) == (
        str(TWEET_ID), "2023-11-14T22:13:20.123Z", "private"
    )  # fmt: skip
    assert (found["in_reply_to_id"], found["in_reply_to_account_id"]) == ("9", "8")
    assert (found["replies_count"], found["reblogs_count"], found["favourites_count"]) == (1, 2, 3)
    assert found["mentions"] == [{"id": "8", "username": "bob", "acct": "bob", "url": f"{BASE}/@bob"}]
    assert found["tags"] == [{"name": "tag", "url": f"{BASE}/tags/tag"}]
    assert found["url"] == f"{BASE}/@ada/{TWEET_ID}"
    assert found["uri"] == f"{BASE}/users/ada/statuses/{TWEET_ID}"
    assert found["content"].startswith("<p>hi <span")


def test_other_counts_replace_the_end_alone_whatever_the_text_says():
    made = entry('says ,"replies_count":7')
    assert RENDERER.recount(RENDERER.piece(made), 4, 5, 6) == RENDERER.piece(
        made._replace(replies=4, reposts=5, likes=6)
    )


def test_a_reblog_holds_the_original_and_says_nothing_itself():
    original = entry("the original")
    account = RENDERER.account(Account(7, "ada", 1_600_000_000_000))
    inner = RENDERER.piece(original) + account + RENDERER.ends[1]
    found = status(entry("", original), 0, inner)
    assert (found["content"], found["reblog"]["content"], found["favourited"], found["reblog"]["favourited"]) == (
        "", "<p>the original</p>", False, True
    )  # fmt: skip


@pytest.mark.parametrize("flag", range(256))
def test_every_combination_of_flags_has_its_end(flag):
    found = status(entry(), flag)
    assert [found[name] for name in ("favourited", "reblogged", "bookmarked", "muted")] == [
        bool(flag & bit) for bit in (LIKED, REPOSTED, BOOKMARKED, CONVERSATION_MUTED)
    ]
    assert (found["filtered"], len(set(FLAG_ENDS))) == ([], 48)
    assert found.get("pinned") == (bool(flag & PINNED) if flag & (PINNED | PINNABLE) else None)


def test_an_account_shows_its_profile_as_html_and_its_counts():
    made = Account(7, "ada", 1_600_000_000_000, "Ada <3", "first\n<b>", "", "", "", [["site", "https://x.example?a&b"]])
    found = orjson.loads(RENDERER.account(made, AccountCounts(3, 2, 1)))
    assert (found["display_name"], found["note"]) == ("Ada <3", "<p>first<br />&lt;b&gt;</p>")
    assert found["fields"] == [{"name": "site", "value": "https://x.example?a&amp;b", "verified_at": None}]
    assert (found["followers_count"], found["following_count"], found["statuses_count"]) == (3, 2, 1)
    assert found["created_at"] == "2020-09-13T00:00:00.000Z"
    assert found["avatar"] == f"{BASE}/avatars/ada.png"


@given(st.integers(0, 253_402_300_799_999))
def test_timestamps_are_those_of_iso_8601_with_three_digits(ms):
    expected = datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    assert timestamp(ms) == f"{expected.rjust(19, '0')}.{ms % 1000:03d}Z"


def test_no_time_is_too_late_for_a_timestamp():
    assert timestamp(1 << 62).endswith("Z")
