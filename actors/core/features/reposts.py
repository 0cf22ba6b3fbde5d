"""Reposts: tweets of their own, which carry the packed entry of the original.

Rules of this file
- An account reposts a tweet once: `state.reposts` says which repost that is.
- `state.reposts_of` lists the reposts of a tweet by this shard's accounts: they go with it.
- The original's shard counts, and lists the newest who repost it. If the original is gone, it answers `deleted`, which
  takes the repost back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.core import arguments, ids, limits
from actors.core.entries import REPOSTED_VISIBILITIES, Entry, unpack
from actors.core.errors import ForbiddenError, NotFoundError
from actors.core.facts import MAP_FROM_LEVEL, Facts, pack_facts
from actors.core.features.counts import count
from actors.core.flags import FLAG_REPOST, FLAG_UNLISTED
from actors.core.inquiries import about_tweet
from actors.core.terms import (
    Effect,
    Feature,
    Full,
    Inquiries,
    Key,
    Kind,
    Notified,
    Notifies,
    Owner,
    Prepared,
    Read,
    Settles,
    To,
    Write,
    nothing,
    same,
)
from actors.core.timelines.arriving import learn_originals, publish
from actors.core.visibility import ReaderFacts

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState


REPOSTER = Kind(4, "reposter", Owner.TWEET, Owner.ACCOUNT, limits.LISTED_PER_TWEET_MAX, Full.OLDEST)


def repost(state: ShardState, account_id: int, repost_id: int, packed: bytes, private: int = 0) -> int:
    """Publish a repost of a packed entry. Returns the repost's id: the old one's if there is one.

    private: the flags that say to whom it is shown, 0 for everybody.
    """
    row = state.people.row_of[account_id]
    orig = Entry(*unpack(packed))
    mine = state.reposts.setdefault(row, {})
    if orig.tweet_id in mine:
        return mine[orig.tweet_id]
    mine[orig.tweet_id] = repost_id
    state.reposts_of.setdefault(orig.tweet_id, set()).add(repost_id)
    body = pack_facts(Facts("", state.people.accounts[row].username), state.level >= MAP_FROM_LEVEL)
    flags = FLAG_REPOST | private | (orig.flags & FLAG_UNLISTED)  # no public page shows it by a detour
    entry = Entry(repost_id, account_id, flags, 0, orig.tweet_id, orig.author_id, 0, 0, 0, body, [], packed)
    learn_originals(state, [entry])
    publish(state, entry)
    born_day = state.people.born_day(account_id)
    told = (orig.tweet_id, repost_id, 1, account_id, ids.ms_of_tweet(repost_id), born_day)
    state.tell(state.shard_of_tweet(orig.tweet_id), REPOSTED, *told)
    return repost_id


def on_reposted(
    state: ShardState, source: int, tweet_id: int, repost_id: int, step: int, actor: int = 0, at_ms: int = 0,
    born_day: int = 0,
) -> None:  # fmt: skip
    """Count a repost, 1 or -1, and list who reposts. A tweet that isn't here any more takes its reposts along."""
    if not count(state, tweet_id, "reposts", step):
        if step > 0:
            state.send(source, ["deleted", tweet_id])
    elif actor and step > 0:
        state.shelves.put(REPOSTER, tweet_id, actor, at_ms)
    elif actor:
        state.shelves.drop(REPOSTER, tweet_id, actor)


def prepare_repost(shard: Lookups, now_ms: int, account_id: int, packed: bytes) -> Prepared:
    """Repost a tweet, given as its packed entry; the reply is the repost's JSON, of the old one if there is one."""
    row = shard.row(account_id)
    orig = arguments.original(packed)
    if shard.visibility.is_hidden(ReaderFacts(account_id), orig.author_id):
        raise NotFoundError(f"tweet {orig.tweet_id} does not exist", "tweet_id")
    repost_id = shard.state.reposts.get(row, {}).get(orig.tweet_id)

    def finish(made: int) -> bytes:
        entry = shard.state.tweets.get(made)
        if entry is None:  # the original lives here too, and had just been deleted
            raise NotFoundError(f"tweet {orig.tweet_id} does not exist", "tweet_id")
        return shard.render(entry)

    if repost_id is not None:
        return nothing(finish(repost_id))
    # Deleted since the caller looked: elsewhere its shard says so later; here the repost would be gone at once.
    if shard.state.shard_of_tweet(orig.tweet_id) == shard.state.shard and orig.tweet_id not in shard.state.tweets:
        raise NotFoundError(f"tweet {orig.tweet_id} does not exist", "tweet_id")
    shard.check_room()
    return Prepared(["repost", account_id, shard.next_tweet_id(account_id, now_ms), packed], finish)


def ask_original(shard: Lookups, account_id: int, tweet_id: int) -> Inquiries:
    """Return the arguments of a repost: the account, and the packed entry of the tweet or of what that reposts.

    Of a repost the original must be seen by its own id as well: its shard knows of a block before any other, and what
    its author has deleted. Raises NotFoundError of the id that was asked for, ForbiddenError if it isn't public.
    """
    _, _, visibility, packed, orig_id = yield from about_tweet(shard, account_id, tweet_id, "tweet_ref")
    if orig_id != tweet_id:
        try:
            _, _, visibility, packed, _ = yield from about_tweet(shard, account_id, orig_id, "tweet_ref")
        except NotFoundError as error:
            raise NotFoundError(f"tweet {tweet_id} does not exist", "tweet_id") from error
    if visibility not in REPOSTED_VISIBILITIES:
        raise ForbiddenError(f"tweet {tweet_id} is not public, so it can't be reposted", "tweet_id")
    return [account_id, packed]


def prepare_unrepost(shard: Lookups, now_ms: int, account_id: int, tweet_id: int) -> Prepared:
    """Take a repost back; the reply is whether there was one."""
    row = shard.row(account_id)
    repost_id = shard.state.reposts.get(row, {}).get(arguments.an_id(tweet_id, "tweet_id"))
    return nothing(False) if repost_id is None else Prepared(shard.timed(["delete", repost_id], now_ms), same)


def unlist_repost(state: ShardState, orig_id: int, repost_id: int) -> None:
    """Forget that an own account has reposted a tweet."""
    known = state.reposts_of.get(orig_id)
    if known is not None:
        known.discard(repost_id)
        if not known:
            del state.reposts_of[orig_id]


def answer_reposters(
    shard: Lookups, tweet_id: int, viewer: int, before: int, count: int, facts: Any = None
) -> list[Any]:
    """A page of the accounts that repost a tweet, as `answer_likers`."""
    return shard.listed_of_tweet(REPOSTER, tweet_id, viewer, before, count, facts)


REPOSTED = Effect(
    "reposted", on_reposted, To.TWEET, ("tweet", "repost", "step", "actor", "at_ms", "born_day"), short=3, later=1,
    undone_by="reposted",
    notifies=Notifies("reblog", Notified.AUTHOR, "tweet", "step", also=("deleted",)), settles=Settles.ARRIVED,
)  # fmt: skip

FEATURE = Feature(
    "reposts",
    kinds=(REPOSTER,),
    writes=(Write("repost", prepare_repost, of_tweet=ask_original), Write("unrepost", prepare_unrepost, hides=True)),
    reads=(Read("reposters", answer_reposters, Key.TWEET),),
    commands={"repost": repost},
    effects=(REPOSTED,),
)
