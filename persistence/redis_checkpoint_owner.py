"""Who has a checkpoint in Redis: it is taken over on opening, and every later change is one script of its owner's.

Rules of this file
- Whoever opens gets a token of its own, which every script checks first: nothing of an owner before lands after that.
- Opening looks at what is there, and takes over only what it has seen: what it can't read stays whose it is.
- An answer that refuses a change is FencedError (another owner has opened it) or JournalLostError (it is gone).

It doesn't know what the hash says beyond format, identity and tables (redis_tables.py), nor what a chunk is.
redis_checkpoint_scripts.py has the scripts.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from redis.exceptions import RedisError

from actors.core.checkpoints.tables import Table
from persistence.errors import CheckpointFailedError, FencedError, JournalLostError
from persistence.redis_checkpoint_scripts import OPEN
from persistence.redis_server import RedisServer, Script, shard_key
from persistence.redis_tables import StoredTables, plan_stored
from persistence.table_versions import TablePlan, Upgrades

OPEN_TRIES = 5  # each fails only if somebody else has just opened it, too


class CheckpointOwner:
    """The owner of one shard's checkpoint, from `take_over` until another one opens it. Any thread.

    key: of the hash, with which the keys of its chunks begin; where: begins every message.
    """

    def __init__(self, server: RedisServer, namespace: str, shard: int) -> None:
        self.server, self.key = server, shard_key(namespace, shard, "checkpoint")
        self.where = f"{server.name} {self.key}"
        self._token = secrets.token_hex(16)

    def take_over(self, ours: StoredTables, tables: Sequence[Table], upgrades: Upgrades) -> TablePlan | None:
        """Become the owner of what is there, or of a new checkpoint.

        ours: what it says of `tables` once they are this version's. Returns how its tables become that, None if they
        are. Raises CheckpointMismatchError, CheckpointDamagedError (the owner of before goes on), StorageError.
        """
        for _ in range(OPEN_TRIES):
            with self.server.translating("opening the checkpoint"):
                raw = self.server.client.hmget(self.key, *StoredTables._fields)
            found = StoredTables(*("" if value is None else value.decode() for value in raw))
            plan = plan_stored(found, ours, tables, self.where, upgrades)
            there_and_ours = [value for pair in zip(found, ours, strict=True) for value in pair]
            if self.run(OPEN, there_and_ours)[0] == "ok":
                return plan
        raise CheckpointFailedError(f"{self.where}: other processes open it, too, again and again; one may have it")

    def run(self, script: Script, args: Sequence[Any]) -> list[str]:
        """Run a script on the hash; returns its answer. Raises what `run_all` raises."""
        [reply] = self.run_all(script, [((), args)])
        return reply

    def run_all(self, script: Script, calls: Sequence[tuple[Sequence[str], Sequence[Any]]]) -> list[list[str]]:
        """Run a script for each call: the keys besides the hash, and what follows the token. Returns their answers.

        Raises FencedError, JournalLostError, or what the server's errors become: those before it may have been done.
        """
        owned = [([self.key, *keys], [self._token, *args]) for keys, args in calls]
        replies: list[list[str]] = []
        for reply in self.server.run_all(script, owned):
            if isinstance(reply, RedisError):
                raise self.server.translated(reply, "writing the checkpoint") from reply
            replies.append(["" if part is None else part.decode() for part in reply])
            if replies[-1][0] == "fenced":
                raise self._fenced(replies[-1][1])
            if replies[-1][0] == "lost":
                raise self.lost("nothing of the checkpoint")
        return replies

    def check_token(self, token: str, epoch: str) -> None:
        """Raise FencedError unless this token, which the hash has beside an epoch, is this owner's."""
        if token != self._token:
            raise self._fenced(epoch)

    def lost(self, what: str) -> JournalLostError:
        """Return the error for a server that has less than it acknowledged."""
        return JournalLostError(f"{self.where}: the server lost acknowledged writes: it has {what}")

    def _fenced(self, epoch: str) -> FencedError:
        return FencedError(f"{self.where}: another owner has opened it, the checkpoint has epoch {epoch}")
