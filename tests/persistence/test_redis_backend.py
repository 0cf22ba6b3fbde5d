"""What is Redis's own: fencing on the server, lost replies, crashes, refusals that pass, damage, start-up checks."""

from __future__ import annotations

import os
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from actors.core.checkpoints.tables import Table, TableChange
from persistence import redis_checkpoint_owner, redis_chunk_logs, redis_chunks, redis_frames, redis_manifest
from persistence.errors import (
    CheckpointDamagedError,
    CheckpointFailedError,
    CheckpointMismatchError,
    FencedError,
    JournalCorruptError,
    JournalLostError,
    JournalUnavailableError,
    PositionGapError,
    ServerUnfitError,
)
from persistence.group_commit import GroupCommit
from persistence.recovery import recover
from persistence.redis_checkpoint import RedisCheckpointStore
from persistence.redis_journal import RedisJournal
from persistence.redis_server import RedisServer, shard_key, wait_until_open
from persistence.table_versions import tables_to_json
from tests.persistence.redis_processes import CuttingProxy, RedisProcess

ROWS = Table("rows", (("id", "BIGINT"), ("text", "VARCHAR")), ("id",))


def put(journal, *records):
    for record in records:
        journal.append(record)
    return journal.flush()


def rows(*ids, text="x", deletes=()):
    upserts = {"id": np.array(ids, np.int64), "text": [text] * len(ids)} if ids else {}
    return TableChange(ROWS, upserts, {"id": np.array(deletes, np.int64)} if deletes else {})


def ids_in(store):
    return sorted(store.load().tables["rows"]["id"].tolist())


def records_of(journal):
    return [record for _, record in journal.replay(journal.first_position - 1)]


# ---- fencing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("epoch", [1, 2])
def test_whoever_opens_last_is_the_owner_and_the_one_before_is_told_at_its_next_call(shared, epoch):
    old = RedisJournal(*shared, 0, 1)
    put(old, b"a")
    old.append(b"never acknowledged")
    new = RedisJournal(*shared, 0, epoch)
    with pytest.raises(FencedError, match=f"epoch {epoch}"):
        old.flush()
    with pytest.raises(FencedError):
        old.trim(1)
    with pytest.raises(FencedError):
        old.append(b"b")
    assert put(new, b"c") == 2
    assert records_of(new) == [b"a", b"c"]


def test_an_old_owner_can_not_write_a_checkpoint(shared):
    old = RedisCheckpointStore(*shared, 0, [ROWS])
    old.write(1, 1, [rows(1)])
    new = RedisCheckpointStore(*shared, 0, [ROWS])
    with pytest.raises(FencedError):
        old.write(2, 1, [rows(2)])
    new.write(2, 1, [rows(3)])
    assert ids_in(new) == [1, 3]


def test_shards_and_clusters_on_one_server_do_not_meet(shared):
    server, namespace = shared
    journals = [RedisJournal(server, n, s, 1) for n in (namespace, namespace + "x") for s in (0, 1)]
    for number, journal in enumerate(journals):
        put(journal, b"%d" % number)
    assert [records_of(journal) for journal in journals] == [[b"0"], [b"1"], [b"2"], [b"3"]]


# ---- lost replies -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frame_bytes", [1 << 20, 10])
def test_a_frame_whose_reply_was_lost_is_sent_again_and_lands_once(own, monkeypatch, frame_bytes):
    monkeypatch.setattr(redis_frames, "FRAME_BYTES_MAX", frame_bytes)  # 10: several frames in one pipeline
    proxy = CuttingProxy(own.path)
    journal = RedisJournal(RedisServer(proxy.url), "n", 0, 1)
    put(journal, b"first")
    proxy.word, proxy.cut_replies = b"EVALSHA", 2
    for record in (b"second", b"third", b"fourth"):
        journal.append(record)
    for _ in range(2):
        with pytest.raises(JournalUnavailableError):
            journal.flush()
        assert journal.durable_position == 1
    journal.append(b"fifth")
    assert journal.flush() == 5
    assert proxy.cut_count == 2
    assert records_of(journal) == [b"first", b"second", b"third", b"fourth", b"fifth"]
    assert (journal.buffered_count, journal.buffered_bytes) == (0, 0)
    proxy.close()


