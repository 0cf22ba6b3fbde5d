"""One replica of a shard with its I/O taken out: requests in; journal records, replies and needs out.

Whoever drives it (the Ray shell, the simulator, a test) appends each record to the journal, releases the reply and the
messages when the record is durable, and carries questions and batches to other shards. So all of them run the same
code.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from actors.core import ids, limits
from actors.core.apply import apply
from actors.core.arguments import an_id_or_zero, page_count, shown, whole
from actors.core.checkpoints.restoring import restore
from actors.core.checkpoints.snapshot import Sealer
from actors.core.checkpoints.tables import Checkpoint, TableChange
from actors.core.entries import pack, unpack
from actors.core.errors import FrozenError, InvalidError, MalformedError, RookeryError
from actors.core.features import KINDS, PAPER_KINDS, READS, WRITES
from actors.core.features.answers import remember_answer
from actors.core.features.falling_due import prepare_due
from actors.core.features.logins import require_token
from actors.core.leaving import Leavings
from actors.core.lookups import Lookups
from actors.core.moves import mover
from actors.core.moves.mover import Mover
from actors.core.moves.moving import WHILE_FROZEN
from actors.core.render import NativeRenderer
from actors.core.scopes import EVERYTHING
from actors.core.shape_table import shape_row
from actors.core.shaped_reads import ShapedReads
from actors.core.shapes import Item, WholeShape
from actors.core.state import ShardState
from actors.core.terms import Inquiries, Prepared
from actors.core.timelines.explaining import Explaining, Explanation
from actors.core.timelines.home import Ask, HomeQuery, HomeTimelines, Wake
from actors.core.timelines.list_timelines import list_query
from actors.core.visibility import is_question

MOVES = mover.OPERATIONS
_MISFITS = (TypeError, ValueError, AttributeError, LookupError, OverflowError)  # what nonsense as arguments raises


class Replica:
    """A shard's state with the operations on it."""

    def __init__(self, shard: int, owner_of_bucket: list[int], tuning: limits.Tuning) -> None:
        self.state = ShardState(shard, owner_of_bucket, tuning)
        self.state.shelves.declare(KINDS.values())
        self.state.papers.declare(PAPER_KINDS.values())
        self.home = HomeTimelines(self.state, WholeShape(self.state, NativeRenderer(tuning.media_base)))
        self.lookups = Lookups(self.state, self.home, WRITES, READS)
        self.sealer = Sealer(self.state)
        self.mover = Mover(self.state)
        self.leavings = Leavings(self.state)
        self.touched: set[int] = set()
        self._shaped: dict[int, ShapedReads] = {}
        self._answers = {name: read.answer for name, read in READS.items()}
        self._preparers = {name: write.prepare for name, write in WRITES.items()}
        self._asks = {name: write.asks for name, write in WRITES.items() if write.asks is not None}

    # ---- recovery ---------------------------------------------------------------------------------------------

    def load(self, checkpoint: Checkpoint) -> None:
        """Fill the empty state from a checkpoint."""
        self.sealer = restore(self.state, checkpoint)

    def replay(self, position: int, record: bytes) -> None:
        """Apply one record of the journal, with nobody there to be told of what it wakes or revokes."""
        self.follow(position, record)
        self.state.revoked.clear()

    def follow(self, position: int, record: bytes) -> None:
        """Apply one record of the leader. Readers whom it wakes wait at the leader."""
        apply(self.state, position, unpack(record))
        self.state.woken.clear()

    def seal(self) -> list[TableChange]:
        """Return what a checkpoint must store of everything since the last seal."""
        return self.sealer.seal()

    # ---- writes -----------------------------------------------------------------------------------------------

    def write(self, op: str, args: list[Any], now_ms: int) -> tuple[bytes | None, Any]:
        """Carry out a write request. Returns (the journal record, None if nothing changed; the reply's body).

        The reply may be given once everything up to state.position is durable. A body that is a RookeryError is a
        refusal that only applying the command could find; its record must be journaled all the same.
        Raises RookeryError when the request is refused before anything has changed; FrozenError while the shard is
        frozen.
        """
        if self.state.frozen:
            raise FrozenError(f"shard {self.state.shard} takes no writes for a moment", retry_after_s=0.1)
        return self._carry_out(self.prepare(op, args, now_ms))

    def inquiries(self, op: str, args: list[Any]) -> Inquiries:
        """Yield what other shards are to be asked before a write (one of `features.ASKING`) is carried out; its
        arguments at last.

        Raises RookeryError when that is refused by then.
        """
        try:
            return (yield from self._asks[op](self.lookups, *args))
        except _MISFITS as error:
            raise MalformedError(f"arguments of {str(op)[:40]} don't fit: {str(error)[:200]}") from error

    def prepare(self, op: str, args: list[Any], now_ms: int) -> Prepared:
        """Check one write request. now_ms: wall clock in Unix ms, the only time that enters a command.

        What is let through can't fail any more: a shard whose memory is ahead of its journal would have to end.
        Raises RookeryError; nothing has changed then.
        """
        self.lookups.check_outboxes()
        try:
            return self._preparers[op](self.lookups, now_ms, *args)
        except _MISFITS as error:
            raise MalformedError(f"arguments of {str(op)[:40]} don't fit: {str(error)[:200]}") from error

    def move(self, op: str, args: list[Any]) -> tuple[bytes | None, Any]:
        """Carry out a request of a move (`mover.py`), as `write` does; also while the shard is frozen."""
        return self._carry_out(self.mover.prepare(op, args))

    def _carry_out(self, prepared: Prepared) -> tuple[bytes | None, Any]:
        record, result = None, None
        if prepared.kept is not None:
            return self._carry_out_once(prepared.command, prepared.finish, prepared.kept)
        if prepared.command is not None:
            record, result = self.command(prepared.command)
        try:
            return record, prepared.finish(result)
        except RookeryError as error:
            return record, error

    def _carry_out_once(
        self, command: list[Any] | None, finish: Callable[[Any], Any], kept: tuple[int, bytes, bytes, int]
    ) -> tuple[bytes | None, Any]:
        """As `_carry_out`, for a write whose answer is kept: one record says what changed and what was answered."""
        record, result = (None, None) if command is None else self.command(command)
        try:
            body = finish(result)
        except RookeryError as error:
            return record, error
        if isinstance(body, RookeryError) or is_question(body):
            return record, body
        if command is None:
            return self.command(["keyed", *kept, body, None])[0], body
        account_id, key, fingerprint, at_ms = kept
        remember_answer(self.state, account_id, key, fingerprint, at_ms, body)
        return pack(["keyed", *kept, body, command]), body

    def due_command(self, now_ms: int) -> list[Any] | None:
        """Return the command by which what is due at now_ms falls due, some at a time; None if nothing is.

        Raises RookeryError if it can't now; then later.
        """
        return prepare_due(self.lookups, now_ms)

    def command(self, command: list[Any]) -> tuple[bytes, Any]:
        """Apply a command; returns its journal record and its result. Raises FrozenError if it has to wait."""
        if self.state.frozen and command[0] not in WHILE_FROZEN:
            raise FrozenError(f"shard {self.state.shard} runs no {command[0]} for a moment", retry_after_s=0.1)
        record = pack(command)
        return record, apply(self.state, self.state.position + 1, command)

    # ---- reads ------------------------------------------------------------------------------------------------

    def shaped(self, number: Any) -> ShapedReads | None:
        """Return what answers reads in a shape (`shape_table.py`), None for the native one: this replica itself.

        Raises InvalidError for one that there isn't, OverloadedError while older processes are about.
        """
        known = self._shaped.get(number) if type(number) is int else None
        if known is None:
            row = shape_row(number)
            self.lookups.require_level(row.from_level)
            if row.make is None:
                return None
            known = self._shaped[row.number] = ShapedReads(self.state, self.lookups, row.make(self.state.tuning))
        return known

    def read(self, op: str, args: list[Any], lookups: Lookups | None = None) -> Any:
        """Answer a read that asks nobody else; lookups: in which shape. Raises RookeryError."""
        try:
            return self._answers[op](lookups or self.lookups, *args)
        except _MISFITS as error:
            raise MalformedError(f"arguments of {str(op)[:40]} don't fit: {str(error)[:200]}") from error

    def query(self, args: list[Any]) -> HomeQuery:
        """Check the arguments of a home timeline request: [account_id, max_id, since_id, min_id, count], maybe skip.

        A seventh, the hash of a token's secret, is checked before anything else: an eighth says for what it must be
        good, a mask of `scopes.py`; without it, for everything. Raises UnauthorizedError, ForbiddenError.
        """
        if type(args) is list and 7 <= len(args) <= 8:
            needed = EVERYTHING if len(args) == 7 else whole(args[7], 1, EVERYTHING, "scopes")
            require_token(self.lookups, args[0], args[6], needed)
            args = args[:6]
        if type(args) is not list or len(args) not in (5, 6):
            raise InvalidError(f"home takes 5 or 6 numbers, not {len(args) if type(args) is list else shown(args)}")
        query = HomeQuery(*args)
        account_id, count, top = query.account_id, query.count, ids.ID_MAX  # spelled out: a loop would cost 0.3 us
        if not (
            type(account_id) is type(query.max_id) is type(query.since_id) is type(query.min_id) is int
            and type(count) is type(query.skip) is int
            and 0 <= query.max_id <= top and 0 <= query.since_id <= top and 0 <= query.min_id <= top
            and 1 <= count <= limits.PAGE_COUNT_MAX and 0 <= query.skip <= top
        ):  # fmt: skip
            _refuse(args)
        row = self.state.people.row_of.get(account_id)
        if row is None:
            row = self.lookups.row(account_id)  # says why not
        if self.state.people.last_read_day[row] != self.state.day:
            self.touched.add(account_id)
        return query

    def timeline_query(self, op: str, args: list[Any]) -> HomeQuery | None:
        """Check what a read in a shape asks for, if that is a timeline of the reader's ring: home, or a list's.

        None for any other. Raises as `query`; NotFoundError for a list that isn't the reader's.
        """
        if op == "home":
            return self.query(args)
        if op == "list_timeline":
            query = list_query(self.lookups, args)
            self.query([query.account_id, 0, 0, 0, 1])  # a day on which a list is read is one on which home is
            return query
        return None

    def try_home(self, query: HomeQuery) -> list[Any] | None:
        """Answer a home timeline from memory, or return None when `home_steps` is needed."""
        return self.home.try_page(query)

    def home_steps(self, query: HomeQuery) -> Generator[Wake | Ask, Any, list[Item]]:
        """Produce a home timeline, yielding what is needed from elsewhere."""
        return self.home.steps(query)

    def explain_steps(self, args: list[Any]) -> Generator[Ask, Any, Explanation]:
        """Explain why a tweet is, or isn't, in a home timeline. args: [account_id, tweet_id]. Raises RookeryError."""
        if type(args) is not list or len(args) != 2:
            raise InvalidError("explain takes [account_id, tweet_id]")
        return Explaining(self.state, self.home.shape).explain(self.lookups, *args)


def _refuse(args: list[Any]) -> None:
    """Say which of a home request's numbers is none. Apart, because `query` runs for each home read."""
    for value, field in zip(args, ("user_id", "max_id", "since_id", "min_id", "count", "skip"), strict=False):
        an_id_or_zero(value, field)
    page_count(args[4])


def home_reply(items: list[Item]) -> list[Any]:
    """Return the reply of a home timeline: `[json array, newest_id, oldest_id]`."""
    if not items:
        return [b"[]", 0, 0]
    return [b"[" + b",".join([body for _, body in items]) + b"]", items[0][0], items[-1][0]]
