"""What waits to be mailed on the shards behind a server of tests, and the codes in it, as the channel makes them."""

from __future__ import annotations

from typing import Any

from actors.core.features.mail import CHANNEL
from actors.core.outbound import read_facts_of, read_outbound
from tests.api.core_cluster import CoreCluster


def items_of(cluster: CoreCluster, account_id: int) -> list[tuple[int, int, Any]]:
    """Return what waits for an account: (the item's id, what it is about, its facts), as they were put."""
    for shard in cluster.sim.shards:
        state = shard.replica.state
        if state.people.row_of.get(account_id) is not None:
            keys = state.papers.keys(CHANNEL.kind, account_id)
            items = [read_outbound(state.papers.get(CHANNEL.kind, account_id, key)) for key in keys]
            return [(key, item.subscription, read_facts_of(item)) for key, item in zip(keys, items, strict=True)]
    return []


def mails_of(cluster: CoreCluster, account_id: int) -> list[tuple[str, str]]:
    """Return what was to be told an account: (what, to which address), in the order in which it was put."""
    return [(facts[0], facts[1]) for _, about, facts in items_of(cluster, account_id) if about == 0]


def code_of(cluster: CoreCluster, account_id: int, what: str) -> str:
    """Return the newest code of a sort that waits to be mailed."""
    facts = [facts for _, about, facts in items_of(cluster, account_id) if about == 0 and facts[0] == what][-1]
    return cluster.outgoing_keys.code(what, account_id, facts[2])
