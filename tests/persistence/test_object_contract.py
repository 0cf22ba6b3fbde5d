"""What every object store promises, held against a folder and a real S3 server; then what only a folder does."""

from __future__ import annotations

import asyncio
import os

import pytest

from actors.core.errors import ConflictError, InvalidError, OverloadedError
from bench.processes import free_port
from persistence import objects
from persistence.objects import CACHED_BYTES_MAX, LocalStore, S3Store, open_store
from tests.persistence.s3_server import CREDENTIALS, s3_server

PARTS_BYTES = 12_000_000  # more than one part of an upload


@pytest.fixture(scope="module")
def s3_url():
    with s3_server() as url:
        yield url


@pytest.fixture(params=["folder", "s3"])
def store(request, tmp_path, monkeypatch):
    if request.param == "folder":
        return open_store("", tmp_path / "objects")
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    url, _, options = request.getfixturevalue("s3_url").partition("?")
    return open_store(f"{url}/{request.node.name.partition('[')[0]}?{options}", tmp_path)


async def whole(store, name: str, start: int = 0, stop: int = 1 << 40) -> bytes:
    return b"".join([piece async for piece in store.read(name, start, stop)])


async def names(store, prefix: str) -> list[str]:
    return sorted([head.name async for head in store.list(prefix)])


async def test_an_object_is_written_once_and_read_in_parts(store):
    await store.put_new("ab/cd/1-x-original.jpg", b"0123456789", "image/jpeg")
    assert await whole(store, "ab/cd/1-x-original.jpg") == b"0123456789"
    assert await whole(store, "ab/cd/1-x-original.jpg", 3, 5) == b"34"
    assert await whole(store, "ab/cd/1-x-original.jpg", 8, 99) == b"89"
    assert (await store.head("ab/cd/1-x-original.jpg")).size == 10


async def test_the_same_bytes_again_are_fine_and_others_refused(store):
    await store.put_new("ab/cd/1-x-small.jpg", b"these", "image/jpeg")
    await store.put_new("ab/cd/1-x-small.jpg", b"these", "image/jpeg")
    with pytest.raises(ConflictError, match="other bytes"):
        await store.put_new("ab/cd/1-x-small.jpg", b"those", "image/jpeg")
    assert await whole(store, "ab/cd/1-x-small.jpg") == b"these"


async def test_a_large_object_goes_in_parts_from_a_file(store, tmp_path):
    source = tmp_path / "video"
    source.write_bytes(os.urandom(PARTS_BYTES))
    await store.put_new("ab/cd/2-x-original.mp4", source, "video/mp4")
    await store.put_new("ab/cd/2-x-original.mp4", source, "video/mp4")
    assert (await store.head("ab/cd/2-x-original.mp4")).size == PARTS_BYTES
    assert await whole(store, "ab/cd/2-x-original.mp4", 0, PARTS_BYTES) == source.read_bytes()
    other = tmp_path / "other"
    other.write_bytes(b"x" * PARTS_BYTES)
    with pytest.raises(ConflictError):
        await store.put_new("ab/cd/2-x-original.mp4", other, "video/mp4")


async def test_what_is_not_there_is_said(store):
    assert await store.head("ab/cd/9-x-small.jpg") is None
    assert store.read_cached("ab/cd/9-x-small.jpg") is None
    with pytest.raises(FileNotFoundError):
        await whole(store, "ab/cd/9-x-small.jpg")
    await store.delete(["ab/cd/9-x-small.jpg"])