def test_a_checkpoint_whose_reply_was_lost_can_be_written_again(own):
    proxy = CuttingProxy(own.path)
    store = RedisCheckpointStore(RedisServer(proxy.url), "n", 0, [ROWS])
    store.write(1, 1, [rows(1, 2)])
    for word in (b"EVALSHA", b"position"):  # the reply to the first chunk, the reply to the commit
        proxy.word, proxy.cut_replies = word, 1
        with pytest.raises(CheckpointFailedError):
            store.write(2, 1, [rows(3, deletes=(1,))])
        store.write(2, 1, [rows(3, deletes=(1,))])
        assert ids_in(store) == [2, 3]
    assert proxy.cut_count == 2
    proxy.close()


# ---- crashes ------------------------------------------------------------------------------------------------------


def test_nothing_acknowledged_is_lost_when_the_server_is_killed_under_writes(own):
    journal = RedisJournal(RedisServer(own.url), "n", 0, 1, keep_acknowledged=False)
    reported, states, failures = [0], [], []
    commit = GroupCommit(journal, reported.append, failures.append, on_unavailable=states.append)
    stop = threading.Event()

    def write():
        while not stop.is_set():
            if journal.buffered_count < 100:
                journal.append(b"record %d" % journal.next_position)
                commit.notify()
            time.sleep(0.0005)

    writer = threading.Thread(target=write)
    writer.start()
    acknowledged = 0
    for _ in range(3):
        deadline = time.monotonic() + 60
        while reported[-1] <= acknowledged and time.monotonic() < deadline:
            time.sleep(0.01)
        own.kill()
        acknowledged = reported[-1]
        time.sleep(0.1)
        own.start()
        assert own.client.xlen("{rookery:n:0}:journal") > 0
    deadline = time.monotonic() + 60
    while reported[-1] <= acknowledged and time.monotonic() < deadline:
        time.sleep(0.01)
    stop.set()
    writer.join()
    commit.close()
    assert failures == []
    assert states[-1] is None
    assert {"the server can't be reached"} >= {s.reason for s in states if s} - {"the server is loading its files"}
    again = RedisJournal(RedisServer(own.url), "n", 0, 1)
    assert again.durable_position == journal.durable_position == reported[-1] > acknowledged
    assert records_of(again) == [b"record %d" % n for n in range(1, again.durable_position + 1)]


def test_what_the_server_lost_of_the_last_seconds_is_sent_again():
    process = RedisProcess("--appendonly", "yes", "--appendfsync", "always")
    try:
        journal = RedisJournal(RedisServer(process.url), "n", 0, 1)
        put(journal, b"a", b"b")
        size = sum(p.stat().st_size for p in (process.folder / "appendonlydir").glob("*.incr.aof"))
        put(journal, b"c")
        put(journal, b"d", b"e")
        process.kill()
        [log] = (process.folder / "appendonlydir").glob("*.incr.aof")
        os.truncate(log, size)  # as if it had not been synced
        process.start()
        assert put(journal, b"f") == 6
        assert records_of(RedisJournal(RedisServer(process.url), "n", 0, 1)) == [b"a", b"b", b"c", b"d", b"e", b"f"]
    finally:
        process.close()


def test_a_server_that_came_back_empty_is_not_taken_for_a_new_one(own):
    server = RedisServer(own.url)
    journal = RedisJournal(server, "n", 0, 1)
    store = RedisCheckpointStore(server, "n", 0, [ROWS])
    put(journal, b"a")
    store.write(1, 1, [])
    own.client.flushall()
    journal.append(b"b")
    with pytest.raises(JournalLostError, match="lost acknowledged writes"):
        journal.flush()
    with pytest.raises(JournalLostError):
        store.write(2, 1, [])
    with pytest.raises(JournalLostError, match="lost its files"):
        RedisJournal(server, "n", 0, 1, store_id=journal.store_id)
    RedisJournal(server, "n", 0, 1)  # nobody knows of an earlier one here


def test_a_checkpoint_ahead_of_its_journal_is_refused_by_recovery(shared):
    journal, store = RedisJournal(*shared, 0, 1), RedisCheckpointStore(*shared, 0, [ROWS])
    put(journal, b"a")
    store.write(2, 1, [])
    with pytest.raises(PositionGapError, match="lost acknowledged writes"):
        recover(store, journal, lambda checkpoint: None, lambda position, record: None, time.monotonic)


