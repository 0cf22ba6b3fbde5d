"""`check` of a stopped cluster: opens every shard's storage, and with the oracle runs all replicas in one process.

Rules of this file
- Nothing is written to a journal or a checkpoint: commands that waking and delivering need are applied in memory only.
  (Opening a journal cuts off a torn tail, and opening a checkpoint of an older version makes it one of this version, as
  any start would. In Redis, opening makes this process the owner.)
- The digests are taken before anything is applied: they equal those of the running cluster before it stopped.
- The serving lock is held meanwhile, so that nobody starts the cluster under our feet.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from actors.core.errors import NotFoundError
from actors.core.facts import MORE_FROM_LEVEL
from actors.core.ids import bucket_of_account
from actors.core.timelines.home import Ask, HomeQuery, Wake
from actors.core.verify import check, digest
from actors.shard.places import require_journal
from actors.shard.storage import Storage
from cluster.router.files import load_state
from commands.checking import Outcome, explain
from commands.exported import add_rows
from commands.launch import ClusterInfo, serving_lock
from commands.loading import OnCount, message_numbers
from commands.media_checking import check_media
from commands.oracle import NetworkFacts
from commands.progress import Bars
from configs.settings import Settings, load_settings
from persistence.objects import ObjectStore
from persistence.private import open_folders

EXPORT_ACCOUNT_COUNT = 10_000
FAR_POSITION = 1 << 62  # every message may leave: what was recovered is durable


class StoppedCluster:
    """All shards of a data folder, recovered into this process."""

    def __init__(self, settings: Settings, shard_count: int) -> None:
        """Open and recover the shards. Raises StorageError that names the file when something is damaged or in use,
        NotFoundError for a shard that isn't here: an empty one would be made."""
        self.storages: list[Storage] = []
        try:
            state = load_state(settings.storage.data_dir)
            for shard in range(shard_count):
                leader = 0 if state is None else state[1].primary_of(shard).index
                require_journal(settings, shard, leader)
                self.storages.append(Storage(settings, shard, leader))
        except BaseException:
            self.close()
            raise
        self.replicas = [storage.replica for storage in self.storages]

    def close(self) -> None:
        """Release the files."""
        for storage in self.storages:
            storage.close()

    def deliver(self) -> None:
        """Carry every message that waits to its shard, until none does."""
        moved = True
        while moved:
            moved = False
            for source in self.replicas:
                for dst, outbox in source.state.outboxes.items():
                    first, messages = outbox.batch(FAR_POSITION)
                    if messages:
                        moved = True
                        command = ["receive", source.state.shard, first, b"".join(messages)]
                        _, seq = self.replicas[dst].command(command)
                        source.command(["acked", dst, seq])

    async def ask(self, shard: int, op: str, args: list[Any]) -> Any:
        """Answer a read of a shard."""
        return self.replicas[shard].read(op, args)

    def facts(self) -> NetworkFacts:
        """Read the plain facts out of every shard."""
        facts = NetworkFacts()
        for replica in self.replicas:
            first, more = 0, True
            while more:
                wanted = [EXPORT_ACCOUNT_COUNT, *([True] if replica.state.level >= MORE_FROM_LEVEL else [])]
                first, rows = replica.read("export", [first, *wanted])
                more = bool(first)
                add_rows(facts, rows)
        return facts

    def home(self, account_id: int, length: int) -> list[int]:
        """Return the ids of a home timeline, driven as the shard's shell drives it."""
        owner = int(self.replicas[0].state.owner[bucket_of_account(account_id)])
        replica = self.replicas[owner]
        steps = replica.home_steps(HomeQuery(account_id, 0, 0, 0, length))
        answer: Any = None
        while True:
            try:
                need: Wake | Ask = steps.send(answer)
            except StopIteration as stop:
                return [tweet_id for tweet_id, _ in stop.value]
            answer = None
            if isinstance(need, Wake):
                if need.start:
                    replica.command(["wake", account_id])
                self.deliver()
            else:
                answer = {s: self.replicas[s].read(op, args) for s, (op, args) in need.questions.items()}


