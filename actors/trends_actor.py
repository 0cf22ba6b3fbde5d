"""Trends of the whole cluster: one small actor that asks each shard for its sketches, merges them, and answers.

Rules of this file
- No counting and no formula: those are actors/search/trends.py and trend_scores.py. Nothing is stored either: after a
  restart one round brings everything back, sparklines too, which are the slices that shards keep.
- A shard that doesn't answer keeps its last word for STALE_S, and is told as missing at once. Without any shard there
  are no trends, and `partial` says why.
- The loop only asks and answers. Reading, merging and ranking run in a thread, one round at a time.

How it works
    every interval_s:  "trends" to each shard (any replica), ROUND_TIMEOUT_S together --> read_snapshot, a thread each
                       --> merge, rank for each window and language, a thread --> lists that `get` makes JSON of

Costs: eight busy shards: 4 MB and 0.4 s a round, of which 0.25 s in a thread; meanwhile the loop is 5 ms late at the
99th percentile. An answer 2 us, 0.3 ms the first time after a round.
Not here: which tweets a trend has; its `query` finds them by the ordinary search.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple, Protocol

import orjson
import psutil
import structlog

from actors.core.errors import InvalidError, OverloadedError, RookeryError
from actors.core.levels import LEVEL
from actors.core.render import created_at
from actors.log_bound import LogBound
from actors.search.trend_scores import AUTHORS_MIN, HASHTAG, KINDS, LINK, ScoredTerm, ScoreSettings, language_code, rank
from actors.search.trends import WINDOWS, Snapshot, merge, read_snapshot
from cluster.client.connect import open_client
from cluster.life.code_on_disk import require_current
from cluster.life.liveness import HANG_S_DEFAULT, take_part
from cluster.ray_options import TRENDS_METHODS, TRENDS_NAME, TRENDS_OPTIONS, as_actor
from configs.logging import LogFormat, LogLevel, configure_logging
from configs.settings import Settings

INTERVAL_S: Final = 3.0  # between rounds; the finest slice is 25 s
ROUND_TIMEOUT_S: Final = 2.0  # for all shards together; a snapshot takes a busy engine 0.1 s
STALE_S: Final = 120.0  # for so long a silent shard's last word counts: a restart with recovery, not a loss
RETRY_S: Final = 0.5  # between attempts to join the cluster
TREND_COUNT_MAX: Final = 50  # trends of a kind that are kept for a window and language, and that one answer has
ANSWER_COUNT_MAX: Final = (
    2_048  # ready answers kept until the next round; 3 windows x 4 kinds x some languages and counts
)
LANG_CHARS_MAX: Final = 16  # of a language that is no code, in the refusal

Lists = dict[tuple[str, str | None], list[ScoredTerm]]  # window, language -> trends, best first


class TrendSource(Protocol):
    """What is needed of a ClusterClient."""

    @property
    def shard_count(self) -> int:
        """How many shards there are."""
        ...

    async def call_shard(self, shard: int, op: str, args: list[Any], timeout_s: float) -> Any:
        """Ask one shard by its number."""
        ...

    def close(self) -> None:
        """End the connections."""
        ...


async def join_cluster(namespace: str) -> TrendSource:
    """Return an open client, as a process whose code is that on disk."""
    require_current()
    return await open_client(namespace)


class Heard(NamedTuple):
    """What a shard said last, and when (a clock that only grows)."""

    at_s: float
    snapshot: Snapshot


class TrendsActor:
    """Begins to ask on construction, because Ray runs nothing else when it restarts an actor.

    namespace: Ray's, of the cluster; authors_min: accounts that make a trend; interval_s: between rounds;
    connect(namespace): joins the cluster, raising OverloadedError while there is none to join.
    """

    def __init__(
        self,
        namespace: str,
        authors_min: int = AUTHORS_MIN,
        interval_s: float = INTERVAL_S,
        connect: Callable[[str], Awaitable[TrendSource]] = join_cluster,
    ) -> None:
        self._namespace, self._interval_s, self._connect = namespace, interval_s, connect
        self._settings = ScoreSettings(authors_min=authors_min)
        self._log = structlog.get_logger()
        self._client: TrendSource | None = None
        self._heard: dict[int, Heard] = {}
        self._missing: frozenset[int] = frozenset()
        self._lists: Lists = {}
        self._answers: dict[tuple[str, str | None, str | None, int], bytes] = {}
        self._as_of_ms = 0
        self._answered_count = self._shard_count = 0
        self._figures = {"rounds": 0, "round_ms": 0.0, "merge_ms": 0.0, "snapshot_bytes": 0}
        self._running = asyncio.get_running_loop().create_task(self._run())
        self._running.add_done_callback(self._end_if_failed)

    async def get(self, window: str, lang: str | None = None, kind: str | None = None, count: int = 10) -> bytes:
        """Return the trends of a window as JSON (docs/api.md), best first.

        lang: a code as in `lang:`, None for all together; kind: "hashtag", "phrase", "link" or None for any; count:
        1..TREND_COUNT_MAX. Raises InvalidError. Cost: see the module header.
        """
        asked = (window, lang, kind, count)
        answer = self._answers.get(asked)
        if answer is None:
            answer = self._render(*asked)
            if len(self._answers) < ANSWER_COUNT_MAX:
                self._answers[asked] = answer
        return answer

    async def ping(self) -> dict[str, Any]:
        """Return the actor's figures."""
        return {
            **self._figures, "pid": os.getpid(), "shards": self._shard_count, "missing": sorted(self._missing),
            "rss_bytes": psutil.Process().memory_info().rss, "level": LEVEL,
            "languages": len({lang for _, lang in self._lists}), "as_of_ms": self._as_of_ms,
        }  # fmt: skip

    async def stop(self) -> None:
        """End the rounds, and close."""
        self._running.cancel()
        await asyncio.wait([self._running])
        if self._client is not None:
            self._client.close()

    # -- rounds ----------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while self._client is None:
            try:
                self._client = await self._connect(self._namespace)
            except OverloadedError as error:
                self._log.warning("trends wait for the cluster", reason=error.message)
                await asyncio.sleep(RETRY_S)
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            await self._round(self._client)
            await asyncio.sleep(max(self._interval_s - (loop.time() - started), self._interval_s / 4))

    async def _round(self, client: TrendSource) -> None:
        """Ask all shards, and merge what they say with the last word of those that are silent."""
        loop = asyncio.get_running_loop()
        started, shard_count = loop.time(), client.shard_count
        await asyncio.gather(*(self._hear(client, shard) for shard in range(shard_count)))
        answered = {shard for shard, heard in self._heard.items() if heard.at_s >= started}
        for shard in self._heard.keys() - answered:
            if shard >= shard_count or loop.time() - self._heard[shard].at_s > STALE_S:
                del self._heard[shard]
        missing = frozenset(range(shard_count)) - answered
        if missing != self._missing:
            self._log.info("shards that give no trends", missing=sorted(missing), before=sorted(self._missing))
        self._missing = missing
        now_ms, merging = time.time_ns() // 1_000_000, loop.time()
        snapshots = [heard.snapshot for heard in self._heard.values()]
        self._lists = await asyncio.to_thread(rank_all, snapshots, now_ms, self._settings)
        self._answers = {}
        self._as_of_ms, self._answered_count, self._shard_count = now_ms, len(answered), shard_count
        self._figures["rounds"] += 1
        self._figures["merge_ms"] = (loop.time() - merging) * 1e3
        self._figures["round_ms"] = (loop.time() - started) * 1e3

    async def _hear(self, client: TrendSource, shard: int) -> None:
        """Take a shard's snapshot; if there is none, or it is damaged, what it said before stays."""
        try:
            data = await client.call_shard(shard, "trends", [], ROUND_TIMEOUT_S)
            snapshot = await asyncio.to_thread(read_snapshot, data)
        except (RookeryError, ValueError) as error:
            self._log.debug("a shard gives no trends", shard=shard, reason=str(error))
            return
        self._figures["snapshot_bytes"] = len(data)
        self._heard[shard] = Heard(asyncio.get_running_loop().time(), snapshot)

    def _end_if_failed(self, running: asyncio.Task[None]) -> None:
        """Rounds that end by an error are a fault of ours; Ray starts this process anew."""
        if running.cancelled() or running.exception() is None:
            return
        self._log.critical("trends have stopped; this process ends", reason=repr(running.exception()))
        os._exit(1)

    # -- answers ---------------------------------------------------------------------------------------------------

    def _render(self, window: str, lang: str | None, kind: str | None, count: int) -> bytes:
        if window not in WINDOWS:
            raise InvalidError(f"window is {window!r}; it can be {', '.join(WINDOWS)}", "window")
        if kind is not None and kind not in KINDS:
            raise InvalidError(f"kind is {kind!r}; it can be {', '.join(KINDS)}", "kind")
        if not 1 <= count <= TREND_COUNT_MAX:
            raise InvalidError(f"count is {count}; it can be 1 to {TREND_COUNT_MAX}", "count")
        code = None if lang is None else language_code(lang)
        if lang is not None and code == "und" != lang.lower():
            raise InvalidError(f"lang is {lang[:LANG_CHARS_MAX]!r}; it can be a code of 2 or 3 letters, or und", "lang")
        trends = self._lists.get((window, code), [])
        chosen = [trend for trend in trends if kind in (None, trend.term.kind)][:count]
        return orjson.dumps(
            {
                "window": window,
                "lang": code,
                "as_of": created_at(self._as_of_ms) if self._as_of_ms else None,
                "trends": [describe(trend) for trend in chosen],
                "partial": self._answered_count < max(self._shard_count, 1),
                "shards": {"answered": self._answered_count, "of": self._shard_count},
            }
        )