def test_a_checkpoint_that_went_back_takes_no_more_changes(shared):
    server, namespace = shared
    store = RedisCheckpointStore(server, namespace, 0, [ROWS])
    store.write(1, 1, [rows(1)])
    key = f"{{rookery:{namespace}:0}}:checkpoint"
    before = server.client.hgetall(key)
    store.write(2, 1, [rows(2)])
    server.client.hset(key, mapping=before)
    with pytest.raises(JournalLostError, match="version 1 of the checkpoint, 2 was acknowledged"):
        store.write(3, 1, [rows(3)])
    assert ids_in(RedisCheckpointStore(server, namespace, 0, [ROWS])) == [1]


def test_a_checkpoint_lost_before_it_settled_is_written_again(shared, monkeypatch):
    server, namespace = shared
    store = RedisCheckpointStore(server, namespace, 0, [ROWS], settle_s=0.01)
    store.write(1, 1, [rows(1)])
    key = f"{{rookery:{namespace}:0}}:checkpoint"
    before = server.client.hgetall(key)
    with monkeypatch.context() as patched:
        crash = SimpleNamespace(sleep=lambda settle_s: server.client.hset(key, mapping=before))
        patched.setattr(redis_manifest, "time", crash)
        with pytest.raises(CheckpointFailedError, match="in a crash"):
            store.write(2, 1, [rows(2)])
    store.write(2, 1, [rows(2)])
    assert ids_in(store) == [1, 2]


# ---- refusals that pass -------------------------------------------------------------------------------------------


def fill(own):
    own.client.config_set("maxmemory", 1)
    return lambda: own.client.config_set("maxmemory", 0)


def demote(own):
    own.client.replicaof("127.0.0.1", 1)
    return lambda: own.client.replicaof("NO", "ONE")


def demand_replicas(own):
    own.client.config_set("min-replicas-to-write", 1)
    return lambda: own.client.config_set("min-replicas-to-write", 0)


def fail_the_disk(own):
    """A snapshot that can't be written stops writes, as a full disk does."""
    own.client.config_set("stop-writes-on-bgsave-error", "yes")
    own.client.config_set("save", "3600 1")
    own.client.set("other", "changed")
    folder = own.folder / "gone"
    folder.mkdir()
    own.client.config_set("dir", str(folder))
    folder.rmdir()
    own.client.bgsave()
    deadline = time.monotonic() + 60
    while own.client.info("persistence")["rdb_last_bgsave_status"] != "err" and time.monotonic() < deadline:
        time.sleep(0.01)

    def mend():
        own.client.config_set("dir", str(own.folder))
        own.client.config_set("stop-writes-on-bgsave-error", "no")

    return mend


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (fill, "out of memory"),
        (demote, "is a replica"),
        (demand_replicas, "fewer replicas"),
        (fail_the_disk, "full disk"),
    ],
)
def test_writes_wait_while_the_server_refuses_them_and_go_on_by_themselves(own, break_it, reason):
    server = RedisServer(own.url)
    journal = RedisJournal(server, "n", 0, 1)
    store = RedisCheckpointStore(server, "n", 0, [ROWS])
    durable, states, failures = threading.Event(), [], []
    put(journal, b"a")
    mend = break_it(own)
    commit = GroupCommit(journal, lambda _: durable.set(), failures.append, on_unavailable=states.append)
    journal.append(b"b")
    commit.notify()
    deadline = time.monotonic() + 60
    while not states and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not durable.wait(0.1)
    assert {reason in state.reason for state in states} == {True}
    with pytest.raises(CheckpointFailedError, match=reason):
        store.write(1, 1, [rows(1)])
    assert records_of(journal) == [b"a"]  # reading goes on
    mend()
    assert durable.wait(60)
    store.write(1, 1, [rows(1)])
    commit.close()
    assert (failures, states[-1]) == ([], None)
    assert records_of(journal) == [b"a", b"b"]
    assert ids_in(store) == [1]


