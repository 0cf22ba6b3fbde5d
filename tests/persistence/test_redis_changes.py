"""Cuts, restarts and new epochs of a journal in Redis: lost replies, old owners, kills, a server that went back."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest

from persistence import redis_frames
from persistence.errors import FencedError, JournalLostError, JournalUnavailableError
from persistence.redis_journal import RedisJournal
from persistence.redis_server import RedisServer
from tests.persistence.redis_processes import CuttingProxy, RedisProcess
from tests.persistence.test_redis_backend import put, records_of


def changes(journal):
    """Each change of a journal that holds a to e in one frame: what to call, what is left of the records."""
    return {
        "cut": (lambda: journal.cut_after(3), [b"a", b"b", b"c"]),
        "restart": (lambda: journal.restart(7), []),
        "epoch": (lambda: journal.begin_epoch(5), [b"a", b"b", b"c", b"d", b"e"]),
    }


@pytest.mark.parametrize("change", ["cut", "restart", "epoch"])
def test_a_change_whose_reply_was_lost_is_made_once_when_asked_again(own, change):
    proxy = CuttingProxy(own.path)
    warm = RedisJournal(RedisServer(own.url), "warm", 0, 1)  # the server knows the scripts from here on
    put(warm, b"a", b"b", b"c", b"d", b"e")
    changes(warm)[change][0]()
    journal = RedisJournal(RedisServer(proxy.url), "n", 0, 1)
    put(journal, b"a", b"b", b"c", b"d", b"e")
    call, left = changes(journal)[change]
    proxy.word, proxy.cut_replies = b"EVALSHA", 1
    with pytest.raises(JournalUnavailableError):
        call()
    call()
    assert proxy.cut_count == 1
    assert records_of(journal) == left
    position = put(journal, b"f")
    again = RedisJournal(RedisServer(own.url), "n", 0, journal.epoch)
    assert (records_of(again), again.durable_position) == ([*left, b"f"], position)
    with pytest.raises(FencedError):
        RedisJournal(RedisServer(own.url), "n", 0, journal.epoch - 1)
    proxy.close()


@pytest.mark.parametrize("change", ["cut", "restart", "epoch"])
def test_an_old_owner_changes_nothing(shared, change):
    old = RedisJournal(*shared, 0, 1)
    put(old, b"a", b"b", b"c", b"d", b"e")
    new = RedisJournal(*shared, 0, 1)
    with pytest.raises(FencedError):
        changes(old)[change][0]()
    with pytest.raises(FencedError):
        old.flush()
    assert (records_of(new), new.epoch) == ([b"a", b"b", b"c", b"d", b"e"], 1)
    assert put(new, b"f") == 6


@pytest.mark.parametrize("change", ["cut", "restart", "epoch"])
def test_a_change_survives_a_kill_of_the_server(own, change):
    journal = RedisJournal(RedisServer(own.url), "n", 0, 1)
    put(journal, b"a", b"b", b"c", b"d", b"e")
    call, left = changes(journal)[change]
    call()
    own.kill()
    own.start()
    put(journal, b"f")
    own.client.bgrewriteaof()
    deadline = time.monotonic() + 60
    while own.client.info("persistence")["aof_rewrite_in_progress"] and time.monotonic() < deadline:
        time.sleep(0.01)
    own.kill()
    own.start()
    again = RedisJournal(RedisServer(own.url), "n", 0, journal.epoch)
    assert (again.first_position, records_of(again)) == (journal.first_position, [*left, b"f"])
    assert put(again, b"g") == journal.durable_position + 1


def test_a_server_that_went_back_behind_a_cut_takes_no_record_on_top_of_the_tail_that_was_cut():
    process = RedisProcess("--appendonly", "yes", "--appendfsync", "always")
    try:
        journal = RedisJournal(RedisServer(process.url), "n", 0, 1)
        put(journal, b"a", b"b")
        put(journal, b"deposed")
        size = sum(p.stat().st_size for p in (process.folder / "appendonlydir").glob("*.incr.aof"))
        journal.cut_after(2)
        assert put(journal, b"agreed") == 3
        process.kill()
        [log] = (process.folder / "appendonlydir").glob("*.incr.aof")
        os.truncate(log, size)  # the cut and what came after it had not been synced
        process.start()
        with pytest.raises(JournalLostError):
            put(journal, b"next")
        assert records_of(RedisJournal(RedisServer(process.url), "n", 0, 1)) == [b"a", b"b", b"deposed"]
    finally:
        process.close()


def test_an_epoch_that_the_server_lost_is_back_before_a_record_of_it(own):
    journal = RedisJournal(RedisServer(own.url), "n", 0, 1)
    journal.begin_epoch(5)
    own.client.hset("{rookery:n:0}:owner", "epoch", "1")
    put(journal, b"a")
    with pytest.raises(FencedError, match="epoch 5"):
        RedisJournal(RedisServer(own.url), "n", 0, 4)


def test_a_server_that_takes_no_lower_id_gets_the_stream_written_anew(own):
    own.client.acl_setuser(
        "default", enabled=True, nopass=True, categories=["+@all"], commands=["-xsetid"], keys=["*"], channels=["*"]
    )
    journal = RedisJournal(RedisServer(own.url), "n", 0, 1)
    for records in ((b"a", b"b"), (b"c",), (b"d", b"e")):
        put(journal, *records)
    for position, left in ((4, [b"a", b"b", b"c", b"d"]), (2, [b"a", b"b"]), (1, [b"a"]), (0, [])):
        journal.cut_after(position)
        assert records_of(journal) == left
        put(journal, b"x")
        journal.cut_after(position)
    assert put(journal, b"f") == 1


@pytest.mark.parametrize("frame_bytes", [1 << 20, 10])
def test_a_cut_leaves_entries_that_go_on_from_each_other(shared, monkeypatch, frame_bytes):
    monkeypatch.setattr(redis_frames, "FRAME_BYTES_MAX", frame_bytes)
    server, namespace = shared
    journal = RedisJournal(server, namespace, 0, 1)
    expected = []
    random = np.random.default_rng(frame_bytes)
    for _ in range(60):
        records = [b"%d" % n for n in random.integers(0, 1000, random.integers(1, 9))]
        put(journal, *records)
        expected += records
        position = max(len(expected) - int(random.integers(0, 12)), 0)
        journal.cut_after(position)
        del expected[position:]
        assert records_of(journal) == expected
    entries = [entry.decode().split("-") for entry, _ in server.client.xrange(f"{{rookery:{namespace}:0}}:journal")]
    assert sum(int(count) for _, count in entries) == len(expected)
    assert records_of(RedisJournal(server, namespace, 0, 1)) == expected
