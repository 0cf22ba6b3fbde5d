"""`backup`: one consistent cut over all shards of a cluster, serving or stopped, in a folder of this machine.

    every shard: its checkpoint (at P) is opened, its journal is kept from P on
    all at once: where is every primary, and how far do its messages go?  -> the cut, if those numbers fit together
    every shard: the journal's records P+1 .. cut, then the checkpoint's rows

Rules of this file
- The cut is consistent: of every link between two shards, the receiver has applied no more than the sender has made,
  and no less than the sender keeps no more. Nobody is held up for it: the primaries are asked at the same moment, and
  asked again until the numbers fit. Message and acknowledgement each take a journal's sync and an actor call, the
  questions a fraction of that, so they fit nearly always.
- All that was acknowledged before the backup began is in it: positions are told when they are committed.
- The bytes come from an in-sync follower if there is one. One request of 1 MiB a shard is under way, and as long as it
  took, nothing is asked of that shard afterwards.
- The records come first, so that journals are kept for as short as can be.

What a stopped cluster's disks hold is such a cut by itself: messages leave after their records are durable.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console

from actors.core.checkpoints.snapshot import TABLES
from actors.core.errors import ConflictError, NotFoundError, OverloadedError, RookeryError
from actors.shard.places import require_journal, shard_directory
from actors.shard.redis_storage import open_redis
from actors.shard.storage import open_files
from api.mastodon.version import VERSION
from cluster.client.connect import NamedActors, local_node_id, make_actor_call, router_handle
from cluster.lane.handshake import LaneKeys
from cluster.lane.protocol import LaneDisconnected, LaneProtocolError
from cluster.placement.shard_map import ReplicaPlace, ShardMap
from cluster.ray_options import ROUTER_NAME
from cluster.router.files import load_state, note_backup
from cluster.router.lanes import RouterLanes
from commands.launch import ClusterInfo, serving_lock
from commands.media_backup import media_of
from commands.offline import stopped_settings
from commands.progress import Bars
from configs.settings import Settings
from persistence.backup_format import (
    JOURNAL_SUFFIX,
    ROWS_SUFFIX,
    BackupWriter,
    FileFacts,
    Manifest,
    ShardFacts,
)
from persistence.backup_shard import ShardReader, describe
from persistence.objects import ObjectStore

REQUEST_TIMEOUT_S = 30.0  # for a part: a disk under load, and a follower that catches up
CUT_TIMEOUT_S = 10.0  # for one round of questions: a journal's sync
CUT_TRIES, CUT_PAUSE_S = 500, 0.005  # rounds of questions, and between them
REPEATS = 3  # attempts at a request whose answer got lost on the way
NO_LANE = (ConnectionError, FileNotFoundError, PermissionError, LaneProtocolError)  # none leads there
UNREACHABLE = (OSError, LaneProtocolError, LaneDisconnected, TimeoutError)

Numbers = dict[str, Any]
"""What `numbers_of` says of one moment of a shard."""
OnBytes = Callable[[int], None]


class Source(Protocol):
    """One shard, handing out its backup. Offsets are bytes; a part is empty at the end."""

    position: int

    async def records(self, offset: int, cut: int) -> bytes:
        """Return a part of the journal's records above `position` up to the cut."""

    async def rows(self, offset: int) -> bytes:
        """Return a part of the checkpoint's rows."""


# ---- writing ----------------------------------------------------------------------------------------------------


async def write_shards(
    writer: BackupWriter, sources: Mapping[int, Source], cut: Mapping[int, int], on_bytes: OnBytes
) -> list[ShardFacts]:
    """Write the files of shards, all at the same time; returns what the manifest says of them."""

    async def journal(shard: int, source: Source) -> FileFacts:
        name = f"shard-{shard:02d}{JOURNAL_SUFFIX}"
        return await _write(writer, name, lambda offset: source.records(offset, cut[shard]), on_bytes)

    async def rows(shard: int, source: Source) -> FileFacts:
        return await _write(writer, f"shard-{shard:02d}{ROWS_SUFFIX}", source.rows, on_bytes)

    journals = await _all([journal(shard, source) for shard, source in sources.items()])
    tables = await _all([rows(shard, source) for shard, source in sources.items()])
    return [
        ShardFacts(shard, source.position, cut[shard], table, records)
        for (shard, source), table, records in zip(sources.items(), tables, journals, strict=True)
    ]


