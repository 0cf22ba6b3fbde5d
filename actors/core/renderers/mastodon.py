"""Mastodon's entities Status and Account, from the facts of an entry: a renderer of `joining.py`.

    piece      everything of a status that is the same for everybody, counts last, up to the account
    account    an Account, whole
    ends       that it reblogs nothing, and the reader's flags; of a reblog `opening`, what it reblogs, `closings`

Rules of this file
- Names, order and forms are those of docs.joinmastodon.org for 4.x; `docs/mastodon.md` lists what is always empty here.
- Dates have three digits of milliseconds and a Z, always.
- Addresses are made of one public address, the same on every shard and worker, never of what a client has sent.
- What a poll and a quote show changes with time and reader: a piece has a poll as it was when it was asked, and a quote
  by its id, marked (`mastodon_marks.py`), and whoever answers a client puts those of now in their places.
- A rendering depends on the entry alone, or on the account alone: shards keep it.

Costs: 12 us a tweet, once per tweet and shard; other counts 0.6 us.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from actors.core import ids
from actors.core.entries import Entry, unpack, visibility_of
from actors.core.facts import Facts, read_facts
from actors.core.media_names import picture_url
from actors.core.renderers.html import html_of, plain_html, profile_url, tag_url
from actors.core.renderers.mastodon_marks import poll_mark, quote_mark
from actors.core.renderers.mastodon_polls import poll_of
from actors.core.renderers.media import media_attachments, preview_card
from actors.core.renderers.timestamps import date_of, day_stamp, timestamp
from actors.core.stores.account_flags import BOT, HIDES_COLLECTIONS, LOCKED, UNINDEXED, UNLISTED
from actors.core.stores.people import NO_COUNTS, Account, AccountCounts

VISIBILITIES: Final = ("public", "private", "direct", "unlisted")
MISSING_AVATAR, MISSING_HEADER = "/avatars/original/missing.png", "/headers/original/missing.png"
GENERATED_AVATAR = "/avatars/%s.png"  # of a user name
_COUNTS: Final = b',"replies_count":%d,"reblogs_count":%d,"favourites_count":%d,"account":'
_COUNTS_BEGIN: Final = _COUNTS[: _COUNTS.index(b"%")]  # in a text its quotation marks would be escaped
_FLAGS: Final = (("favourited", 1), ("reblogged", 2), ("bookmarked", 4), ("muted", 64))  # of features/viewer_flags.py
_PINNED, _PINNABLE = 16, 32  # a bit more is for what the reader's shard may say some day: it says nothing here
_NO_ENTITIES: Final[dict[str, Any]] = {}
_EMPTY: Final[dict[str, Any]] = {  # of a status: what Rookery has nothing of yet
    "emojis": [],
}  # fmt: skip


def _flag_end(flags: int, is_repost: bool) -> bytes:
    """Return what the reader has done; `pinned` of an own status alone, and of no reblog: that can't be pinned."""
    said = [(name, flags & flag) for name, flag in _FLAGS]
    if flags & (_PINNED | _PINNABLE) and not is_repost:
        said.append(("pinned", flags & _PINNED))
    shown = ",".join(f'"{name}":{"true" if is_so else "false"}' for name, is_so in said)
    return f",{shown}".encode() + b',"filtered":[]}'


FLAG_ENDS, REPOST_ENDS = (tuple(_flag_end(flags, is_repost) for flags in range(256)) for is_repost in (False, True))


def beside_text(facts: Facts) -> dict[str, Any]:
    """Return what a status says beside its text."""
    application = facts.application
    return {
        "sensitive": facts.sensitive, "spoiler_text": facts.spoiler, "language": facts.language or None,
        "application": None if application is None else {"name": application[0], "website": application[1] or None},
    }  # fmt: skip


