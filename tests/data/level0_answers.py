"""What a few shards answer about everything they hold, as plain JSON values: what a format may never change.

Rules of this file
- Asked by the operations of the lane wherever there is one, so that the answers don't tell how the state is kept. The
  rest (likes, keys, tokens, relations) is what no operation of level 0 read.
- Asking changes the replicas (waking, delivering), but no file. Digests and waiting messages come before that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from actors.core.entries import unpack
from actors.core.features.likes import LIKE
from actors.core.timelines.home import Ask, HomeQuery, Wake
from actors.core.ids import bucket_of_account
from actors.core.replica import Replica, home_reply
from actors.core.verify import check, digest

FAR_POSITION = 1 << 62  # every message may leave
PAGE_COUNT = 200
EVERYTHING = 10_000


def answers_of(replicas: Sequence[Replica]) -> dict[str, Any]:
    """Return all answers. The replicas are those of all shards, in order; they are of no further use."""
    moments = [
        {
            "position": replica.state.position,
            "digest": digest(replica.state),
            "day": replica.state.day,
            "problems": check(replica.state),
            "waiting": {str(shard): len(outbox.waiting) for shard, outbox in sorted(replica.state.outboxes.items())},
            "next_seq": {str(shard): outbox.next_seq for shard, outbox in sorted(replica.state.outboxes.items())},
            "inbox": {str(shard): seq for shard, seq in sorted(replica.state.inbox.items())},
            "names": sorted([name, *held] for name, held in replica.state.people.names.items()),
        }
        for replica in replicas
    ]
    deliver(replicas)
    accounts = {str(account_id): _account(replicas, account_id) for account_id in _account_ids(replicas)}
    return {"shards": moments, "accounts": accounts}


def deliver(replicas: Sequence[Replica]) -> int:
    """Carry every message that waits to its shard, until none does; return how many there were."""
    moved, total = True, 0
    while moved:
        moved = False
        for source in replicas:
            for destination, outbox in source.state.outboxes.items():
                first, messages = outbox.batch(FAR_POSITION)
                if messages:
                    moved, total = True, total + len(messages)
                    command = ["receive", source.state.shard, first, b"".join(messages)]
                    _, seq = replicas[destination].command(command)
                    source.command(["acked", destination, seq])
    return total


def home(replicas: Sequence[Replica], account_id: int) -> list[Any]:
    """Return a home timeline, rendered, driven as a shard's shell drives it."""
    replica = owner_of(replicas, account_id)
    steps = replica.home_steps(HomeQuery(account_id, 0, 0, 0, PAGE_COUNT))
    answer: Any = None
    while True:
        try:
            need: Wake | Ask = steps.send(answer)
        except StopIteration as stop:
            return list(orjson.loads(home_reply(stop.value)[0]))
        answer = None
        if isinstance(need, Wake):
            if need.start:
                replica.command(["wake", account_id])
            deliver(replicas)
        else:
            answer = {s: replicas[s].read(op, args) for s, (op, args) in need.questions.items()}


def owner_of(replicas: Sequence[Replica], account_id: int) -> Replica:
    """Return the replica that an account lives on."""
    return replicas[int(replicas[0].state.owner[bucket_of_account(account_id)])]


def _account_ids(replicas: Sequence[Replica]) -> list[int]:
    found: list[int] = []
    for replica in replicas:
        following, rows = replica.read("export", [0, EVERYTHING])
        assert following == 0, "there are more accounts than one page has"
        found += [row[0] for row in rows]
    return sorted(found)


def _account(replicas: Sequence[Replica], account_id: int) -> dict[str, Any]:
    """Return what one account is, sees and has written."""
    replica = owner_of(replicas, account_id)
    state = replica.state
    row = state.people.row_of[account_id]
    following, hidden = replica.read("reader", [account_id])
    [exported] = [r for r in replica.read("export", [0, EVERYTHING])[1] if r[0] == account_id]
    return {
        "shard": state.shard,
        "awake": bool(state.rings.awake[row]),
        "profile": orjson.loads(replica.read("profile", [account_id, account_id])),
        "password_hash": replica.read("credentials", [account_id])[0],
        "tokens": [token.hex() for token in state.people.accounts[row].tokens],
        "following": replica.read("following", [account_id, account_id, 0, PAGE_COUNT])[0],
        "followers": replica.read("followers", [account_id, account_id, 0, PAGE_COUNT])[0],
        "following_bytes": following.hex(),
        "hidden_bytes": hidden.hex(),
        "relations": [sorted(kind.get(row, ())) for kind in state.graph.relations[:3]],
        "likes": state.shelves.view(LIKE, account_id)[0].tolist(),
        "reposts": sorted(map(list, state.reposts.get(row, {}).items())),
        "keys": sorted([key.hex(), tweet] for (owner, key), tweet in state.idempotency.items() if owner == account_id),
        "is_pulled": account_id in state.pull_shards,
        "tweet_facts": [list(fact) for fact in unpack(exported[2])],
        "tweets": orjson.loads(replica.read("user_timeline", [account_id, account_id, 0, 0, 0, PAGE_COUNT])[0]),
        "home": home(replicas, account_id),
    }
