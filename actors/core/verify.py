"""Is the state what it says it is: `check` spells out every invariant, `digest` sums up what must survive.

Rules: nothing here changes the state, but that `check` lets a backlog of deliveries land first. Both read everything
(15 us an account for `digest`, 210 us for `check`, at 50 followees) and are for operators and tests. The digest covers
what is a function of the journal alone; ring floors, arrival numbers and messages under way are caches or transport,
and are covered by `check` and by the definition of a home timeline.
"""

from __future__ import annotations

import hashlib
from itertools import pairwise

import numpy as np

from actors.core import ids
from actors.core.arrays import kernels
from actors.core.entries import pack
from actors.core.facts import read_facts
from actors.core.features.edits import HISTORY
from actors.core.features.likes import LIKE
from actors.core.features.polls import ENDS_MS, POLL, SINCE_MS, TALLIES, VOTER, VOTERS
from actors.core.flags import FLAG_RICH
from actors.core.hashtags import tags_in
from actors.core.state import ShardState
from actors.core.terms import NOTICES_FROM_LEVEL
from actors.core.timelines.pull_logs import PullLog


def check(state: ShardState) -> list[str]:
    """Return every violated invariant in words; an empty list means that the state is sound."""
    state.deliveries.drain()
    problems = (
        state.people.check()
        + state.graph.check(state.people)
        + state.tweets.check()
        + state.arrivals.check()
        + state.rings.check()
        + state.pull_logs.check()
        + state.tag_logs.check()
        + _check_tags(state)
        + state.deliveries.check()
        + [problem for outbox in state.outboxes.values() for problem in outbox.check()]
        + state.shelves.check()
        + state.papers.check()
        + state.notices.check()
        + _check_completeness(state)
        + _check_references(state)
        + _check_edits(state)
        + _check_polls(state)
        + _check_owners(state)
    )
    return [f"shard {state.shard}: {problem}" for problem in problems]


def _check_completeness(state: ShardState) -> list[str]:
    """A ring holds every arrival above its floor whose author the owner is or follows (unless a pull log has it)."""
    problems: list[str] = []
    a, logs = state.arrivals, state.pull_logs.logs
    by_author: dict[int, list[int]] = {}
    for tweet_id, n in a.number_of.items():
        slot = n & a.mask
        if not a.flags[slot] & kernels.FLAG_DIRECT:
            by_author.setdefault(int(a.author_id[slot]), []).append(tweet_id)
    for row in np.nonzero(state.rings.awake[: state.people.row_count])[0].tolist():
        account_id = state.people.accounts[row].account_id
        if account_id in state.waking:
            continue
        ns, floor = a.above_lost(state.rings.view(row), int(state.rings.floor[row]))
        held = set(a.tweet_id[ns & np.uint32(a.mask)].tolist())
        for author in [*state.graph.following.view(row).tolist(), account_id]:
            if author in logs and author != account_id:
                continue
            missing = [t for t in by_author.get(author, ()) if t > floor and t not in held]
            if missing and not _awaits(state, row, author):
                problems.append(
                    f"the ring of {account_id} lacks tweet {missing[0]} of {author}, above its floor {floor}"
                )
    return problems


def _awaits(state: ShardState, row: int, author: int) -> bool:
    """Whether a backfill may still be under way: messages to or from the author's shard wait."""
    shard = state.shard_of_account(author)
    return shard != state.shard and bool(state.outboxes[shard].waiting)


def _check_references(state: ShardState) -> list[str]:
    problems = []
    for row, mine in state.reposts.items():
        for orig_id, repost_id in mine.items():
            entry = state.tweets.get(repost_id)
            if entry is None or entry.orig_id != orig_id or state.people.find(entry.author_id) != row:
                problems.append(f"repost {repost_id} of {orig_id} is listed, but not stored")
    authors = np.unique(state.tweets.columns["author_id"][state.tweets.slots()]).tolist()
    problems += [f"there are tweets of account {a}, which isn't here" for a in authors if state.people.find(a) is None]
    for account_id in state.waking:
        if account_id not in state.people.row_of:
            problems.append(f"account {account_id} is waking, but nobody finds it")
        elif not state.rings.awake[state.people.row_of[account_id]]:
            problems.append(f"account {account_id} is waking without a ring")
    return problems


