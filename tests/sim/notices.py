"""What accounts of a simulated cluster were to be notified of, by brute force from what stands at the end.

must   what each of them is notified of, whatever happened on the way
may    and what it may be notified of besides: by those whom somebody has blocked or muted meanwhile, which takes
       away what was told; in batches, which tell nobody; before the cluster had risen to the level of notices
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.core.entries import Entry
from actors.core.facts import read_facts
from actors.core.features.likes import LIKER
from actors.core.features.polls import IS_OVER, POLL, VOTER
from actors.core.flags import FLAG_UNCOUNTED
from actors.core.state import ShardState
from actors.core.stores.notice_words import notice_of
from actors.core.terms import NOTICES_FROM_LEVEL, NOTIFICATION_TYPES

if TYPE_CHECKING:
    from tests.sim.test_simulation import Workload

Told = tuple[str, int, int]  # type, by whom, about which tweet or 0


def kept(states: list[ShardState]) -> dict[int, list[Told]]:
    """Return what each account is notified of, as often as it is."""
    found: dict[int, list[Told]] = {}
    for state in states:
        for account_id in state.people.row_of:
            rows = [notice_of(*words) for words in state.notices.view(account_id).tolist()]
            found[account_id] = [(NOTIFICATION_TYPES[row.type_number], row.actor, row.tweet_id) for row in rows]
    return found


def wanted(states: list[ShardState]) -> tuple[dict[int, set[Told]], dict[int, set[Told]]]:
    """Return (what each account must be notified of, what else it may be), by what stands."""
    tweets = {t: entry for state in states for t in state.tweets.slot_of if (entry := state.tweets.get(t)) is not None}
    must: dict[int, set[Told]] = {a: set() for state in states for a in state.people.row_of}
    may: dict[int, set[Told]] = {a: set() for a in must}
    for state in states:
        for account_id, row in state.people.row_of.items():
            must[account_id] |= {("follow", u, 0) for u in state.graph.followers.view(row).tolist()}
            may[account_id] |= {("status", e.author_id, t) for t, e in tweets.items()}  # if a bell was there, then
        for tweet_id in state.tweets.slot_of:
            likers = state.shelves.view(LIKER, tweet_id)[0].tolist()
            must[tweets[tweet_id].author_id] |= {("favourite", actor, tweet_id) for actor in likers}
        _tell_of_polls(state, tweets, may)
    for tweet_id, entry in tweets.items():
        _tell_of(tweet_id, entry, tweets, must, may)
    for account_id, told in must.items():
        must[account_id] = {each for each in told if each[1] != account_id}
    return must, may


def _tell_of_polls(state: ShardState, tweets: dict[int, Entry], may: dict[int, set[Told]]) -> None:
    """Who has asked, or voted, may know that a poll is over that is: a vote may have come after that."""
    for tweet_id in state.tweets.slot_of:
        poll = state.papers.get(POLL, tweet_id)
        if poll is not None and poll[IS_OVER]:
            author_id = tweets[tweet_id].author_id
            for account_id in (author_id, *state.shelves.view(VOTER, tweet_id)[0].tolist()):
                may.get(account_id, set()).add(("poll", author_id, tweet_id))


def _tell_of(
    tweet_id: int, entry: Entry, tweets: dict[int, Entry], must: dict[int, set[Told]], may: dict[int, set[Told]]
) -> None:
    author_id = entry.author_id
    if entry.is_repost:
        if entry.orig_author in must:
            must[entry.orig_author].add(("reblog", author_id, entry.orig_id))
        if author_id in may:
            may[author_id].add(("update", entry.orig_author, entry.orig_id))
        return
    is_there = read_facts(entry.body).in_reply_to in tweets
    whom = 0 if entry.flags & FLAG_UNCOUNTED else entry.reply_author
    if whom in must:  # what is answered may have gone before the answer came, or since
        (must if is_there else may)[whom].add(("reply", author_id, tweet_id))
    for account_id in entry.mention_ids:
        if account_id in must and (account_id != whom or not is_there):
            (must if account_id != whom else may)[account_id].add(("mention", author_id, tweet_id))


def check_notices(work: Workload) -> None:
    """Each account is notified of what it must, of nothing but that and what it may, and of nothing twice."""
    states = [shard.replica.state for shard in work.sim.shards]
    told, (must, may) = kept(states), wanted(states)
    for account_id, notices in told.items():
        assert len(set(notices)) == len(notices), f"account {account_id} is told something twice"
        too_much = set(notices) - must[account_id] - may[account_id]
        assert not too_much, f"account {account_id} is told what isn't so: {sorted(too_much)[:3]}"
        if work.rolled_at >= 0 or work.sim.router.map.level < NOTICES_FROM_LEVEL:
            continue
        missing = {
            each for each in must[account_id] - set(notices)
            if frozenset((account_id, each[1])) not in work.ever_apart and each[2] not in work.batched
        }  # fmt: skip
        assert not missing, f"account {account_id} isn't told {sorted(missing)[:3]}"
