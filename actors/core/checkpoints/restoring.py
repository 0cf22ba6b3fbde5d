"""The state out of checkpoint tables, as fast as memory allows: columns in, columns out, no row at a time.

    accounts, edges, tweets  --> rows, arenas and columns, each filled once at its final size
    arrivals + edges + floors --> every ring at once, by `rebuild_rings`: a reader's candidates are marked in a bitmap
                                  of the arrivals window, which is read back from its newest end

Rules of this file
- Rings, pull logs' contents and arrival numbers are not stored. What left the arrivals window before is covered by
  raising every floor to `lost_max_id`; an arrival's number is its place in the order of ids.
- A ring built here is the one that delivering every arrival in turn would build, cut to its newest H.

Costs: 1M edges 0.15 s, 1M tweets 2 s, 1M ring entries 0.02 s, 100,000 accounts 0.5 s.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from actors.core import ids, levels
from actors.core.arrays import kernels, restore_kernels
from actors.core.checkpoints.snapshot import Sealer
from actors.core.checkpoints.tables import Checkpoint, Columns
from actors.core.entries import NUMBERS, unpack
from actors.core.features.likes import LIKE
from actors.core.moves.transfers import Incoming
from actors.core.state import ShardState
from actors.core.stores.people import Account
from actors.core.terms import FULL_FROM_LEVEL, NOTIFICATION_TYPES, Owner
from actors.core.timelines.arriving import deliver_direct

Ints = npt.NDArray[np.int64]


def restore(state: ShardState, checkpoint: Checkpoint) -> Sealer:
    """Fill an empty state with a checkpoint's rows, emptying `checkpoint.tables`. Returns the sealer that goes on.

    Raises ValueError if the rows are those of another shard, ConflictError if they are of a newer level than this code.
    """
    t = checkpoint.tables
    meta = {name: unpack(value) for name, value in zip(t["meta"]["name"], t["meta"]["value"], strict=True)}
    stored: set[int] = set(t["arrivals"]["tweet_id"].tolist())
    old_relations = t.pop("relations")
    if meta:
        if meta["shard"][0] != state.shard:
            raise ValueError(f"the checkpoint is of shard {meta['shard'][0]}, not of shard {state.shard}")
        state.level = meta.get("level", 0)
        levels.require_known(state.level, f"the checkpoint of shard {state.shard}")
        state.position = checkpoint.position
        if "map" in meta:
            state.map_epoch, state.born_epoch, owners = meta["map"]
            state.owner = np.frombuffer(owners, dtype=np.uint8).astype(np.int64)
            state.resize(meta["shard"][1])
            state.frozen, state.thawed = meta["frozen"]
            if meta["incoming"] is not None:
                state.incoming = Incoming(meta["incoming"][0], frozenset(meta["incoming"][1]))
        state.day, state.wake_number = meta["day"], meta["wake_number"]
        state.inbox.update(meta["inbox"])
        state.clock.last.update(meta["last_ids"])
        state.dirty_counts = dict.fromkeys(meta["dirty_counts"])
        _restore_accounts(state, t.pop("accounts"), t)
        accounts = restore_kernels.Numbering(state.people.numbered())
        following = t.pop("following")
        edges = _restore_following(state, accounts, following)
        _restore_followers(state, accounts, t.pop("followers"))
        tweets = t.pop("tweets")
        _restore_tweets(state, accounts, tweets)
        _restore_marks(state, accounts, t.pop("marks"))
        _restore_papers(state, t.pop("papers"))
        _restore_notices(state, accounts, t.pop("notices"))
        _restore_old_likes(state, accounts, t.pop("likes"))
        _restore_old_relations(state, old_relations)
        state.shelves.relate_all()
        _restore_small(state, t, meta)
        arrived = _newest_arrivals(state, [_own(state, tweets), t.pop("arrivals")], meta["lost_max_id"])
        _rebuild_timelines(state, accounts, arrived, following, edges)
    sealer = Sealer(state)
    sealer.place = meta.get("place", 0)
    state.changes.arrivals |= stored.difference(state.arrivals.number_of)  # no longer here: the next seal deletes them
    if state.level >= FULL_FROM_LEVEL:
        _move_old_relations(state, old_relations)
    return sealer


def _restore_accounts(state: ShardState, accounts: Columns, t: dict[str, Columns]) -> None:
    order = np.argsort(accounts["row_number"])
    rows = accounts["row_number"][order].tolist()
    count = rows[-1] + 1 if rows else 0
    state.ensure_rows(count)
    awake, last_read = [0] * count, [0] * count
    owners = state.owner[ids.buckets_of_accounts(accounts["account_id"][order])]
    loaded = []
    for row, i in zip(rows, order.tolist(), strict=True):
        fields, (awake[row], last_read[row], wake_number, shards, pulled) = unpack(accounts["data"][i])
        account = Account.from_row(fields)
        loaded.append(account)
        if wake_number:
            state.waking[account.account_id] = (wake_number, set(shards))
        if pulled is not None:
            state.pull_shards[account.account_id] = set(pulled)
    state.people.load(rows, loaded, (owners != state.shard).tolist())
    state.rings.restore_awake(awake)
    state.people.last_read_day[:count] = last_read
    for account_id, floor in zip(t["floors"]["account_id"].tolist(), t["floors"]["floor"].tolist(), strict=True):
        state.rings.floor[state.people.find(account_id)] = floor
    names = t["names"]
    held = zip(names["account_id"].tolist(), (c == 1 for c in names["confirmed"].tolist()), strict=True)
    state.people.names.update(zip(names["username"], held, strict=True))


def _restore_following(
    state: ShardState, accounts: restore_kernels.Numbering, edges: Columns
) -> tuple[Ints, restore_kernels.Numbering, Ints]:
    """Returns the row of each edge's account, the followed accounts' numbers, and the number of each edge's."""
    graph = state.graph
    own, other, order = edges["account_id"], edges["other_id"], restore_kernels.order_of(edges["place"])
    graph.edge_count = len(own)
    rows = accounts.numbers(own)
    graph.following.fill(rows, other, order)
    authors = restore_kernels.Numbering()
    author_of = authors.numbers_of_all(other)
    graph.author_row = dict(zip(authors.ids().tolist(), range(len(authors)), strict=True))
    graph.local_followers.ensure_rows(len(authors))
    if (own == other).any():
        order = np.arange(len(own)) if order is None else order
        order = order[own[order] != other[order]]
    graph.local_followers.fill(author_of, rows.astype(np.int32), order)
    return rows, authors, author_of


