"""`backup` and `restore` without Ray: a consistent cut, a shard that hands out while it writes, and a restore that is
whole or not there.
"""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from actors.core.checkpoints.snapshot import TABLES
from actors.core.errors import ConflictError, InvalidError, MovedError, NotFoundError, OverloadedError, RookeryError
from actors.core.verify import digest
from actors.metrics import ShardMetrics
from actors.shard import backup_source
from actors.shard.backup_source import BackupSource, numbers_of
from actors.shard.commits import Commits
from actors.shard.storage import Storage
from cluster.placement.shard_map import ShardMap
from cluster.router.files import RESTORING_NAME, RouterStateError, load_state, new_cluster_id, save_state
from commands import backup, restore
from commands.launch import ClusterInfo, serving_lock
from commands.offline import StoppedCluster, check_stopped, stopped_settings
from configs.settings import Settings, load_settings
from persistence.backup_format import BackupError, load_manifest
from persistence.backup_shard import records_of
from persistence.redis_restore import MARK, RestoreUnfinishedError
from persistence.redis_server import shard_key
from tests.core.harness import Shards
from tests.persistence.redis_processes import close_shared_redis, shared_redis

SILENT = Console(quiet=True)
SHARDS = 2


# ---- the cut ------------------------------------------------------------------------------------------------------


def numbers(shard: int, position: int, applied: int, sent: int, acked: int = 0) -> backup.Numbers:
    other = str(1 - shard)
    links = {"applied": {other: applied}, "sent": {other: sent}, "acked": {other: acked}}
    return {"shard": shard, "position": position, **links}


async def test_a_cut_is_asked_for_again_until_no_message_is_ahead_of_its_sender(monkeypatch):
    monkeypatch.setattr(backup, "CUT_PAUSE_S", 0.0)
    answers = [
        [numbers(0, 10, 0, 4), numbers(1, 20, 5, 0)],  # shard 1 has applied message 5 of shard 0, which is at 4
        [numbers(0, 11, 7, 5), numbers(1, 21, 5, 6)],  # the other way round
        [numbers(0, 11, 6, 5, acked=5), numbers(1, 21, 4, 6)],  # shard 0 has let go of what shard 1 hasn't applied
        [numbers(0, 12, 6, 5), numbers(1, 22, 5, 6)],
    ]
    given_answers = iter(answers)

    async def ask_all() -> Any:
        return next(given_answers)

    assert await backup.consistent_cut(ask_all) == [12, 22]


async def test_a_cut_that_never_fits_is_an_error(monkeypatch):
    monkeypatch.setattr(backup, "CUT_PAUSE_S", 0.0)

    async def ask_all() -> Any:
        return [numbers(0, 1, 0, 0), numbers(1, 1, 1, 0)]

    with pytest.raises(OverloadedError, match="no consistent cut"):
        await backup.consistent_cut(ask_all)


class Moments:
    """Two shards that follow each other's accounts; what each would say of every position is kept."""

    def __init__(self) -> None:
        self.shards = Shards(SHARDS)
        self.said: list[list[backup.Numbers]] = [[], []]

    def note(self) -> None:
        for shard, replica in enumerate(self.shards.replicas):
            state = replica.state
            if not self.said[shard] or self.said[shard][-1]["position"] != state.position:
                self.said[shard].append(numbers_of(state))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 1)), max_size=20), st.data())
def test_a_cut_that_is_called_consistent_recovers_to_shards_whose_messages_fit(steps, data):
    """Whatever moments of the shards are put together: either they are refused, or both go on from there as one."""
    made = Moments()
    accounts = [made.shards.account_on(0), made.shards.account_on(1)]
    made.shards.register(*accounts)
    made.shards.do("follow", accounts[0], accounts[1])
    made.shards.do("follow", accounts[1], accounts[0])
    made.note()
    for deliver, shard in steps:
        if deliver:
            made.shards.deliver(shard, 1 - shard)
        else:
            made.shards.now_ms += 1
            made.shards.send("post", accounts[shard], "hello", 0, 0, 0, b"", [], [], None)
        made.note()
    cut = [data.draw(st.sampled_from(said)) for said in made.said]
    again = Shards(SHARDS, level=0)  # their journals are the others'
    for shard, said in enumerate(cut):
        for position, record in enumerate(made.shards.journals[shard][: said["position"]], 1):
            again.replicas[shard].replay(position, record)
            again.journals[shard].append(record)
    states = [replica.state for replica in again.replicas]
    fits = all(
        states[s].outboxes[d].next_seq > states[d].inbox[s] >= states[s].outboxes[d].batch(0)[0] - 1
        for s, d in ((0, 1), (1, 0))
    )
    assert (backup.misfits(cut) == []) == fits
    if fits:
        again.exchange()
        posted = [len(replica.state.tweets) for replica in again.replicas]
        assert [len(again.home(account, 6)) for account in accounts] == [min(sum(posted), 6)] * 2