def test_writes_wait_while_the_server_is_loading_its_files(own):
    journal = RedisJournal(RedisServer(own.url), "n", 0, 1)
    durable, reasons, failures = threading.Event(), [], []
    put(journal, b"a")
    with own.client.pipeline() as pipeline:
        for number in range(4_000):
            pipeline.set(number, number)
        pipeline.execute()
    own.kill()
    own.options = (*own.options, "--key-load-delay", "200")  # us; clients are answered once in 1,024 commands
    own.start(wait=False)
    commit = GroupCommit(
        journal,
        lambda _: durable.set(),
        failures.append,
        on_unavailable=lambda e: reasons.append(e.reason if e else ""),
    )
    journal.append(b"b")
    commit.notify()
    assert durable.wait(60)
    commit.close()
    assert "the server is loading its files" in reasons
    assert (failures, reasons[-1]) == ([], "")
    assert records_of(journal) == [b"a", b"b"]


def test_opening_waits_for_a_server_and_says_why_it_gave_up(own):
    own.kill()
    server = RedisServer(own.url)
    with pytest.raises(JournalUnavailableError, match="can't be reached"):
        wait_until_open(server.check, patience_s=0.1)
    starter = threading.Timer(0.3, own.start)
    starter.start()
    assert wait_until_open(server.check).sync == "always"
    starter.join()


def test_closing_without_a_server_gives_up_and_reports_it(own, monkeypatch):
    monkeypatch.setattr("persistence.group_commit.CLOSE_PATIENCE_S", 0.1)
    failures, reported = [], []
    journal = RedisJournal(RedisServer(own.url), "n", 0, 1)
    commit = GroupCommit(journal, reported.append, failures.append)
    own.kill()
    journal.append(b"a")
    commit.close()
    assert (reported, [type(error) for error in failures]) == ([], [JournalUnavailableError])


# ---- damage -------------------------------------------------------------------------------------------------------


def test_a_damaged_entry_is_named_with_its_key_and_id(shared):
    server, namespace = shared
    journal, key = RedisJournal(server, namespace, 0, 1), f"{{rookery:{namespace}:0}}:journal"
    for record in (b"a", b"b", b"c"):
        put(journal, record)
    entries = server.client.xrange(key)
    frame = bytearray(entries[1][1][b"f"])
    frame[-1] ^= 1
    server.client.delete(key)
    for (entry, _), data in zip(entries, (entries[0][1][b"f"], bytes(frame), entries[2][1][b"f"]), strict=True):
        server.client.xadd(key, {"f": data}, id=entry)
    replay = RedisJournal(server, namespace, 0, 1).replay(0)
    assert next(replay) == (1, b"a")
    with pytest.raises(JournalCorruptError, match="entry 2-1: frame payload checksum") as caught:
        next(replay)
    assert (caught.value.path, caught.value.offset) == (key, 2)


def test_missing_entries_and_keys_are_found(shared):
    server, namespace = shared
    journal, key = RedisJournal(server, namespace, 0, 1), f"{{rookery:{namespace}:0}}:journal"
    for record in (b"a", b"b", b"c"):
        put(journal, record)
    server.client.xdel(key, "2-1")
    with pytest.raises(JournalCorruptError, match="positions 2 to 2 before it are missing"):
        list(RedisJournal(server, namespace, 0, 1).replay(0))
    server.client.xdel(key, "3-1")
    with pytest.raises(JournalCorruptError, match="should end at 3"):
        RedisJournal(server, namespace, 0, 1)
    server.client.delete(key)
    with pytest.raises(JournalCorruptError, match="is missing"):
        RedisJournal(server, namespace, 0, 1)
    server.client.xadd(key, {"f": b""})
    server.client.delete(f"{{rookery:{namespace}:0}}:owner")
    with pytest.raises(JournalCorruptError, match="owner is missing"):
        RedisJournal(server, namespace, 0, 1)


@pytest.mark.parametrize("damage", [lambda chunk: chunk[:-1], lambda chunk: b"", lambda chunk: None])
def test_a_damaged_chunk_is_named(shared, damage):
    server, namespace = shared
    store = RedisCheckpointStore(server, namespace, 0, [ROWS])
    store.write(1, 1, [rows(1)])
    key = f"{{rookery:{namespace}:0}}:checkpoint:rows:1"
    changed = damage(server.client.get(key))
    server.client.delete(key) if changed is None else server.client.set(key, changed)
    with pytest.raises(CheckpointDamagedError, match="rows:1"):
        store.load()


