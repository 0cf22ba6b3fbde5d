"""The media actor's two queues, without Ray: what comes of a file lies in the store; who is too many is told to wait."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest

from actors.core.errors import InvalidError, OverloadedError, from_wire
from actors.core.media_names import media_id_of, prefix_of
from actors.media.jobs import Done, Piece
from actors.media.processed import Processed
from actors.media_actor import Processing
from actors.node_media import NodeMedia
from persistence.objects import LocalStore

MEDIA_ID = 987654321


class FakeJobs:
    """Jobs that take until they are let go, and make one file."""

    def __init__(self, folder) -> None:
        self.folder, self.may_go, self.running = folder, threading.Event(), 0

    @contextlib.contextmanager
    def run(self, source, purpose, timeout_s):
        self.running += 1
        assert self.running == 1, "one at a time"
        try:
            assert self.may_go.wait(60)
            if b"bad" in source.read_bytes():
                raise InvalidError("the file is bad", "file")
            made = self.folder / "small.jpg"
            made.write_bytes(b"made")
            yield Done("image", (Piece("original", made, "jpg", 3, 2),), "hash", 0, 0.0, 0)
        finally:
            self.running -= 1


@pytest.fixture
def jobs(tmp_path):
    return FakeJobs(tmp_path)


@pytest.fixture
def processing(jobs, tmp_path):
    return Processing(jobs, LocalStore(tmp_path / "objects"), 2)


def upload(tmp_path, body: bytes = b"\xff\xd8\xff"):
    source = tmp_path / "upload"
    source.write_bytes(body)
    return source


async def test_what_is_made_lies_in_the_store_under_a_name_of_its_own(processing, jobs, tmp_path):
    jobs.may_go.set()
    found = await processing.process(upload(tmp_path), "attachment", MEDIA_ID)
    (rendition,) = found.renditions
    assert rendition.name.startswith(prefix_of(MEDIA_ID))
    assert media_id_of(rendition.name) == MEDIA_ID
    assert (rendition.rendition, rendition.size, rendition.content_type) == ("original", 4, "image/jpeg")
    assert (tmp_path / "objects" / rendition.name).read_bytes() == b"made"
    assert Processed.from_wire(found.to_wire()) == found
    again = await processing.process(upload(tmp_path), "attachment", MEDIA_ID)
    assert again == found


async def test_more_than_may_wait_are_told_to_come_back(processing, jobs, tmp_path):
    source = upload(tmp_path)
    waiting = [asyncio.create_task(processing.process(source, "attachment", MEDIA_ID)) for _ in range(3)]
    while processing.waiting[False] < 3:
        await asyncio.sleep(0)
    with pytest.raises(OverloadedError, match="2 files wait"):
        await processing.process(source, "attachment", MEDIA_ID)
    jobs.may_go.set()
    assert len(await asyncio.gather(*waiting)) == 3
    assert processing.waiting == {False: 0, True: 0}


async def test_a_refusal_reaches_whoever_asked_as_it_was_said_and_is_counted(processing, jobs, tmp_path):
    jobs.may_go.set()

    async def call(_actor, _method, source, purpose, media_id):
        try:
            found = await processing.process(type(tmp_path)(source), purpose, media_id)
        except InvalidError as error:
            return ["refused", error.to_wire()]
        return ["done", found.to_wire()]

    media = NodeMedia(LocalStore(tmp_path / "objects"), tmp_path, call, "media", True)
    with pytest.raises(InvalidError, match="the file is bad"):
        await media.process(upload(tmp_path, b"\xff\xd8\xffbad"), "attachment", 1)
    found = await media.process(upload(tmp_path), "attachment", 2)
    assert await media.head(found.renditions[0].name) == 4
    figures = media.figures()
    assert (figures["media_processed_image"], figures["media_refused_invalid"], figures["media_bytes"]) == (1, 1, 4)
    assert figures["media_waiting"] == 0
    assert figures["media_seconds"] > 0


async def test_nobody_who_processes_is_a_wait_and_no_media_is_said(tmp_path):
    async def nobody(*_call):
        raise ValueError("no such actor")

    media = NodeMedia(LocalStore(tmp_path), tmp_path, nobody, "media", True)
    with pytest.raises(OverloadedError, match="can't be processed now"):
        await media.process(tmp_path, "attachment", 1)
    off = NodeMedia(LocalStore(tmp_path), tmp_path, nobody, "media", False)
    assert not any(map(off.is_open, ("image", "gifv", "video", "audio")))
    with pytest.raises(OverloadedError, match=r"media\.enabled"):
        await off.process(tmp_path, "attachment", 1)


async def test_a_purpose_that_is_none_is_refused(processing, tmp_path):
    with pytest.raises(InvalidError, match="attachment, avatar, header"):
        await processing.process(upload(tmp_path), "wallpaper", 1)


def test_errors_keep_their_fields_on_the_way():
    error = from_wire(InvalidError("no", "file").to_wire())
    assert (type(error), error.field) == (InvalidError, "file")
