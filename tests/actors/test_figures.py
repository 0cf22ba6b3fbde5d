"""Figures of shards: each moves by as much as was done. Two shards with lanes and journals, in threads of a process."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import RayError

from actors.core.errors import ConflictError, OverloadedError, RookeryError
from actors.core.ids import bucket_of_account, bucket_of_name
from actors.core.terms import Prepared
from actors.metrics.shard_rows import SHARD_FIGURES
from actors.shard.home_requests import SLOW_HOMES_MAX
from actors.shard.measured import measure, storage_of
from actors.shard.replication import Replication
from actors.shard.served_replica import ServedReplica
from bench.one_process import OneProcess
from persistence.errors import JournalUnavailableError
from tests.actors.test_commits import GatedDisk
from tests.figures import complaints_of_promtool, moved, numbers, text_of

NOBODY = [0, b"", b""]


class World:
    """The two shards, and what is asked of them over their lanes."""

    def __init__(self, process: OneProcess) -> None:
        self.process = process
        self.ids = itertools.count(1)

    def served(self, shard: int) -> ServedReplica:
        return self.process.served[shard]

    def on_loop(self, call: Callable[[], Any]) -> Any:
        """Call something on the shards' loop."""

        async def run() -> Any:
            return call()

        return self.process._shards.run(run())

    def figures(self, shard: int = 0) -> dict[str, float]:
        return self.on_loop(lambda: numbers(self.served(shard).figures.told()))

    def ask(self, shard: int, op: str, *args: Any) -> Any:
        """Ask over the lane, in one request."""
        client = self.process._worker._cluster.client
        return self.process._workers.run(client.call_shard(shard, op, list(args)))

    def account(self, shard: int, is_awake: bool = True) -> int:
        """Make an account that lives in a shard. is_awake: it reads, so its timeline is in memory."""
        owner = self.process.map.shard_of_bucket
        account = next(n for n in self.ids if owner(bucket_of_account(n)) == owner(bucket_of_name(f"user{n}")) == shard)
        self.ask(shard, "register", f"user{account}", account, "", "", None, [])
        if is_awake:
            self.ask(shard, "home", account, 0, 0, 0, 20)
        return account

    def follow(self, reader: int, author: int) -> None:
        """Have an account follow another; returns once both shards know."""
        assert self.ask(self.shard_of(reader), "settled", "follow", [reader, author])[0] is True

    def shard_of(self, account: int) -> int:
        return self.process.map.shard_of_bucket(bucket_of_account(account))

    def post(self, author: int) -> Any:
        return self.ask(self.shard_of(author), "post", *a_post(author))


def a_post(author: int) -> list[Any]:
    return [author, "hello", 0, 0, 0, b"", [], [], None]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="rks-") as folder, OneProcess(Path(folder)) as process:
        yield World(process)