def _restore_followers(state: ShardState, accounts: restore_kernels.Numbering, edges: Columns) -> None:
    graph, other = state.graph, edges["other_id"]
    rows = accounts.numbers(edges["account_id"])
    graph.followers.fill(rows, other, restore_kernels.order_of(edges["place"]))
    restore_kernels.count_owners(rows, other, state.owner, graph.shard_followers)


def _restore_tweets(state: ShardState, accounts: restore_kernels.Numbering, columns: Columns) -> None:
    order = np.argsort(columns["tweet_id"])
    rows = accounts.numbers(columns["author_id"][order])
    state.tweets.load(rows, columns, order)
    reposts = np.nonzero(columns["flags"][order] & kernels.FLAG_REPOST)[0]
    for row, i in zip(rows[reposts].tolist(), order[reposts].tolist(), strict=True):
        tweet_id, orig_id = int(columns["tweet_id"][i]), int(columns["orig_id"][i])
        state.reposts.setdefault(row, {})[orig_id] = tweet_id
        if state.people.own(int(columns["author_id"][i])) is not None:
            state.reposts_of.setdefault(orig_id, set()).add(tweet_id)


def _restore_marks(state: ShardState, accounts: restore_kernels.Numbering, marks: Columns) -> None:
    """Fill the shelves. A kind that this code doesn't know is refused by name: it would be lost."""
    shelves, number_of = state.shelves, marks["kind"]
    stored_ids = state.tweets.columns["tweet_id"][: len(state.tweets)]
    unknown = set(np.unique(number_of).tolist()).difference(shelves.kinds)
    if unknown:
        raise ValueError(f"the checkpoint has marks of kinds {sorted(unknown)}, which a newer version wrote")
    for number, kind in shelves.kinds.items():
        chosen = np.nonzero(number_of == number)[0]
        owners = marks["owner"][chosen]
        if not kind.dense:
            places = owners
        elif kind.owner is Owner.ACCOUNT:
            places = accounts.numbers(owners)
        else:  # slots are numbered by the order of ids
            places = np.searchsorted(stored_ids, owners)
            if len(owners) and not np.array_equal(stored_ids.take(places, mode="clip"), owners):
                raise ValueError(f"the checkpoint has {kind.name}s of tweets that it doesn't have")
        shelves.marks.fill(number, places, marks["key"][chosen], marks["stamp"][chosen])


