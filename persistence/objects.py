"""Where pictures, video and sound lie: a store of named objects that are written once and never changed.

    open_store --> LocalStore   files below a folder
                   S3Store      a bucket of S3 or its like, over obstore

Rules of this file
- A name's bytes never change: `put_new` refuses other bytes under a name that is there, and takes the same again.
- What `put_new` has returned from survives a power cut: file and folders are synced; S3 says so by its answer.
- Names are relative, of letters, digits, `-`, `.`, `_` and `/` (`check_name`): none leads out of the store.
- Credentials come from the environment, or a file that it names; never from an address, and nobody logs them.
- Nothing here decides who may read what.

A file that is being written lies beside its name as `.new-<random>`; who dies then leaves it, and `list` passes it over
until `LocalStore.tidy` removes it. Blocking work of the folder is done in threads, but for `LocalStore.read_cached`.

Cost of a local read: 20 us out of the page cache. obstore is loaded for S3 only: 60 ms and 25 MB.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import secrets
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import parse_qsl, urlsplit

from actors.core.errors import ConflictError, InvalidError, OverloadedError

CHUNK_BYTES: Final = 256 * 1024  # read, compared and sent at once
PART_BYTES: Final = 8 << 20  # of an upload in parts; S3 takes none below 5 MiB but the last
CACHED_BYTES_MAX: Final = 128 * 1024  # of an object that is read in one go
STALE_S: Final = 3600.0  # after which a file that was being written has no writer
NAME_CHARS_MAX: Final = 200
_NAME: Final = re.compile(r"[A-Za-z0-9_\-]+(?:[./][A-Za-z0-9_\-]+)*", re.ASCII)
_NEW: Final = ".new-"
_NOT_THERE: Final = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


class ObjectHead(NamedTuple):
    """What is known of an object without reading it."""

    name: str
    size: int


_Looked = tuple[list[ObjectHead], list[str]]


class ObjectStore(Protocol):
    """Objects by name. All methods but `put_new` may be called by any number at once, on the same names, too."""

    async def put_new(self, name: str, source: Path | bytes, content_type: str) -> None:
        """Keep bytes under a name for ever; they are durable when this returns.

        Raises ConflictError if other bytes have the name, OverloadedError if the store can't be reached or is full.
        """
        ...

    async def head(self, name: str) -> ObjectHead | None:
        """Return what is known of an object, None if there is none of that name."""
        ...

    def read(self, name: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """Give bytes start..stop - 1 in pieces of CHUNK_BYTES or less. Raises FileNotFoundError if there are none."""
        ...

    def read_cached(self, name: str) -> bytes | None:
        """Return a small object whole, if that takes no wait; None for "ask `read`", also if there is none."""
        ...

    async def delete(self, names: Sequence[str]) -> None:
        """Remove objects; those that aren't there are removed already."""
        ...

    def list(self, prefix: str) -> AsyncIterator[ObjectHead]:
        """Give all objects whose names begin with `prefix`, ascending by name."""
        ...


def check_name(name: str) -> str:
    """Return a name that may be one. Raises InvalidError for any other."""
    if len(name) > NAME_CHARS_MAX or not _NAME.fullmatch(name):
        raise InvalidError(f"{name[:80]!r} can't be an object's name: letters, digits, -, _, and . or / between them")
    return name


