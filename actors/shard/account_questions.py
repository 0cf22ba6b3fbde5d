"""Questions to other shards about accounts whose tweets are shown here, gathered: one at a time to each shard.

    pages that wait --ask--\\                       /--> shard 1: accounts [ids] --> learn_accounts
                            > by shard, once each --
    cards gone stale, once a second --ask_anew--/   \\--> shard 2 ...

Rules of this file
- A page waits ANSWER_S at most, whatever a shard does; then its authors are shown by their names. What comes later is
  kept for the next page.
- What is wanted while a question is under way is the next question: 1,000 pages that miss the same authors after a
  restart make two questions a shard, no 1,000.
- A shard that didn't answer isn't waited for by anybody for QUIET_S, and asked once meanwhile.
- Any replica asks: followers show pages too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import structlog
from ray.exceptions import RayError

from actors.core.errors import RookeryError
from actors.core.features.cards import learn_accounts
from actors.core.limits import CARDS_COUNT_MAX
from actors.core.state import ShardState

ANSWER_S: Final = 0.1  # that a page waits: an actor call takes 1 to 3 ms
QUESTION_S: Final = 2.0  # that a question may take: late answers are of use to later pages
QUIET_S: Final = 1.0
WANTED_MAX: Final = 10_000  # accounts of one shard that wait to be asked for: 50 questions

AskShard = Callable[[int, str, list[Any], float], Awaitable[Any]]


class AccountQuestions:
    """What a replica asks others about accounts. ask_shard(shard, op, args, timeout_s): `Exchange.ask`."""

    def __init__(self, state: ShardState, ask_shard: AskShard) -> None:
        self._state, self._ask_shard = state, ask_shard
        self._lines: dict[int, _Line] = {}

    async def ask(self, questions: Mapping[int, list[int]]) -> None:
        """Have the shards asked about accounts; return when all have answered, or after ANSWER_S. It doesn't raise."""
        waits = [wait for shard, account_ids in questions.items() if (wait := self._line(shard).add(account_ids))]
        if waits:
            await asyncio.wait(waits, timeout=ANSWER_S)

    def ask_anew(self, questions: Mapping[int, list[int]]) -> None:
        """Have the shards asked, with nobody waiting."""
        for shard, account_ids in questions.items():
            self._line(shard).add(account_ids)

    def figures(self) -> dict[str, int]:
        """Return how many questions were answered, and how many weren't, since the start."""
        lines = self._lines.values()
        return {
            "account_questions": sum(line.answered_count for line in lines),
            "account_questions_failed": sum(line.failed_count for line in lines),
        }

    def _line(self, shard: int) -> _Line:
        if shard not in self._lines:
            self._lines[shard] = _Line(self._state, self._ask_shard, shard)
        return self._lines[shard]


class _Line:
    """The questions to one shard."""

    def __init__(self, state: ShardState, ask_shard: AskShard, shard: int) -> None:
        self._state, self._ask_shard, self._shard = state, ask_shard, shard
        self._loop = asyncio.get_running_loop()
        self._wanted: dict[int, None] = {}
        self._told: asyncio.Future[None] = self._loop.create_future()  # once those wanted now have been asked for
        self._asking: asyncio.Task[None] | None = None
        self._quiet_until = 0.0
        self.answered_count = self.failed_count = 0
        self._log = structlog.get_logger()

    def add(self, account_ids: list[int]) -> asyncio.Future[None] | None:
        """Want accounts; return what is done once they were asked for, None if that isn't to be waited for."""
        if len(self._wanted) >= WANTED_MAX:
            return None
        is_quiet = self._loop.time() < self._quiet_until
        self._wanted.update(dict.fromkeys(account_ids))
        if self._asking is None and not is_quiet:
            self._asking = self._loop.create_task(self._ask())
        return None if is_quiet else self._told

    async def _ask(self) -> None:
        """Ask until nobody is wanted any more, or the shard doesn't answer."""
        try:
            while self._wanted and self._loop.time() >= self._quiet_until:
                wanted, told = list(self._wanted), self._told
                self._wanted, self._told = {}, self._loop.create_future()
                for first in range(0, len(wanted), CARDS_COUNT_MAX):
                    if not await self._ask_about(wanted[first : first + CARDS_COUNT_MAX]):
                        break
                told.set_result(None)
        finally:
            self._asking = None

    async def _ask_about(self, account_ids: list[int]) -> bool:
        try:
            body = await self._ask_shard(self._shard, "accounts", [account_ids], QUESTION_S)
            learn_accounts(self._state, self._shard, account_ids, body)
        except (RookeryError, RayError, TimeoutError, ValueError) as error:  # ValueError: it refuses, or isn't there
            self.failed_count += 1
            self._quiet_until = self._loop.time() + QUIET_S
            self._log.info("authors of another shard are shown by name", shard=self._shard, reason=repr(error)[:200])
            return False
        self.answered_count += 1
        return True