def _restore_papers(state: ShardState, papers: Columns) -> None:
    """Fill in the documents, and what falls due of them. A kind that this code doesn't know is refused, as of marks."""
    unknown = set(np.unique(papers["kind"]).tolist()).difference(state.papers.kinds)
    if unknown:
        raise ValueError(f"the checkpoint has papers of kinds {sorted(unknown)}, which a newer version wrote")
    for number in state.papers.kinds:
        chosen = np.nonzero(papers["kind"] == number)[0]
        documents = [papers["doc"][i] for i in chosen.tolist()]
        state.papers.fill(number, papers["owner"][chosen], papers["key"][chosen], documents)


def _restore_notices(state: ShardState, accounts: restore_kernels.Numbering, notices: Columns) -> None:
    """Fill the notices. Types that this code doesn't know are refused, as kinds of marks are."""
    kinds = notices["kind"].astype(np.int64)
    if len(kinds) and int(kinds.max()) >> 1 >= len(NOTIFICATION_TYPES):
        raise ValueError(f"the checkpoint has notices of type {int(kinds.max()) >> 1}, which a newer version wrote")
    words = notices["id"] | kinds, notices["from_id"], notices["tweet_id"]
    state.notices.fill(accounts.numbers(notices["account_id"]), words)


def _restore_old_likes(state: ShardState, accounts: restore_kernels.Numbering, likes: Columns) -> None:
    """Fill the shelves of likes from the table of level 0, which kept the places of likes in their order."""
    rows = accounts.numbers(likes["account_id"])
    state.shelves.marks.fill(LIKE.number, rows, likes["tweet_id"], likes["place"] + 1)


def _restore_old_relations(state: ShardState, rows: Columns) -> None:
    """Fill the shelves of blocks and mutes from the table of level 0: by the other's id, as it has no order."""
    order = np.lexsort((rows["other_id"], rows["account_id"]))
    owners, others, numbers = (rows[name][order] for name in ("account_id", "other_id", "kind"))
    for kind, relation in state.shelves.relations():
        chosen = numbers == relation
        mine = owners[chosen]
        first = np.searchsorted(mine, mine, side="left")
        state.shelves.marks.fill(kind.number, mine, others[chosen], np.arange(1, len(mine) + 1, dtype=np.int64) - first)


def _move_old_relations(state: ShardState, rows: Columns) -> None:
    """Have the next seal move blocks and mutes from the table of level 0 to that of marks."""
    columns = [rows[name].tolist() for name in ("account_id", "kind", "other_id")]
    state.changes.old_relations.update(zip(*columns, strict=True))
    number_of = {relation: kind.number for kind, relation in state.shelves.relations()}
    state.changes.marks.update((number_of[kind], owner, other) for owner, kind, other in zip(*columns, strict=True))


def _restore_small(state: ShardState, t: dict[str, Columns], meta: dict[str, Any]) -> None:
    _restore_keys(state, t["idempotency"], t["answers"])
    for author_id, floor in zip(t["pulls"]["author_id"].tolist(), t["pulls"]["floor"].tolist(), strict=True):
        state.pull_logs.start(author_id, floor)
    floors, tag_shards = meta.get("tags", ({}, {}))
    for tag, floor in floors.items():
        state.tag_logs.start(tag, floor)
        state.graph.tags_touched.add(tag)
    state.tag_shards = {tag: set(shards) for tag, shards in tag_shards.items()}
    waiting = t["outbox"]
    for i in np.lexsort((waiting["seq"], waiting["shard"])).tolist():
        outbox = state.outboxes[int(waiting["shard"][i])]
        outbox.next_seq = int(waiting["seq"][i])
        outbox.push(0, waiting["message"][i])
    for shard, next_seq in meta["next_seq"].items():
        state.outboxes[shard].next_seq = next_seq