async def _all(work: list[Any]) -> list[Any]:
    """Return the results of all; the first error ends the others."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _write(
    writer: BackupWriter, name: str, part_at: Callable[[int], Awaitable[bytes]], on_bytes: OnBytes
) -> FileFacts:
    file = writer.create(name)
    try:
        while part := await part_at(file.size):
            await asyncio.to_thread(file.write, part)
            on_bytes(len(part))
        return await asyncio.to_thread(file.close)
    finally:
        file.abandon()


def misfits(numbers: Sequence[Numbers]) -> list[str]:
    """Return what keeps moments of all shards from being one cut, in words; nothing if they are consistent.

    A shard must not have applied a message that its sender hasn't made, nor may a sender have let go of one, upon its
    receiver's acknowledgement, that the receiver hasn't applied: it would be lost.
    """
    found = []
    for sender in numbers:
        for receiver in numbers:
            if sender is not receiver:
                sent, acked = (sender[name][str(receiver["shard"])] for name in ("sent", "acked"))
                applied, link = receiver["applied"][str(sender["shard"])], f"{sender['shard']}>{receiver['shard']}"
                if applied > sent:
                    found.append(f"link {link}: {applied} applied, {sent} sent")
                if applied < acked:
                    found.append(f"link {link}: {applied} applied, but the sender has let go of those up to {acked}")
    return found


async def consistent_cut(ask_all: Callable[[], Awaitable[Sequence[Numbers]]]) -> list[int]:
    """Return a position for each shard that together are a consistent cut, all committed.

    ask_all(): what every primary says, by shard. Raises OverloadedError if the answers never fit.
    """
    for _ in range(CUT_TRIES):
        numbers = await ask_all()
        if not misfits(numbers):
            return [int(said["position"]) for said in numbers]
        await asyncio.sleep(CUT_PAUSE_S)
    raise OverloadedError(f"no consistent cut in {CUT_TRIES} tries: shards are too busy; try again", retry_after_s=1.0)


# ---- a serving cluster ------------------------------------------------------------------------------------------


class _Peers:
    """Replicas of a serving cluster, asked over their lanes, or as actors where no lane leads."""

    def __init__(self, actors: NamedActors, keys: LaneKeys) -> None:
        self._lanes = RouterLanes(lambda: keys, local_node_id(), lambda replica: None)
        self._actor_call = make_actor_call(actors)

    async def ask(self, replica: ReplicaPlace, op: str, args: list[Any], timeout_s: float = REQUEST_TIMEOUT_S) -> Any:
        """Ask one replica, again if the answer got lost. Raises RookeryError."""
        failure: Exception | None = None
        for _ in range(REPEATS):
            try:
                return await self._lanes.ask(replica, op, args, timeout_s)
            except NO_LANE:
                pass
            except UNREACHABLE as error:
                failure = error
                continue
            try:
                async with asyncio.timeout(timeout_s):
                    return await self._actor_call(replica.actor_name, op, args)
            except RookeryError:
                raise
            except Exception as error:  # noqa: BLE001  Ray's, of a dead actor
                failure = error
        raise OverloadedError(f"{replica.actor_name} doesn't answer: {failure}", retry_after_s=1.0)

    def close(self) -> None:
        """Close the lanes."""
        self._lanes.close()


class _LiveSource:
    """One shard of a serving cluster, read from one of its replicas."""

    def __init__(self, peers: _Peers, replica: ReplicaPlace, token: str, position: int) -> None:
        self.position = position
        self._peers, self._replica, self._token = peers, replica, token

    @classmethod
    async def open(cls, peers: _Peers, shard_map: ShardMap, shard: int) -> _LiveSource:
        """Choose a replica, and have it open its checkpoint."""
        followers = [r for r in shard_map.replicas_of(shard) if r.in_sync and r.registered and not r.primary]
        replica = followers[0] if followers else shard_map.primary_of(shard)
        token, position = await peers.ask(replica, "backup_open", [])
        return cls(peers, replica, token, position)

    async def records(self, offset: int, cut: int) -> bytes:
        """See `Source`."""
        return await self._part("backup_records", [self._token, offset, cut])

    async def rows(self, offset: int) -> bytes:
        """See `Source`."""
        return await self._part("backup_rows", [self._token, offset])

    async def _part(self, op: str, args: list[Any]) -> bytes:
        begin = time.monotonic()
        part: bytes = await self._peers.ask(self._replica, op, args)
        await asyncio.sleep(time.monotonic() - begin)
        return part

    async def close(self) -> None:
        """Have the replica let go of its checkpoint."""
        await self._peers.ask(self._replica, "backup_close", [self._token])


async def backup_serving(
    namespace: str, length: int, directory: Path, console: Console, data_dir: Path, store: ObjectStore | None = None
) -> dict[str, Any]:
    """Back a serving cluster up. length: entries of a home timeline. Returns what was done, for `--json`.

    data_dir: where it is noted; store: of media that are to be copied, too.

    Raises BackupError, OverloadedError if a shard can't be reached, or what a shard refuses with; no backup then.
    """
    begun = time.monotonic()
    await asyncio.to_thread(router_handle, namespace)  # says clearly when there is no cluster
    actors = NamedActors(namespace)
    joined = await actors.call(ROUTER_NAME, "join")
    peers = _Peers(actors, LaneKeys.from_join(joined))
    try:
        with (
            media_of(store, directory) as media,
            BackupWriter(directory) as writer,
            _counting(console) as on_bytes,
        ):
            await media.copy(on_bytes)
            begun_at, shard_map = _now(), ShardMap.from_wire(joined["map"])
            sources: list[_LiveSource] = await _all(
                [_LiveSource.open(peers, shard_map, shard) for shard in range(shard_map.shard_count)]
            )
            cut, shard_map = await _cut(actors, peers)
            cut_at = _now()
            shards = await write_shards(writer, dict(enumerate(sources)), dict(enumerate(cut)), on_bytes)
            await _all([source.close() for source in sources])
            manifest = _manifest("serving", joined["cluster_id"], shard_map, length, (begun_at, cut_at), shards)
            await media.copy(on_bytes)
            await asyncio.to_thread(writer.finish, manifest)
            await asyncio.to_thread(media.finish)
            await asyncio.to_thread(note_backup, data_dir)
    finally:
        peers.close()
    return summary_of(directory, manifest, time.monotonic() - begun) | media.summary


async def _cut(actors: NamedActors, peers: _Peers) -> tuple[list[int], ShardMap]:
    """Return a consistent cut, and the map whose owners it was made under."""
    while True:
        before = ShardMap.from_wire(await actors.call(ROUTER_NAME, "get_map"))

        async def ask_all(shard_map: ShardMap = before) -> Sequence[Numbers]:
            primaries = [shard_map.primary_of(shard) for shard in range(shard_map.shard_count)]
            return await _all([peers.ask(primary, "backup_cut", [], CUT_TIMEOUT_S) for primary in primaries])

        cut = await consistent_cut(ask_all)
        after = ShardMap.from_wire(await actors.call(ROUTER_NAME, "get_map"))
        if after.buckets == before.buckets:
            return cut, after


# ---- a stopped cluster ------------------------------------------------------------------------------------------


class _StoppedSource:
    """One shard of a stopped cluster, read from its disk."""

    def __init__(self, reader: ShardReader) -> None:
        self.position = reader.position
        self._reader = reader

    async def records(self, offset: int, cut: int) -> bytes:
        """See `Source`."""
        return await asyncio.to_thread(self._reader.records, offset, cut)

    async def rows(self, offset: int) -> bytes:
        """See `Source`."""
        return await asyncio.to_thread(self._reader.rows, offset)


def backup_stopped(
    data_dir: Path, directory: Path, console: Console, store: ObjectStore | None = None
) -> dict[str, Any]:
    """Back a stopped cluster up from its data folder. Returns what was done, for `--json`.

    store: of media that are to be copied, too.

    Opening a journal cuts off a torn tail, as any start would; in Redis it makes this process the owner. Raises
    NotFoundError if there is no cluster, ConflictError if it is served, BackupError, or a StorageError that names what
    is damaged; no backup then.
    """
    begun, begun_at = time.monotonic(), _now()
    state = load_state(data_dir) if data_dir.exists() else None
    if state is None:
        raise NotFoundError(f"{data_dir} holds no cluster: it was never served")
    cluster_id, shard_map = state
    settings = stopped_settings(data_dir, ClusterInfo.load(data_dir), shard_map.shard_count)
    with (
        serving_lock(data_dir),
        media_of(store, directory) as media,
        BackupWriter(directory) as writer,
        _counting(console) as on_bytes,
    ):
        shards: list[ShardFacts] = []
        for shard in range(shard_map.shard_count):
            shards.append(_write_stopped(writer, settings, shard_map.primary_of(shard), on_bytes))
        times = begun_at, _now()
        manifest = _manifest("stopped", cluster_id, shard_map, settings.timeline.length, times, shards)
        asyncio.run(media.copy(on_bytes))
        writer.finish(manifest)
        media.finish()
        note_backup(data_dir)
    return summary_of(directory, manifest, time.monotonic() - begun) | media.summary


def _write_stopped(writer: BackupWriter, settings: Settings, leader: ReplicaPlace, on_bytes: OnBytes) -> ShardFacts:
    shard, folder = leader.shard, shard_directory(settings.storage.data_dir, leader.shard, leader.index)
    shared = settings.storage.backend == "redis"
    require_journal(settings, shard, leader.index)
    folder.mkdir(parents=True, exist_ok=True)
    journal, store, _, release = open_redis(settings, shard) if shared else open_files(folder, shard)
    try:
        with closing(ShardReader(store, journal)) as reader:
            cut = journal.durable_position
            if cut < reader.position:
                raise ConflictError(f"{folder}: the checkpoint is at {reader.position}, the journal ends at {cut}")
            [facts] = asyncio.run(write_shards(writer, {shard: _StoppedSource(reader)}, {shard: cut}, on_bytes))
            return facts
    finally:
        try:
            journal.close()
        finally:
            store.close()
            release()


# ---- both -------------------------------------------------------------------------------------------------------


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@contextmanager
def _counting(console: Console) -> Iterator[OnBytes]:
    """Show the bytes that were written."""
    done = 0
    with Bars(console) as bars, bars.reading("bytes") as show:

        def on_bytes(count: int) -> None:
            nonlocal done
            done += count
            show(done, None)

        yield on_bytes


def _manifest(
    source: str, cluster_id: str, shard_map: ShardMap, length: int, times: tuple[str, str], shards: Iterable[ShardFacts]
) -> Manifest:
    return Manifest(
        cluster=shard_map.cluster, cluster_id=cluster_id, software=VERSION, source=source, begun_at=times[0],
        cut_at=times[1], timeline_length=length, tables=describe(TABLES), map_epoch=shard_map.epoch,
        buckets=tuple(shard_map.buckets), shards=tuple(shards),
    )  # fmt: skip


def summary_of(directory: Path, manifest: Manifest, seconds: float) -> dict[str, Any]:
    """Return what a backup or restore did, for `--json`."""
    return {
        "backup": str(directory), "source": manifest.source, "cluster": manifest.cluster, "cut_at": manifest.cut_at,
        "positions": [facts.cut_position for facts in manifest.shards], "bytes": manifest.size,
        "seconds": round(seconds, 3),
    }  # fmt: skip