def _check_edits(state: ShardState) -> list[str]:
    """Own tweets that say when they were edited have a history, of times that rise up to that, and no others have."""
    problems = []
    for tweet_id, slot in state.tweets.slot_of.items() if state.level else ():
        history = state.papers.get(HISTORY, tweet_id) or ()
        edited_ms = read_facts(state.tweets.body[slot]).edited_ms
        times = [at_ms for at_ms, *_ in history] + [edited_ms] * bool(history)
        rises = all(a < b for a, b in pairwise(times[1:])) and times[:1] <= times[1:2]  # written so before level 2
        if (bool(edited_ms) != bool(history) or not rises) and state.shard_of_tweet(tweet_id) == state.shard:
            problems.append(f"tweet {tweet_id} was edited at {edited_ms}, with versions of {times}")
    return problems


def _check_tags(state: ShardState) -> list[str]:
    """Each hashtag that is followed here has a log, and no other; its log holds what has arrived above its floor."""
    problems = []
    if odd := (state.graph.tag_readers.keys() ^ state.tag_logs.logs.keys()) - state.graph.tags_touched:
        problems.append(f"{len(odd)} hashtags are followed without a log, or have one without a follower")
    if not any(outbox.waiting for outbox in state.outboxes.values()):
        for tag, log in state.tag_logs.logs.items():
            problems += [f"the log of hashtag {tag} lacks tweet {tweet_id}" for tweet_id in _lacking(state, tag, log)]
    return problems


def _lacking(state: ShardState, tag: int, log: PullLog) -> list[int]:
    """Return own tweets with a hashtag that have arrived above the floor of its log, but don't lie there."""
    a = state.arrivals
    ns, floor = a.above_lost(np.array(log.ns, dtype=np.uint32), log.floor)
    held = set(a.tweet_id[ns & np.uint32(a.mask)].tolist())
    arrived = [t for t in a.number_of if t > floor and t not in held and t in state.tweets]
    slots = [a.number_of[tweet_id] & a.mask for tweet_id in arrived]
    return [t for t, s in zip(arrived, slots, strict=True) if tag in tags_in(a.flags.item(s), a.body[s])]


def _check_polls(state: ShardState) -> list[str]:
    """Each own tweet with a poll has its tallies, one an option, of as many voters as it remembers or more."""
    problems = []
    columns, body, remembered = state.tweets.columns["flags"], state.tweets.body, state.shelves.view
    for tweet_id, slot in state.tweets.slot_of.items():
        known, was_edited = state.papers.get(POLL, tweet_id), state.papers.packed(HISTORY.number, tweet_id) is not None
        asked = read_facts(body[slot]).poll if columns[slot] & FLAG_RICH or was_edited else None
        if asked is None and known is None:
            if len(remembered(VOTER, tweet_id)[0]):
                problems.append(f"tweet {tweet_id} asks nothing, but has voters")
            continue
        if asked is None or known is None or len(known[TALLIES]) != len(asked.options):
            problems.append(f"tweet {tweet_id} asks {asked}, but counts {known}")
        elif len(remembered(VOTER, tweet_id)[0]) > known[VOTERS] or max(known[TALLIES]) > known[VOTERS]:
            problems.append(f"the poll of tweet {tweet_id} has counted {known}, which its voters can't have said")
        elif (asked.since_ms, asked.ends_ms) != (known.get(SINCE_MS, 0), known[ENDS_MS]):
            problems.append(f"tweet {tweet_id} asks {asked}, but counts another round, or to another end: {known}")
    return problems


