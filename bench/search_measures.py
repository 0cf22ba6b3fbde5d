"""What `search` measures besides searches: whether contestants agree, how soon a tweet is found, what home reads feel.

Rules of this file
- Everything is asked over HTTP, as a client would, of Rookery and of the peers alike.
- Whatever isn't as it should be is a BenchError: a figure of something that answers wrongly says nothing.
"""

from __future__ import annotations

import random
import string
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from bench.load_generator import quantiles_us, run_load
from bench.open_load import Offered, offer_load
from bench.processes import BenchError
from bench.search_queries import Query, holds_words

PATH = "/api/v1/search"
ORDERS = ("latest", "top")
COUNT = 20  # tweets of a page
MISSING_SHARE_MAX = 0.02  # of queries that may find fewer than hold their words, and of tweets that don't
AGREE_MIN = 0.9  # the one that finds least, to the one that finds most; stemmers differ
POLL_S = 0.002  # between two looks for a new tweet
FIND_TIMEOUT_S = 30.0
LOAD_TIMEOUT_S = 1_800.0  # for a million tweets that were loaded until all are found
WORD_CHARS = 14  # of a word that nobody else uses
HOME_CONNECTIONS = 256  # at 200 a second more than a second's worth, so that none waits for a free one
HOME_LEAD_S = 1.0  # searches begin before home reads do (their generator has to start), and end after them


@dataclass(frozen=True, slots=True)
class Contestant:
    """Who answers searches at a loopback port, and the headers (such as a token) with which `author` may post there."""

    port: int
    author: int
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Finding:
    """Times from the answer to a post until a search finds the tweet."""

    posts: int
    p50_ms: float
    p99_ms: float
    most_ms: float
    post_p50_ms: float


@contextmanager
def client_of(contestant: Contestant) -> Iterator[httpx.Client]:
    """Open a client that keeps its connection."""
    with httpx.Client(base_url=f"http://127.0.0.1:{contestant.port}", timeout=FIND_TIMEOUT_S) as client:
        yield client


def search(client: httpx.Client, query: str, order: str = "latest", count: int = COUNT) -> dict[str, Any]:
    """Return one answer. Raises BenchError for anything but 200."""
    answer = client.get(PATH, params={"query": query, "order": order, "count": count, "exact": "true"})
    if answer.status_code != 200:
        raise BenchError(f"search for {query!r} at {client.base_url}: {answer.status_code} {answer.text[:300]}")
    found: dict[str, Any] = answer.json()
    return found


def post(client: httpx.Client, contestant: Contestant, text: str, author: int | None = None) -> str:
    """Post a tweet; returns its id."""
    body = {"user_id": str(contestant.author if author is None else author), "status": text}
    answer = client.post("/api/v1/tweet", json=body, headers=dict(contestant.headers))
    if answer.status_code not in (200, 201):
        raise BenchError(f"post at {client.base_url}: {answer.status_code} {answer.text[:300]}")
    return str(answer.json()["tweet_id"])


def new_word(rng: random.Random) -> str:
    """Return a word that no tweet has and no stemmer shortens (it ends on a consonant that no suffix ends on)."""
    return "zq" + "".join(rng.choices(string.ascii_lowercase, k=WORD_CHARS - 3)) + "k"


# ---- do they agree? ---------------------------------------------------------------------------------------------


def check_agreement(
    contestants: Mapping[str, Contestant], queries: Sequence[Query], hits: Sequence[int], texts: Sequence[str]
) -> dict[str, str]:
    """See that all find what is there and nothing else. hits: tweets that hold a query's words for certain.

    Returns for each contestant what it found, in words. Raises BenchError if it found too little, something else, or
    in the wrong order, or if one found much less than another.
    """
    totals = {}
    for name, contestant in contestants.items():
        with client_of(contestant) as client:
            totals[name] = _check_one(name, client, queries, hits, texts)
    if min(totals.values()) < AGREE_MIN * max(totals.values()):
        raise BenchError(f"contestants find different numbers of tweets in pages of {COUNT}: {totals}")
    return {name: f"{total:,} tweets found by {len(queries)} queries" for name, total in totals.items()}


