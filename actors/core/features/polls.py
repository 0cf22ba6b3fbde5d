"""Polls: a tweet that asks something, and how many have answered what.

    post with a poll --> options and end in the tweet's body; a paper of the tweet: tallies, due at its end
    vote             --> a paper of the account: its choices --voted--> the tweet's tallies, and its VOTER shelf
    edit (edits.py)  --> the poll goes, comes, ends at another time, or is another one: a new round of votes

Rules of this file
- A vote is the voter's: his shard knows whether he has voted, refuses the second one, and tells the first one once, so
  tallies are exact, whatever dies. The shelf of the poll is a guard beside that, and says who has voted.
- What is chosen is a number, a bit for each option, the first one lowest.
- What a poll asks, and when it ends, the tweet's shard says to whoever brings a vote; the voter's shard compares its
  own time with that. A vote that was taken counts, however long it is on its way.
- It is over once it has fallen due, as everybody is then shown.
- Votes are of a round, which is named by when it began: 0, or the time of the edit that asked something else, or asked
  at all. Votes of another round than the tweet's count nothing, whenever they come, and are shown to nobody. Options
  and whether several may be chosen make a poll what it is; it may end at another time, and be open again, as it is.
- When it is over its author is notified, and the VOTERS_PER_POLL_MAX who voted last; no longer once the tweet goes, or
  an edit asks anew, or opens it again.
- Votes stay with the tallies when their account goes; with the tweet the tallies go, and nobody is told of that.

Costs: 60 bytes a poll, 18 and 50 a vote; a vote 30 us.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from actors.core import arguments, ids, limits
from actors.core.errors import InvalidError, MovedError
from actors.core.facts import POLL as POLL_FACT
from actors.core.facts import Facts, Poll, pack_facts, read_facts
from actors.core.noticing import Happened, notify, take_back
from actors.core.stores.papers import pack_document
from actors.core.terms import (
    Effect,
    Feature,
    Full,
    Key,
    Kind,
    Owner,
    PaperKind,
    Prepared,
    Read,
    Settles,
    To,
    Write,
    same,
)

if TYPE_CHECKING:
    from actors.core.entries import Entry
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState

FROM_LEVEL: Final = 3
CHOICES_MAX: Final = (1 << limits.POLL_OPTIONS_MAX) - 1
TALLIES, VOTERS, ENDS_MS, IS_OVER, SINCE_MS = range(5)  # of a poll's document: for ever, never used otherwise
FACT_WIDTH: Final = 4  # of a poll as it is asked: in which round is not the asker's to say


def check_tallies(document: Any) -> None:
    """Refuse what is no poll's document. Raises RookeryError."""
    tallies = arguments.listed(list(document[TALLIES]), limits.POLL_OPTIONS_MAX, "tallies")
    for count in (*tallies, document[VOTERS]):
        arguments.whole(count, 0, ids.ID_MAX, "tallies")
    arguments.whole(document[ENDS_MS], 1, ids.ID_MAX, "ends_ms")
    arguments.whole(document.get(SINCE_MS, 0), 0, ids.ID_MAX, "since_ms")
    if type(document[IS_OVER]) is not bool or not tallies:
        raise InvalidError("a poll has options, and is over or not", "poll")


def check_vote(document: Any) -> None:
    """Refuse what is no vote. Raises RookeryError."""
    if type(document) is int:
        arguments.whole(document, 1, CHOICES_MAX, "choices")
    else:
        choices, since_ms = document
        arguments.whole(choices, 1, CHOICES_MAX, "choices")
        arguments.whole(since_ms, 1, ids.ID_MAX, "since_ms")


def _round_of(document: Any) -> int:
    """Return of which round a vote is."""
    return 0 if type(document) is int else int(document[1])


def ends_ms_of(document: Any) -> int:
    """Return when a poll ends that hasn't yet, Unix ms; else 0."""
    return 0 if document[IS_OVER] else int(document[ENDS_MS])


def end_poll(state: ShardState, tweet_id: int, key: int, document: Any) -> None:
    """Note that a poll is over, and have its author know, and who has voted."""
    state.papers.put(POLL, tweet_id, key, {**document, IS_OVER: True})
    entry = state.tweets.get(tweet_id)
    if entry is not None:
        tell_poll_ended(state, entry, True, document[ENDS_MS])


def tell_poll_ended(state: ShardState, entry: Entry, on: bool, at_ms: int) -> None:
    """Notify the author of a poll, and who has voted, that it is over; or no longer, as it is gone, or open again."""
    known = state.papers.get(POLL, entry.tweet_id)
    if known is None or not known[IS_OVER] or state.level < FROM_LEVEL:
        return
    concerned = np.append(state.shelves.view(VOTER, entry.tweet_id)[0], entry.author_id)
    state.send_by_owner(
        concerned,
        lambda of: POLL_ENDED.told(
            state.level, (entry.tweet_id, entry.author_id, concerned[of].astype("<i8").tobytes(), on, at_ms)
        ),
    )