def until(look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@contextmanager
def once(begun: Callable[[], Any], held_s: float, then: Callable[[], Any]) -> Iterator[None]:
    """Do something so long after the block's work has begun, whenever that is."""

    def wait_and_do() -> None:
        until(lambda: bool(begun()))
        time.sleep(held_s)
        then()

    with ThreadPoolExecutor(1) as waiting:
        done = waiting.submit(wait_and_do)
        yield
        done.result()


# ---- requests -----------------------------------------------------------------------------------------------------


def test_requests_are_counted_by_what_they_are(world):
    """Writes on shards with replicas come as `tracked`; they, and status, once counted as reads."""
    account = world.account(0)
    before = world.figures()
    for _ in range(3):
        world.ask(0, "home", account, 0, 0, 0, 20)
    world.ask(0, "at", 0, "profile", [account, 0])
    position, _ = world.ask(0, "tracked", "post", a_post(account))
    world.post(account)
    world.ask(0, "status")
    world.ask(0, "status")
    deltas = moved(before, world.figures())
    assert position == before["journal_position"] + 1
    assert deltas["requests_total{read}"] == 4
    assert deltas["read_duration_seconds_count"] == 4
    assert deltas["requests_total{write}"] == 2
    assert deltas["requests_total{internal}"] == 2
    assert "requests_total{search}" not in deltas


def test_a_write_takes_as_long_as_its_commit_and_applying_it_does_not(world):
    account, served = world.account(0), world.served(0)
    until(lambda: not served.commits.journal.buffered_count)
    before, held_s = world.figures(), 0.1
    disk = GatedDisk(served.commits)
    with once(lambda: served.commits.journal.buffered_count, held_s, disk.open):
        world.post(account)
    deltas = moved(before, world.figures())
    assert deltas["write_duration_seconds_count"] == deltas["apply_duration_seconds_count"] == 1
    waited_s = deltas["write_duration_seconds_sum"] - deltas["apply_duration_seconds_sum"]
    assert held_s <= waited_s < 30, "it was applied when the disk began to be waited for"


def test_a_write_that_waits_for_a_move_is_one_write_and_its_time_is_all_of_it(world):
    account, served = world.account(0), world.served(0)
    before, held_s = world.figures(), 0.1
    world.on_loop(lambda: setattr(served.state, "frozen", 7))
    assert world.figures()["frozen"] == 1

    def thaw() -> None:
        served.state.frozen = 0
        served.moves.look()

    with once(lambda: served.moves._waiting, held_s, lambda: world.on_loop(thaw)):
        world.post(account)
    deltas = moved(before, world.figures())
    assert deltas["requests_total{write}"] == 1
    assert deltas["write_duration_seconds_sum"] >= held_s
    assert "refusals_total{unavailable}" not in deltas


def test_refusals_are_counted_by_their_code_at_once_or_after_the_commit(world, monkeypatch):
    served, nobody = world.served(0), next(n for n in range(10**6, 10**7) if world.shard_of(n) == 0)
    before = world.figures()
    for _ in range(2):
        with pytest.raises(RookeryError):
            world.ask(0, "profile", nobody, 0)

    def refuse(_: Any) -> None:
        raise ConflictError("found while applying")

    prepared = Prepared(["flush_counts"], refuse)
    monkeypatch.setattr(served.commits.replica, "prepare", lambda op, args, now_ms: prepared)
    with pytest.raises(ConflictError):
        world.ask(0, "like", 1, 1)
    deltas = moved(before, world.figures())
    assert deltas["refusals_total{not_found}"] == 2
    assert deltas["refusals_total{conflict}"] == 1
    assert "write_duration_seconds_count" not in deltas


def test_searches_are_timed_until_their_answer(world, monkeypatch):
    served, counted = world.served(0), {"answered": 5, "failed": 4, "dropped_late": 3, "shed": 2}

    took_s: list[float] = []

    class Late:
        engine = object()

        def handle(self, request: Any, op: str, args: list[Any]) -> None:
            begin = time.perf_counter()

            def answer() -> None:
                took_s.append(time.perf_counter() - begin)
                request.reply([])

            served._loop.call_later(0.05, answer)

        def figures(self) -> dict[str, Any]:
            return {"state": "catching up", "backlog": 9, "in_flight": 1, **counted}

    before = world.figures()
    assert before["search_state"] == 4
    monkeypatch.setattr(served, "search", Late())
    assert world.ask(0, "trends") == []
    after = world.figures()
    deltas = moved(before, after)
    assert deltas["requests_total{search}"] == deltas["search_duration_seconds_count"] == 1
    assert deltas["search_duration_seconds_sum"] >= took_s[0] > 0
    results = ("answered", "failed", "late", "refused")
    assert [after[f"searches_total{{{result}}}"] for result in results] == [5, 4, 3, 2]
    assert (after["search_in_flight"], after["search_backlog"], after["search_state"]) == (1, 9, 1)


def test_writes_that_settle_are_counted_by_their_end(world, monkeypatch):
    reader, author, served = world.account(0), world.account(1), world.served(0)
    before = world.figures()
    world.follow(reader, author)
    assert moved(before, world.figures())["settled_writes_total{in_time}"] == 1

    async def away(_: int) -> Any:
        raise RayError

    monkeypatch.setattr(served.exchange, "peer", away)
    assert world.ask(0, "settled", "unfollow", [reader, author])[0] is False
    assert moved(before, world.figures())["settled_writes_total{late}"] == 1


# ---- delivery -----------------------------------------------------------------------------------------------------


def test_deliveries_to_followers_here_and_elsewhere_are_counted(world):
    author, near, far = world.account(0), world.account(0), world.account(1)
    for reader in (near, far):
        world.follow(reader, author)
    here, there = world.figures(0), world.figures(1)
    world.post(author)
    until(lambda: world.ask(1, "home_ids", far, 0, 20) != [])
    assert moved(here, world.figures(0))["deliveries_total"] == 2, "the author's own timeline, and a follower's"
    assert moved(there, world.figures(1))["deliveries_total"] == 1


def test_one_delivery_in_sixteen_is_timed_from_the_tweet_to_its_last_timeline(world):
    author, reader, deliveries = world.account(0), world.account(0), world.served(0).state.deliveries
    world.follow(reader, author)
    before, begin = world.figures(), time.time()
    for _ in range(32):
        world.post(author)
    deltas = moved(before, world.figures())
    assert deltas["delivery_lag_seconds_count"] == 2
    assert 0 <= deltas["delivery_lag_seconds_sum"] <= 2 * (time.time() - begin + 0.001)
    at_once_max, deliveries.at_once_max = deliveries.at_once_max, 0
    try:
        for _ in range(16):
            world.post(author)
        until(lambda: not deliveries.backlog)
    finally:
        deliveries.at_once_max = at_once_max
    assert moved(before, world.figures())["delivery_lag_seconds_count"] == 3, "and one that came piece by piece"


def test_a_large_delivery_waits_in_the_backlog(world):
    author, reader, served = world.account(0), world.account(0), world.served(0)
    world.follow(reader, author)
    deliveries = served.state.deliveries
    at_once_max, deliveries.at_once_max = deliveries.at_once_max, 0

    def post_and_look() -> float:
        served.commits.write("post", a_post(author), int(time.time() * 1000))
        return numbers(served.figures.told())["delivery_backlog"]

    try:
        assert world.on_loop(post_and_look) == 1
        until(lambda: world.figures()["delivery_backlog"] == 0)
    finally:
        deliveries.at_once_max = at_once_max


def test_a_reader_who_comes_back_has_his_timeline_rebuilt(world):
    served = world.served(0)
    reader = world.account(0, is_awake=False)
    before = world.figures()

    async def read() -> float:
        request = SimpleNamespace(reply=answers.append, fail=answers.append)
        served.homes.start(request, served.replica.query([reader, 0, 0, 0, 20]))
        under_way = numbers(served.figures.told())["slow_reads"]
        while not answers:  # noqa: ASYNC110  what is waited for has no event
            await asyncio.sleep(0.001)
        return under_way

    answers: list[Any] = []
    assert world.process._shards.run(read()) == 1
    deltas = moved(before, world.figures())
    assert deltas["ring_rebuilds_total"] == 1
    assert "slow_reads" not in deltas

    async def pull() -> None:
        need = SimpleNamespace(questions={0: ("profile", [reader, 0])})
        await served.homes._ask(need)

    world.process._shards.run(pull())
    assert moved(before, world.figures())["pulls_total"] == 1


# ---- what leaves --------------------------------------------------------------------------------------------------


def test_what_leaves_the_cluster_is_counted_by_channel_and_result(world, monkeypatch):
    account, queue, answers = world.account(0), world.served(0).outgoing, [None, [1, 0]]

    async def dispatch(rows: Any) -> Any:
        if (answer := answers.pop(0)) is None:
            raise RayError
        return [answer for _ in rows]

    for name, value in (("_channels", {"webhooks"}), ("_put_off", lambda: None), ("_dispatch", dispatch)):
        monkeypatch.setattr(queue, name, value)
    before = world.figures()
    webhook_id = world.ask(0, "make_webhook", account, "https://example.org/", 1, b"s")[0]
    world.ask(0, "test_webhook", account, webhook_id)
    assert (world.figures()["outgoing_items"], world.figures()["outgoing_late_seconds"] >= 0) == (1, True)
    for name in ("outgoing_failures_total", "outgoing_results_total{webhooks,later}"):
        world.on_loop(queue.look)
        until(lambda: moved(before, world.figures()).get(name) == 1 and not queue.figures()["under_way"])  # noqa: B023
    world.ask(0, "drop_webhook", account, webhook_id)


# ---- messages -----------------------------------------------------------------------------------------------------


def test_messages_are_counted_once_however_often_they_come(world, monkeypatch):
    reader, author = world.account(0), world.account(1)
    here, there = world.served(0), world.served(1)
    before, before_there = world.figures(0), world.figures(1)
    find, taken = here.exchange.peer, []

    async def away(_: int) -> Any:
        raise RayError

    monkeypatch.setattr(here.exchange, "peer", away)
    world.ask(0, "follow", reader, author)
    until(lambda: world.figures()["outbox_messages{1}"] == 1)
    waiting = here.state.outboxes[1].bytes_waiting
    assert world.figures()["outbox_bytes{1}"] == waiting > 0
    until(lambda: moved(before, world.figures()).get("exchange_failures_total", 0) >= 1)

    deliver_told = there.exchange.deliver_told

    async def note(*batch: Any) -> Any:
        taken.append(batch)
        return await deliver_told(*batch)

    monkeypatch.setattr(there.exchange, "deliver_told", note)
    monkeypatch.setattr(here.exchange, "peer", find)
    until(lambda: world.figures()["outbox_messages{1}"] == 0)
    deltas, deltas_there = moved(before, world.figures(0)), moved(before_there, world.figures(1))
    sent = sum(batch[3] for batch in taken)
    assert sent >= 1
    assert deltas["exchange_messages_total{acknowledged}"] == sent
    assert deltas_there["exchange_messages_total{applied}"] == deltas_there["batch_messages_sum"] == sent
    assert deltas_there["receive_duration_seconds_count"] == deltas_there["batch_messages_count"] == len(taken)
    world.process._shards.run(deliver_told(*taken[-1]))
    again = moved(before_there, world.figures(1))
    assert again["exchange_messages_total{repeated}"] == taken[-1][3]
    assert again["exchange_messages_total{applied}"] == sent


# ---- journal and checkpoint ---------------------------------------------------------------------------------------


def test_the_journal_counts_records_bytes_and_flushes(world, monkeypatch):
    account, served, lengths = world.account(0), world.served(0), []
    commits = served.commits
    until(lambda: not commits.journal.buffered_count and not commits.waiting)
    append = commits.journal.append
    monkeypatch.setattr(commits.journal, "append", lambda record: (lengths.append(len(record)), append(record))[1])
    before = world.figures()
    disk = GatedDisk(commits)

    def post_three() -> dict[str, float]:
        for _ in range(3):
            commits.when_committed(
                SimpleNamespace(reply=lambda _: None), commits.write("post", a_post(account), int(time.time() * 1000))
            )
        return numbers(served.figures.told())

    held = world.on_loop(post_three)
    assert (held["journal_lag_records"], held["mailbox_depth"]) == (3, 3)
    assert held["journal_position"] == before["journal_position"] + 3
    disk.open()
    until(lambda: world.figures()["mailbox_depth"] == 0)
    deltas = moved(before, world.figures())
    assert deltas["journal_records_total"] == deltas["commit_records_sum"] == 3
    assert deltas["journal_bytes_total"] == sum(lengths) > 0
    assert 1 <= deltas["fsync_duration_seconds_count"] == deltas["commit_records_count"] <= 3
    assert "journal_lag_records" not in deltas
    world.on_loop(lambda: commits._note_unavailable(JournalUnavailableError("full")))
    with pytest.raises(OverloadedError):
        world.post(account)
    assert world.figures()["storage_writable"] == 0
    world.on_loop(lambda: commits._note_unavailable(None))
    assert world.figures()["storage_writable"] == 1


def test_a_checkpoint_counts_what_it_writes_and_what_it_cannot(world, monkeypatch):
    served = world.served(0)
    commits, account, rows = served.commits, world.account(0), []
    folded = commits.checkpointer.stats
    seal = commits.replica.seal

    def sealed() -> Any:
        changes = seal()
        rows.append(sum(change.upsert_count + change.delete_count for change in changes))
        return changes

    monkeypatch.setattr(commits.replica, "seal", sealed)
    world.on_loop(lambda: commits.tend(1, 1))
    until(lambda: folded().written_position == served.state.position)
    before, rows[:] = world.figures(), []
    world.post(account)
    assert world.figures()["checkpoint_lag_records"] == served.state.position - folded().written_position >= 1
    store, failing = commits.storage.store, [True]
    write_batch = store.write

    def fail_once(*args: Any, **more: Any) -> Any:
        if failing:
            failing.clear()
            raise OSError("no room")
        return write_batch(*args, **more)

    monkeypatch.setattr(store, "write", fail_once)
    world.on_loop(lambda: commits.tend(1, 1))
    until(lambda: folded().failure_count == before.get("checkpoint_writes_total{failed}", 0) + 1)
    assert world.figures()["checkpoint_lag_seconds"] > 0
    until(lambda: folded().written_position == served.state.position)
    deltas = moved(before, world.figures())
    assert deltas["checkpoint_writes_total{failed}"] == 1
    assert deltas["checkpoint_writes_total{written}"] == 1
    assert deltas["checkpoint_rows_total"] == sum(rows) > 0
    after = world.figures()
    assert (after["checkpoint_lag_records"], after["checkpoint_lag_seconds"]) == (0, 0)


# ---- what is measured ---------------------------------------------------------------------------------------------


def test_what_a_shard_holds_is_measured(world, monkeypatch):
    served = world.served(0)
    before = world.figures()
    author, reader = world.account(0), world.account(0)
    world.follow(reader, author)
    world.post(author)
    deltas, now = moved(before, world.figures()), world.figures()
    assert [deltas[name] for name in ("accounts", "tweets", "edges", "rings")] == [2, 1, 1, 2]
    facts = world.on_loop(served.replica.lookups.facts)
    for part in ("edge", "ring", "tweet", "arrival", "pieces", "cards"):
        assert now[f"memory_part_bytes{{{part}}}"] == facts[f"{part}_bytes"]
    assert now["pieces_evicted_total"] == facts["pieces_evicted"]
    bound = served.settings.limits
    assert now["limit{mailbox_depth}"] == bound.mailbox_max
    assert now["limit{outbox_messages}"] == bound.outbox_messages_max
    assert now["limit{outbox_bytes}"] == bound.outbox_bytes_max
    assert now["limit{slow_reads}"] == SLOW_HOMES_MAX
    assert (now["limit{accounts}"], now["limit{tweets}"]) == (bound.accounts_per_shard_max, bound.tweets_per_shard_max)
    assert now["limit{lane_connections}"] == served.settings.lane.connections_max
    known = served.replication.shard_map
    assert (now["primary"], now["term"], now["map_epoch"], now["frozen"]) == (1, 1, known.epoch, 0)
    assert now["level"] == served.state.level > 0
    assert now["lane_connections"] == served.lane.connection_count >= 1
    monkeypatch.setattr(type(served.lane), "turned_away_count", 7)
    asked = {"account_questions": 3, "account_questions_failed": 2}
    monkeypatch.setattr(served.homes.accounts, "figures", lambda: asked)
    world.process._shards.run(look_at_disk(served))
    now = world.figures()
    assert now["lane_strangers_turned_away_total"] == 7
    assert (now["account_questions_total{answered}"], now["account_questions_total{failed}"]) == (3, 2)
    journal = sum(path.stat().st_size for path in (served.storage.directory / "journal").iterdir())
    assert now["storage_bytes{journal}"] == journal > 0
    assert now["storage_bytes{checkpoint}"] > 0
    assert now["storage_free_bytes"] > 0


async def look_at_disk(served: ServedReplica) -> None:
    """As `OwnFigures.measure_disk` does, once."""
    task = asyncio.create_task(served.figures.measure_disk())
    while served.metrics.storage_free_bytes is None:  # noqa: ASYNC110  as above
        await asyncio.sleep(0.001)
    task.cancel()


def test_the_files_of_other_replicas_are_theirs(tmp_path):
    for name, size in (
        ("journal/1.seg", 5),
        ("checkpoint.duckdb", 3),
        ("checkpoint.duckdb.wal", 2),
        ("replica.msgpack", 1),
    ):
        for folder in (tmp_path, tmp_path / "replica-1"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b"x" * size)
    sizes, free = storage_of(tmp_path)
    assert sizes == {"journal": 5, "checkpoint": 5, "search": 0, "other": 1}
    assert free > 0


def test_a_leader_tells_how_far_its_followers_are(world, monkeypatch):
    served = world.served(0)
    assert world.figures()["in_sync_replicas"] == 1
    links = {1: SimpleNamespace(acked=served.state.position - 2), 2: SimpleNamespace(acked=served.state.position)}
    monkeypatch.setattr(Replication, "_links", links)
    monkeypatch.setattr(served.replication.leader, "in_sync", {0, 1, 2})
    now = world.figures()
    assert (now["replication_lag_records{1}"], now["replication_lag_records{2}"]) == (2, 0)
    assert now["in_sync_replicas"] == 3


def test_promtool_has_no_complaint_about_a_shard(world):
    told = world.on_loop(world.served(0).figures.told)
    text = text_of(told)
    assert all(f"# TYPE rookery_{figure.name} " in text for figure in SHARD_FIGURES if told[0].snapshot[figure.name])
    assert complaints_of_promtool(text) == ""


def test_measuring_changes_nothing(world):
    served = world.served(0)
    first = world.on_loop(lambda: (measure(served), served.metrics.snapshot())[1])
    second = world.on_loop(lambda: (measure(served), served.metrics.snapshot())[1])
    assert first == second
