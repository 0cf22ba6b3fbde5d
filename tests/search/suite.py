"""The suite of queries with which the index is held against the oracle: over tweets of our own in the tests, over any
files by hand.

    python -m tests.search.suite --tweets FILE... --count 200000

prints how many queries found exactly what a look at every tweet finds. FILE: a tweet a line, maybe .gz; --count: how
many more tweets are made of them, each of the first part of one and the last part of another.

Rules of this file
- Whatever differs is a defect of the index or of the oracle; there is no tolerance.
- `Shards` are filled as an engine fills its index: in several commits, with likes fed again and tweets taken out.

Costs: 250,000 tweets take 2 minutes and 0.8 GB, 1,050,000 take 11 beside other work and 2.2 GB: half the time is the
oracle's, a third the indexes', the checks of pages, candidates and lists 0.1 s a query.
"""

from __future__ import annotations

import argparse
import gzip
import random
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from actors.core.ids import bucket_of_account
from actors.core.postings.lists import Document, Postings, whole
from actors.search.documents import CHANGED, read_tweet
from actors.search.index import TweetIndex
from actors.search.terms import PostingsQuery, query_of, terms_of
from actors.shard.search_postings import lists_of
from actors.text.query import QueryError, check_tree, parse, resolve
from tests.search import oracle
from tests.search.oracle import OracleTweet
from tests.search.sample_tweets import AUTHORS, Sample, multiply, samples
from tests.search.sweep import Sweep

COMMITS = 5
PAGE = 50  # ids in a page of the newest
EVERYTHING = 10_000_000  # ids: more than there are

# Every operator, alone and with the others; whatever the tweets are, most of them find something.
QUERIES = [
    "love", "LOVE", "loving", "whale", "runner", "happy friends", "happy OR sad", "love -happy", "love NOT happy",
    "love AND morning", "(love OR hate) (morning OR night)", "love -(happy OR morning)", "love -(happy morning)",
    "NOT the AND love", "-the love", "--love", "don't", "dont", "can't stop", "e-mail", "AT&T", "12:30", "C++",
    '"love"', '"good coffee"', '"the best"', '"in the morning"', '"I love" -"I love you"', '"love the" OR "the love"',
    "\"don't stop\"", "mor*", "lo* -love", "whal* OR dolph*", "lov* mor*", "20*", "the* -the", "👍", "👍*", "🎉 love",
    "❤", "☕ OR 🎉", "🇩🇪", "#love", "#LOVE", "#ocean OR #tokyo", "#love -love", "love -#love", "#straße", "#東京",
    "$TSLA", "$btc OR $brk.a", "@ada", "mentions:bob", "@user", "@user love", "@ada -@bob", "from:ada",
    "from:ada OR from:bob", "from:nobody", "love -from:ada", "love OR from:nobody", "to:carol", "to:carol from:bob",
    "to:nobody OR love", "lang:en", "lang:de", "lang:und", "lang:ja OR lang:zh", "love -lang:en", "lang:fr cafe",
    "since:2026-01-02", "until:2026-01-01", "love since:2026-01-02 until:2026-01-03", "since:2030-01-01",
    "until:1970-01-01", "love (since:2026-01-05 OR until:2026-01-01)", "has:media", "has:links",
    "has:media has:links", "has:media -has:links", "is:reply", "love is:reply", "love -is:reply", "is:repost",
    "love is:repost", "love -is:repost", "love OR is:repost", "is:repost from:ada", "-(love -is:repost) the",
    "is:reply OR is:repost", "min_likes:0 love", "min_likes:1", "min_likes:100", "love min_likes:10",
    "love -min_likes:10", "min_likes:1000000000", "filter:follows", "filter:follows love", "love -filter:follows",
    "filter:follows -from:ada", "love OR filter:follows has:media", "東京", "日本語", "京", "検索 日本",
    "映画 OR 电影", "日*", "서울",
    "ทะเล", "日本 -東京", "マラソン lang:ja", "Straße", "strasse", "munchen", "München", "größer", "chevaux", "cheval",
    "niños", "ninos", "книга", "мороженое", "θάλασσα", "البحر", "मौसम", "ışıklar", "isiklar", "cafe", "CAFÉ",
    "ｆｕｌｌ",
    "unicode naive", "a the -love -happy -the morning OR (love (happy OR (friends -(stop OR whale))))",
    "nosuchwordanywhere", "love nosuchwordanywhere", "love -nosuchwordanywhere", "https://example.com", "www*", "_",
    "w_i_p", "re: hello",
]  # fmt: skip


