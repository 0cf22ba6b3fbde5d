"""The figures in the headers of shapes, joining and cards: `python -m tests.core.measure_shapes`. Not a test; 20 s."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from actors.core.cards import Cards, pack_card, read_card
from actors.core.entries import Entry
from actors.core.joining import join_tweets
from actors.core.shaped_reads import ShapedReads
from actors.core.stores.people import NO_COUNTS, Account, AccountCounts
from tests.core.harness import SMALL, Shards
from tests.core.test_shapes import StatusRenderer

LIKES, CARDS, TIMES = 1_000, 20_000, 20
PIECE_PAD, ACCOUNT_PAD = b"x" * 750, b"y" * 720  # to be as long as Mastodon's: 1.9 KB a status
ADA: Final = Account(7, "ada", 1_700_000_000_000, "Ada Lovelace", "a line about oneself", avatar="/media/1.png")


class LongRenderer(StatusRenderer):
    """Statuses as long as Mastodon's."""

    def piece(self, entry: Entry) -> bytes:
        return super().piece(entry).replace(b'"content"', b'"pad":"%b","content"' % PIECE_PAD, 1)

    def account(self, account: Account, counts: AccountCounts = NO_COUNTS) -> bytes:
        return super().account(account, counts)[:-1] + b',"pad":"%b"}' % ACCOUNT_PAD


def tell(what: str, act: Callable[[], Any], rounds: int = 3_000) -> None:
    """Print what an act takes in the best of many short rounds: other processes only make it longer."""
    act()
    best = float("inf")
    for _ in range(rounds):
        begin = time.perf_counter()
        for _ in range(TIMES):
            act()
        best = min(best, (time.perf_counter() - begin) / TIMES)
    print(f"{what:<52} {best * 1e6:12.2f} us")


def pages() -> None:
    world = Shards(1, replace(SMALL, timeline_length=40, arrivals_max=2_048, pieces_bytes_max=1 << 23))
    reader, *authors = range(1, 13)
    world.register(reader, *authors)
    for author in authors:
        world.do("follow", reader, author)
    world.home(reader)
    liked = [world.post(authors[0]) for _ in range(LIKES)]
    tweets = [world.post(author, "hello, timelines") for _ in range(2) for author in authors[:10]]
    replica = world.replicas[0]
    shaped = ShapedReads(replica.state, replica.lookups, LongRenderer())
    slots = [replica.state.arrivals.number_of[tweet_id] for tweet_id in tweets]

    def home() -> None:
        for _ in shaped.home_steps(replica.query([reader, 0, 0, 0, 20])):
            raise AssertionError("one shard asks nobody")

    tell("home, 20 entries, native", lambda: replica.try_home(replica.query([reader, 0, 0, 0, 20])))
    tell("    joined", home)
    tell("the page alone, native", lambda: replica.home.shape.array(slots, reader))
    tell("    joined", lambda: shaped.shape.array(slots, reader))
    for tweet_id in liked:
        world.do("like", reader, tweet_id)
    tell(f"    joined, a reader with {LIKES:,} likes", lambda: shaped.shape.array(slots, reader))
    pieces = [shaped.shape.arrived(slot) for slot in slots]
    tell("20 tweets joined elsewhere", lambda: join_tweets(shaped.shape.pieces.renderer, pieces, bytes(20)))  # type: ignore[arg-type]
    slots[:5] = [replica.state.arrivals.number_of[world.repost(authors[-1], tweet_id)] for tweet_id in liked[:5]]
    tell("    joined, five reposts among them", lambda: shaped.shape.array(slots, reader))


def cards() -> None:
    known, packed = Cards(2 * CARDS, lambda _: None), pack_card(ADA)
    tracemalloc.start()
    for account_id in range(CARDS):
        known.tell((1 << 40) + account_id, pack_card(replace(ADA, bio=f"line {account_id}")), 1, (1 << 30) + account_id)
    print(f"{'a card':<52} {tracemalloc.get_traced_memory()[0] / CARDS:12.0f} bytes")
    tracemalloc.stop()
    tell("a card is found", lambda: known.get(1 << 40))
    tell("    taken over", lambda: known.tell(1 << 40, packed, 1, 1 << 31))
    tell("    read", lambda: read_card(7, packed))


if __name__ == "__main__":
    pages()
    cards()