def test_a_journal_or_checkpoint_of_another_layout_is_refused(shared):
    RedisJournal(*shared, 0, 1, layout="2 shards")
    with pytest.raises(ServerUnfitError, match="2 shards, this shard needs format 1 and 4 shards"):
        RedisJournal(*shared, 0, 1, layout="4 shards")
    RedisCheckpointStore(*shared, 0, [ROWS])
    with pytest.raises(CheckpointMismatchError):
        RedisCheckpointStore(*shared, 0, [ROWS], schema_version=2)


def manifest_key(server, namespace):
    return shard_key(namespace, 0, "checkpoint")


@pytest.mark.parametrize(
    ("fields", "error", "reason"),
    [
        ({"format": "3"}, CheckpointMismatchError, "format '3', this version reads up to 2; a newer Rookery"),
        ({"tables": "["}, CheckpointDamagedError, "what it says of its tables"),
        ({"format": "1", "identity": "schema 1\nrows"}, CheckpointDamagedError, "what it says of its tables"),
    ],
    ids=["a later format", "tables that make no sense", "tables of format 1 that make none"],
)
def test_what_a_checkpoint_says_of_itself_is_refused_and_its_owner_goes_on(shared, fields, error, reason):
    server = shared[0]
    owner = RedisCheckpointStore(*shared, 0, [ROWS])
    owner.write(1, 0, [rows(1)])
    server.client.hset(manifest_key(*shared), mapping=fields)
    with pytest.raises(error, match=reason) as caught:
        RedisCheckpointStore(*shared, 0, [ROWS])
    assert manifest_key(*shared) in caught.value.message
    owner.write(2, 0, [rows(2)])


def test_what_changes_between_the_look_and_the_opening_is_looked_at_again(shared, monkeypatch):
    server, key = shared[0], manifest_key(*shared)
    RedisCheckpointStore(*shared, 0, [ROWS]).write(1, 0, [rows(1)])
    plan_stored, looks = redis_checkpoint_owner.plan_stored, []

    def then_somebody_else_comes(found, *args):
        looks.append(found)
        if len(looks) <= comes:
            server.client.hset(key, "tables", found.tables + " ")
        return plan_stored(found, *args)

    monkeypatch.setattr(redis_checkpoint_owner, "plan_stored", then_somebody_else_comes)
    comes = redis_checkpoint_owner.OPEN_TRIES
    with pytest.raises(CheckpointFailedError, match="again and again"):
        RedisCheckpointStore(*shared, 0, [ROWS])
    assert len(looks) == comes
    looks.clear()
    comes = 2
    store = RedisCheckpointStore(*shared, 0, [ROWS])
    assert len(looks) == comes + 1
    assert ids_in(store) == [1]
    assert server.client.hget(key, "tables").decode() == tables_to_json([ROWS])


# ---- folding ------------------------------------------------------------------------------------------------------


def test_changes_are_folded_into_the_base_and_nothing_else_is_left(shared, monkeypatch):
    monkeypatch.setattr(redis_manifest, "FOLD_CHUNK_COUNT", 5)
    monkeypatch.setattr(redis_chunk_logs, "DROP_CHUNK_COUNT", 5)
    monkeypatch.setattr(redis_chunks, "CHUNK_BYTES_MAX", 200)
    server, namespace = shared
    store, expected = RedisCheckpointStore(server, namespace, 0, [ROWS]), set()
    random = np.random.default_rng(1)
    for position in range(1, 60):
        put_ids, gone = (set(random.choice(100, 12, replace=False).tolist()) for _ in range(2))
        store.write(position, 1, [rows(*put_ids), rows(deletes=tuple(gone - put_ids))])
        expected = (expected | put_ids) - (gone - put_ids)
        assert ids_in(store) == sorted(expected)
    named = server.client.keys(f"{{rookery:{namespace}:0}}:checkpoint:rows:*")
    assert len(named) < 30
    assert ids_in(RedisCheckpointStore(server, namespace, 0, [ROWS])) == sorted(expected)


def test_what_a_crash_left_unnamed_is_removed_on_opening(shared):
    server, namespace = shared
    store = RedisCheckpointStore(server, namespace, 0, [ROWS])
    store.write(1, 1, [rows(1)])
    prefix = f"{{rookery:{namespace}:0}}:checkpoint:rows:"
    for number in (2, 3):
        server.client.set(f"{prefix}{number}", b"uploaded, never committed")
    store = RedisCheckpointStore(server, namespace, 0, [ROWS])
    assert server.client.keys(f"{prefix}*") == [f"{prefix}1".encode()]
    assert ids_in(store) == [1]


