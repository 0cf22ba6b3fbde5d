"""Commits and Exchange: nobody is told anything that the disk doesn't hold, and what is applied is journaled."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from actors.core.entries import pack
from actors.core.errors import ConflictError, MalformedError, OverloadedError, RookeryError
from actors.core.terms import Prepared
from actors.core.verify import digest
from actors.metrics import ShardMetrics
from actors.shard.commits import Commits
from actors.shard.exchange import Exchange
from actors.shard.storage import Storage
from configs.settings import load_settings
from persistence.errors import JournalUnavailableError


class GatedDisk:
    """Holds a journal's flushes back until told otherwise."""

    def __init__(self, commits: Commits) -> None:
        self._gate = threading.Event()
        self._flush = commits.journal.flush
        commits.journal.flush = self._wait_and_flush

    def _wait_and_flush(self) -> int:
        assert self._gate.wait(60), "the test never opened the gate"
        return self._flush()

    def open(self) -> None:
        self._gate.set()

    def close(self) -> None:
        self._gate.clear()


@pytest.fixture
def settings(data_dir: Path):
    return load_settings("test", overrides={"storage": {"data_dir": data_dir}, "cluster": {"shards": 1}}, environ={})


@pytest.fixture
async def commits(settings):
    made = lone_leader(Storage(settings, 0), ShardMetrics(), 4)
    yield made
    await made.close()


def lone_leader(*args) -> Commits:
    """Commits whose own disk is all that a commit needs."""
    made = Commits(*args)
    made.committed_at = lambda durable: durable
    return made


def register(commits: Commits, *account_ids: int) -> None:
    for account_id in account_ids:
        commits.write("register", [f"user{account_id}", account_id, "", "", None, []], 1)


def post(commits: Commits, author: int, key: bytes | None = None) -> bytes:
    return commits.write("post", [author, "hello", 0, 0, 0, b"", [], [], key], 1_700_000_000_000)


async def test_nobody_is_answered_before_the_disk_has_it(commits) -> None:
    register(commits, 1)
    disk = GatedDisk(commits)
    answer = asyncio.get_running_loop().create_future()
    commits.when_committed(answer, post(commits, 1))
    await asyncio.sleep(0.05)
    assert not answer.done()
    disk.open()
    assert b'"status":"hello"' in await asyncio.wait_for(answer, 60)


async def test_a_request_that_changes_nothing_waits_for_what_was_applied_before_it(commits) -> None:
    register(commits, 1)
    disk = GatedDisk(commits)
    post(commits, 1, b"k" * 16)
    again = asyncio.get_running_loop().create_future()
    commits.when_committed(again, post(commits, 1, b"k" * 16))
    await asyncio.sleep(0.05)
    assert not again.done()
    disk.open()
    await asyncio.wait_for(again, 60)
    assert len(commits.state.tweets) == 1


async def test_a_refusal_found_while_applying_is_journaled_and_answered_as_a_refusal(commits, monkeypatch) -> None:
    def refuse(result) -> None:
        raise ConflictError("found while applying")

    prepared = Prepared(["flush_counts"], refuse)
    monkeypatch.setattr(commits.replica, "prepare", lambda op, args, now_ms: prepared)
    body = commits.write("like", [], 1)
    assert isinstance(body, ConflictError)
    assert commits.journal.next_position == commits.state.position + 1

    refused = asyncio.get_running_loop().create_future()
    commits.when_committed(SimpleNamespace(fail=refused.set_result), body)
    assert (await asyncio.wait_for(refused, 60)).status == 409


async def test_a_refused_request_changes_neither_state_nor_journal(commits) -> None:
    register(commits, 1)
    position, before = commits.state.position, digest(commits.state)
    with pytest.raises(RookeryError):
        post(commits, 99)
    assert (commits.state.position, commits.journal.next_position, digest(commits.state)) == (
        position,
        position + 1,
        before,
    )


async def test_a_repeated_batch_is_acknowledged_only_when_its_first_arrival_is_durable(settings, data_dir) -> None:
    two = load_settings("test", overrides={"storage": {"data_dir": data_dir}, "cluster": {"shards": 2}}, environ={})
    commits = lone_leader(Storage(two, 1), ShardMetrics(), 4)
    exchange = Exchange(commits, commits.metrics, "nowhere")
    disk = GatedDisk(commits)
    batch = pack(["deleted", 42])
    first = asyncio.create_task(exchange.deliver(0, 1, 1, 1, batch))
    again = asyncio.create_task(exchange.deliver(0, 1, 1, 1, batch))
    await asyncio.sleep(0.05)
    assert not first.done()
    assert not again.done()
    disk.open()
    assert await asyncio.wait_for(asyncio.gather(first, again), 60) == [1, 1]
    assert commits.metrics.messages_repeated == 1
    gap = await exchange.deliver(0, 1, 5, 1, batch)
    assert gap == 1
    await commits.close()