def _check_owners(state: ShardState) -> list[str]:
    """Accounts are found by whom the map says; nobody else's has a ring; followers count for their shards."""
    people, of = state.people, state.shard_of_account
    problems = [f"account {a} is another shard's" for a in people.owned() if of(a) != state.shard]
    problems += [f"account {a} is away, but this shard's" for a in people.away if of(a) == state.shard]
    problems += [f"account {a} is away, but has a ring" for a, row in people.away.items() if state.rings.awake[row]]
    problems += [f"account {a} was deleted, but has a ring" for a, r in people.leaving.items() if state.rings.awake[r]]
    for account_id, row in [*people.row_of.items(), *people.away.items(), *people.leaving.items()]:
        owners = state.owner[ids.buckets_of_accounts(state.graph.followers.view(row))]
        counts = np.bincount(owners, minlength=state.shard_count)
        if counts.tolist() != state.graph.shard_followers[row].tolist():
            problems.append(f"followers of {account_id} per shard are {counts.tolist()}, but counted otherwise")
    return problems


def digest(state: ShardState) -> str:
    """Return a hex digest of everything that the journal determines."""
    h = hashlib.blake2b(digest_size=16)
    people, graph = state.people, state.graph
    order = sorted([*people.row_of.items(), *people.leaving.items()])
    for account_id, row in order:
        h.update(pack([people.accounts[row].to_row(), int(state.rings.awake[row])]))
        h.update(graph.following.view(row).tobytes())
        h.update(graph.followers.view(row).tobytes())
        h.update(state.tweets.log.view(row).tobytes())
        h.update(pack([sorted(kind.get(row, ())) for kind in graph.hiding]))
        h.update(pack([state.shelves.view(LIKE, account_id)[0].tolist(), sorted(state.reposts.get(row, {}).items())]))
        h.update(pack(account_id in state.pull_shards))
    h.update(pack(sorted(people.names.items())))
    for tweet_id in sorted(state.tweets.slot_of):
        entry = state.tweets.get(tweet_id)
        h.update(pack(entry and list(entry)))
    if state.level:
        _digest_shelves(state, h)
        _digest_papers(state, h)
        for account_id, _ in order if state.level >= NOTICES_FROM_LEVEL else ():
            h.update(state.notices.view(account_id).astype("<i8").tobytes())
    h.update(pack(sorted((k[0], k[1], v) for k, v in state.idempotency.items())))
    h.update(pack([state.map_epoch, state.owner.astype(np.uint8).tobytes(), state.frozen]))
    if state.level:  # digests of level 0 are what they were before there were levels
        h.update(pack(["level", state.level]))
    if state.tag_logs.logs or state.tag_shards:
        h.update(pack([sorted(state.tag_logs.logs), sorted((t, sorted(s)) for t, s in state.tag_shards.items())]))
    h.update(pack([sorted(state.inbox.items()), sorted((s, o.next_seq) for s, o in state.outboxes.items())]))
    return h.hexdigest()


def _digest_shelves(state: ShardState, h: hashlib.blake2b) -> None:
    """Add every shelf of what is this shard's, by owner, in the order in which the keys were put."""
    for number, kind in sorted(state.shelves.kinds.items()):
        places, keys, stamps = state.shelves.marks.dump(number)
        owners = state.shelves.owners_of(kind, places)
        own = state.owner[kind.owner.buckets_of(owners)] == state.shard if len(owners) else np.zeros(0, dtype=np.bool_)
        order = np.lexsort((stamps[own], owners[own]))
        for column in (owners[own], keys[own], stamps[own]):
            h.update(column[order].astype("<i8").tobytes())


def _digest_papers(state: ShardState, h: hashlib.blake2b) -> None:
    """Add every document of what is this shard's, by kind, owner and key."""
    for number, kind in sorted(state.papers.kinds.items()):
        owners, keys, documents = state.papers.dump(number)
        if kind.from_level > state.level:
            continue  # there are none, and older code doesn't know that there could be
        own = state.owner[kind.owner.buckets_of(owners)] == state.shard if len(owners) else np.zeros(0, dtype=np.bool_)
        h.update(pack([number, owners[own].tolist(), keys[own].tolist()]))
        h.update(pack([documents[i] for i in np.nonzero(own)[0].tolist()]))
