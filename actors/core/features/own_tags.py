"""Hashtags that an account follows, and those that its profile features.

    follow_tag, feature_tag --> a mark of the account by the tag's id     one paper with the tag's name, for both

Rules of this file
- A tag's id follows from its folded name (`tag_id_of`), which callers know: no shard folds. Its name is kept as it
  was written when it was first followed or featured.
- Following a tag brings its public tweets into the account's home timeline, old ones too (`tag_readers.py`).
- How often an account uses its tags, and when last, is counted when somebody asks, among its newest
  TAGS_LOOKED_COUNT_MAX tweets that aren't private.
- From level 3 of the cluster on.

Costs: 90 bytes a tag; counting 1.5 us a tweet without a hashtag, 6 us with one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from actors.core import arguments, flags, limits
from actors.core.errors import InvalidError
from actors.core.features.tag_readers import require_room_for_tag
from actors.core.flags import FLAG_REPOST, FLAGS_PRIVATE
from actors.core.hashtags import named_in, tag_id_of
from actors.core.stores.papers import pack_document
from actors.core.terms import Feature, Kind, Owner, PaperKind, Prepared, Read, Write, nothing, same

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState


def check_name(document: Any) -> None:
    """Refuse what is no hashtag's name. Raises RookeryError."""
    if not arguments.text(document, limits.TAG_BYTES_MAX, "name"):
        raise InvalidError("a hashtag has a name", "name")


FOLLOWED_TAG: Final = Kind(
    41, "followed tag", Owner.ACCOUNT, Owner.THING, limits.FOLLOWED_TAGS_COUNT_MAX, from_level=3,
    relation=flags.FOLLOWED_TAGS,
)  # fmt: skip
TAG_NAME: Final = PaperKind(
    42, "name of tag", Owner.ACCOUNT, limits.FOLLOWED_TAGS_COUNT_MAX + limits.FEATURED_TAGS_COUNT_MAX, check_name,
    from_level=3,
)  # fmt: skip
FEATURED_TAG: Final = Kind(
    43, "featured tag", Owner.ACCOUNT, Owner.THING, limits.FEATURED_TAGS_COUNT_MAX, from_level=3
)  # fmt: skip


def set_tag(state: ShardState, kind: int, account_id: int, tag_id: int, packed: bytes, on: bool, at_ms: int) -> bool:
    """Follow or feature a tag (kind: number of the mark), or no longer; returns whether that changed anything."""
    shelves, of = state.shelves, state.shelves.kinds[kind]
    if on:
        if not shelves.put(of, account_id, tag_id, at_ms):
            return False
        if state.papers.get(TAG_NAME, account_id, tag_id) is None:
            state.papers.put_packed(TAG_NAME, account_id, tag_id, packed)
        return True
    if not shelves.drop(of, account_id, tag_id):
        return False
    if not any(shelves.contains(each, account_id, tag_id) for each in (FOLLOWED_TAG, FEATURED_TAG)):
        state.papers.drop(TAG_NAME, account_id, tag_id)
    return True


def prepare_follow_tag(shard: Lookups, now_ms: int, account_id: int, folded: str, name: str, on: bool) -> Prepared:
    """Follow a hashtag, or no longer; the reply is whether that changed anything.

    folded: the name as the search index has it; name: as it was written. Raises InvalidError, OverloadedError.
    """
    return _prepare(shard, FOLLOWED_TAG, now_ms, account_id, folded, name, on)


def prepare_feature_tag(shard: Lookups, now_ms: int, account_id: int, folded: str, name: str, on: bool) -> Prepared:
    """Have an account's profile feature a hashtag, or no longer; as `prepare_follow_tag`."""
    return _prepare(shard, FEATURED_TAG, now_ms, account_id, folded, name, on)


