"""A restore into Redis, marked while it goes on: shards don't open what a restore was interrupted in.

    {rookery:<namespace>:<shard>}:restoring   there from before the first key of a shard until all shards are whole

Rules of this file
- The marks of all shards come and go in one transaction.
- What lies under a mark is a restore's own, and the next restore may remove it; what lies there without one never.
"""

from __future__ import annotations

from collections.abc import Iterator

from persistence.errors import StorageError
from persistence.redis_server import RedisServer, shard_key

MARK = "restoring"
SCAN_COUNT = 1_000  # keys that the server looks at in one step: 0.1 ms
_LASTING = ("owner", "journal", "checkpoint")  # one of these is there as soon as a shard was ever opened


class RestoreUnfinishedError(StorageError):
    """A restore into these keys goes on, or was interrupted; the message says what to do."""

    code = "restore_unfinished"


def require_whole(server: RedisServer, namespace: str, shard: int) -> None:
    """Raise RestoreUnfinishedError while a shard's keys are marked, or what `RedisServer.translating` raises."""
    key = shard_key(namespace, shard, MARK)
    with server.translating("asking whether a restore was interrupted"):
        marked = server.client.exists(key)
    if marked:
        raise RestoreUnfinishedError(
            f"{server.name}: {key} is there: a restore goes on, or was interrupted; restore again, into an empty data"
            " folder"
        )


def key_in_the_way(server: RedisServer, namespace: str, shard_count: int) -> str:
    """Return a key of a cluster that a restore would write into, "" if there is none. Nothing is changed.

    Raises what `RedisServer.translating` raises.
    """
    with server.translating("looking for what is in the way of a restore"):
        for shard in range(shard_count):
            there = [key for name in _LASTING if server.client.exists(key := shard_key(namespace, shard, name))]
            if there and not server.client.exists(shard_key(namespace, shard, MARK)):
                return there[0]
    return ""


def begin_restore(server: RedisServer, namespace: str, shard_count: int) -> str:
    """Mark the shards, and remove what an interrupted restore left there. Returns "" or, if nothing was done, the key
    that is in the way.

    Raises what `RedisServer.translating` raises.
    """
    if key := key_in_the_way(server, namespace, shard_count):
        return key
    with server.translating("marking a restore"):
        client = server.client
        marks = [shard_key(namespace, shard, MARK) for shard in range(shard_count)]
        client.mset(dict.fromkeys(marks, "1"))
        for shard in range(shard_count):
            for key in _keys(server, namespace, shard):
                if key not in marks:
                    client.unlink(key)
    return ""


def end_restore(server: RedisServer, namespace: str, shard_count: int) -> None:
    """Remove the marks: all shards are whole. Raises what `RedisServer.translating` raises."""
    with server.translating("ending a restore"):
        server.client.delete(*(shard_key(namespace, shard, MARK) for shard in range(shard_count)))


def _keys(server: RedisServer, namespace: str, shard: int) -> Iterator[str]:
    prefix = shard_key(namespace, shard, "")
    pattern = "".join(f"\\{c}" if c in "*?[]\\" else c for c in prefix) + "*"
    for key in server.client.scan_iter(match=pattern, count=SCAN_COUNT):
        yield key.decode()