# ---- the shard's side ---------------------------------------------------------------------------------------------


class Request:
    """A lane request that waits for its answer."""

    def __init__(self, op: str, args: list[Any]) -> None:
        self.op, self.args = op, args
        self._answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.reply, self.fail = self._answer.set_result, self._answer.set_exception

    async def answer(self) -> Any:
        return await asyncio.wait_for(self._answer, 60)


class Handing:
    """A shard's `BackupSource`, asked as over a lane."""

    def __init__(self, settings: Settings) -> None:
        self.storage = Storage(settings, 0)
        self.commits = Commits(self.storage, ShardMetrics(), 4)
        self.commits.committed_at = lambda durable: durable
        self.held: list[int] = []
        records = SimpleNamespace(hold=lambda holder, position: self.held.append(position))
        self.replication = SimpleNamespace(leads=True, records=records)
        self.source = BackupSource(self.commits, self.storage, self.replication)

    async def ask(self, op: str, *args: Any) -> Any:
        request = Request(op, list(args))
        self.source.handle(request)
        return await request.answer()

    async def stream(self, op: str, *args: Any) -> bytes:
        token, *rest = args
        found = b""
        while part := await self.ask(op, token, len(found), *rest):
            found += part
        return found


@pytest.fixture
async def handing(data_dir):
    settings = load_settings(
        "test", overrides={"storage": {"data_dir": data_dir}, "cluster": {"shards": 1}}, environ={}
    )
    made = Handing(settings)
    yield made
    await made.commits.close()


def register(commits: Commits, *account_ids: int) -> None:
    for account_id in account_ids:
        commits.write("register", [f"user{account_id}", account_id, "", "", None, []], 1)


async def test_a_shard_hands_out_its_checkpoint_and_the_records_up_to_the_cut_while_it_goes_on(handing):
    register(handing.commits, 1, 2, 3)
    token, position = await handing.ask("backup_open")
    said = await handing.ask("backup_cut")
    register(handing.commits, 4)
    assert (position, said["position"]) == (0, handing.commits.state.position - 1)
    records = await handing.stream("backup_records", token, said["position"])
    assert records.count(b"user3") == 1
    assert b"user4" not in records
    await handing.stream("backup_rows", token)
    assert handing.held
    assert await handing.ask("backup_close", token) is True


async def test_a_position_is_told_once_it_is_committed(handing):
    handing.commits.committed_at = lambda durable: 0
    register(handing.commits, 1)
    durable = asyncio.get_running_loop().create_future()
    handing.commits.when_durable(durable, None)
    await asyncio.wait_for(durable, 60)
    asked = asyncio.ensure_future(handing.ask("backup_cut"))
    done, _ = await asyncio.wait([asked], timeout=0.1)
    assert not done
    handing.commits.settle(handing.commits.state.position)
    assert (await asked)["position"] == handing.commits.state.position
    handing.commits.committed_at = lambda durable: durable


async def test_a_follower_is_not_asked_where_to_cut_and_waits_until_it_has_the_cut(handing, monkeypatch):
    monkeypatch.setattr(backup_source, "FOLLOW_PATIENCE_S", 0.1)
    handing.replication.leads = False
    with pytest.raises(MovedError):
        await handing.ask("backup_cut")
    token, _ = await handing.ask("backup_open")
    with pytest.raises(OverloadedError, match="of the cut's 5"):
        await handing.ask("backup_records", token, 0, 5)


async def test_a_later_backup_ends_the_one_before_and_an_idle_one_ends_by_itself(handing, monkeypatch):
    first, _ = await handing.ask("backup_open")
    second, _ = await handing.ask("backup_open")
    with pytest.raises(InvalidError, match="another one began"):
        await handing.ask("backup_rows", first, 0)
    monkeypatch.setattr(backup_source, "IDLE_S", 0.05)
    assert await handing.ask("backup_close", first) is True  # too late, and no matter
    await handing.ask("backup_rows", second, 0)
    closed = asyncio.Event()
    let_go = handing.source._let_go

    async def noted() -> None:
        await let_go()
        closed.set()

    monkeypatch.setattr(handing.source, "_let_go", noted)
    await asyncio.wait_for(closed.wait(), 60)
    with pytest.raises(InvalidError, match="paused for too long"):
        await handing.ask("backup_rows", second, 0)