def on_poll_ended(
    state: ShardState, source: int, tweet_id: int, actor: int, account_ids: bytes, on: bool, at_ms: int
) -> None:
    """Notify those who have voted, and are this shard's, that a poll is over; or no longer."""
    for account_id in np.frombuffer(account_ids, dtype="<i8").tolist():
        if on:
            notify(state, account_id, Happened("poll", actor, tweet_id, at_ms))
        else:
            take_back(state, account_id, "poll", actor, tweet_id)


POLL: Final = PaperKind(18, "poll", Owner.TWEET, 1, check_tallies, ends_ms_of, fall_due=end_poll, from_level=FROM_LEVEL)
VOTER: Final = Kind(
    19, "voter", Owner.TWEET, Owner.ACCOUNT, limits.VOTERS_PER_POLL_MAX, Full.OLDEST, from_level=FROM_LEVEL
)
VOTE: Final = PaperKind(
    20, "vote", Owner.ACCOUNT, limits.VOTES_PER_ACCOUNT_MAX, check_vote, from_level=FROM_LEVEL
)  # by tweet: what was chosen; of another round than the first [what was chosen, since_ms]


def open_poll(state: ShardState, tweet_id: int, body: bytes) -> None:
    """Begin to count for a tweet that has just been published, if it asks something."""
    asked = read_facts(body).poll
    if asked is not None:
        tallies = {TALLIES: [0] * len(asked.options), VOTERS: 0, ENDS_MS: asked.ends_ms, IS_OVER: False}
        since = {SINCE_MS: asked.since_ms} if asked.since_ms else {}
        state.papers.put(POLL, tweet_id, 0, {**tallies, **since})


def change_poll(state: ShardState, entry: Entry, body: bytes, at_ms: int) -> None:
    """Have a tweet's poll be what its new body asks. entry: as it was. O(voters) where it is another poll."""
    before, now = read_facts(entry.body).poll, read_facts(body).poll
    if before == now:
        return
    tell_poll_ended(state, entry, False, at_ms)
    if before is not None and now is not None and before.since_ms == now.since_ms:
        known = state.papers.get(POLL, entry.tweet_id)
        state.papers.put(POLL, entry.tweet_id, 0, {**known, ENDS_MS: now.ends_ms, IS_OVER: False})
        return
    state.shelves.cut_newest(VOTER, entry.tweet_id, state.shelves.count(VOTER, entry.tweet_id))
    state.papers.drop(POLL, entry.tweet_id, 0)
    open_poll(state, entry.tweet_id, body)


def poll_from(given: Any, begins_ms: int) -> list[Any]:
    """Return the fact of a poll that begins then. given: of the fact's form, but for how long it is open, in ms.

    Raises InvalidError for longer than POLL_AHEAD_MS, and for what says of which round it is.
    """
    if len(given) != FACT_WIDTH:
        raise InvalidError(f"a poll is asked by {FACT_WIDTH} values, not {len(given)}", "poll")
    options, multiple, hide_totals, open_ms = given
    if open_ms > limits.POLL_AHEAD_MS:
        raise InvalidError(f"a poll is open for {limits.POLL_AHEAD_MS} ms at most, not {open_ms}", "expires_in")
    return [list(options), multiple, hide_totals, begins_ms + open_ms]


def edited_poll(given: Any, before: Poll | None, at_ms: int) -> list[Any]:
    """Return the fact of a poll that is asked again by an edit at at_ms. given: as `poll_from` takes it.

    With the same options it goes on and keeps its votes, and is open for so long from now on.
    """
    fact = poll_from(given, at_ms)
    is_same = before is not None and [list(before.options), before.multiple] == fact[:2]
    since_ms = before.since_ms if before is not None and is_same else at_ms
    return [*fact, since_ms] if since_ms else fact


def later_poll(body: bytes, by_ms: int) -> bytes:
    """Return the body of a tweet with its poll ending later, or sooner, as it is published then."""
    facts: Facts = read_facts(body)
    asked = facts.poll
    if asked is None:
        return body
    moved = [list(asked.options), asked.multiple, asked.hide_totals, asked.ends_ms + by_ms]
    return pack_facts(facts._replace(more={**facts.more, POLL_FACT: moved}))


def vote(state: ShardState, account_id: int, tweet_id: int, choices: int, at_ms: int, since_ms: int = 0) -> bool:
    """Note what an account votes in a round, and tell the poll."""
    kept = state.papers.keys(VOTE, account_id)
    is_new = state.papers.packed(VOTE.number, account_id, tweet_id) is None
    if is_new and len(kept) >= limits.VOTES_PER_ACCOUNT_MAX:
        state.papers.drop(VOTE, account_id, kept[0])
    state.papers.put(VOTE, account_id, tweet_id, [choices, since_ms] if since_ms else choices)
    state.tell(state.shard_of_tweet(tweet_id), VOTED, tweet_id, account_id, choices, at_ms, since_ms)
    return True