async def test_messages_that_do_not_fit_are_refused_before_they_are_in_the_journal(data_dir) -> None:
    two = load_settings("test", overrides={"storage": {"data_dir": data_dir}, "cluster": {"shards": 2}}, environ={})
    commits = lone_leader(Storage(two, 1), ShardMetrics(), 4)
    exchange = Exchange(commits, commits.metrics, "nowhere")
    before = digest(commits.state), commits.state.position
    for batch in (pack(["liked", 1, 2, "x"]), pack(["deleted", 42]) + pack(["liked", 0]), b"\xc1"):
        with pytest.raises(MalformedError):
            await exchange.deliver(0, 1, 1, 1, batch)
    assert (digest(commits.state), commits.state.position) == before
    assert await exchange.deliver(0, 1, 1, 1, pack(["deleted", 42])) == 1  # the sender's next attempt, mended
    await commits.close()


async def test_a_clean_close_leaves_nothing_to_replay_and_the_same_state(settings) -> None:
    commits = lone_leader(Storage(settings, 0), ShardMetrics(), 4)
    register(commits, *range(1, 30))
    for author in range(1, 30):
        post(commits, author)
        commits.write("follow", [author, author % 29 + 1], 1)
    before = digest(commits.state)
    await commits.close()
    again = Storage(settings, 0)
    assert again.report.records_replayed == 0
    assert digest(again.replica.state) == before
    again.close()


async def test_a_small_tail_is_folded_once_it_has_waited_long_enough(settings) -> None:
    commits = lone_leader(Storage(settings, 0), ShardMetrics(), 4)
    register(commits, 1)
    for _ in range(20):
        post(commits, 1)
    answer = asyncio.get_running_loop().create_future()
    commits.when_committed(answer, None)
    await answer
    for interval_s, folded in ((3600.0, False), (0.0, True)):
        commits.tend(records_max=1_000, bytes_max=1 << 30, interval_s=interval_s)
        await asyncio.to_thread(commits.checkpointer.wait_idle, 10)
        assert (commits.checkpointer.stats().written_position == commits.state.position) == folded
    await commits.close()


async def test_segments_are_folded_while_writes_go_on(settings) -> None:
    commits = lone_leader(Storage(settings, 0), ShardMetrics(), 4)
    register(commits, 1)
    for _ in range(5):
        for _ in range(100):
            post(commits, 1)
        answer = asyncio.get_running_loop().create_future()
        commits.when_committed(answer, None)
        await answer
        commits.tend(records_max=100, bytes_max=1 << 30)
        await asyncio.to_thread(commits.checkpointer.wait_idle, 10)
    assert commits.checkpointer.stats().written_position >= 400
    for _ in range(50):
        post(commits, 1)
    before = digest(commits.state)
    await asyncio.to_thread(commits.group_commit.close)
    commits.checkpointer.close()
    commits.storage.close()  # as a crash after the last flush: the rest is replayed
    again = Storage(settings, 0)
    assert 50 <= again.report.records_replayed <= 151
    assert digest(again.replica.state) == before
    again.close()


async def until(condition) -> None:
    while not condition():  # noqa: ASYNC110  it changes without an event
        await asyncio.sleep(0.001)


async def test_while_the_journal_is_unavailable_writes_are_refused_and_what_was_applied_waits(commits):
    flush, away = commits.journal.flush, threading.Event()

    def flush_if_there() -> int:
        if away.is_set():
            raise JournalUnavailableError("server 10.0.0.7: it is full", reason="it is full")
        return flush()

    commits.journal.flush = flush_if_there
    away.set()
    done = asyncio.get_running_loop().create_future()
    register(commits, 1)
    commits.when_committed(done, "done")
    async with asyncio.timeout(60):
        await until(lambda: commits.unavailable)
        position = commits.state.position
        with pytest.raises(OverloadedError, match="storage takes no writes: it is full") as caught:
            register(commits, 2)
        assert "10.0.0.7" not in str(caught.value)  # an address is nothing for clients
        assert (commits.state.position, commits.figures()["journal_error"]) == (position, "it is full")
        assert not done.done()
        away.clear()
        assert await done == "done"
        await until(lambda: not commits.unavailable)
    register(commits, 2)
