"""`restore`: a backup into an empty data folder, or an empty Redis; and `restore --check`, which only looks at it.

Rules of this file
- Every checksum is compared before anything is written.
- Nothing that holds something is written into: what is in the way is named. Whoever is refused finds everything as it
  was: it is asked before a folder or a lock is made, and what was made nevertheless is taken away.
- A part of a cluster is never served: a mark in the folder (and in Redis) is there from before the first file until the
  last is durable. `load_state` and `open_redis` refuse what is marked, and a restore begins anew there.
- The restored cluster is itself again, under a new secret: its id, its accounts, its tokens. Its shards have one log
  each, replica 0's, of no term; as a shard without a history needs an answer of all its replicas for the first
  election, the one with the data is elected, and fills the others.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from actors.core.checkpoints.snapshot import TABLES
from actors.core.errors import RookeryError
from actors.core.levels import LEVEL
from actors.core.replica import Replica
from actors.core.verify import check, digest
from actors.shard.backup_source import numbers_of
from actors.shard.places import shard_directory
from actors.shard.redis_storage import open_redis
from actors.shard.storage import open_files, tuning_of
from cluster.placement.shard_map import ShardMap, even_buckets
from cluster.router.files import (
    BACKED_UP_NAME,
    RESTORING_NAME,
    load_or_create_secret,
    replace_file,
    save_state,
)
from commands.backup import misfits, summary_of
from commands.checking import Outcome
from commands.launch import LOCK_FILE, ClusterInfo, require_unserved, serving_lock
from commands.loading import OnCount
from commands.media_backup import has_media, restore_media, verify_media
from commands.offline import note_totals
from commands.progress import Bars
from configs.explain import mask_url
from configs.settings import Settings
from persistence.backup_format import MANIFEST_NAME, BackupError, Manifest, load_manifest, verify
from persistence.backup_shard import BackupTables, checkpoint_of, records_of, write_shard
from persistence.disk import sync_directory
from persistence.objects import object_folder, open_store
from persistence.redis_restore import begin_restore, end_restore, key_in_the_way
from persistence.redis_server import RedisServer, wait_until_open

IGNORED = frozenset((LOCK_FILE, RESTORING_NAME, BACKED_UP_NAME, "lost+found"))  # in a folder that counts as empty


def open_backup(directory: Path, console: Console) -> Manifest:
    """Return the manifest of a backup whose files are all as they were written, and that this version can read.

    Raises BackupError.
    """
    manifest = load_manifest(directory)
    _tables_of(directory, manifest)
    with Bars(console) as bars:
        verify(directory, manifest, bars.start("checksums", manifest.size))
    return manifest


def _tables_of(directory: Path, manifest: Manifest) -> BackupTables:
    """Return how the backup's rows are read. Raises BackupError for tables that only another version can read."""
    where = f"{directory / MANIFEST_NAME}, written by version {manifest.software}"
    return BackupTables(where, manifest.tables, TABLES)


# ---- restoring --------------------------------------------------------------------------------------------------


def restore(directory: Path, settings: Settings, console: Console, with_media: bool = True) -> dict[str, Any]:
    """Make the cluster of a backup in the data folder (and the Redis) of the settings; not started yet.

    with_media: put the objects that the backup has into the store of the settings, too.

    Its name is `cluster.namespace`, the number of its replicas `cluster.replicas`; its shards are the backup's. Returns
    what was done, for `--json`.
    Raises BackupError if the backup is damaged or the target not empty (nothing was changed), ConflictError if it is
    being served, StorageError or OSError if it can't be written: then the target is marked, and can be restored into.
    """
    begin = time.monotonic()
    manifest = open_backup(directory, console)
    with_media = with_media and has_media(directory)
    if with_media:
        _verify_media(directory, console)
    object_count = 0
    data_dir, count = settings.storage.data_dir, len(manifest.shards)
    require_unserved(data_dir)
    _require_empty(data_dir)
    settings = _with(settings, "cluster", shards=count)
    server = RedisServer(settings.storage.redis_url) if settings.storage.backend == "redis" else None
    try:
        if server is not None:
            _require_free_keys(server, settings, count)
        with _held(data_dir):
            _require_empty(data_dir)
            replace_file(data_dir / RESTORING_NAME, b"a restore goes on, or was interrupted: restore again\n")
            _clear(data_dir)
            if server is not None:
                _begin_in_redis(server, settings, count)
            with Bars(console) as bars:
                _write_shards(directory, manifest, settings, bars.start("restored", manifest.size))
            if with_media:
                store = open_store(settings.media.store_url, object_folder(settings.media.folder, data_dir))
                object_count = asyncio.run(restore_media(directory, store))
            first = ShardMap.even(settings.cluster.namespace, count, settings.cluster.replicas, LEVEL)
            shard_map = replace(first, epoch=manifest.map_epoch + 1, buckets=bytes(manifest.buckets))
            load_or_create_secret(data_dir, create=True)
            _info(settings, manifest).save(data_dir)
            save_state(data_dir, manifest.cluster_id, shard_map)
            (data_dir / RESTORING_NAME).unlink()
            sync_directory(data_dir)
            if server is not None:
                end_restore(server, settings.cluster.namespace, count)
    finally:
        if server is not None:
            server.close()
    return summary_of(directory, manifest, time.monotonic() - begin) | {"media_objects": object_count}