def on_voted(
    state: ShardState, source: int, tweet_id: int, actor: int, choices: int, at_ms: int, since_ms: int = 0
) -> None:
    """Count a vote. One of nobody's poll, of another round, or a second one of the same account, changes nothing."""
    known = state.papers.get(POLL, tweet_id)
    if known is None or known.get(SINCE_MS, 0) != since_ms or not state.shelves.put(VOTER, tweet_id, actor, at_ms):
        return
    tallies = [count + (choices >> option & 1) for option, count in enumerate(known[TALLIES])]
    state.papers.put(POLL, tweet_id, 0, {**known, TALLIES: tallies, VOTERS: known[VOTERS] + 1})


def prepare_vote(
    shard: Lookups, now_ms: int, account_id: int, tweet_id: int, author_id: int, choices: int, ends_ms: int,
    since_ms: int = 0,
) -> Prepared:  # fmt: skip
    """Vote on a poll that the account may see. author_id, ends_ms, since_ms: as the poll's shard says.

    Raises InvalidError for an own poll, one that is over, or that the account has voted on already, in this round or
    in one that began later than the caller knows.
    """
    shard.require_level(FROM_LEVEL)
    shard.row(account_id)
    arguments.an_id(tweet_id, "tweet_id")
    arguments.whole(choices, 1, CHOICES_MAX, "choices")
    if arguments.an_id(author_id, "author_id") == account_id:
        raise InvalidError("You cannot vote in your own polls", "choices")
    if now_ms >= arguments.whole(ends_ms, 0, ids.ID_MAX, "ends_ms"):
        raise InvalidError("The poll has already ended", "choices")
    arguments.whole(since_ms, 0, ids.ID_MAX, "since_ms")
    kept = shard.state.papers.get(VOTE, account_id, tweet_id)
    if kept is not None and _round_of(kept) >= since_ms:
        raise InvalidError("You have already voted on this poll", "choices")
    shard.state.papers.require_room(VOTE, account_id, len(pack_document([choices, since_ms])), False, "choices")
    return Prepared(["vote", account_id, tweet_id, choices, now_ms, *([since_ms] if since_ms else [])], same)


def answer_polls(shard: Lookups, tweet_ids: list[int]) -> list[Any]:
    """What polls ask, and how many have answered what: for each tweet a list, None without one, False if elsewhere.

    `[author_id, [option, ...], multiple, hide_totals, ends_ms, is_over, [tally, ...], voters, since_ms]`. Of tweets
    that the reader was shown: who may see them isn't asked here. Raises MovedError if the first is another shard's.
    """
    wanted = arguments.id_list(tweet_ids, limits.TWEETS_COUNT_MAX, "tweet_ids")
    if wanted and shard.state.shard_of_tweet(wanted[0]) != shard.state.shard:
        raise MovedError(f"tweet {wanted[0]} is not on shard {shard.state.shard}")
    return [_answer(shard, tweet_id) for tweet_id in wanted]


def _answer(shard: Lookups, tweet_id: int) -> Any:
    if shard.state.shard_of_tweet(tweet_id) != shard.state.shard:
        return False
    entry, counted = shard.state.tweets.get(tweet_id), shard.state.papers.get(POLL, tweet_id)
    asked = None if entry is None else read_facts(entry.body).poll
    if entry is None or asked is None or counted is None:
        return None
    counts = [counted[IS_OVER], list(counted[TALLIES]), counted[VOTERS]]
    return [entry.author_id, *asked[:FACT_WIDTH], *counts, asked.since_ms]


def answer_votes(shard: Lookups, account_id: int, tweet_ids: list[int]) -> list[Any]:
    """What an account has chosen in some tweets' polls, 0 for nothing. For the account itself alone.

    In another round than a poll's first: `[chosen, since_ms]`; whoever shows it looks whether it is the poll's.
    """
    shard.row(account_id)
    wanted = arguments.id_list(tweet_ids, limits.TWEETS_COUNT_MAX, "tweet_ids")
    return [shard.state.papers.get(VOTE, account_id, tweet_id) or 0 for tweet_id in wanted]


POLL_ENDED = Effect(
    "poll_ended", on_poll_ended, To.ACCOUNT, ("tweet", "actor", "accounts", "on", "at_ms"), undone_by="poll_ended"
)
VOTED = Effect(
    "voted", on_voted, To.TWEET, ("tweet", "actor", "choices", "at_ms", "since_ms"), settles=Settles.ARRIVED,
    short=4,  # while no edit asked anew
)  # fmt: skip

FEATURE = Feature(
    "polls",
    kinds=(VOTER,),
    papers=(POLL, VOTE),
    writes=(Write("vote", prepare_vote),),
    reads=(Read("polls", answer_polls, Key.SHARD), Read("votes", answer_votes)),
    commands={"vote": vote},
    effects=(VOTED, POLL_ENDED),
)
