"""Level 0's files where a test can use them: unpacked, each time anew, into a folder or a server of the test's own."""

from __future__ import annotations

import io
import json
import lzma
import tarfile
from functools import cache
from pathlib import Path
from typing import Any

import msgpack

from tests.persistence.redis_processes import RedisProcess

FOLDER = Path(__file__).parent / "level0"


@cache
def expected() -> dict[str, Any]:
    """Return what level 0 answered, by the name of what it was asked of. Not to be changed."""
    found: dict[str, Any] = json.loads(lzma.decompress((FOLDER / "answers.json.xz").read_bytes()))
    return found


@cache
def lived() -> dict[str, Any]:
    """Return the journals of all commands and messages, and what they came to. Not to be changed."""
    found: dict[str, Any] = msgpack.unpackb(lzma.decompress((FOLDER / "journal.msgpack.xz").read_bytes()))
    return found


def unpack_folder(name: str, into: Path) -> Path:
    """Unpack a data folder or a backup; return where it is."""
    with tarfile.open(fileobj=io.BytesIO(lzma.decompress((FOLDER / f"{name}.tar.xz").read_bytes()))) as packed:
        packed.extractall(into, filter="data")
    for folder in (into / "data", *(path for path in (into / "data").rglob("*") if path.is_dir())):
        folder.chmod(0o700)
    return into / "data"


def unpack_redis(process: RedisProcess, into: Path) -> Path:
    """Put the keys into a server, and the files into a data folder that names it; return the folder.

    DUMP was of Redis 7.0.15: the server must be of 7.0 or later.
    """
    kept = msgpack.unpackb(lzma.decompress((FOLDER / "redis.msgpack.xz").read_bytes()))
    for key, value in kept["keys"].items():
        process.client.restore(key, 0, value)
    data = into / "data"
    for name, content in kept["files"].items():
        path = data / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_bytes(content)
    info = json.loads((data / "cluster.json").read_text())
    (data / "cluster.json").write_text(json.dumps(info | {"redis_url": process.url}))
    return data
