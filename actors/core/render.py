"""The native JSON, made from the facts of an entry: the renderer of what everybody is shown (`shapes.py`).

Rules: a rendering depends on the entry alone, so a shard keeps it and joins ready bytes for a page. Counts stand at its
end, so that other counts replace the end. A repost holds its original's rendering. The JSON is that of docs/api.md.
Costs: 4 us a tweet, once per tweet and shard; other counts 0.5 us; a join of 20 is under 1 us.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import orjson

from actors.core import ids
from actors.core.dates import civil
from actors.core.entries import Entry, unpack, visibility_of
from actors.core.facts import Facts, check_more, read_facts
from actors.core.media_names import picture_url
from actors.core.renderers.media import native_media, native_preview
from actors.core.stores.people import Account

_DAYS = ("Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_VISIBILITY = ("public", "followers", "direct", "unlisted")
_COUNTS = b',"counts":{"replies":%d,"reposts":%d,"likes":%d}}'  # what a tweet ends with, but for what it reposts
_COUNTS_BEGIN = _COUNTS[: _COUNTS.index(b"%")]  # in a text its quotation marks would be escaped
_NO_ENTITIES = b'{"mentions":[],"hashtags":[],"urls":[]}'


@lru_cache(maxsize=4096)
def _date(day: int) -> tuple[str, int]:
    """Return ("Wed Sep 05", 2012) for days since 1970."""
    year, month, date = civil(day)
    return f"{_DAYS[day % 7]} {_MONTHS[month - 1]} {date:02d}", year


def created_at(ms: int) -> str:
    """Return `Wed Sep 05 00:37:15 +0000 2012` for Unix ms, always UTC."""
    seconds = ms // 1000
    date, year = _date(seconds // 86400)
    s = seconds % 86400
    return f"{date} {s // 3600:02d}:{s // 60 % 60:02d}:{s % 60:02d} +0000 {year}"


def render_entities(packed: bytes) -> bytes:
    """Return the JSON of a tweet's mentions, hashtags and links, with offsets in code points."""
    if not packed:
        return _NO_ENTITIES
    facts = unpack(packed)
    return orjson.dumps(
        {
            "mentions": [
                {"user_id": str(account_id), "username": name, "indices": [start, end]}
                for account_id, name, start, end in facts.get("mentions", ())
            ],
            "hashtags": [{"text": text, "indices": [start, end]} for text, start, end in facts.get("hashtags", ())],
            "urls": [{"url": url, "indices": [start, end]} for url, start, end in facts.get("urls", ())],
        }
    )


def render_scheduled(scheduled_id: int, author_id: int, due_ms: int, flags: int, body: bytes, media_base: str) -> bytes:
    """Return a tweet that is still to be published as a JSON object. media_base: what addresses of media begin with."""
    facts = read_facts(body)
    return b"".join(
        (
            b'{"scheduled_id":"%d","scheduled_at":"' % scheduled_id, created_at(due_ms).encode(),
            b'","status":', orjson.dumps(facts.text),
            b',"user_id":"%d","username":' % author_id, orjson.dumps(facts.username),
            b',"in_reply_to":', b'"%d"' % facts.in_reply_to if facts.in_reply_to else b"null",
            b',"media":', _render_media(facts, media_base),
            b',"visibility":"', _VISIBILITY[visibility_of(flags)].encode(),
            b'","entities":', render_entities(facts.entities),
            _render_more(facts, media_base) if facts.more else b"",
            b"}",
        )
    )  # fmt: skip


class NativeRenderer:
    """The native JSON of tweets, as pieces (`shapes.Renderer`). media_base: what addresses of media begin with."""

    def __init__(self, media_base: str = "") -> None:
        self.media_base = media_base

    def piece(self, entry: Entry) -> bytes:
        """Return one tweet as a JSON object, without what it reposts."""
        return _render(entry, self.media_base)

    def recount(self, piece: bytes, replies: int, reposts: int, likes: int) -> bytes:
        """Return the same tweet with other counts."""
        return piece[: piece.rindex(_COUNTS_BEGIN)] + _COUNTS % (replies, reposts, likes)

    def join(self, piece: bytes, original: bytes) -> bytes:
        """Return a repost with what it reposts inside."""
        return b'%b,"repost_of":%b}' % (piece[:-1], original)


