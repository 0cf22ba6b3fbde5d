"""What shards know of media beside a store: removal of what nobody shows, `check --media`, and copies in backups."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Any

import pytest

from actors.core import limits
from actors.core.errors import NotFoundError, OverloadedError
from actors.core.facts import ATTACHMENTS
from actors.core.features import blobs
from actors.core.media_names import prefix_of
from actors.core.outbound import SendVerdict, read_outbound
from actors.outgoing.blobs import Blobs, LocalRemoval
from actors.outgoing.channel import OutgoingItem
from actors.outgoing.dispatcher import Dispatcher
from commands.checking import Outcome
from commands.launch import ClusterInfo
from commands.media_backup import FOLDER, SUMS, has_media, media_of, restore_media, verify_media
from commands.media_checking import check_media, store_of
from configs.settings import load_settings
from persistence.backup_format import BackupError
from persistence.objects import LocalStore
from tests.core.harness import Shards
from tests.core.hostile_media import facts_of, upload

ADA = 1


class World(Shards):
    """A shard of one person, and a store in a folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(1)
        self.register(ADA)
        self.store = LocalStore(folder / "objects")

    def upload(self, **more: Any) -> int:
        """Have an upload be ready, and its objects in the store."""
        media_id = upload(self, ADA, **more)
        self.write(media_id)
        return media_id

    def write(self, media_id: int) -> None:
        for _, name, *_ in facts_of(media_id)[0]:
            asyncio.run(self.store.put_new(name, name.encode(), "image/jpeg"))

    def show(self, *media_ids: int) -> int:
        return self.post(ADA, facts=[[ATTACHMENTS, list(media_ids)]])

    def names(self) -> set[str]:
        return asyncio.run(names_of(self.store))

    def has(self, media_id: int) -> bool:
        return any(name.startswith(prefix_of(media_id)) for name in self.names())

    async def ask(self, shard: int, op: str, args: list[Any]) -> Any:
        return self.replicas[shard].read(op, args)

    def check_media(self, repair: bool = False) -> Outcome:
        outcome = Outcome()
        asyncio.run(check_media(self.ask, 1, self.store, outcome, repair))
        return outcome

    def rows(self) -> list[list[Any]]:
        """Return what is due to leave, as a call has it."""
        replica = self.replicas[0]
        rows = []
        for item in replica.state.papers.outbound.first(self.now_ms, 100):
            document = read_outbound(replica.state.papers.get(blobs.BLOB, item.owner, item.key))
            facts = blobs.CHANNEL.facts(replica.lookups, self.now_ms, item.owner, item.key, document)
            rows.append([blobs.CHANNEL.name, item.owner, item.key, document.attempts, facts])
        return rows

    def note(self, rows: list[list[Any]], told: list[list[int]]) -> None:
        """Have the shard know what came of a call."""
        outcomes = [
            [blobs.BLOB.number, owner, key, attempts, verdict, after_ms]
            for (_, owner, key, attempts, _), (verdict, after_ms) in zip(rows, told, strict=True)
        ]
        self.run(0, ["outcome", self.now_ms, outcomes])


async def names_of(store: LocalStore) -> set[str]:
    return {head.name async for head in store.list("")}


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


async def nobody(rows: list[list[Any]]) -> list[list[int]]:
    """No dispatcher is needed for what lies in a folder."""
    raise AssertionError(f"a dispatcher was asked for {rows}")


# ---- removal --------------------------------------------------------------------------------------------------------


def test_what_nobody_shows_goes_and_nothing_else(world):
    shown, gone = world.upload(), world.upload()
    world.show(shown)
    world.do("delete", world.show(gone), ADA)
    removal = LocalRemoval(Blobs(world.store), nobody)
    rows = world.rows()
    world.note(rows, asyncio.run(removal.dispatch(rows)))
    assert (world.has(shown), world.has(gone), world.rows()) == (True, False, [])
    assert world.check_media().problem_count == 0


def test_a_store_that_is_away_leaves_them_for_later_and_none_is_forgotten(world, monkeypatch):
    media_id = world.upload()
    world.do("media_drop", ADA, media_id)

    async def away(names):
        raise OverloadedError("the object store is away", None, 5.0)

    monkeypatch.setattr(world.store, "delete", away)
    channel = Blobs(world.store)
    for _ in range(limits.OUTBOUND_ATTEMPTS_MAX + 4):
        rows = world.rows()
        told = asyncio.run(channel.send([OutgoingItem(*row[1:]) for row in rows]))
        assert [outcome.verdict for outcome in told] == [SendVerdict.LATER]
        world.note(rows, [[int(told[0].verdict), 5_000]])
        world.now_ms = read_outbound(world.replicas[0].state.papers.get(blobs.BLOB, media_id)).due_ms
    monkeypatch.undo()
    rows = world.rows()
    told = asyncio.run(Dispatcher({"blob": channel}).dispatch(rows))
    world.note(rows, told)
    assert (world.names(), world.rows()) == (set(), [])
    assert channel.figures() == {"removed": 2}


def test_a_folder_needs_no_dispatcher_and_a_bucket_does(tmp_path):
    folder, bucket, none = (
        load_settings("test", sets, environ={})
        for sets in ([], ["media.store_url=s3://pictures"], ["media.enabled=false"])
    )
    assert [settings.channels for settings in (folder, bucket, none)] == [{"blob"}, {"blob"}, frozenset()]
    assert [settings.dispatched for settings in (folder, bucket, none)] == [frozenset(), {"blob"}, frozenset()]
    assert Blobs.open(folder, None) is None
    assert LocalRemoval.around(bucket, nobody) is LocalRemoval.around(none, nobody) is nobody