@pytest.mark.parametrize(
    ("op", "args"),
    [("backup_open", [1]), ("backup_rows", []), ("backup_rows", ["", "x"]), ("backup_records", ["", 0, "x"]),
     ("backup_close", []), ("backup_rows", ["", -1])],
)  # fmt: skip
async def test_arguments_that_make_no_sense_are_refused(handing, op, args):
    token, _ = await handing.ask("backup_open")
    with pytest.raises(RookeryError):
        await handing.ask(op, *(token if arg == "" else arg for arg in args))


# ---- there and back -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", autouse=True)
def no_shared_redis_left():
    yield
    close_shared_redis()


@pytest.fixture(params=["duckdb", "redis"])
def storage_settings(request, data_dir) -> Callable[..., Settings]:
    """Return settings of a cluster in a folder of that name, and in keys of that name on a Redis."""

    def settings_of(name: str, **cluster: Any) -> Settings:
        storage: dict[str, Any] = {"data_dir": data_dir / name, "backend": request.param}
        if request.param == "redis":
            storage["redis_url"] = shared_redis().url
        overrides = {
            "storage": storage,
            "cluster": {"shards": SHARDS, "namespace": f"{data_dir.name}-{name}", **cluster},
        }
        return load_settings("test", overrides=overrides, environ={})

    return settings_of


def make_cluster(settings: Settings) -> list[str]:
    """Leave the storage of a stopped cluster with accounts, follows, tweets and messages under way; return digests."""
    data_dir = settings.storage.data_dir
    shards, digests = Shards(SHARDS), []
    storages = [Storage(settings, shard) for shard in range(SHARDS)]
    shards.replicas = [storage.replica for storage in storages]
    shards.owner = list(ShardMap.even("x", SHARDS).buckets)
    accounts = [shards.account_on(0), shards.account_on(1), shards.account_on(0, 1)]
    shards.register(*accounts)
    shards.do("follow", accounts[0], accounts[1])
    for storage in storages:
        fold(storage, shards)
    shards.do("follow", accounts[1], accounts[0])
    for number in range(5):
        shards.send("post", accounts[number % 3], f"number {number}", 0, 0, 0, b"", [], [], None)
    for storage in storages:
        for record in shards.journals[storage.replica.state.shard][storage.journal.next_position - 1 :]:
            storage.journal.append(record)
        storage.journal.flush()
        digests.append(digest(storage.replica.state))
        storage.close()
    save_state(data_dir, new_cluster_id(), ShardMap.even(settings.cluster.namespace, SHARDS))
    info(settings).save(data_dir)
    return digests


def fold(storage: Storage, shards: Shards) -> None:
    """Put what there is so far into the checkpoint."""
    state = storage.replica.state
    for record in shards.journals[state.shard][storage.journal.next_position - 1 :]:
        storage.journal.append(record)
    storage.journal.flush()
    storage.store.write(state.position, storage.journal.epoch, storage.replica.seal())


def info(settings: Settings) -> ClusterInfo:
    storage = settings.storage
    return ClusterInfo(
        0, "", settings.cluster.namespace, "", "", SHARDS, settings.timeline.length, "open", storage.backend,
        storage.redis_url if storage.backend == "redis" else "",
    )  # fmt: skip


def digests_of(data_dir: Path) -> list[str]:
    cluster = StoppedCluster(stopped_settings(data_dir, ClusterInfo.load(data_dir), SHARDS), SHARDS)
    try:
        return [digest(replica.state) for replica in cluster.replicas]
    finally:
        cluster.close()