def _verify_media(directory: Path, console: Console) -> int:
    with console.status("comparing media with their checksums"):
        return verify_media(directory)


def _info(settings: Settings, manifest: Manifest) -> ClusterInfo:
    """Return what tells `check` of a cluster that was never served where its shards are."""
    url = settings.storage.redis_url if settings.storage.backend == "redis" else ""
    return ClusterInfo(
        pid=0, ray_address="", namespace=settings.cluster.namespace, url="", dashboard_url="",
        shards=len(manifest.shards), timeline_length=manifest.timeline_length, auth_mode=settings.auth.mode,
        storage_backend=settings.storage.backend, redis_url=url if mask_url(url) == url else "",
        media_store_url=settings.media.store_url, media_folder=settings.media.folder,
    )  # fmt: skip


def _with(settings: Settings, section: str, **values: Any) -> Settings:
    return settings.model_copy(update={section: getattr(settings, section).model_copy(update=values)})


@contextmanager
def _held(data_dir: Path) -> Iterator[None]:
    """Hold the data folder, made if it isn't there. A restore that ends without its mark leaves nothing of that."""
    missing = [path for path in (data_dir, *data_dir.parents) if not path.exists()]
    is_new = not (data_dir / LOCK_FILE).exists()
    try:
        with serving_lock(data_dir):
            try:
                yield
            except BaseException:
                if is_new and not (data_dir / RESTORING_NAME).exists():
                    (data_dir / LOCK_FILE).unlink()  # while it is held: nobody else can hold a file that is gone
                raise
    except BaseException:
        for path in missing:
            with suppress(OSError):  # it holds something, or was never made
                path.rmdir()
        raise


def _require_empty(data_dir: Path) -> None:
    if not data_dir.exists() or (data_dir / RESTORING_NAME).exists():
        return  # what a restore has marked was empty when that began
    for path in sorted(data_dir.iterdir()):
        if path.name not in IGNORED:
            raise BackupError(f"{path} is in the way: restore into an empty folder")


def _clear(data_dir: Path) -> None:
    """Remove what an interrupted restore left."""
    for path in data_dir.iterdir():
        if path.name not in IGNORED:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _require_free_keys(server: RedisServer, settings: Settings, count: int) -> None:
    """Raise BackupError if another cluster's keys are where this one's would be. Nothing is written."""
    wait_until_open(server.check)
    if key := wait_until_open(lambda: key_in_the_way(server, settings.cluster.namespace, count)):
        raise _in_the_way(server, key)


def _in_the_way(server: RedisServer, key: str) -> BackupError:
    return BackupError(
        f"{server.name}: the key {key} is in the way: restore into an empty database, or under another"
        " cluster.namespace"
    )


def _begin_in_redis(server: RedisServer, settings: Settings, count: int) -> None:
    if key := wait_until_open(lambda: begin_restore(server, settings.cluster.namespace, count)):
        (settings.storage.data_dir / RESTORING_NAME).unlink()
        raise _in_the_way(server, key)


def _write_shards(directory: Path, manifest: Manifest, settings: Settings, on_bytes: OnCount) -> None:
    tables = _tables_of(directory, manifest)
    for facts in manifest.shards:
        folder = shard_directory(settings.storage.data_dir, facts.shard)
        folder.mkdir()
        shared = settings.storage.backend == "redis"
        opened = open_redis(settings, facts.shard, restoring=True) if shared else open_files(folder, facts.shard)
        journal, store, _, release = opened
        try:
            write_shard(store, journal, directory, facts, tables, on_bytes)
        finally:
            try:
                journal.close()
            finally:
                store.close()
                release()
        sync_directory(folder)
    sync_directory(settings.storage.data_dir)


# ---- checking ---------------------------------------------------------------------------------------------------


def check_backup(directory: Path, settings: Settings, console: Console) -> Outcome:
    """Verify a backup, rebuild each shard's state in memory, one after the other, and check what they say.

    Returns the problems, and the digests as of the cut. Raises BackupError for a file that is damaged.
    """
    manifest = open_backup(directory, console)
    settings = _with(settings, "timeline", length=manifest.timeline_length)
    outcome, statuses, moments = Outcome(), [], []
    if has_media(directory):
        outcome.figures["media_objects"] = _verify_media(directory, console)
    with Bars(console) as bars:
        on_count = bars.start("shards", len(manifest.shards))
        for facts in manifest.shards:
            try:
                replica = _rebuilt(directory, manifest, facts.shard, settings)
            except (RookeryError, LookupError, TypeError, ValueError, AssertionError) as error:
                raise BackupError(
                    f"{directory / facts.rows.name}, {facts.journal.name}: no state can be built of it: {error}"
                ) from error
            outcome.digests[facts.shard] = digest(replica.state)
            outcome.add(check(replica.state))
            statuses.append({"shard": facts.shard, **replica.lookups.facts()})
            moments.append(numbers_of(replica.state))
            on_count(1)
    note_totals(statuses, outcome)
    outcome.add(misfits(moments))
    return outcome


def _rebuilt(directory: Path, manifest: Manifest, shard: int, settings: Settings) -> Replica:
    facts = manifest.shards[shard]
    replica = Replica(shard, list(even_buckets(len(manifest.shards))), tuning_of(settings))
    replica.load(checkpoint_of(directory, facts, _tables_of(directory, manifest)))
    for position, record in records_of(directory, facts):
        replica.replay(position, record)
    replica.state.deliveries.drain()
    return replica