def create_trends_actor(settings: Settings) -> Any:
    """Create (or find) the cluster's trends actor; returns its handle."""
    namespace, search = settings.cluster.namespace, settings.search
    actor_class = as_actor(LoggingTrendsActor, TRENDS_NAME, namespace, TRENDS_OPTIONS, TRENDS_METHODS)
    log = (settings.log.format, settings.log.level)
    hang_s = settings.cluster.hang_ms / 1000
    return actor_class.remote(namespace, search.trend_authors_min, search.trend_interval_ms / 1000, log, hang_s)


class LoggingTrendsActor(TrendsActor):
    """As Ray runs it: with the cluster's logging, and watched."""

    def __init__(
        self,
        namespace: str,
        authors_min: int,
        interval_s: float,
        log: tuple[LogFormat, LogLevel],
        hang_s: float = HANG_S_DEFAULT,
    ) -> None:
        configure_logging(*log, component=TRENDS_NAME, bound=LogBound())
        self._heartbeat = take_part(TRENDS_NAME, namespace, hang_s)
        super().__init__(namespace, authors_min, interval_s)
        self._heartbeat.start()

    async def ping(self) -> dict[str, Any]:
        """Return the actor's figures."""
        return {**await super().ping(), "hangs": self._heartbeat.hangs}

    async def stop(self) -> None:
        """End the rounds, and close."""
        await super().stop()
        self._heartbeat.close()