def queries(tweets: list[OracleTweet], count: int, seed: int) -> list[str]:
    """Return QUERIES and as many more as asked for, made of the words of random tweets so that they find these."""
    rng = random.Random(seed)
    found = list(QUERIES)
    while len(found) < len(QUERIES) + count:
        words = [word for word in rng.choice(tweets).text.split() if '"' not in word]
        if len(words) < 3:
            continue
        at = rng.randrange(len(words) - 2)
        one, two, other = words[at], words[at + 1], rng.choice(words)
        text = rng.choice([
            one, f"{one} {other}", f'"{one} {two}"', f'"{" ".join(words[at : at + 3])}"', f"{one} -{other}",
            f"{one[:3]}* {other}", f"{one} OR {other}", f"{one} ({two} OR is:reply) -has:media", f"{one} is:repost",
            f'{other} min_likes:2 -"{one} {two}"', f"({one} OR {other}) until:2026-01-02 -lang:en",
        ])  # fmt: skip
        try:
            parse(text)
        except QueryError:
            continue
        found.append(text)
    return found


def tree_of(text: str) -> list[Any]:
    """Return the tree that reaches a shard."""
    tree = resolve(parse(text).tree, AUTHORS)
    check_tree(tree)
    return tree


def packed(accounts: Iterable[int]) -> bytes:
    """Return account ids as a request carries them."""
    return np.array(sorted(accounts), dtype="<i8").tobytes()


