"""Whose journal may be damaged, and when: with a map on disk and processes that only stand for replicas."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial

import psutil
import pytest

from actors.core.replication import Candidate, Member, Term
from actors.shard.places import JOURNAL_DIRECTORY, REPLICA_FILE, shard_directory
from cluster.placement.shard_map import ShardMap
from cluster.router.files import save_state
from persistence.errors import JournalCorruptError
from persistence.file_journal import FileJournal
from persistence.replica_file import ReplicaFile
from tests.chaos import nemesis as under_test
from tests.chaos.availability import Availability
from tests.chaos.copies import can_be_spared, is_whole, promised_term
from tests.chaos.damage import BIT, flip_byte
from tests.chaos.faults import Fault
from tests.chaos.lanes import LaneProxies
from tests.chaos.nemesis import Nemesis
from tests.chaos.processes import has_lived, stands_still

TERM = 3
BUSY = "import threading\nfor _ in range(4): threading.Thread(target=lambda: [None for _ in iter(int, 1)]).start()"


def a_map(leader: int = 0, in_sync: tuple[int, ...] = (0, 1, 2), pids: tuple[int, ...] = (1, 2, 3)) -> ShardMap:
    """Return a shard of three replicas, in its third term."""
    shard_map = ShardMap.even("test", 1, 3)
    for replica in shard_map.replicas:
        changed = replace(replica, port=4000 + replica.index, pid=pids[replica.index], primary=replica.index == leader)
        shard_map = shard_map.with_replica(changed)
    shard_map = shard_map.with_in_sync(0, [Member(i, f"disk-{i}") for i in in_sync])
    return replace(shard_map, terms=((Term(TERM, 0, 2),),))


async def until(look) -> None:
    async with asyncio.timeout(60):
        while not look():  # noqa: ASYNC110  what is waited for has no event
            await asyncio.sleep(0.01)


def lives(pid: int) -> bool:
    return pid != 9


@pytest.mark.parametrize(
    ("shard_map", "promised", "spared", "why"),
    [
        (a_map(leader=0), TERM, True, "a follower of a whole shard"),
        (a_map(leader=0, in_sync=(0, 2)), TERM, True, "it was put out of sync since it stands still"),
        (a_map(leader=2), 0, True, "it has slept through elections"),
        (a_map(leader=1), TERM, False, "it leads: it may have asked for an in-sync set of its own"),
        (a_map(leader=0), TERM + 1, False, "it has voted in an election that may choose it"),
        (a_map(leader=0, in_sync=(0, 1)), TERM, False, "another copy isn't in sync"),
        (a_map(leader=0, pids=(1, 2, 9)), TERM, False, "another copy has died, and the map doesn't know it"),
        (a_map(leader=0, pids=(1, 9, 3)), TERM, True, "its own process needn't live"),
    ],
)
def test_a_copy_can_be_spared_once_nothing_under_way_can_need_it(shard_map, promised, spared, why):
    assert can_be_spared(shard_map, 0, 1, promised, lives) == spared, why


def test_a_new_leader_is_in_sync_alone_so_its_predecessor_is_no_copy_to_spare_yet():
    elected = a_map(leader=1).with_leader(0, Candidate(2, "disk-2", TERM, 70), TERM + 1, 2)
    assert not can_be_spared(elected, 0, 1, TERM, lives)
    joined = elected.with_in_sync(0, [Member(0, "disk-0"), Member(2, "disk-2")])
    assert can_be_spared(joined, 0, 1, TERM, lives)


def test_a_shard_is_whole_while_all_its_copies_are_in_sync_and_live():
    assert is_whole(a_map(), 0, lives)
    assert not is_whole(a_map(in_sync=(0, 1)), 0, lives)
    assert not is_whole(a_map(pids=(1, 2, 9)), 0, lives)


@pytest.fixture
def process():
    """A process of several threads that are never idle."""
    started = subprocess.Popen([sys.executable, "-c", BUSY])
    yield psutil.Process(started.pid)
    started.kill()
    started.wait()


async def test_a_process_stands_still_when_all_its_threads_do(process):
    assert not stands_still(process)
    await until(lambda: has_lived(process.pid, 0.0))
    assert not has_lived(process.pid, 60.0)
    process.suspend()
    await until(lambda: stands_still(process))
    assert not has_lived(process.pid, 0.0)
    process.resume()
    process.kill()
    await until(lambda: not has_lived(process.pid, 0.0))  # nobody waits for it: it stays a zombie
    assert not stands_still(process)


@pytest.mark.parametrize("draw", [0.0, 0.3, 0.6, 0.9, 0.999])
@pytest.mark.parametrize("shape", ["one segment", "two segments", "an empty last one", "a torn end"])
def test_one_bit_is_flipped_where_no_journal_takes_it_for_a_torn_end(tmp_path, shape, draw):
    folder = tmp_path / JOURNAL_DIRECTORY
    journal = FileJournal(folder, 0, 1)
    for number in range(6):
        journal.append(b"record %d" % number)
        journal.flush()
        if number == 2 and shape == "two segments":
            journal.roll()
    if shape == "an empty last one":
        journal.roll()
    journal.close()
    if shape == "a torn end":
        with max(folder.glob("*.seg")).open("ab") as torn:
            torn.write(bytes(20))
    before = {path: path.read_bytes() for path in folder.glob("*.seg")}
    where = flip_byte(tmp_path, draw)
    changed = [
        (path, at, byte ^ data[at])
        for path, data in before.items() for at, byte in enumerate(path.read_bytes()) if byte != data[at]
    ]  # fmt: skip
    [(path, at, bits)] = changed
    assert bits == BIT
    assert where == f"{path.name}, byte {at} of {len(before[path])}"
    with pytest.raises(JournalCorruptError):
        FileJournal(folder, 0, 1)


class Stage:
    """A shard on disk whose replica 1 is a process to harm; the others are this process."""

    def __init__(self, data, victim):
        self.data, self.victim = data, victim
        folder = shard_directory(data, 0, 1)
        journal = FileJournal(folder / JOURNAL_DIRECTORY, 0, 1)
        for _ in range(3):
            journal.append(b"record")
            journal.flush()
        journal.close()
        ReplicaFile.load_or_create(folder / REPLICA_FILE, lambda: "0" * 16).save(promised=TERM, term=TERM)
        self.journal = max((folder / JOURNAL_DIRECTORY).glob("*.seg"))
        self.whole = self.journal.read_bytes()
        self.nemesis = Nemesis(None, data, Availability(), None, None, [], None)  # type: ignore[arg-type]

    def put_map(self, leader, pid=None, **more):
        pids = (os.getpid(), self.victim.pid if pid is None else pid, os.getpid())
        save_state(self.data, "0" * 16, a_map(leader, pids=pids, **more))

    def begin(self):
        fault = Fault(0.0, "damage", "shard", 0.0)
        self.nemesis._begin_damage(fault, "leader", self.victim, (0, 1), "it")

    async def reaches(self, text):
        await until(lambda: any(text in event for event in self.nemesis.events))


@pytest.fixture
def stage(tmp_path, process, monkeypatch):
    monkeypatch.setattr(under_test, "_LIVES", partial(has_lived, age_s=0.0))
    monkeypatch.setattr(under_test, "SPARE_TIMEOUT_S", 10.0)
    monkeypatch.setattr(under_test, "HEAL_POLL_S", 0.01)
    (tmp_path / "data").mkdir()
    return Stage(tmp_path / "data", process)


async def test_a_follower_of_a_whole_shard_is_damaged_and_killed_and_waited_for(stage):
    stage.put_map(leader=0)
    stage.begin()
    await stage.reaches("kill -9 it")
    assert sum(a != b for a, b in zip(stage.whole, stage.journal.read_bytes(), strict=True)) == 1
    await until(lambda: not has_lived(stage.victim.pid, 0.0))
    assert stage.nemesis._healing == {0}
    stage.put_map(leader=0, pid=os.getpid())
    await stage.nemesis.heal()
    assert stage.nemesis._healing == set()
    assert stage.nemesis.problems == []
    assert stage.nemesis.kill_count == 1


async def test_a_leader_whose_followers_it_may_put_out_of_sync_stands_still_and_goes_on_unharmed(stage, monkeypatch):
    """What an earlier run met: the map calls the shard whole, and the leader is about to be alone."""
    monkeypatch.setattr(under_test, "SPARE_TIMEOUT_S", 2.0)
    stage.put_map(leader=1)
    stage.begin()
    await until(lambda: stands_still(stage.victim))
    stage.put_map(leader=1, in_sync=(1,))  # what it had asked for
    await stage.reaches("left out")
    await until(lambda: has_lived(stage.victim.pid, 0.0))
    assert stage.journal.read_bytes() == stage.whole
    assert stage.nemesis.kill_count == 0
    await stage.nemesis.heal()
    assert stage.nemesis._healing == set()
    assert stage.nemesis.problems == []


async def test_a_leader_is_damaged_once_another_leads_and_the_rest_is_in_sync(stage):
    stage.put_map(leader=1)
    stage.begin()
    await asyncio.sleep(0.2)
    stage.put_map(leader=2, in_sync=(2,))
    await asyncio.sleep(0.2)
    assert stage.journal.read_bytes() == stage.whole
    stage.put_map(leader=2, in_sync=(0, 2))
    await stage.reaches("kill -9 it")
    assert stage.journal.read_bytes() != stage.whole
    assert promised_term(stage.data, 0, 1) == TERM
    stage.put_map(leader=2, pid=os.getpid())
    await stage.nemesis.heal()
    assert stage.nemesis.counts == {"damage leader": 1, "kill follower": 1}


@pytest.mark.parametrize("harm", ["the disk was full", "its leader's lanes are spoiled", "a process is stopped"])
async def test_a_replica_is_left_alone_while_other_harm_is_under_way(stage, harm):
    stage.put_map(leader=0)
    if harm == "the disk was full":
        stage.nemesis._disk_freed_at = time.monotonic()
    elif harm == "a process is stopped":
        stage.nemesis._stopped.add(psutil.Process())
    else:
        stage.nemesis._lanes = LaneProxies({(0, 0): stage.data}, 1)
        stage.nemesis._lanes.of[0, 0].mode = "delay"
    stage.begin()
    await stage.reaches("left out")
    assert stage.nemesis._healing == set()
    assert not stands_still(stage.victim)


@pytest.mark.parametrize(("place", "chosen"), [((0, 2), False), (None, False), ((1, 2), True)])
async def test_until_a_damaged_copy_is_back_nothing_that_may_be_of_its_shard_is_harmed(stage, place, chosen):
    class Found:
        def find(self, role):
            return [stage.victim]

        def leaders(self):
            return {(0, 0)}

        def replica_of(self, process):
            return place

    stage.nemesis._processes, fault = Found(), Fault(0.0, "kill", "shard", 0.0)
    assert stage.nemesis._choose(fault) == (stage.victim, place)
    stage.nemesis._healing.add(0)
    assert stage.nemesis._choose(fault) == ((stage.victim, place) if chosen else (None, None))