def _prepare(shard: Lookups, kind: Kind, now_ms: int, account_id: int, folded: str, name: str, on: bool) -> Prepared:
    shard.require_level(kind.from_level)
    shard.row(account_id)
    check_name(folded)
    check_name(name)
    if type(on) is not bool:
        raise InvalidError(f"on must be true or false, not {arguments.shown(on)}", "on")
    tag_id, state = tag_id_of(folded), shard.state
    if state.shelves.contains(kind, account_id, tag_id) == on:
        return nothing(False)
    packed = pack_document(name)
    if on:
        if kind is FOLLOWED_TAG:
            require_room_for_tag(state, tag_id)
        state.shelves.require_room(kind, account_id, "name")
        is_new = state.papers.get(TAG_NAME, account_id, tag_id) is None
        state.papers.require_room(TAG_NAME, account_id, len(packed), is_new, "name")
    return Prepared(["set_tag", kind.number, account_id, tag_id, packed, on, now_ms], same)


def answer_tags_of(shard: Lookups, account_id: int, tag_ids: list[int]) -> list[list[Any]]:
    """What an account has of some tags, for itself alone: of each `[name or nil, followed, featured]`."""
    shard.row(account_id)
    shelves, papers = shard.state.shelves, shard.state.papers
    return [
        [papers.get(TAG_NAME, account_id, tag_id),
         *(shelves.contains(kind, account_id, tag_id) for kind in (FOLLOWED_TAG, FEATURED_TAG))]
        for tag_id in arguments.id_list(tag_ids, limits.PAGE_COUNT_MAX, "tag_ids")
    ]  # fmt: skip


def answer_featured_tags(shard: Lookups, account_id: int, viewer: int) -> list[list[Any]]:
    """What a profile features, the last featured first: `[[tag id, name], ...]`.

    Raises NotFoundError, also where a block hides the account from the viewer.
    """
    shard.seen_row(account_id, viewer)
    tag_ids = shard.state.shelves.view(FEATURED_TAG, account_id)[0].tolist()[::-1]
    return [[tag_id, shard.state.papers.get(TAG_NAME, account_id, tag_id)] for tag_id in tag_ids]


def answer_used_tags(shard: Lookups, account_id: int, viewer: int) -> list[list[Any]]:
    """How an account uses hashtags, the last used first: `[[name, tweets, newest tweet], ...]`, 1,000 at most.

    Names that differ by case are one, as it was written last: whoever folds names may find that others are, too.
    Raises NotFoundError, also where a block hides the account from the viewer.
    """
    uses: dict[str, list[Any]] = {}
    for tweet_id, name in _tags_said(shard, shard.seen_row(account_id, viewer)):
        known = uses.setdefault(name.casefold(), [name, 0, tweet_id])
        known[1] += 1
        if len(uses) == limits.USED_TAGS_COUNT_MAX:
            break
    return [*uses.values()]


def _tags_said(shard: Lookups, row: int) -> Iterator[tuple[int, str]]:
    """Yield (tweet id, tag) of an account's newest tweets, the newest first, each tag of a tweet once."""
    tweets = shard.state.tweets
    if tweets.log.klass[row] < 0:
        return
    for tweet_id in tweets.log.view(row)[: -limits.TAGS_LOOKED_COUNT_MAX - 1 : -1].tolist():
        slot = tweets.slot_of[tweet_id]
        body = tweets.body[slot]
        if b"hashtags" in body and not tweets.columns["flags"].item(slot) & (FLAGS_PRIVATE | FLAG_REPOST):
            for name in {name.casefold(): name for name in named_in(body)}.values():
                yield tweet_id, name


FEATURE = Feature(
    "own_tags",
    kinds=(FOLLOWED_TAG, FEATURED_TAG),
    papers=(TAG_NAME,),
    writes=(Write("follow_tag", prepare_follow_tag), Write("feature_tag", prepare_feature_tag)),
    reads=(
        Read("tags_of", answer_tags_of),
        Read("featured_tags", answer_featured_tags),
        Read("used_tags", answer_used_tags),
    ),
    commands={"set_tag": set_tag},
)