def rank_all(snapshots: list[Snapshot], now_ms: int, settings: ScoreSettings) -> Lists:
    """Return the trends of each window and language. For a thread: 30 ms a busy shard."""
    lists: Lists = {}
    for window in WINDOWS:
        for lang, terms in merge(snapshots, now_ms, window, settings.authors_min).items():
            if ranked := rank(terms, settings, TREND_COUNT_MAX):
                lists[window, lang] = ranked
    return lists


def describe(trend: ScoredTerm) -> dict[str, Any]:
    """Return a trend as the API shows it."""
    term = trend.term
    name = display_name(term.kind, term.text)
    return {
        "name": name,
        "kind": term.kind,
        "score": round(trend.score, 2),
        "tweets": term.tweets,
        "authors": term.authors,
        "usual": round(term.usual, 1),
        "history": term.counts,
        "query": name if term.kind == HASHTAG else '"' + name.replace('"', " ") + '"',
    }


def display_name(kind: str, text: str) -> str:
    """Return how a term is shown: #tag, the link, or the words of a phrase.

    Scripts without blanks are tokenised in overlapping pairs, whose text is their union: "日本 本語" is 日本語.
    """
    if kind == HASHTAG:
        return f"#{text}"
    if kind == LINK:
        return text
    first, *words = text.split(" ")
    name, before = first, first
    for word in words:
        overlapping = len(before) == len(word) == 2 and before[1] == word[0] and ord(word[0]) >= 0x0E00
        name += word[1:] if overlapping else f" {word}"
        before = word
    return name
