"""Links of tweets, from the shard's side: what has been met is taken to a dispatcher, which has the tweets show it.

    commands --> MetLinks --leads, committed--[tweet, link]--> dispatcher --> `preview` over the lane
                                     ^------- later: RETRY_S, ATTEMPTS_MAX in all --'

Rules of this file
- Only the leader takes them out, and nothing before it is committed. A replica that follows keeps the newest as well,
  so that one which leads from now on goes on where the last one stopped: what shows its link already isn't asked for.
- No promise: what this process hasn't brought out when it dies, nobody brings out. A tweet without a preview is whole.
- CALLS_MAX calls of ITEMS_MAX tweets are under way at most; what waits is bounded by `MetLinks` and WAITING_MAX.

Costs: a look every LOOK_S where previews are on, nothing where they aren't; 10 us a tweet with a link.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import structlog

from actors.core.errors import RookeryError
from actors.core.features.previews import wanted_link
from actors.core.link_previews import FROM_LEVEL
from actors.core.met_links import MetLinks
from actors.core.outbound import SendVerdict
from actors.shard.commits import Commits
from actors.shard.outgoing import Dispatch

NAME: Final = "previews"  # of the dispatcher's channel
ITEMS_MAX: Final = 8  # of one call: the slowest page holds the others' outcomes back
CALLS_MAX: Final = 4
LOOK_S: Final = 0.25
RETRY_S: Final = 10.0
ATTEMPTS_MAX: Final = 4
WAITING_MAX: Final = 1_000


class _Again(NamedTuple):
    """A tweet that is to be tried again."""

    tweet_id: int
    attempts: int
    not_before_s: float


class Previewing:
    """What asks for the previews of one shard's tweets."""

    def __init__(
        self, commits: Commits, leads: Callable[[], bool], is_on: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:  # fmt: skip
        """leads: whether this replica is its shard's primary now; is_on: whether the settings have previews."""
        self._commits, self._leads, self._is_on, self._clock = commits, leads, is_on, clock
        self._dispatch: Dispatch | None = None
        self._calls: set[asyncio.Task[None]] = set()
        self._again: deque[_Again] = deque(maxlen=WAITING_MAX)
        self.shown_count = self.dropped_count = 0
        self._log = structlog.get_logger()
        if is_on:
            commits.state.met_links = MetLinks()

    def connect(self, dispatch: Dispatch) -> None:
        """Take links to this dispatcher. It raises Exceptions while it can't be reached."""
        self._dispatch = dispatch

    async def run(self) -> None:
        """Take out what has been met, for ever; at once done where previews are off."""
        while self._is_on:
            await asyncio.sleep(LOOK_S)
            self.look()

    def look(self) -> None:
        """Begin a call for tweets that wait, if there are any, and it can be made now."""
        commits, met = self._commits, self._commits.state.met_links
        if met is None or self._dispatch is None or not self._leads() or len(self._calls) >= CALLS_MAX:
            return
        if commits.state.frozen or commits.unavailable or commits.state.level < FROM_LEVEL:
            return
        tweets = [(each.tweet_id, each.attempts) for each in self._due()]
        tweets += [(tweet_id, 0) for tweet_id in met.take(ITEMS_MAX - len(tweets))]
        if tweets:
            call = asyncio.get_running_loop().create_task(self._carry(self._dispatch, tweets))
            self._calls.add(call)
            call.add_done_callback(self._ended)

    def _due(self) -> list[_Again]:
        now_s, found = self._clock(), list[_Again]()
        while self._again and self._again[0].not_before_s <= now_s and len(found) < ITEMS_MAX:
            found.append(self._again.popleft())
        return found

    def _ended(self, call: asyncio.Task[None]) -> None:
        self._calls.discard(call)
        if not call.cancelled() and call.exception() is not None:
            self._log.error("previews have failed", reason=repr(call.exception()))

    async def _carry(self, dispatch: Dispatch, tweets: list[tuple[int, int]]) -> None:
        committed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._commits.when_committed(committed, None)
        try:
            await committed
        except RookeryError:  # nobody here leads any more
            return
        rows: list[list[Any]] = []
        for tweet_id, attempts in tweets:
            entry = self._commits.state.tweets.get(tweet_id)
            url = wanted_link(entry)
            if entry is not None and url and not any(row[2] == tweet_id for row in rows):
                rows.append([NAME, entry.author_id, tweet_id, attempts, url])
        if not rows:
            return
        try:
            told = await dispatch(rows)
        except Exception as error:  # noqa: BLE001  whatever kept them from leaving, they are tried again
            self._log.warning("links wait", count=len(rows), reason=f"{type(error).__name__}: {error}"[:200])
            told = [[int(SendVerdict.LATER), 0]] * len(rows)
        for (_, _, tweet_id, attempts, _), (verdict, _) in zip(rows, told, strict=True):
            if verdict == SendVerdict.DONE:
                self.shown_count += 1
            elif verdict == SendVerdict.LATER and attempts + 1 < ATTEMPTS_MAX:
                self._again.append(_Again(tweet_id, attempts + 1, self._clock() + RETRY_S))
            else:
                self.dropped_count += 1

    def figures(self) -> dict[str, int]:
        """Return how many tweets wait, and what came of others since the start."""
        met = self._commits.state.met_links
        if met is None:
            return {}
        return {
            "waiting": len(met) + len(self._again), "passed_over": met.passed_over, "shown": self.shown_count,
            "dropped": self.dropped_count,
        }  # fmt: skip

    def stop(self) -> None:
        """Take nothing out any more."""
        for call in list(self._calls):
            call.cancel()