def _restore_keys(state: ShardState, tweets: Columns, answers: Columns) -> None:
    """Fill what keys made, in the order in which they were learnt."""
    places = np.concatenate([tweets["place"], answers["place"]])
    owners = np.concatenate([tweets["account_id"], answers["account_id"]]).tolist()
    keys, made = tweets["key_hash"] + answers["key_hash"], tweets["tweet_id"].tolist() + answers["answer"]
    for i in np.argsort(places).tolist():
        state.idempotency[owners[i], keys[i]] = made[i]


def _own(state: ShardState, tweets: Columns) -> Columns:
    """Return the tweets whose authors are this shard's, not only on the way here or away."""
    buckets = (tweets["tweet_id"] >> 6) & (ids.BUCKET_COUNT - 1)
    own = np.nonzero(state.owner[buckets] == state.shard)[0]
    if len(own) == len(buckets):
        return tweets
    chosen = own.tolist()
    return {n: v[own] if isinstance(v, np.ndarray) else [v[i] for i in chosen] for n, v in tweets.items()}


def _newest_arrivals(state: ShardState, parts: list[Columns], lost_max_id: int) -> Columns:
    """Give the newest tweets of both tables their arrival numbers, 0, 1, ... by id; the rest counts as lost.

    Returns the numbers of those tweets as columns in that order.
    """
    found: Columns = {name: np.concatenate([part[name] for part in parts]) for name in NUMBERS}
    order = np.argsort(found["tweet_id"])
    excess = len(order) - state.arrivals.capacity
    if excess > 0:
        lost_max_id = max(lost_max_id, int(found["tweet_id"][order[excess - 1]]))
        order = order[excess:]
    found = {name: values[order] for name, values in found.items()}
    for name in ("body", "mentions", "orig"):
        values = [value for part in parts for value in part[name]]
        found[name] = [values[i] for i in order.tolist()]
    state.arrivals.load(found, lost_max_id)
    return found


def _rebuild_timelines(
    state: ShardState,
    accounts: restore_kernels.Numbering,
    arrived: Columns,
    following: Columns,
    edges: tuple[Ints, restore_kernels.Numbering, Ints],
) -> None:
    rings, lost_max_id = state.rings, state.arrivals.lost_max_id
    np.maximum(rings.floor, lost_max_id, out=rings.floor, where=rings.awake == 1)
    logs = state.pull_logs.logs
    for log in (*logs.values(), *state.tag_logs.logs.values()):
        log.floor = max(log.floor, lost_max_id)
    if state.tag_logs.logs:
        for n, (flags, body) in enumerate(zip(arrived["flags"].tolist(), arrived["body"], strict=True)):
            state.tag_logs.take(n, int(arrived["tweet_id"][n]), flags, body)
    authors, direct = arrived["author_id"], (arrived["flags"] & kernels.FLAG_DIRECT) != 0
    pulled = np.isin(authors, np.array(list(logs), dtype=np.int64)) if logs else np.zeros(len(authors), dtype=np.bool_)
    for n in np.nonzero(pulled & ~direct)[0].tolist():
        state.pull_logs.insert(int(authors[n]), n, int(arrived["tweet_id"][n]))
    pushed = np.nonzero(~pulled & ~direct)[0]
    writers = restore_kernels.Numbering()
    writer_of = writers.numbers_of_all(authors[pushed])
    readers, followed, followed_of = edges
    read = writers.numbers(followed.ids())[followed_of]
    useful = (read >= 0) & (following["account_id"] != following["other_id"])
    own_rows = accounts.numbers(authors)
    mine = np.nonzero(own_rows >= 0)[0]
    rows = state.people.row_count
    rings.rebuild(
        restore_kernels.group(readers[useful], read[useful], rows),
        restore_kernels.group(writer_of, pushed, len(writers)),
        restore_kernels.group(own_rows[mine], mine, rows),
        arrived["tweet_id"],
    )
    for n in np.nonzero(direct)[0].tolist():
        deliver_direct(state, state.arrivals.entry(n), n)
