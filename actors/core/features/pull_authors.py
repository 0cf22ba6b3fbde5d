"""Pull authors: accounts with too many followers for pushing, and the reads below a ring's floor.

    above the threshold: each shard that follows the author gets one log  --pull_start-->  merged by every read

Rules of this file
- An author never goes back to push: at the threshold that would flap, and each turn costs a log on every shard.
- Direct tweets are in no log: those mentioned get them pushed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from actors.core import arguments, ids, limits
from actors.core.entries import Entry, pack
from actors.core.errors import MovedError
from actors.core.flags import FLAG_DIRECT
from actors.core.terms import Effect, Feature, Key, Read, To
from actors.core.timelines.arriving import arrive, learn_originals, newest_entries, newest_tagged

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState

Ints = npt.NDArray[np.int64]


def start_pull_logs_above_threshold(state: ShardState, rows: Ints) -> None:
    """Turn authors above the threshold into pull authors; give every shard that follows one its log."""
    for row in np.unique(rows[state.graph.followers.length[rows] > state.tuning.pull_threshold]).tolist():
        start_pull_logs(state, row)


def start_pull_logs(state: ShardState, row: int) -> None:
    """Give every shard that follows a pull author its log, where it has none."""
    author_id = state.people.accounts[row].account_id
    shards = state.pull_shards.setdefault(author_id, set())
    missing = [s for s in state.graph.destinations(row) if s not in shards]
    if missing:
        shards.update(missing)
        state.changes.accounts.add(row)
        entries, above = newest_entries(state, 0, [author_id], ids.ID_MAX, 0, state.tuning.timeline_length)
        oldest_first = [list(e) for e in reversed(entries)]
        state.send_all(missing, ["pull_start", author_id, oldest_first, above])


def on_pull_start(state: ShardState, source: int, author: int, entries: list[Any], above: int) -> None:
    """Begin the log of an author whose tweets aren't pushed into rings any more, if he is followed here."""
    if not state.graph.local_follower_count(author):
        return
    state.pull_logs.start(author, above)
    state.changes.pulls.add(author)
    oldest_first = [Entry(*fields) for fields in entries]
    learn_originals(state, oldest_first)
    for entry in oldest_first:
        if not entry.flags & FLAG_DIRECT:
            state.pull_logs.insert(author, arrive(state, entry)[0], entry.tweet_id)


def answer_pull(shard: Lookups, reader: int, authors: bytes, max_id: int, count: int, tags: bytes = b"") -> list[Any]:
    """Newest tweets of followees below max_id, for a page below a ring's floor: `[packed entries, floor]`.

    tags: ids of hashtags whose tweets are wanted as well; they are complete above the same floor.
    """
    arguments.an_id(reader, "reader")
    arguments.an_id_or_zero(max_id, "max_id")
    arguments.whole(count, 1, ids.ID_MAX, "count")
    wanted, count = _own_authors(shard, authors), min(count, limits.PULL_COUNT_MAX)
    entries, floor = newest_entries(shard.state, reader, wanted, max_id, 0, count)
    if tags:
        tagged, tagged_floor = newest_tagged(shard.state, _tags(tags), max_id, 0, count)
        entries = [*{e.tweet_id: e for e in (*entries, *tagged)}.values()]
        floor = max(floor, tagged_floor)
    return [pack([list(e) for e in entries]), floor]


def _tags(packed: bytes) -> list[int]:
    return arguments.packed_ids(packed, limits.FOLLOWED_TAGS_COUNT_MAX, "tags")


def answer_pull_after(
    shard: Lookups, reader: int, authors: bytes, min_id: int, count: int, tags: bytes = b""
) -> list[Any]:
    """How far `count` tweets after min_id reach: `[number of them, exclusive upper id or 0 if these are all]`."""
    arguments.an_id(reader, "reader")
    arguments.an_id_or_zero(min_id, "min_id")
    count = min(arguments.whole(count, 1, ids.ID_MAX, "count"), limits.PULL_COUNT_MAX)
    row_of = shard.state.people.row_of
    rows = [row for a in _own_authors(shard, authors) if (row := row_of.get(a)) is not None]
    oldest = shard.state.tweets.oldest(np.array(rows, dtype=np.int64), min_id, count + 1)
    if tags:
        tagged = shard.state.tweets.by_tag.oldest(_tags(tags), min_id, count + 1)
        oldest = np.union1d(oldest, np.array(tagged, dtype=np.int64))[: count + 1]
    return [min(len(oldest), count), int(oldest[count - 1]) + 1 if len(oldest) > count else 0]


def _own_authors(shard: Lookups, packed: bytes) -> list[int]:
    """Return the accounts of int64 bytes. Raises MovedError if one is another shard's, which has its tweets."""
    authors = np.frombuffer(packed, dtype="<i8").astype(np.int64)
    if (shard.state.owner[ids.buckets_of_accounts(authors)] != shard.state.shard).any():
        raise MovedError(f"some of these authors are not on shard {shard.state.shard}")
    found: list[int] = authors.tolist()
    return found


PULL_START = Effect("pull_start", on_pull_start, To.FOLLOWERS, ("author", "entries", "above"))

FEATURE = Feature(
    "pull_authors",
    reads=(Read("pull", answer_pull, Key.SHARD), Read("pull_after", answer_pull_after, Key.SHARD)),
    effects=(PULL_START,),
)
