"""Writes that ask other shards first: may the account see that tweet? One lane request of an API worker, in all.

    lane request --> Replica.write --> the tweet is here                              --> carried out, or refused
                        | a question: it is elsewhere
                        +--> Replica.inquiries -- Inquiry --lane--> the tweet's shard
                                    +<------------------ body, or refusal --+         --> carried out, or refused
                                       nobody answers within PATIENCE_S               --> answered with the question

Rules of this file
- What is asked, and what follows from it, says the core (`actors/core/features/if_seen.py`); here it is carried.
- A write that can't ask (not joined yet, too many under way, a shard that doesn't answer) is answered with the
  question, which tells its caller to ask himself. So whoever waits for a shard that hangs, for as long as his patience
  lasts, waits for that shard and not for this one, and is told what he would have been told by it.
- A refusal of the tweet's shard is the write's.
- Bounded: UNDER_WAY_MAX at once, of which half may wait for one shard, PATIENCE_S for each question.

Cost: some 40 us a question, a quarter of them this shard's; nothing where the tweet is here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from actors.core.errors import OverloadedError, RookeryError
from actors.core.replica import Replica
from actors.core.terms import Inquiries, Inquiry
from cluster.lane.client import Done
from cluster.lane.server import LaneRequest

UNDER_WAY_MAX = 1_000  # as many as there are slow home reads
PATIENCE_S = 1.0  # for one answer: a look at one tweet, by a shard whose loop turns


class Asks(Protocol):
    """What a `ClusterClient` does."""

    def send(self, bucket: int, op: str, args: list[Any], timeout_s: float, done: Done, fresh: bool = False) -> None:
        """Ask the owner of a bucket; done(body, None) or done(None, error) is called later. Raises OverloadedError."""
        ...


class QuestionsBound:
    """How many questions of this shard may be under way, for `ClusterClient.share_places`."""

    count_bound = UNDER_WAY_MAX


@dataclass(eq=False, slots=True)
class AskingWrite:
    """A write whose questions are under way."""

    request: LaneRequest
    op: str
    args: list[Any]
    how: str
    steps: Inquiries


class InquiringWrites:
    """See the head of the file.

    commit(request, op, args, how): carries a write out, and may raise RookeryError; refuse(request, error).
    """

    def __init__(
        self, replica: Replica, commit: Callable[[LaneRequest, str, list[Any], str], None],
        refuse: Callable[[LaneRequest, RookeryError], None],
    ) -> None:  # fmt: skip
        self._replica, self._commit, self._refuse = replica, commit, refuse
        self._peers: Asks | None = None
        self._under_way: set[AskingWrite] = set()
        self.log = structlog.get_logger()

    def __len__(self) -> int:
        return len(self._under_way)

    def connect(self, peers: Asks) -> None:
        """Ask these from now on."""
        self._peers = peers

    def begin(self, request: LaneRequest, op: str, args: list[Any], how: str) -> bool:
        """Set out to carry out a write (one of `features.ASKING`) for which others must be asked; whether that can be.

        Raises RookeryError if it is refused now.
        """
        write = AskingWrite(request, op, args, how, self._replica.inquiries(op, args))
        try:
            inquiry = next(write.steps)
        except StopIteration as found:
            self._commit(request, op, found.value, how)
            return True
        if len(self._under_way) >= UNDER_WAY_MAX or not self._ask(write, inquiry):
            return False
        self._under_way.add(write)
        return True

    def _ask(self, write: AskingWrite, inquiry: Inquiry) -> bool:
        """Ask; whether that was possible."""

        def take(body: Any, error: Exception | None) -> None:
            try:
                self._go_on(write, body, error)
            except Exception as failure:  # nobody else would answer it
                self.log.exception("a write that asks first failed", operation=write.op)
                self._under_way.discard(write)
                self._refuse(write.request, RookeryError(f"{write.op} failed: {type(failure).__name__}"))

        if self._peers is None:
            return False
        try:
            self._peers.send(inquiry.bucket, inquiry.op, inquiry.args, PATIENCE_S, take, True)
        except OverloadedError:
            return False
        return True

    def _go_on(self, write: AskingWrite, body: Any, error: Exception | None) -> None:
        """Take an answer: ask on, carry the write out, or refuse it."""
        args = write.args
        try:
            if not isinstance(error, OverloadedError):
                inquiry = write.steps.send(body) if error is None else write.steps.throw(error)
                if self._ask(write, inquiry):
                    return
        except StopIteration as found:
            args = found.value
        except RookeryError as refusal:
            self._under_way.discard(write)
            self._refuse(write.request, refusal)
            return
        self._under_way.discard(write)
        try:
            self._commit(write.request, write.op, args, write.how)
        except RookeryError as refusal:
            self._refuse(write.request, refusal)
