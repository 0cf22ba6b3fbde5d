"""A shard's side of a backup: it hands out its checkpoint and its journal in parts, while it serves.

    backup_open --> a checkpoint at position P, and the journal above P is kept
    backup_cut  --> the primary's position, and how far the messages of that moment go (compared: commands/backup.py)
    backup_records, backup_rows --> parts of 1 MiB, at the reader's pace
    backup_close

Rules of this file
- Any replica hands out; only a primary says where to cut, and answers once that position is committed.
- One reader at a time, and the later one wins: a reader that was interrupted leaves nothing to clean up. One that asks
  nothing for IDLE_S is let go of.
- Disk and packing are on a thread; the loop only passes bytes on.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Any

import structlog

from actors.core.errors import InvalidError, MalformedError, MovedError, OverloadedError, RookeryError
from actors.core.state import ShardState
from actors.shard.commits import Commits
from actors.shard.replication import Replication
from actors.shard.storage import Storage
from cluster.lane.server import LaneRequest
from persistence.backup_shard import ShardReader

OPERATIONS = frozenset(("backup_open", "backup_cut", "backup_rows", "backup_records", "backup_close"))
IDLE_S = 60.0  # longer than a reader's slowest disk; the checkpoint's old rows take room meanwhile
FOLLOW_PATIENCE_S = 5.0  # that a follower is waited for until it has the cut
FOLLOW_PAUSE_S = 0.01  # between looks whether it has
REST_S = 0.0005  # after 64 KiB
HOLDER = -1  # in the place of a follower's number, among those for whom the journal is kept


def numbers_of(state: ShardState) -> dict[str, Any]:
    """Return a shard's position and how far its messages go: {"shard", "position", "sent", "acked", "applied"}.

    sent, acked: destination -> the last number made, and the last that it needn't keep; applied: source -> the last.
    """
    outboxes = {str(to): outbox for to, outbox in state.outboxes.items()}
    return {
        "shard": state.shard,
        "position": state.position,
        "sent": {to: o.next_seq - 1 for to, o in outboxes.items()},
        "acked": {to: (o.waiting[0][0] if o.waiting else o.next_seq) - 1 for to, o in outboxes.items()},
        "applied": {str(source): number for source, number in state.inbox.items()},
    }


def _rest() -> None:
    """Let the loop have the interpreter: a thread that only computes gives it up every 5 ms."""
    time.sleep(REST_S)


class BackupSource:
    """See the module header."""

    def __init__(self, commits: Commits, storage: Storage, replication: Replication) -> None:
        self._commits, self._storage, self._replication = commits, storage, replication
        self._change = asyncio.Lock()  # one request at a time: a reader has one under way
        self._reader: ShardReader | None = None
        self._token = ""
        self._idle: asyncio.TimerHandle | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self.log = structlog.get_logger()

    def handle(self, request: LaneRequest) -> None:
        """Carry out one of OPERATIONS, or set out to. Raises RookeryError."""
        if request.op == "backup_cut":
            self._cut(request)
        else:
            task = asyncio.create_task(self._answer(request))
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)

    def _cut(self, request: LaneRequest) -> None:
        if not self._replication.leads:
            raise MovedError(f"this replica of shard {self._commits.state.shard} doesn't lead it")
        state = self._commits.state
        self._commits.when_committed(request, numbers_of(state))

    async def _answer(self, request: LaneRequest) -> None:
        try:
            async with self._change:
                request.reply(await getattr(self, f"_{request.op.removeprefix('backup_')}")(request.args))
        except RookeryError as error:
            request.fail(error)
        except (TypeError, ValueError) as error:
            request.fail(MalformedError(f"{request.op}: {error}"))
        except Exception as error:  # a disk that can't be read: the shard lives on what it has in memory
            self.log.exception("a backup was not served", operation=request.op)
            request.fail(OverloadedError(f"{request.op}: {type(error).__name__}: {error}", retry_after_s=1.0))

    async def _open(self, args: list[Any]) -> list[Any]:
        """Begin anew: [token, position of the checkpoint]."""
        if args:
            raise MalformedError("backup_open takes no arguments")
        await self._let_go()
        self._keep_journal(self._commits.figures()["checkpoint_position"])
        reader = await asyncio.to_thread(ShardReader, self._storage.store, self._storage.journal, _rest)
        self._reader, self._token = reader, secrets.token_hex(8)
        self._keep_journal(reader.position)
        self._wait_idle()
        return [self._token, reader.position]

    async def _records(self, args: list[Any]) -> bytes:
        token, offset, cut = args
        reader = self._reading(token)
        self._keep_journal(reader.position)
        await self._until_committed(cut)
        part = await asyncio.to_thread(reader.records, offset, cut)
        self._wait_idle()
        return part

    async def _rows(self, args: list[Any]) -> bytes:
        token, offset = args
        part = await asyncio.to_thread(self._reading(token).rows, offset)
        self._wait_idle()
        return part

    async def _close(self, args: list[Any]) -> bool:
        [token] = args
        if self._reader is not None and token == self._token:
            await self._let_go()
        return True

    def _reading(self, token: Any) -> ShardReader:
        if self._reader is None or token != self._token:
            raise InvalidError("this backup is none any more: another one began, or it paused for too long", "token")
        return self._reader

    async def _until_committed(self, cut: int) -> None:
        for _ in range(int(FOLLOW_PATIENCE_S / FOLLOW_PAUSE_S)):
            if self._commits.committed_position >= cut:
                return
            await asyncio.sleep(FOLLOW_PAUSE_S)
        raise OverloadedError(
            f"this replica has {self._commits.committed_position} of the cut's {cut} records", retry_after_s=1.0
        )

    def _keep_journal(self, position: int) -> None:
        """Keep what follows a position; `Replication` lets go of it some time after the last call."""
        self._replication.records.hold(HOLDER, position)

    def _wait_idle(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(IDLE_S, self._forget)

    def _forget(self) -> None:
        self.log.warning("a backup was not read to its end", seconds=IDLE_S)
        task = asyncio.create_task(self._let_go_idle())
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _let_go_idle(self) -> None:
        async with self._change:
            await self._let_go()

    async def _let_go(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        if self._reader is not None:
            reader, self._reader = self._reader, None
            await asyncio.to_thread(reader.close)
