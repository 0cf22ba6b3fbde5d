"""The one entrance to the state: commands of the journal, and batches of messages from other shards.

    apply(state, position, command) --COMMANDS--> function(state, *facts) -> result
                                                       | send
                                            own _local queue, outboxes
    settle: messages to this very shard --MESSAGES--> function(state, source, *facts); then tweets land in rings

Rules of this file
- `apply` is called for live traffic, for replay, on a replica and in tests alike: nothing else changes the state.
- A message to this very shard is handled before `apply` returns.
- It knows the table of features and the state, and neither of them knows it: that is what keeps the imports a tree.

Cost: 0.3 us a command beside what its feature does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgpack

from actors.core import features, leaving, levels, noticing
from actors.core.features.answers import remember_answer
from actors.core.features.tag_readers import tell_wanted_tags
from actors.core.moves import moving
from actors.core.state import ShardState
from actors.core.terms import NOTICES_FROM_LEVEL

GATHERED: Final = frozenset(("tweet", "tweets"))  # what lands in rings together; anything else first lets it land


def apply(state: ShardState, position: int, command: list[Any]) -> Any:
    """Apply one command of the journal and return its result. position: its number, one more than the last's.

    Raises ValueError when the position doesn't follow; nothing has changed then.
    """
    if position != state.position + 1:
        raise ValueError(f"command {position} does not follow position {state.position}")
    state.position = position
    result = COMMANDS[command[0]](state, *command[1:])
    settle(state)
    return result


def apply_batch(state: ShardState, source: int, first_seq: int, batch: bytes) -> int:
    """Apply the messages of a batch that are new; return the last number applied from that source.

    batch: packed messages one after the other. Those already applied are passed over; a gap applies nothing.
    """
    expected = state.inbox[source] + 1
    if first_seq > expected:
        return expected - 1
    seq = first_seq
    for message in split_batch(batch):
        if seq >= expected:
            handle(state, source, message)
        seq += 1
    settle(state)
    state.inbox[source] = max(seq - 1, expected - 1)
    return state.inbox[source]


def split_batch(batch: bytes) -> Iterator[list[Any]]:
    """Iterate over the messages of a batch: packed values one after the other."""
    unpacker = msgpack.Unpacker(raw=False, strict_map_key=False, max_buffer_size=0)
    unpacker.feed(batch)
    return iter(unpacker)


def handle(state: ShardState, source: int, message: list[Any]) -> None:
    """Apply one message. Tweets gather and reach the rings together; anything else first lets them land."""
    if message[0] not in GATHERED:
        state.deliveries.land()
    name = message[0]
    features.MESSAGES[name](state, source, *message[1:])
    plan = PLANS.get(name)
    if plan is not None and state.level >= NOTICES_FROM_LEVEL:
        noticing.come(state, plan, features.EFFECTS[name].carries, message[1:])


def settle(state: ShardState) -> None:
    """Handle messages to this shard itself, let tweets land in rings, note what left the arrivals window."""
    if state.graph.tags_touched:
        tell_wanted_tags(state)
    while todo := state.take_local():
        for message in todo:
            handle(state, state.shard, message)
        if state.graph.tags_touched:
            tell_wanted_tags(state)
    state.deliveries.land()
    if state.arrivals.evicted:
        state.tag_logs.forget(state.arrivals.evicted)
        state.changes.arrivals.update(state.arrivals.evicted)
        state.arrivals.evicted.clear()
    if state.arrivals.next_n >= state.arrivals.next_sweep_n:
        state.deliveries.drain()
        state.rings.sweep()
        state.pull_logs.sweep()
        state.tag_logs.sweep()
        state.arrivals.swept()


def keyed(
    state: ShardState, account_id: int, key: bytes, fingerprint: bytes, at_ms: int, body: Any, command: list[Any] | None
) -> Any:
    """Apply a command, if there is one, and remember what whoever gave the key was answered. Returns its result."""
    result = None if command is None else COMMANDS[command[0]](state, *command[1:])
    remember_answer(state, account_id, key, fingerprint, at_ms, body)
    return result


def raise_level(state: ShardState, level: int) -> bool:
    """Use what is new up to a level, and do what features do when it rises. False: the level was that high already."""
    before = state.level
    if not levels.raise_level(state, level):
        return False
    for feature in features.FEATURES:
        if feature.rise is not None:
            feature.rise(state, before)
    return True


def acked(state: ShardState, shard: int, seq: int) -> None:
    """Forget messages that a shard has made durable."""
    state.outboxes[shard].trim(seq)


PLANS: Final = noticing.plans(features.EFFECTS)
COMMANDS: Final[Mapping[str, Callable[..., Any]]] = {
    **features.COMMANDS,
    "keyed": keyed,
    "receive": apply_batch,
    "acked": acked,
    "level": raise_level,
    **leaving.COMMANDS,
    **moving.COMMANDS,
}