def _check_one(
    name: str, client: httpx.Client, queries: Sequence[Query], hits: Sequence[int], texts: Sequence[str]
) -> int:
    short, wrong, total = [], [], 0
    for query, least in zip(queries, hits, strict=True):
        pages = [_ask_whole(name, client, query.text, order) for order in ORDERS]
        newest, best = ([tweet["status"] for tweet in page] for page in pages)
        wrong += [f"{query.text}: {text}" for text in newest if not holds_words(text, query.text)]
        is_whole = len(newest) < COUNT
        if len(newest) != len(best) or (is_whole and sorted(newest) != sorted(best)):
            raise BenchError(f"{name} finds {len(newest)} tweets for {query.text!r} by time, {len(best)} by rank")
        if len(newest) < min(least, COUNT) or (is_whole and texts[query.tweet] not in newest):
            short.append(f"{query.text}: {len(newest)} of {least}")
        ids = [int(tweet["tweet_id"]) for tweet in pages[0]]
        if ids != sorted(ids, reverse=True):
            raise BenchError(f"{name} answers {query.text!r} with tweets that are not the newest first")
        total += len(newest)
    if len(short) > MISSING_SHARE_MAX * len(queries) or len(wrong) > MISSING_SHARE_MAX * total:
        raise BenchError(f"{name} finds too little ({len(short)}: {short[:3]}) or else ({len(wrong)}: {wrong[:3]})")
    return total


def _ask_whole(name: str, client: httpx.Client, query: str, order: str) -> list[dict[str, Any]]:
    answer = search(client, query, order, COUNT)
    if answer["partial"] or answer["corrected"]:
        raise BenchError(f"{name} answers {query!r} in part or for another query: {str(answer)[-300:]}")
    tweets: list[dict[str, Any]] = answer["tweets"]
    return tweets


# ---- how soon? --------------------------------------------------------------------------------------------------


def time_until_found(contestant: Contestant, posts: int, seed: int = 5) -> Finding:
    """Post tweets one after the other, and ask for a word of each until it is found.

    A look costs a round trip and the pause after it POLL_S, so much less than that is not told apart.
    """
    rng, delays, sent = random.Random(seed), [], []
    with client_of(contestant) as client:
        for _ in range(posts):
            word = new_word(rng)
            begin = time.perf_counter()
            tweet_id = post(client, contestant, f"have you seen the {word} yet?")
            answered = time.perf_counter()
            wait_until_found(client, word, {tweet_id}, FIND_TIMEOUT_S)
            sent.append(answered - begin)
            delays.append(time.perf_counter() - answered)
            time.sleep(rng.uniform(0, 0.2))  # so that posts don't fall in step with commits
    p50, p99, most = (value / 1000 for value in quantiles_us(delays))
    return Finding(posts, p50, p99, most, quantiles_us(sent)[0] / 1000)


def wait_until_found(client: httpx.Client, word: str, tweet_ids: set[str], timeout_s: float) -> None:
    """Ask for a word until all those tweets are on the first page. Raises BenchError after timeout_s."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = {tweet["tweet_id"] for tweet in search(client, word, count=COUNT)["tweets"]}
        if tweet_ids <= found:
            return
        if time.monotonic() > deadline:
            raise BenchError(f"{len(found & tweet_ids)} of {len(tweet_ids)} tweets are found after {timeout_s:.0f} s")
        time.sleep(POLL_S)


# ---- what do home reads feel? -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Homes:
    """Home reads at a fixed rate; searches_per_second: beside them."""

    p50_us: float
    p99_us: float
    searches_per_second: float


def home_reads(
    port: int, homes: Path, rate: float, seconds: float, generator: str, searches: Path | None, clients: int
) -> Homes:
    """Offer home reads by the clock, with so many clients searching beside them if `searches` is a request file."""
    with ThreadPoolExecutor(1) as beside:
        load = None
        if searches is not None:
            load = beside.submit(run_load, generator, port, searches, clients, seconds + 2 * HOME_LEAD_S)
            time.sleep(HOME_LEAD_S)
        offered = offer_load(port, homes, rate, seconds, HOME_CONNECTIONS)
        sample = load.result() if load is not None else None
    _check_offered(offered)
    if sample is not None and sample.errors:
        raise BenchError(f"{sample.errors} of {sample.requests} searches failed beside home reads")
    return Homes(
        offered.answered.p50_s * 1e6, offered.answered.p99_s * 1e6, sample.per_second if sample is not None else 0.0
    )


def _check_offered(offered: Offered) -> None:
    if offered.broken or offered.other or offered.refused.count or offered.unsent:
        raise BenchError(f"home reads failed, or came later than they were due: {offered}")