def stopping_half_way(pieces):
    yield from pieces
    raise ConnectionError


def test_a_replacement_that_broke_off_leaves_no_chunk(shared):
    server, namespace = shared
    store = RedisCheckpointStore(server, namespace, 0, [ROWS])
    store.write(1, 1, [rows(1)])
    prefix = f"{{rookery:{namespace}:0}}:checkpoint:rows:"
    with pytest.raises(ConnectionError):
        store.replace(2, 1, stopping_half_way([rows(2), rows(3)]))
    assert server.client.keys(f"{prefix}*") == [f"{prefix}1".encode()]
    store.replace(2, 1, iter([rows(2), rows(3)]))
    assert sorted(server.client.keys(f"{prefix}*")) == [f"{prefix}{n}".encode() for n in (2, 3)]
    assert ids_in(store) == ids_in(RedisCheckpointStore(server, namespace, 0, [ROWS])) == [2, 3]


def test_a_replacement_whose_reply_was_lost_can_be_made_again(own):
    proxy = CuttingProxy(own.path)
    store = RedisCheckpointStore(RedisServer(proxy.url), "n", 0, [ROWS])
    store.write(5, 1, [rows(1)])
    for word in (b"EVALSHA", b"position"):  # the reply to the first chunk, the reply to the commit
        proxy.word, proxy.cut_replies = word, 1
        with pytest.raises(CheckpointFailedError):
            store.replace(2, 1, iter([rows(2), rows(3)]))
        store.replace(2, 1, iter([rows(2), rows(3)]))
        assert ids_in(store) == [2, 3]
    assert proxy.cut_count == 2
    assert ids_in(RedisCheckpointStore(RedisServer(own.url), "n", 0, [ROWS])) == [2, 3]
    proxy.close()


def test_nothing_is_folded_while_a_snapshot_is_read(shared, monkeypatch):
    monkeypatch.setattr(redis_manifest, "FOLD_CHUNK_COUNT", 3)
    server, namespace = shared
    store = RedisCheckpointStore(server, namespace, 0, [ROWS])
    store.write(1, 1, [rows(*range(10))])
    reader = store.read_pieces(1)
    for position in range(2, 20):
        store.write(position, 1, [rows(position, text="newer")])
    assert sorted(n for piece in reader for n in piece.upserts["id"].tolist()) == list(range(10))
    held = len(server.client.keys(f"{{rookery:{namespace}:0}}:checkpoint:rows:*"))
    store.write(20, 1, [rows(20)])
    assert len(server.client.keys(f"{{rookery:{namespace}:0}}:checkpoint:rows:*")) < 5 < held
    assert ids_in(store) == list(range(21))


# ---- start-up checks ----------------------------------------------------------------------------------------------


def test_start_up_reads_what_the_server_promises(own):
    server = RedisServer(own.url)
    assert server.check().survives_power_loss
    promises = {}
    for sync in ("always", "everysec", "no"):
        own.client.config_set("appendfsync", sync)
        promises[sync] = server.check().promise
    assert "last second" in promises["everysec"]
    assert "half a minute" in promises["no"]
    own.client.config_set("appendonly", "no")
    assert "no append-only file" in server.check().promise
    assert not server.check().survives_power_loss
    own.client.acl_setuser("default", enabled=True, nopass=True, categories=["+@all"], commands=["-config"])
    assert server.check().sync == ""


def test_a_server_that_would_evict_the_journal_is_refused(own):
    own.client.config_set("maxmemory-policy", "allkeys-lru")
    with pytest.raises(ServerUnfitError, match="set maxmemory-policy noeviction"):
        RedisServer(own.url).check()
    own.client.config_set("maxmemory-policy", "volatile-lru")  # takes keys with an expiry; ours have none
    RedisServer(own.url).check()


def test_a_password_is_in_no_message(own):
    own.client.config_set("requirepass", "hunter2")
    server = RedisServer(f"unix://user:wrong-secret@{own.path}?db=0")
    with pytest.raises(JournalUnavailableError) as caught:
        server.check()
    assert "wrong-secret" not in str(caught.value)
    assert "wrong-secret" not in server.name
    with pytest.raises(ServerUnfitError) as caught:
        RedisServer("redis://:hunter2@host:notaport/0")
    assert "hunter2" not in str(caught.value)