def test_a_killed_client_leaves_nothing_at_any_step(world):
    """Of an upload whose client died at each step, nothing is left once its time is over; nothing shown is missing."""
    begun = world.do("media_begin", ADA, "attachment", "", 0, 0)
    written = world.do("media_begin", ADA, "attachment", "", 0, 0)
    world.write(written)
    done, shown = world.upload(), world.upload()
    world.show(shown)
    assert world.check_media().problem_count == 0
    removal = LocalRemoval(Blobs(world.store), nobody)
    for _ in range(3):
        world.now_ms += limits.MEDIA_WAITING_MS
        while (command := world.replicas[0].due_command(world.now_ms)) is not None:
            world.run(0, command)
        if rows := world.rows():
            world.note(rows, asyncio.run(removal.dispatch(rows)))
    assert [world.has(media_id) for media_id in (begun, written, done, shown)] == [False, False, False, True]
    assert world.check_media().figures["media_objects"] == 2


# ---- check --media --------------------------------------------------------------------------------------------------


def test_what_is_missing_and_what_is_nobodys_is_said_and_only_the_latter_repaired(world):
    shown, lost, waits = world.upload(), world.upload(), world.upload()
    world.show(shown)
    world.show(lost)
    orphan = prefix_of(77) + "0123456789abcdef-original.jpg"
    for name in (orphan, "x/notes.txt"):
        asyncio.run(world.store.put_new(name, b"x", ""))
    small = next(name for name in world.names() if name.startswith(prefix_of(lost)) and "-small" in name)
    asyncio.run(world.store.delete([small]))
    found = world.check_media()
    assert found.problem_count == 3
    assert any(small in problem and str(lost) in problem for problem in found.problems)
    assert any(orphan in problem for problem in found.problems)
    assert any("x/notes.txt" in problem for problem in found.problems)
    assert found.figures["media_orphans"] == found.figures["media_missing"] == 1
    repaired = world.check_media(repair=True)
    assert repaired.problem_count == 2
    assert orphan not in world.names()
    assert world.has(waits)


def test_what_is_on_its_way_is_no_orphan_and_pages_are_followed(world, monkeypatch):
    media_id = world.do("media_begin", ADA, "attachment", "", 0, 0)
    world.write(media_id)
    gone = world.upload()
    world.do("media_drop", ADA, gone)
    shown = [world.upload() for _ in range(5)]
    for each in shown:
        world.show(each)
    monkeypatch.setattr("commands.media_checking.MEDIA_LISTED_COUNT_MAX", 2)
    found = world.check_media()
    assert (found.problem_count, found.figures["media_to_remove"]) == (0, 1)


def test_the_data_folder_says_where_the_store_is(tmp_path):
    with pytest.raises(NotFoundError):
        store_of(tmp_path)
    ClusterInfo(0, "", "n", "", "", 1, 800, "open", media_folder=str(tmp_path / "elsewhere")).save(tmp_path)
    assert store_of(tmp_path).folder == tmp_path / "elsewhere"
    ClusterInfo(0, "", "n", "", "", 1, 800, "open").save(tmp_path)
    assert store_of(tmp_path).folder == tmp_path / "media" / "objects"


# ---- backups --------------------------------------------------------------------------------------------------------


def backed_up(world: World, directory: Path) -> dict[str, int]:
    """Copy a store as `backup --media` does, with something that comes after the first copy."""
    with media_of(world.store, directory) as media:
        asyncio.run(media.copy(lambda _: None))
        world.upload()
        directory.mkdir()
        asyncio.run(media.copy(lambda _: None))
        media.finish()
    return media.summary


def test_a_backup_has_what_the_store_has_and_another_store_gets_it(world, tmp_path):
    world.upload()
    asyncio.run(world.store.put_new("x/notes.txt", b"x", ""))
    summary = backed_up(world, tmp_path / "backup")
    assert summary["media_objects"] == 4
    assert has_media(tmp_path / "backup")
    assert verify_media(tmp_path / "backup") == 4
    other = LocalStore(tmp_path / "other")
    for _ in range(2):  # a restore that was interrupted begins anew
        assert asyncio.run(restore_media(tmp_path / "backup", other)) == 4
    assert asyncio.run(names_of(other)) == world.names() - {"x/notes.txt"}
    assert sorted(os.listdir(tmp_path)) == ["backup", "objects", "other"]


@pytest.mark.parametrize("damage", ["other bytes", "missing", "a name that leads out"])
def test_damage_of_a_backups_media_is_found(world, tmp_path, damage):
    backed_up(world, tmp_path / "backup")
    folder = tmp_path / "backup" / FOLDER
    path = next(folder.glob("*/*/*"))
    if damage == "other bytes":
        path.write_bytes(b"other")
    elif damage == "missing":
        path.unlink()
    else:
        (folder / SUMS).write_text(f"{'0' * 64}  ../../secret\n", encoding="ascii")
    with pytest.raises(BackupError):
        verify_media(tmp_path / "backup")


def test_a_backup_that_fails_leaves_no_copies_and_one_without_media_copies_none(world, tmp_path):
    world.upload()
    with contextlib.suppress(OverloadedError), media_of(world.store, tmp_path / "backup") as media:
        asyncio.run(media.copy(lambda _: None))
        raise OverloadedError("a shard is away")
    with media_of(None, tmp_path / "backup") as media:
        asyncio.run(media.copy(lambda _: None))
        media.finish()
    assert (sorted(os.listdir(tmp_path)), media.summary) == (["objects"], {})
