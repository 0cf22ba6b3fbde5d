"""Who has a journal on a Redis server: it is taken over, and each change of its owner's is one script.

Rules of this file
- Whoever opens gets a token of its own, which every later script checks first. So nothing of an owner before lands,
  however late it arrives; no lock is needed, and none can be left behind.
- An answer that ends the ownership is FencedError (another one has opened it) or JournalLostError (the server no longer
  has what it acknowledged). Any other error comes from `RedisServer`, and asking again is harmless.

It remembers no answer: what is durable, and that an ended owner does nothing more, is redis_journal.py's.
redis_journal_scripts.py has the scripts. Costs: a round trip a method.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from redis.exceptions import RedisError

from persistence.errors import (
    FencedError,
    JournalCorruptError,
    JournalLostError,
    ServerUnfitError,
    StorageError,
)
from persistence.redis_frames import Frame, JournalEnd
from persistence.redis_journal_scripts import APPEND, BEGIN_EPOCH, CUT, OPEN, RESTART, TRIM
from persistence.redis_server import RedisServer, Script, shard_key
from persistence.redis_stream import NewEnd, positions_of

FORMAT = "1"
NO_JOURNAL = "it has no journal any more"


class JournalOwner:
    """The owner of one shard's journal, from `open` until another one opens it. Any thread.

    epoch: what is compared on opening, and raised by `begin_epoch`. Every method raises JournalUnavailableError or
    JournalFailedError (it may have happened or not); those that change something also FencedError or JournalLostError,
    and have then changed nothing.
    """

    def __init__(self, server: RedisServer, namespace: str, shard: int, epoch: int) -> None:
        self.epoch = epoch
        self._server = server
        self._keys = (shard_key(namespace, shard, "owner"), shard_key(namespace, shard, "journal"))
        self._where = f"{server.name} {self._keys[1]}"
        self._token = secrets.token_hex(16)

    def open(self, layout: str, store_id: str, after: int) -> tuple[str, JournalEnd]:
        """Take the journal over, or make it; return the id of the store, and where the journal ends.

        As `RedisJournal`, which see for arguments. Raises FencedError (a higher epoch has opened it), ServerUnfitError
        (another format or layout), JournalLostError (another store), JournalCorruptError: nothing changed.
        """
        args = (self._token, self.epoch, FORMAT, layout, secrets.token_hex(8), store_id, after)
        status, *found = _texts(self._server.run(OPEN, self._keys, args))
        if status == "ok":
            return found[1], JournalEnd(int(found[0]), found[2])
        if status == "fenced":
            raise FencedError(f"{self._where}: epoch {found[0]} has written here, this owner has epoch {self.epoch}")
        if status == "mismatch":
            raise ServerUnfitError(
                f"{self._where}: it has format {found[0]} and {found[1] or 'no layout'}, this shard needs format"
                f" {FORMAT} and {layout or 'no layout'}"
            )
        if status == "other":
            raise JournalLostError(
                f"{self._where}: not the journal {store_id} that this data folder was served from: another server or"
                " database, or one that lost its files"
            )
        missing = self._keys[0] if status == "ownerless" else self._keys[1]
        raise JournalCorruptError(f"{self._server.name}: the key {missing} is missing", path=missing)

    def append(self, frames: Sequence[Frame]) -> list[JournalEnd | StorageError]:
        """Send frames in one go; return for each where the journal ended then, or why that isn't known.

        A frame has landed if the journal ended with it. The errors are those that other methods raise.
        """
        calls = []
        for frame in frames:
            entry = f"{frame.end.last}-{frame.end.last - frame.before.last}"
            calls.append((self._keys, (self._token, self.epoch, *frame.before, *frame.end, entry, frame.data)))
        return [self._end_told(reply) for reply in self._server.run_all(APPEND, calls)]

    def _end_told(self, reply: list[Any] | RedisError) -> JournalEnd | StorageError:
        if isinstance(reply, RedisError):
            return self._server.translated(reply, "writing the journal")
        status, *found = _texts(reply)
        if status == "fenced":
            return self._fenced(found[0])
        if status == "lost":
            return self.lost(NO_JOURNAL)
        return JournalEnd(int(found[0]), found[1])

    def trim(self, first: int) -> int:
        """Remove the entries that end below position `first`; return the oldest position that is left, or the next."""
        last, oldest = self._change(TRIM, first)
        return positions_of(oldest)[0] if oldest else int(last) + 1

    def begin_epoch(self, epoch: int) -> None:
        """Raise the epoch, on the server first."""
        self._change(BEGIN_EPOCH, epoch)
        self.epoch = epoch

    def cut(self, before: JournalEnd, new: NewEnd) -> None:
        """Remove everything above new.last. before: where the journal ends; another end is JournalLostError."""
        args = (new.last, new.mark, f"{new.last + 1}-0", new.base, new.entry, new.frame)
        self._change(CUT, self.epoch, *before, *args, acknowledged=before.last)

    def restart(self, after: int) -> None:
        """Remove everything; the journal then ends at `after`."""
        self._change(RESTART, self.epoch, after)

    def _change(self, script: Script, *args: object, acknowledged: int = 0) -> list[str]:
        """Run a script of the owner's; returns what follows its first word. acknowledged: the last durable position."""
        status, *found = _texts(self._server.run(script, self._keys, (self._token, *args)))
        if status == "ok":
            return found
        if status == "fenced":
            raise self._fenced(found[0])
        if status == "at":
            raise self.lost(f"it ends at position {found[0]}, and had acknowledged {acknowledged}")
        raise self.lost(NO_JOURNAL)

    def lost(self, what: str) -> JournalLostError:
        """Return the error for a server that has less than it acknowledged."""
        return JournalLostError(f"{self._where}: the server lost acknowledged writes: {what}")

    def _fenced(self, epoch: str) -> FencedError:
        return FencedError(f"{self._where}: opened by another owner with epoch {epoch}; this one has {self.epoch}")


def _texts(reply: list[Any]) -> list[str]:
    """Return a script's reply as texts; nil comes as an empty one."""
    return ["" if part is None else part.decode() if isinstance(part, bytes) else str(part) for part in reply]
