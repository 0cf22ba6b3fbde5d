"""The manifest of a checkpoint in Redis: position, epoch, and which chunks of each table count.

Rules of this file
- It changes in one script: rows, position and epoch together, one version after the one that it was made from. A server
  that has another version went back, and the change is refused with JournalLostError.
- What is in memory is what the server has acknowledged, or nothing: from a change until its reply, and after any
  failure, nobody knows, and it is read again. An older version than was acknowledged is JournalLostError then, too.

    chunks of a table:   kept .. first-1     first .. base-1     base .. next-1     next .. written
                         folded away, going      the base         changes since      never committed, going

Chunks themselves are redis_chunk_logs.py's. Costs: a round trip a change, and one after a failure.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from persistence.errors import CheckpointFailedError, JournalLostError
from persistence.redis_checkpoint_owner import CheckpointOwner
from persistence.redis_checkpoint_scripts import COMMIT
from persistence.redis_tables import StoredTables

FOLD_BYTES_MIN = 4 * 1024 * 1024  # bytes of changes that are never folded for their size alone: 10 ms of loading
FOLD_CHUNK_COUNT = 256  # chunks of changes after which a table is folded in any case: each is a key and a round of work


@dataclass(frozen=True, slots=True)
class ChunkLog:
    """Which chunks of one table count; see the picture above."""

    kept: int = 1
    first: int = 1
    base: int = 1
    next: int = 1
    base_bytes: int = 0
    change_bytes: int = 0

    @classmethod
    def parse(cls, text: str) -> ChunkLog:
        """Return the log that `str` of it has made this text of."""
        return cls(*map(int, text.split()))

    def __str__(self) -> str:
        return f"{self.kept} {self.first} {self.base} {self.next} {self.base_bytes} {self.change_bytes}"

    def anew(self) -> ChunkLog:
        """Return a log of new chunks behind all that count now."""
        return ChunkLog(self.kept, self.next, self.next, self.next)

    def based(self) -> ChunkLog:
        """Return the log with all of its chunks as the base."""
        return replace(self, base=self.next, base_bytes=self.change_bytes, change_bytes=0)

    @property
    def folded_away(self) -> range:
        """The chunks that a base has taken the place of, and that may still be there."""
        return range(self.kept, self.first)

    @property
    def due(self) -> bool:
        """Whether the changes are worth folding into the base."""
        too_many = self.next - self.base > FOLD_CHUNK_COUNT
        return too_many or self.change_bytes > max(FOLD_BYTES_MIN, self.base_bytes // 2)


@dataclass(frozen=True, slots=True)
class RedisManifest:
    """What the hash says. logs: by table."""

    position: int
    epoch: int
    version: int
    logs: dict[str, ChunkLog]


class StoredManifest:
    """The manifest on the server, as its owner knows it. Only who has the store's lock calls it.

    names: of all tables; settle_s: how long `settle` waits before it looks whether the server still has it.
    """

    def __init__(self, owner: CheckpointOwner, names: Sequence[str], settle_s: float) -> None:
        self._owner, self._names, self._settle_s = owner, names, settle_s
        self._known: RedisManifest | None = None
        self._expected = 0  # the version that the server must have, at least

    def read(self) -> RedisManifest:
        """Return what counts; from the server after opening and after a failure.

        Raises FencedError, JournalLostError, or what `RedisServer.translating` raises.
        """
        if self._known is None:
            with self._owner.server.translating("reading the checkpoint's manifest"):
                raw: dict[bytes, bytes] = self._owner.server.client.hgetall(self._owner.key)
            found = {name.decode(): value.decode() for name, value in raw.items()}
            if found:
                self._owner.check_token(found["token"], found["epoch"])
            version = int(found["version"]) if found else -1
            if version < self._expected:
                raise self._owner.lost(f"version {version} of the checkpoint, {self._expected} was acknowledged")
            logs = {name: ChunkLog.parse(found[f"t:{name}"]) if f"t:{name}" in found else ChunkLog()
                    for name in self._names}  # fmt: skip
            self._known = RedisManifest(int(found["position"]), int(found["epoch"]), version, logs)
            self._expected = version
        return self._known

    def commit(self, manifest: RedisManifest, tables: StoredTables | None = None) -> None:
        """Make this the manifest, if the server has the one that it was made from. tables: what it says of them now.

        Raises JournalLostError if it has another one, or what `CheckpointOwner.run_all` raises: it may have happened.
        """
        before = manifest.version
        fields: list[Any] = ["position", manifest.position, "epoch", manifest.epoch, "version", before + 1]
        for name, log in manifest.logs.items():
            fields += [f"t:{name}", str(log)]
        for name, value in tables._asdict().items() if tables else ():
            fields += [name, value]
        self._known = None  # until the reply is here, nobody knows
        self._expected = before
        status, *found = self._owner.run(COMMIT, [before, *fields])
        if status == "version":
            raise self._owner.lost(f"version {found[0]} of the checkpoint, {before} was acknowledged")
        self._known = replace(manifest, version=before + 1)
        self._expected = before + 1

    def settle(self) -> None:
        """Give the server time to sync, then see whether it still has what it acknowledged.

        Raises CheckpointFailedError if it lost the last commit: nobody was told, so the next goes on from what it has.
        """
        if self._settle_s:
            time.sleep(self._settle_s)
            committed, self._known = self._known, None
            try:
                self.read()
            except JournalLostError:
                if committed is not None:
                    self._expected = committed.version - 1
                    self.read()
                raise CheckpointFailedError(f"{self._owner.where}: the server lost this write in a crash") from None

    def forget(self) -> None:
        """Read it again next time: a change failed, and may have landed."""
        self._known = None