class MastodonRenderer:
    """Statuses and accounts. base: the public address, `https://rookery.example`; media_base: what addresses of media
    begin with, "" for those of the public address.
    """

    ends: Sequence[bytes] = [b',"reblog":null' + end for end in FLAG_ENDS]
    opening: bytes = b',"reblog":'
    closings: Sequence[bytes] = REPOST_ENDS

    def __init__(self, base: str, media_base: str = "") -> None:
        self.base = base.rstrip("/")
        self.media_base = media_base or f"{self.base}/media"

    def piece(self, entry: Entry) -> bytes:
        """Return a status without author, flags and end. Of a repost: the wrapper, which says nothing itself."""
        facts = read_facts(entry.body)
        said = {**self._said(entry, facts), "media_attachments": media_attachments(facts.attachments, self.media_base)}
        said["card"] = preview_card(facts.preview, self.media_base) if facts.preview is not None else None
        shown = orjson.dumps(self._head(entry, facts) | said | beside_text(facts) | _EMPTY)[:-1]
        asked = facts.poll
        if asked is not None:
            shown += poll_mark(orjson.dumps(poll_of(entry.tweet_id, asked)))
        else:
            shown += b',"poll":null'
        shown += quote_mark(facts.quote) if facts.quote else b',"quote":null'
        return shown + _COUNTS % (entry.replies, entry.reposts, entry.likes)

    def recount(self, piece: bytes, replies: int, reposts: int, likes: int) -> bytes:
        """Return a piece with other counts."""
        return piece[: piece.rindex(_COUNTS_BEGIN)] + _COUNTS % (replies, reposts, likes)

    def account(self, account: Account, counts: AccountCounts = NO_COUNTS) -> bytes:
        """Return an Account."""
        return orjson.dumps(self.account_of(account, counts))

    def account_of(self, account: Account, counts: AccountCounts = NO_COUNTS) -> dict[str, Any]:
        """Return an Account as Python values."""
        avatar = account.avatar or self.base + GENERATED_AVATAR % account.username
        url = profile_url(self.base, account.username)
        header, flags = account.header or self.base + MISSING_HEADER, account.flags
        pictures = {
            name + end: picture_url(self.media_base, value, still)
            for name, value in (("avatar", avatar), ("header", header))
            for end, still in (("", False), ("_static", True))
        }
        return {
            "id": str(account.account_id), "username": account.username, "acct": account.username,
            "display_name": account.display_name, "locked": bool(flags & LOCKED), "bot": bool(flags & BOT),
            "discoverable": not flags & UNLISTED, "indexable": not flags & UNINDEXED, "group": False,
            "hide_collections": bool(flags & HIDES_COLLECTIONS), "created_at": day_stamp(account.created_ms),
            "note": plain_html(account.bio), "url": url, "uri": f"{self.base}/users/{account.username}",
            **pictures,
            "followers_count": counts.followers, "following_count": counts.following,
            "statuses_count": counts.statuses,
            "last_status_at": date_of(counts.last_ms) if counts.last_ms else None,
            "noindex": bool(flags & UNINDEXED), "emojis": [], "roles": [],
            "fields": [
                {"name": name, "value": plain_html(value).removeprefix("<p>").removesuffix("</p>"), "verified_at": None}
                for name, value in account.fields
            ],
        }  # fmt: skip

    def _head(self, entry: Entry, facts: Facts) -> dict[str, Any]:
        """Return what says which status this is, and where."""
        of_author = f"users/{facts.username}/statuses/{entry.tweet_id}"
        return {
            "id": str(entry.tweet_id), "created_at": timestamp(ids.ms_of_tweet(entry.tweet_id)),
            "in_reply_to_id": str(facts.in_reply_to) if facts.in_reply_to else None,
            "in_reply_to_account_id": str(entry.reply_author) if facts.in_reply_to and entry.reply_author else None,
            "visibility": VISIBILITIES[visibility_of(entry.flags)],
            "uri": f"{self.base}/{of_author}", "url": f"{profile_url(self.base, facts.username)}/{entry.tweet_id}",
            "edited_at": timestamp(facts.edited_ms) if facts.edited_ms else None,
        }  # fmt: skip

    def _said(self, entry: Entry, facts: Facts) -> dict[str, Any]:
        """Return a status's text with whom and what it names."""
        entities = unpack(facts.entities) if facts.entities else _NO_ENTITIES
        mentions = {account_id: name for account_id, name, _, _ in entities.get("mentions", ())}
        tags = {name.lower(): None for name, _, _ in entities.get("hashtags", ())}
        return {
            "content": html_of(facts.text, entities, self.base),
            "mentions": [
                {"id": str(account_id), "username": name, "acct": name, "url": profile_url(self.base, name)}
                for account_id, name in mentions.items()
            ],
            "tags": [{"name": name, "url": tag_url(self.base, name)} for name in tags],
        }
