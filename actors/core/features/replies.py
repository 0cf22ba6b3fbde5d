"""Replies: counted and listed by the shard of the tweet that they answer.

    post of a reply --replied--> the answered tweet's count, and its REPLY shelf

Rules of this file
- Only public replies are counted; all are listed, and each reader is shown those that he may see, by their own shards.
- A tweet lists its newest replies, LISTED_PER_TWEET_MAX of them; its count is of all.
- What a tweet answers stands in the tweet; whoever follows that upwards goes from shard to shard (`lineage`).
- A reply is listed when it arrives, whether the tweet that it answers was asked for or not; if that is gone, by nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.core import arguments, limits
from actors.core.errors import MovedError
from actors.core.facts import read_facts
from actors.core.features.counts import count as count_on
from actors.core.flags import FLAG_REPLY, FLAG_UNCOUNTED
from actors.core.terms import Effect, Feature, Full, Key, Kind, Notified, Notifies, Owner, Read, Settles, To
from actors.core.visibility import question, reader_facts

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState

REPLY = Kind(5, "reply", Owner.TWEET, Owner.TWEET, limits.LISTED_PER_TWEET_MAX, Full.OLDEST)


def tell_reply(
    state: ShardState, in_reply_to: int, reply_id: int, author_id: int, flags: int, on: bool, at_ms: int,
    reply_author: int,
) -> None:  # fmt: skip
    """Have a reply counted and listed by the shard of what it answers, or no longer.

    reply_author: who wrote that; he is notified, and no more, whether it is still there or not.

    Whether it counts stands in its own flags, since the command that made it: journals from before that flag count
    what isn't public as well, and what was counted then is taken back when it is deleted.
    """
    counted = 0 if flags & FLAG_UNCOUNTED else 1 if on else -1
    told = (in_reply_to, counted, author_id, reply_id, at_ms, on, state.people.born_day(author_id), reply_author)
    state.tell(state.shard_of_tweet(in_reply_to), REPLIED, *told)


def on_replied(
    state: ShardState, source: int, tweet_id: int, step: int, actor: int = 0, reply_id: int = 0, at_ms: int = 0,
    on: bool = False, born_day: int = 0, account_id: int = 0,
) -> None:  # fmt: skip
    """Count a reply, 1 or -1, and list it. 0 is what one that isn't public leaves: a message that changes no count.

    It is sent, and handled like any other, so that replicas of two versions number their messages alike.
    """
    if count_on(state, tweet_id, "replies", step) and reply_id:
        if on:
            state.shelves.put(REPLY, tweet_id, reply_id, at_ms)
        else:
            state.shelves.drop(REPLY, tweet_id, reply_id)


def answer_replies(shard: Lookups, tweet_id: int, viewer: int, before: int, count: int, facts: Any = None) -> list[Any]:
    """A page of the replies to a tweet that `viewer` may see, newest first: `[tweet ids, stamp to go on before, or 0]`.

    Which of them he may see is not said: each reply's own shard knows.
    """
    _, asked = shard.entry(tweet_id, viewer, facts)
    return shard.page(REPLY, tweet_id, before, count) if asked is None else asked


def answer_lineage(shard: Lookups, tweet_id: int, viewer: int, count: int, facts: Any = None) -> list[Any]:
    """A tweet, what it answers, what that answers, and so on: `[[json object, ...], id to go on with, or 0]`.

    The tweet itself comes first. It goes up to `count` tweets, as far as they are this shard's; the id is of the next
    one, which may be gone, or not for `viewer`. 0: what is answered next, if anything, is gone or hidden from him.
    Raises NotFoundError if the first is.
    """
    arguments.whole(count, 1, limits.LINEAGE_COUNT_MAX, "count")
    entry, asked = shard.entry(tweet_id, viewer, facts)
    known, line = reader_facts(viewer, facts), list[Any]()
    while asked is None:
        line.append(shard.shown(entry))
        answered = read_facts(entry.body).in_reply_to if entry.flags & FLAG_REPLY else 0
        if len(line) == count or not answered or shard.state.shard_of_tweet(answered) != shard.state.shard:
            return [line, answered]
        above = shard.state.tweets.get(answered)
        seen = above is not None and shard.may_see(known, above)
        if above is None or not (seen or (seen is None and facts is not None)):
            return [line, 0]
        entry, asked = above, question([above.orig_author]) if seen is None else None
    return asked


def answer_children(shard: Lookups, tweet_ids: list[int], count: int) -> list[Any]:
    """What answers some tweets: for each the ids of its newest `count` replies, newest first; False if elsewhere.

    Of tweets that the reader was shown; which of the replies he may see is not said, as in `replies`. Raises MovedError
    if the first tweet is another shard's.
    """
    wanted = arguments.id_list(tweet_ids, limits.TWEETS_COUNT_MAX, "tweet_ids")
    arguments.page_count(count)
    own = [shard.state.shard_of_tweet(tweet_id) == shard.state.shard for tweet_id in wanted]
    if wanted and not own[0]:
        raise MovedError(f"tweet {wanted[0]} is not on shard {shard.state.shard}")
    return [
        shard.state.shelves.page(REPLY, tweet_id, 0, count)[0].tolist() if mine else False
        for tweet_id, mine in zip(wanted, own, strict=True)
    ]


REPLIED = Effect(
    "replied", on_replied, To.TWEET, ("tweet", "step", "actor", "reply", "at_ms", "on", "born_day", "account"),
    short=2, later=2, undone_by="replied",
    notifies=Notifies("reply", Notified.ACCOUNT, "reply", "on", unless="step"), settles=Settles.ARRIVED,
)  # fmt: skip

FEATURE = Feature(
    "replies",
    kinds=(REPLY,),
    reads=(
        Read("replies", answer_replies, Key.TWEET),
        Read("children", answer_children, Key.SHARD),
        Read("lineage", answer_lineage, Key.TWEET, shaped=True),
    ),
    effects=(REPLIED,),
)