def test_a_stopped_cluster_comes_back_as_it_was(storage_settings, data_dir):
    before = storage_settings("before")
    copies = 2 if before.storage.backend == "duckdb" else 1
    target = storage_settings("after", replicas=copies)
    digests = make_cluster(before)
    done = backup.backup_stopped(before.storage.data_dir, data_dir / "backup", SILENT)
    manifest = load_manifest(data_dir / "backup")
    assert [facts.cut_position > facts.checkpoint_position > 0 for facts in manifest.shards] == [True, True]
    assert done["positions"] == [facts.cut_position for facts in manifest.shards]

    checked = restore.check_backup(data_dir / "backup", target, SILENT)
    assert (checked.problems, list(checked.digests.values())) == ([], digests)
    assert checked.figures["messages_under_way"] > 0

    restore.restore(data_dir / "backup", target, SILENT)
    after = target.storage.data_dir
    assert digests_of(after) == digests
    outcome = check_stopped(after, ClusterInfo.load(after), True, SILENT)
    assert outcome.problems == []
    state = load_state(after)
    assert state is not None
    assert (state[0], state[1].cluster) == (manifest.cluster_id, target.cluster.namespace)
    assert (len(state[1].replicas), state[1].terms, state[1].buckets) == (
        copies * SHARDS,
        ((), ()),
        bytes(manifest.buckets),
    )
    assert (after / "cluster.secret").exists()


def test_a_target_that_holds_something_is_refused_and_named(storage_settings, data_dir):
    before = storage_settings("before")
    digests = make_cluster(before)
    backup.backup_stopped(before.storage.data_dir, data_dir / "backup", SILENT)
    with pytest.raises(BackupError, match=r"cluster\.json is in the way"):
        restore.restore(data_dir / "backup", before, SILENT)
    if before.storage.backend == "redis":
        elsewhere = before.model_copy(
            update={"storage": before.storage.model_copy(update={"data_dir": data_dir / "new"})}
        )
        with pytest.raises(BackupError, match="owner is in the way"):
            restore.restore(data_dir / "backup", elsewhere, SILENT)
        assert not elsewhere.storage.data_dir.exists()
        assert not (data_dir / "new" / RESTORING_NAME).exists()
    assert digests_of(before.storage.data_dir) == digests


def test_an_interrupted_restore_is_served_by_nobody_and_begun_anew(storage_settings, data_dir, monkeypatch):
    before, target = storage_settings("before"), storage_settings("after")
    digests = make_cluster(before)
    backup.backup_stopped(before.storage.data_dir, data_dir / "backup", SILENT)
    write_shard, written = restore.write_shard, []

    def interrupted(*args: Any) -> None:
        written.append(1)
        write_shard(*args)
        if len(written) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(restore, "write_shard", interrupted)
    with pytest.raises(KeyboardInterrupt):
        restore.restore(data_dir / "backup", target, SILENT)
    after = target.storage.data_dir
    with pytest.raises(RouterStateError, match="restore again"):
        load_state(after)
    if target.storage.backend == "redis":
        with pytest.raises(RestoreUnfinishedError, match="restore again"):
            Storage(target, 0)
    restore.restore(data_dir / "backup", target, SILENT)
    assert digests_of(after) == digests
    assert not (after / RESTORING_NAME).exists()
    marks = [shard_key(target.cluster.namespace, shard, MARK) for shard in range(SHARDS)]
    assert target.storage.backend == "duckdb" or not shared_redis().client.exists(*marks)


# ---- refusals -----------------------------------------------------------------------------------------------------


@pytest.fixture
def backed_up(data_dir) -> Path:
    settings = load_settings(
        "test", overrides={"storage": {"data_dir": data_dir / "b"}, "cluster": {"shards": 2}}, environ={}
    )
    make_cluster(settings)
    backup.backup_stopped(data_dir / "b", data_dir / "backup", SILENT)
    return data_dir / "backup"


def test_a_cluster_that_is_served_is_not_backed_up_or_restored_from_beside(backed_up, data_dir):
    settings = load_settings("test", overrides={"storage": {"data_dir": data_dir / "b"}}, environ={})
    with serving_lock(data_dir / "b"):
        with pytest.raises(ConflictError, match="is served by process"):
            backup.backup_stopped(data_dir / "b", data_dir / "again", SILENT)
        with pytest.raises(ConflictError, match="is served by process"):
            restore.restore(backed_up, settings, SILENT)
    assert not (data_dir / "again").exists()


def test_a_folder_without_a_cluster_or_without_a_shard_is_not_backed_up(backed_up, data_dir):
    with pytest.raises(NotFoundError, match="holds no cluster"):
        backup.backup_stopped(data_dir / "nothing", data_dir / "again", SILENT)
    (data_dir / "b" / "shard-01").rename(data_dir / "elsewhere")
    with pytest.raises(NotFoundError, match="shard-01 holds no journal"):
        backup.backup_stopped(data_dir / "b", data_dir / "again", SILENT)
    assert not (data_dir / "again").exists()