NATIVE = NativeRenderer()


def render_tweet(entry: Entry, original: bytes | None = None, media_base: str = "") -> bytes:
    """Return one tweet as a JSON object. original: for a repost, the rendering of what it reposts."""
    piece = _render(entry, media_base)
    return piece if original is None else NATIVE.join(piece, original)


def _render(entry: Entry, media_base: str) -> bytes:
    facts = read_facts(entry.body)
    in_reply_to = facts.in_reply_to
    return b"".join(
        (
            b'{"created_at":"', created_at(ids.ms_of_tweet(entry.tweet_id)).encode(),
            b'","status":', orjson.dumps(facts.text),
            b',"tweet_id":"%d","user_id":"%d"' % (entry.tweet_id, entry.author_id),
            b',"username":', orjson.dumps(facts.username),
            b',"in_reply_to":', b'"%d"' % in_reply_to if in_reply_to else b"null",
            b',"media":', _render_media(facts, media_base),
            b',"visibility":"', _VISIBILITY[visibility_of(entry.flags)].encode(),
            b'","entities":', render_entities(facts.entities),
            b',"edited_at":"%s"' % created_at(facts.edited_ms).encode() if facts.edited_ms else b"",
            _render_more(facts, media_base) if facts.more else b"",
            _COUNTS % (entry.replies, entry.reposts, entry.likes),
        )
    )  # fmt: skip


def _render_media(facts: Facts, media_base: str) -> bytes:
    """Return the media of a tweet: what is known of each, or of one that nobody has uploaded here its id alone."""
    if facts.media_ids or not facts.more:
        return orjson.dumps([{"media_id": str(m)} for m in facts.media_ids])
    return orjson.dumps(native_media(facts.attachments, media_base))


def _render_more(facts: Facts, media_base: str) -> bytes:
    """Return the members of what only some tweets say, each with a comma before it. Raises InvalidError."""
    check_more(facts.more)
    shown: dict[str, object] = {}
    if facts.spoiler:
        shown["spoiler_text"] = facts.spoiler
    if facts.sensitive:
        shown["sensitive"] = True
    if facts.language:
        shown["language"] = facts.language
    if (application := facts.application) is not None:
        shown["application"] = {"name": application[0], "website": application[1] or None}
    if (poll := facts.poll) is not None:
        shown["poll"] = {
            "options": list(poll.options), "multiple": poll.multiple, "expires_at": created_at(poll.ends_ms),
        }  # fmt: skip
    if facts.quote:
        shown["quote"] = {"tweet_id": str(facts.quote)}
    if (preview := facts.preview) is not None:
        shown["preview"] = native_preview(preview, media_base)
    return b"," + orjson.dumps(shown)[1:-1] if shown else b""


def render_history(tweet_id: int, versions: Iterable[tuple[int, str, bytes]]) -> bytes:
    """Return what a tweet has said as a JSON object. versions: (Unix ms, text, packed entities), in order."""
    shown = [
        b'{"created_at":"%s","status":%s,"entities":%s}'
        % (created_at(at_ms).encode(), orjson.dumps(text), render_entities(entities))
        for at_ms, text, entities in versions
    ]
    return b'{"tweet_id":"%d","versions":[%s]}' % (tweet_id, b",".join(shown))


def card_of(account: Account, media_base: str) -> dict[str, object]:
    """Return what a list of users shows of one. media_base: what addresses of media begin with."""
    return {
        "user_id": str(account.account_id),
        "username": account.username,
        "display_name": account.display_name,
        "bio": account.bio,
        "avatar": picture_url(media_base, account.avatar),
    }


def render_card(account: Account, media_base: str) -> bytes:
    """Return one account of a list as a JSON object."""
    return orjson.dumps(card_of(account, media_base))


def render_profile(account: Account, followers: int, following: int, tweets: int, media_base: str) -> bytes:
    """Return a profile as a JSON object, with exact totals."""
    return orjson.dumps(
        card_of(account, media_base)
        | {
            "location": account.location,
            "url": account.url,
            "fields": [{"name": name, "value": value} for name, value in account.fields],
            "created_at": created_at(account.created_ms),
            "counts": {"followers": followers, "following": following, "tweets": tweets},
        }
    )