async def test_objects_are_listed_by_what_their_names_begin_with(store):
    given = ["aa/bb/12-h-original.jpg", "aa/bb/12-h-small.jpg", "aa/bb/123-h-small.jpg", "aa/cc/5-h-small.jpg"]
    for name in given:
        await store.put_new(name, b"x", "image/jpeg")
    assert await names(store, "aa/bb/12-") == given[:2]
    assert await names(store, "aa/") == given
    assert await names(store, "") == given
    assert await names(store, "zz/yy/1-") == []
    await store.delete(given[:2])
    assert await names(store, "") == given[2:]


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../b", "a//b", "", "a b", "a\n", ".hidden", "x" * 300, "é"])
async def test_a_name_that_leads_elsewhere_is_refused(tmp_path, name):
    store = LocalStore(tmp_path)
    with pytest.raises(InvalidError):
        await store.put_new(name, b"x", "image/jpeg")
    with pytest.raises(InvalidError):
        await store.head(name)
    with pytest.raises(InvalidError):
        await whole(store, name)


# --- a folder ---------------------------------------------------------------------------------------------------------


async def test_file_and_folders_are_synced_before_a_write_is_done(tmp_path, monkeypatch):
    synced, real = [], os.fsync

    def noted(fd: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{fd}"))
        real(fd)

    monkeypatch.setattr(objects.os, "fsync", noted)
    await LocalStore(tmp_path / "new").put_new("ab/cd/1-x-small.jpg", b"x", "image/jpeg")
    folders = [str(tmp_path), *(str(tmp_path / below) for below in ("new", "new/ab", "new/ab/cd"))]
    assert set(folders) <= set(synced)
    assert any("/.new-" in path for path in synced)
    assert synced[-1] == folders[-1], "the name itself comes last"


async def test_a_small_object_is_read_at_once_and_a_large_one_is_not(tmp_path):
    store = LocalStore(tmp_path)
    for size in (0, 1, CACHED_BYTES_MAX):
        await store.put_new(f"a/b/{size}-small.jpg", b"y" * size, "image/jpeg")
        assert store.read_cached(f"a/b/{size}-small.jpg") == b"y" * size
    await store.put_new("a/b/large.jpg", b"y" * (CACHED_BYTES_MAX + 1), "image/jpeg")
    assert store.read_cached("a/b/large.jpg") is None
    assert store.read_cached("a/b") is None


async def test_a_writer_that_died_leaves_nothing_that_is_seen_or_stays(tmp_path):
    store = LocalStore(tmp_path)
    await store.put_new("a/b/1-small.jpg", b"y", "image/jpeg")
    left, begun = tmp_path / "a/b/.new-0123", tmp_path / "a/b/.new-4567"
    for path in (left, begun):
        path.write_bytes(b"half")
    os.utime(left, (0, 0))
    assert await names(store, "") == ["a/b/1-small.jpg"]
    assert store.tidy() == 1
    assert (left.exists(), begun.exists()) == (False, True)


async def test_many_who_write_one_name_agree(tmp_path):
    store = LocalStore(tmp_path)
    await asyncio.gather(*(store.put_new("a/b/1-small.jpg", b"same", "image/jpeg") for _ in range(8)))
    assert [path.name for path in (tmp_path / "a/b").iterdir()] == ["1-small.jpg"]


async def test_a_full_disk_is_told_as_a_wait(tmp_path, monkeypatch):
    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(objects.os, "fsync", full)
    with pytest.raises(OverloadedError, match="No space left"):
        await LocalStore(tmp_path).put_new("a/b/1-small.jpg", b"x", "image/jpeg")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


# --- S3 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["https://bucket", "s3://", "s3://user:secret@bucket", "s3://bucket?key=secret"])
def test_an_address_that_is_none_is_refused_without_repeating_it(url):
    with pytest.raises(InvalidError) as caught:
        S3Store(url)
    assert "secret" not in caught.value.message


async def test_a_store_that_is_away_is_told_as_a_wait_and_says_nothing_of_its_address(tmp_path, monkeypatch):
    secret = tmp_path / "secret"
    secret.write_text("file-secret\n")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY_FILE", str(secret))
    store = S3Store(f"s3://bucket?endpoint=http://127.0.0.1:{free_port()}")
    with pytest.raises(OverloadedError) as caught:
        await store.head("a/b/1-small.jpg")
    assert "127.0.0.1" not in caught.value.message