def tree(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Everything below a folder: mode, time of the last change, content."""
    return {
        str(path): (path.stat().st_mode, path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in [folder, *folder.rglob("*")]
    }


def restoring_into(folder: Path) -> Settings:
    return load_settings("test", overrides={"storage": {"data_dir": folder}}, environ={})


def test_a_refused_restore_leaves_the_folder_as_it_was(backed_up, data_dir):
    for name in ("photo.jpg", "router.msgpack", "shard-00"):
        folder = data_dir / f"with-{name}"
        folder.mkdir(mode=0o755)
        (folder / name).write_text("theirs", encoding="utf-8")
        before = tree(folder)
        with pytest.raises(BackupError, match=f"{name} is in the way"):
            restore.restore(backed_up, restoring_into(folder), SILENT)
        assert tree(folder) == before


@pytest.mark.parametrize("trouble", [BackupError("just now"), OSError(28, "No space left"), KeyboardInterrupt()])
def test_a_restore_that_ends_before_it_began_takes_away_what_it_made(backed_up, data_dir, monkeypatch, trouble):
    def refuse(path: Path, *_: object) -> None:
        assert path.with_name("serve.lock").exists()
        raise trouble

    monkeypatch.setattr(restore, "replace_file", refuse)
    before = tree(data_dir)
    for folder in (data_dir / "new", data_dir / "a" / "b" / "c"):
        with pytest.raises(type(trouble)):
            restore.restore(backed_up, restoring_into(folder), SILENT)
        assert tree(data_dir).keys() == before.keys()
    folder.mkdir(parents=True)
    for lock in ([], ["serve.lock"]):  # one from a cluster that was served here stays
        for each in lock:
            (folder / each).touch()
        with pytest.raises(type(trouble)):
            restore.restore(backed_up, restoring_into(folder), SILENT)
        assert [path.name for path in folder.iterdir()] == lock


def test_a_lock_that_was_taken_away_under_our_hands_is_none(data_dir, monkeypatch):
    lock = data_dir / "serve.lock"
    real = fcntl.flock

    def taken_away(*args: Any) -> None:
        real(*args)
        lock.unlink()

    monkeypatch.setattr(fcntl, "flock", taken_away)
    with pytest.raises(ConflictError, match="try again"), serving_lock(data_dir):
        pytest.fail("two may hold it")


def test_a_check_makes_no_shard_that_is_not_there(backed_up, data_dir):
    del backed_up
    (data_dir / "b" / "shard-01").rename(data_dir / "elsewhere")
    with pytest.raises(NotFoundError, match="shard-01 holds no journal"):
        check_stopped(data_dir / "b", ClusterInfo.load(data_dir / "b"), False, SILENT)
    assert not (data_dir / "b" / "shard-01").exists()


def test_nothing_is_written_from_a_damaged_backup(backed_up, data_dir):
    path = backed_up / "shard-01.journal"
    path.write_bytes(path.read_bytes()[:-1])
    settings = load_settings("test", overrides={"storage": {"data_dir": data_dir / "new"}}, environ={})
    for act in (restore.restore, restore.check_backup):
        with pytest.raises(BackupError, match=r"shard-01\.journal"):
            act(backed_up, settings, SILENT)
    assert not (data_dir / "new").exists()


def test_a_backup_of_a_newer_version_is_refused_by_the_name_of_the_table(backed_up, data_dir, monkeypatch):
    monkeypatch.setattr(restore, "TABLES", TABLES[1:])
    settings = load_settings("test", overrides={"storage": {"data_dir": data_dir / "new"}}, environ={})
    for act in (restore.restore, restore.check_backup):
        with pytest.raises(
            BackupError, match=r"manifest\.json, .*table 'meta' of version 1 is unknown.* newer Rookery"
        ):
            act(backed_up, settings, SILENT)
    assert not (data_dir / "new").exists()


def test_shards_that_do_not_fit_together_are_found_by_a_check(backed_up, data_dir, monkeypatch):
    """As a copy of files of different moments would be: shard 1 has applied what shard 0 hasn't made."""
    manifest = load_manifest(backed_up)
    settings = load_settings("test", overrides={"storage": {"data_dir": data_dir / "new"}}, environ={})
    monkeypatch.setattr(restore, "records_of", lambda *args: () if args[1].shard == 0 else records_of(*args))
    assert len(manifest.shards) == 2
    outcome = restore.check_backup(backed_up, settings, SILENT)
    assert any("applied" in problem for problem in outcome.problems), outcome.problems