class LocalStore:
    """Objects as files below a folder, which is made when the first is written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._base = os.fspath(folder) + os.sep
        self._buffer = bytearray(CACHED_BYTES_MAX + 1)

    async def put_new(self, name: str, source: Path | bytes, content_type: str) -> None:
        """As in `ObjectStore`; the type is known by the name's end, files keep none."""
        del content_type
        try:
            await asyncio.to_thread(self._put, check_name(name), source)
        except OSError as error:
            raise OverloadedError(f"{name} can't be kept: {error.strerror}", None, 5.0) from error

    def _put(self, name: str, source: Path | bytes) -> None:
        path = self.folder / name
        _make_folders(path.parent)
        beside = path.parent / f"{_NEW}{secrets.token_hex(8)}"
        try:
            with open(beside, "xb") as file:
                for piece in _pieces(source):
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(beside, path)  # unlike a rename it never takes the place of another
            except FileExistsError:
                if _hash_of(_pieces(path)) != _hash_of(_pieces(source)):
                    raise ConflictError(f"{name} is there already, with other bytes") from None
        finally:
            beside.unlink(missing_ok=True)
        _sync_folder(path.parent)

    async def head(self, name: str) -> ObjectHead | None:
        """As in `ObjectStore`."""
        try:
            size = (await asyncio.to_thread(os.stat, self._base + check_name(name))).st_size
        except _NOT_THERE:
            return None
        return ObjectHead(name, size)

    async def read(self, name: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """As in `ObjectStore`."""
        fd = await asyncio.to_thread(os.open, self._base + check_name(name), os.O_RDONLY | os.O_CLOEXEC)
        try:
            while start < stop:
                piece = await asyncio.to_thread(os.pread, fd, min(CHUNK_BYTES, stop - start), start)
                if not piece:
                    return
                start += len(piece)
                yield piece
        finally:
            os.close(fd)

    def read_cached(self, name: str) -> bytes | None:
        """As in `ObjectStore`. `name` is one that `check_name` takes. 8 us; what the disk would be asked for is None.

        The kernel gives what it has in memory, and tells when it would have to wait (RWF_NOWAIT), so no thread is
        needed. Opening looks the name up, which may read one directory's block.
        """
        try:
            fd = os.open(self._base + name, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        buffer = self._buffer
        try:
            count = os.preadv(fd, (buffer,), 0, _NOWAIT)
            if count > CACHED_BYTES_MAX or count != os.fstat(fd).st_size:
                return None
        except OSError:  # not in memory, or a file system that can't tell
            return None
        finally:
            os.close(fd)
        return bytes(memoryview(buffer)[:count])

    async def delete(self, names: Sequence[str]) -> None:
        """As in `ObjectStore`."""
        await asyncio.to_thread(self._delete, [check_name(name) for name in names])

    def _delete(self, names: Sequence[str]) -> None:
        for name in names:
            with contextlib.suppress(*_NOT_THERE):
                os.unlink(self._base + name)
        for parent in {(self.folder / name).parent for name in names}:
            with contextlib.suppress(FileNotFoundError):
                _sync_folder(parent)

    async def list(self, prefix: str) -> AsyncIterator[ObjectHead]:
        """As in `ObjectStore`; a folder at a time is read in a thread."""
        folders = [prefix.rpartition("/")[0]]
        while folders:
            below = folders.pop()
            found, deeper = await asyncio.to_thread(self._look, below, prefix)
            folders += reversed(deeper)
            for head in found:
                yield head

    def _look(self, below: str, prefix: str) -> _Looked:
        found, deeper = [], []
        try:
            entries = sorted(os.scandir(self._base + below), key=lambda entry: entry.name)
        except _NOT_THERE:
            return [], []
        for entry in entries:
            name = f"{below}/{entry.name}" if below else entry.name
            if entry.is_dir(follow_symlinks=False):
                if name.startswith(prefix) or prefix.startswith(f"{name}/"):
                    deeper.append(name)
            elif name.startswith(prefix) and not entry.name.startswith(_NEW):
                with contextlib.suppress(*_NOT_THERE):
                    found.append(ObjectHead(name, entry.stat(follow_symlinks=False).st_size))
        return found, deeper

    def tidy(self) -> int:
        """Remove what writers that died have left. Returns how many files. Blocks: it walks the whole store."""
        count, stale_at = 0, time.time() - STALE_S
        for path in self.folder.rglob(f"{_NEW}*"):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < stale_at:
                    path.unlink()
                    count += 1
        return count


_NOWAIT: Final[int] = getattr(os, "RWF_NOWAIT", 0)


class S3Store:
    """Objects in a bucket, below a prefix of it."""

    def __init__(self, url: str) -> None:
        """url: `s3://BUCKET[/PREFIX][?endpoint=https://HOST:PORT&region=REGION]`."""
        from obstore.store import S3Store as Bucket

        parts = urlsplit(url)
        asked = dict(parse_qsl(parts.query))
        if parts.scheme != "s3" or not parts.netloc or "@" in parts.netloc or asked.keys() - {"endpoint", "region"}:
            raise InvalidError("an object store is s3://BUCKET[/PREFIX][?endpoint=https://HOST:PORT&region=REGION]")
        options: dict[str, Any] = {"region": asked.get("region") or os.environ.get("AWS_REGION") or "us-east-1"}
        client: Any = {"timeout": "60s", "connect_timeout": "5s"}
        if endpoint := asked.get("endpoint"):
            options["endpoint"] = endpoint
            client["allow_http"] = endpoint.startswith("http://")
        self._bucket = Bucket(
            parts.netloc, prefix=parts.path.strip("/") or None, client_options=client,
            retry_config={"max_retries": 3}, **options, **_credentials(),
        )  # fmt: skip

    async def put_new(self, name: str, source: Path | bytes, content_type: str) -> None:
        """As in `ObjectStore`: a small object on condition that there is none; a large one in parts, after a look.

        Two who write one large name at once write the same bytes, as names hold the bytes' hash.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError, BaseError

        size = len(source) if isinstance(source, bytes) else (await asyncio.to_thread(source.stat)).st_size
        attributes: Any = {"Content-Type": content_type, "Cache-Control": "public, max-age=31536000, immutable"}
        try:
            if size <= PART_BYTES:
                whole = source if isinstance(source, bytes) else await asyncio.to_thread(source.read_bytes)
                with contextlib.suppress(AlreadyExistsError):
                    await obstore.put_async(
                        self._bucket, check_name(name), whole, attributes=attributes, mode="create",
                        use_multipart=False,
                    )  # fmt: skip
                    return
            elif await self.head(name) is None:
                await obstore.put_async(
                    self._bucket, check_name(name), source, attributes=attributes, use_multipart=True,
                    chunk_size=PART_BYTES, max_concurrency=2,
                )  # fmt: skip
                return
        except (BaseError, OSError) as error:
            raise _away(name, error) from error
        theirs = hashlib.blake2b()
        async for piece in self.read(name, 0, size + 1):
            theirs.update(piece)
        if theirs.digest() != await asyncio.to_thread(lambda: _hash_of(_pieces(source))):
            raise ConflictError(f"{name} is there already, with other bytes")

    async def head(self, name: str) -> ObjectHead | None:
        """As in `ObjectStore`."""
        import obstore
        from obstore.exceptions import BaseError

        try:
            meta = await obstore.head_async(self._bucket, check_name(name))
        except FileNotFoundError:
            return None
        except (BaseError, OSError) as error:
            raise _away(name, error) from error
        return ObjectHead(name, meta["size"])

    async def read(self, name: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """As in `ObjectStore`: a piece is a request, so that who reads slowly fills no memory."""
        import obstore
        from obstore.exceptions import BaseError

        found = await self.head(name)
        if found is None:
            raise FileNotFoundError(name)
        stop = min(stop, found.size)
        while start < stop:
            end = min(stop, start + CHUNK_BYTES)
            try:
                piece = await obstore.get_range_async(self._bucket, name, start=start, end=end)
            except FileNotFoundError:
                raise
            except (BaseError, OSError) as error:
                raise _away(name, error) from error
            start = end
            yield bytes(piece)

    def read_cached(self, name: str) -> bytes | None:
        """None: a store elsewhere is always waited for."""
        del name
        return None

    async def delete(self, names: Sequence[str]) -> None:
        """As in `ObjectStore`."""
        import obstore
        from obstore.exceptions import BaseError

        try:
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    await obstore.delete_async(self._bucket, check_name(name))
        except (BaseError, OSError) as error:
            raise _away(name, error) from error

    async def list(self, prefix: str) -> AsyncIterator[ObjectHead]:
        """As in `ObjectStore`. S3's own prefixes are whole segments here, so the last one's rest is compared."""
        import obstore
        from obstore.exceptions import BaseError

        try:
            async for batch in obstore.list(self._bucket, prefix.rpartition("/")[0] or None):
                for meta in batch:
                    if meta["path"].startswith(prefix):
                        yield ObjectHead(meta["path"], meta["size"])
        except (BaseError, OSError) as error:
            raise _away(prefix, error) from error


def open_store(store_url: str, folder: Path) -> ObjectStore:
    """Return the store at an address, or of a folder if that is empty. Nothing is made or reached yet.

    Raises InvalidError for an address that can't be one.
    """
    return S3Store(store_url) if store_url else LocalStore(folder)


def object_folder(folder: str, data_dir: Path) -> Path:
    """Return where local objects lie. folder: `media.folder` of the settings, "" for the data folder's own."""
    return Path(folder) if folder else data_dir / "media" / "objects"


def incoming_folder(data_dir: Path) -> Path:
    """Return where a node's API workers write uploads, before they are objects."""
    return data_dir / "media" / "incoming"


def _credentials() -> dict[str, Any]:
    """Return what the environment says of who we are; obstore reads the machine's own service if it says nothing.

    `AWS_SECRET_ACCESS_KEY_FILE` names a file with the secret, as containers are given them.
    """
    found: dict[str, Any] = {}
    names = {
        "access_key_id": "AWS_ACCESS_KEY_ID", "secret_access_key": "AWS_SECRET_ACCESS_KEY",
        "session_token": "AWS_SESSION_TOKEN",
    }  # fmt: skip
    for option, name in names.items():
        if path := os.environ.get(f"{name}_FILE"):
            found[option] = Path(path).read_text(encoding="utf-8").strip()
        elif value := os.environ.get(name):
            found[option] = value
    return found


def _away(name: str, error: Exception) -> OverloadedError:
    """Return what callers are told of a store that doesn't do what it should: nothing of its address or its words."""
    return OverloadedError(f"the object store did not take or give {name[:80]} ({type(error).__name__})", None, 5.0)


def _pieces(source: Path | bytes) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield source
        return
    with open(source, "rb") as file:
        while piece := file.read(CHUNK_BYTES):
            yield piece


def _hash_of(pieces: Iterator[bytes]) -> bytes:
    found = hashlib.blake2b()
    for piece in pieces:
        found.update(piece)
    return found.digest()


def _make_folders(folder: Path) -> None:
    """Make a folder and those above it, each synced into the one above."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)
        _sync_folder(each.parent)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