class Shards:
    """Indexes that share the tweets by their authors, and what is in them."""

    def __init__(self, directory: Path, count: int) -> None:
        self.indexes = [TweetIndex(directory / str(n)) for n in range(count)]
        self.lists = [Postings() for _ in range(count)]
        self.tweets: dict[int, OracleTweet] = {}

    def index_of(self, author: int) -> TweetIndex:
        return self.indexes[bucket_of_account(author) % len(self.indexes)]

    def feed(self, found: Iterable[Sample]) -> None:
        """Put tweets in, or their new counts."""
        for sample in found:
            facts = read_tweet(sample.row)
            self.index_of(sample.tweet.author_id).add(facts)
            self.tweets[sample.tweet.tweet_id] = sample.tweet
            if facts.news != CHANGED and not sample.tweet.is_repost:
                lists = self.lists[bucket_of_account(sample.tweet.author_id) % len(self.lists)]
                lists.append([Document(facts.tweet_id, 0, *terms_of(facts)[1:])])

    def remove(self, found: Iterable[Sample]) -> None:
        """Take tweets out."""
        for sample in found:
            self.index_of(sample.tweet.author_id).remove(sample.tweet.tweet_id)
            self.tweets.pop(sample.tweet.tweet_id, None)

    def commit(self) -> None:
        for index in self.indexes:
            index.commit()

    def fill(self, found: list[Sample], seed: int) -> None:
        """Feed in COMMITS parts; each brings new likes for some of the earlier, and takes some out."""
        rng = random.Random(seed)
        size = -(-len(found) // COMMITS)
        for begin in range(0, len(found), size):
            self.feed(found[begin : begin + size])
            if begin:
                earlier = rng.sample(range(begin), begin // 10)
                liked, gone = earlier[::2], earlier[1::4]
                kept = [found[i] for i in liked if found[i].tweet.tweet_id in self.tweets]
                self.feed(sample.with_likes(rng.randrange(200)) for sample in kept)
                self.remove(found[i] for i in gone)
            self.commit()

    def close(self) -> None:
        for index in self.indexes:
            index.close()

    # ---- what a query finds -----------------------------------------------------------------------------------

    def latest(
        self, tree: list[Any], follows: set[int], max_id: int = 0, min_id: int = 0, count: int = EVERYTHING
    ) -> list[int]:
        """Return the merged answer, newest first."""
        parts = [index.latest(tree, max_id, count, min_id, packed(follows)) for index in self.indexes]
        for part in parts:
            assert part == sorted(set(part), reverse=True)
        merged = sorted((tweet_id for part in parts for tweet_id in part), reverse=True)
        return merged[-count:] if min_id else merged[:count]

    def pages(self, tree: list[Any], follows: set[int], forward: bool) -> list[int]:
        """Return the ids of all pages, newest first, walked by max_id, or from the oldest by min_id."""
        found: list[int] = []
        cursor = 1 if forward else 0
        while True:
            ends = {"min_id": cursor} if forward else {"max_id": cursor}
            page = self.latest(tree, follows, **ends, count=PAGE)
            if not page:
                return found
            found = page + found if forward else found + page
            cursor = page[0] if forward else page[-1]

    def listed(self, query: PostingsQuery) -> list[int] | None:
        """Return what posting lists have that hasn't gone, newest first; None: it would take them too long."""
        parts = []
        for lists in self.lists:
            asked = lists_of(lists, query)
            found = None if asked is None else whole(lists.newest(asked, query.max_id, query.since_id, EVERYTHING))
            if found is None and asked is not None:
                return None
            parts.append([] if found is None else lists.ids(found))
        merged = sorted((tweet_id for part in parts for tweet_id in part), reverse=True)
        return [tweet_id for tweet_id in merged if tweet_id in self.tweets]

    def candidates(self, tree: list[Any], follows: set[int], count: int) -> list[int]:
        """Return the ids to be ranked, newest first."""
        parts = [index.candidates(tree, count, packed(follows)) for index in self.indexes]
        for ids, scores in parts:
            assert len(ids) == len(scores) == len(set(ids))
            assert np.isfinite(scores).all()
            assert min(scores, default=0.0) >= 0
        return sorted((tweet_id for ids, _ in parts for tweet_id in ids), reverse=True)


def difference(
    shards: Shards, tree: list[Any], follows: set[int], wanted: list[int] | None = None, pages_max: int = 40
) -> str:
    """Say how the answers to a query differ from what a look at every tweet finds; empty if they don't.

    wanted: what it finds, if that is known; None: every tweet is looked at now.
    """
    if wanted is None:
        wanted = oracle.search(shards.tweets.values(), tree, follows, count=EVERYTHING)
    found = shards.latest(tree, follows)
    if found != wanted:
        lacks, has = set(wanted) - set(found), set(found) - set(wanted)
        shown = [shards.tweets[tweet_id] for tweet_id in [*lacks, *has][:3] if tweet_id in shards.tweets]
        return f"latest lacks {len(lacks)} and has {len(has)} too many: {shown}"
    query = query_of(tree)
    listed = None if query is None else shards.listed(query)
    if listed is not None and listed != wanted:
        return f"posting lists lack {len(set(wanted) - set(listed))} and have {len(set(listed) - set(wanted))} too many"
    if len(wanted) <= pages_max * PAGE:
        for forward in (False, True):
            if shards.pages(tree, follows, forward) != wanted:
                return f"pages by {'min_id' if forward else 'max_id'} differ"
    if shards.candidates(tree, follows, len(wanted) + 1) != wanted:
        return "candidates are not all that match"
    few = shards.candidates(tree, follows, 10)
    if not set(wanted[:10]) <= set(few) <= set(wanted):
        return "candidates lack some of the newest, or have what doesn't match"
    return ""


def read_lines(path: Path) -> list[str]:
    """Return the tweets of a file, a line each, empty ones left out."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as lines:
        return [line.rstrip("\n") for line in lines if line.strip()]


def main() -> int:
    parser = argparse.ArgumentParser(description="hold the index against a look at every tweet")
    parser.add_argument("--tweets", nargs="+", type=Path, required=True, help="files with a tweet a line, maybe .gz")
    parser.add_argument("--count", type=int, default=0, help="tweets that are made of these, besides")
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--queries", type=int, default=60, help="queries made of words of the tweets, besides")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    lines = [line for path in given.tweets for line in read_lines(path)]
    texts = lines + multiply(lines, given.count, given.seed)
    found = samples(texts, given.seed)
    with tempfile.TemporaryDirectory() as directory:
        shards = Shards(Path(directory), given.shards)
        begin = time.perf_counter()
        shards.fill(found, given.seed)
        took_s = time.perf_counter() - begin
        print(f"{len(shards.tweets)} tweets in {given.shards} indexes after {took_s:.0f} s", flush=True)
        asked = queries([sample.tweet for sample in found], given.queries, given.seed)
        trees = [tree_of(text) for text in asked]
        follows = {7, 9, *range(100, 400)}
        sweep = Sweep(shards.tweets.values(), trees, follows)
        took_s = time.perf_counter() - begin
        print(f"each tweet looked at for {len(sweep.held)} leaves after {took_s:.0f} s", flush=True)
        equal = hits = listed = 0
        for text, tree in zip(asked, trees, strict=True):
            differs = difference(shards, tree, follows, sweep.search(tree))
            hits += bool(shards.latest(tree, follows, count=1))
            query = query_of(tree)
            listed += query is not None and shards.listed(query) is not None
            equal += not differs
            if differs:
                print(f"DIFFERS {text!r}: {differs}", flush=True)
        shards.close()
    took_s = time.perf_counter() - begin
    print(
        f"{equal} of {len(asked)} queries equal, {hits} find something, {listed} by posting lists too; {took_s:.0f} s"
    )
    return 0 if equal == len(asked) else 1


if __name__ == "__main__":
    sys.exit(main())