def stopped_settings(data_dir: Path, info: ClusterInfo | None, shard_count: int) -> Settings:
    """Return the settings with which a stopped cluster's storage is opened.

    A Redis URL with a password isn't in the folder: it comes from the environment (ROOKERY_STORAGE__REDIS_URL).
    """
    length = info.timeline_length if info else load_settings("laptop").timeline.length
    overrides: dict[str, dict[str, Any]] = {
        "storage": {"data_dir": data_dir}, "cluster": {"shards": shard_count}, "timeline": {"length": length},
    }  # fmt: skip
    if info is not None:
        overrides["storage"] |= {"backend": info.storage_backend, "redis_url": info.redis_url or None}
        overrides["cluster"]["namespace"] = info.namespace
    return load_settings("laptop", [], overrides)


def check_stopped(
    data_dir: Path, info: ClusterInfo | None, oracle: bool, console: Console, media: ObjectStore | None = None,
    repair: bool = False,
) -> Outcome:  # fmt: skip
    """Check the shards of a stopped cluster. media: compare this store, too; with repair what nobody shows is removed.

    Raises NotFoundError when the folder holds none.
    """
    state = load_state(data_dir) if data_dir.exists() else None
    if state is None:
        raise NotFoundError(f"{data_dir} holds no cluster: it was never served")
    settings = stopped_settings(data_dir, info, state[1].shard_count)
    length = settings.timeline.length
    outcome = Outcome()
    outcome.add(open_folders(data_dir))  # before the lock is taken, which closes it
    with serving_lock(data_dir):
        begin = time.perf_counter()
        with console.status(f"recovering {state[1].shard_count} shards from {data_dir}"):
            cluster = StoppedCluster(settings, state[1].shard_count)
        console.print(f"recovered in {time.perf_counter() - begin:.1f} s", highlight=False)
        try:
            _check(cluster, length, oracle, outcome, console)
            if media is not None:
                asyncio.run(check_media(cluster.ask, len(cluster.replicas), media, outcome, repair))
        finally:
            cluster.close()
    return outcome


def _check(cluster: StoppedCluster, length: int, oracle: bool, outcome: Outcome, console: Console) -> None:
    for shard, replica in enumerate(cluster.replicas):
        outcome.add(check(replica.state))
        outcome.digests[shard] = digest(replica.state)
    statuses = [{"shard": r.state.shard, **r.lookups.facts()} for r in cluster.replicas]
    note_totals(statuses, outcome)
    sent, arrived = message_numbers(statuses)
    outcome.add(f"link {link}: {arrived[link]} applied, {n} sent" for link, n in sent.items() if arrived[link] > n)
    if oracle:
        cluster.deliver()
        with Bars(console) as bars:
            _check_homes(cluster, length, outcome, bars.start("homes", outcome.figures["accounts"]))


def note_totals(statuses: list[dict[str, Any]], outcome: Outcome) -> None:
    """Note what all shards hold together."""
    for name in ("accounts", "tweets", "edges"):
        outcome.figures[name] = sum(status[name] for status in statuses)
    sent, arrived = message_numbers(statuses)
    outcome.figures["messages_under_way"] = sum(sent[link] - arrived[link] for link in sent)


def _check_homes(cluster: StoppedCluster, length: int, outcome: Outcome, on_count: OnCount) -> None:
    facts, entries = cluster.facts(), 0
    for account_id in sorted(facts.following):
        expected, served = facts.home(account_id, length), cluster.home(account_id, length)
        entries += len(expected)
        if served != expected:
            outcome.add([explain(facts, account_id, expected, served)])
        on_count(1)
    outcome.figures |= {"homes": len(facts.following), "home_entries": entries}
