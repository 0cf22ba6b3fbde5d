"""A network of any size that is never held in Python: groups of accounts that follow the same few authors.

    group g:  a a a a a r r r r r ...      5 authors, then readers; every second reader is awake
              each follows the group's authors (some, if `authors_least` says so) and others by popularity

Five authors of a group together fill the rings of all its awake readers with 900 tweets, so rings of any number of
accounts get full by few tweets, and each group stays below the pull threshold: all authors are pushed. The others,
whom everybody follows besides, are drawn by the power law of `dataset.py`.

Rules of this file
- Edges are made by slices of accounts, each a function of the crowd and the slice's first account; making a slice
  again gives the same edges. 100 million edges exist in the shards only.
- Accounts are numbered from 0; ids are numbers plus the crowd's first id.
- Everything is loaded through the cluster's own write path.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.dataset import FIRST_ACCOUNT_ID, POPULARITY_EXPONENT, Ints, make_text
from bench.processes import BenchError
from bench.rookery import NO_ENTITIES, edges_of, load_accounts, tweets_of, wake_all
from bench.scenarios import Progress, counting
from commands.checking import Outcome, check_homes, lane_page
from commands.loading import BulkLoader, Post, post_batches
from commands.oracle import Fact, NetworkFacts

GROUP_ACCOUNTS = 5_000  # followers of a group's authors; even the last group, up to twice as large, is pushed
AUTHORS = 5  # of a group
LENGTH = 800
ROUNDS_LIGHT = 3  # tweets of each author that make rings of 15 entries: the largest of the light ones
ROUNDS_FULL = 180  # and of 900: more than the 880 after which a ring drops its oldest
SLICE_ACCOUNTS = 10_000  # whose edges are made and sent together: a million, 16 MB
SLICE_POSTS = 10_000
MORE_DRAWN = 2  # followees drawn on top, for those that are drawn twice
TEXTS = 1_000  # different texts
CHECKED_GROUPS, CHECKED_PER_GROUP = 10, 20
STRIDE = 7_919  # spreads popular accounts over the groups; a prime
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Crowd:
    """accounts: at least 100; follows: of each, about; authors_least: of its group's that each follows at least.

    first_id: the least of the accounts' ids.
    """

    accounts: int
    follows: int
    authors_least: int = AUTHORS
    first_id: int = FIRST_ACCOUNT_ID

    @property
    def groups(self) -> int:
        """Groups; the last one takes what is left over."""
        return max(1, self.accounts // GROUP_ACCOUNTS)

    @property
    def ids(self) -> range:
        """Ids of all accounts."""
        return range(self.first_id, self.first_id + self.accounts)

    @property
    def awake(self) -> list[int]:
        """Ids of the accounts that get a ring: half of the readers."""
        numbers = np.arange(self.accounts)
        found: list[int] = (numbers[self._is_awake(numbers)] + self.first_id).tolist()
        return found

    @property
    def authors(self) -> list[int]:
        """Ids of all groups' authors, group by group."""
        return [self.first_id + g * GROUP_ACCOUNTS + a for g in range(self.groups) for a in range(AUTHORS)]

    def authors_of(self, account_id: int) -> list[int]:
        """Return the authors of its group that an account follows."""
        number = np.array([account_id - self.first_id])
        first = int(self._group_start(number)[0]) + self.first_id
        return [a for a in range(first, first + int(self._authors_followed(number)[0])) if a != account_id]

    def slices(self) -> Iterator[tuple[Ints, Ints]]:
        """Make the edges, slice by slice: (followers, followees)."""
        for first in range(0, self.accounts, SLICE_ACCOUNTS):
            yield self._edges(np.arange(first, min(first + SLICE_ACCOUNTS, self.accounts)))

    def followers(self) -> tuple[Ints, Ints]:
        """Return by account number how many follow it, and how many of these are awake."""
        every, awake = np.zeros(self.accounts, dtype=np.int64), np.zeros(self.accounts, dtype=np.int64)
        for followers, followees in self.slices():
            every += np.bincount(followees - self.first_id, minlength=self.accounts)
            by_awake = followees[self._is_awake(followers - self.first_id)]
            awake += np.bincount(by_awake - self.first_id, minlength=self.accounts)
        return every, awake

    def _group_start(self, numbers: Ints) -> Ints:
        return np.minimum(numbers // GROUP_ACCOUNTS, self.groups - 1) * GROUP_ACCOUNTS

    def _is_author(self, numbers: Ints) -> npt.NDArray[np.bool_]:
        return numbers - self._group_start(numbers) < AUTHORS

    def _is_awake(self, numbers: Ints) -> npt.NDArray[np.bool_]:
        return ~self._is_author(numbers) & (numbers % 2 == 0)

    def _authors_followed(self, numbers: Ints) -> Ints:
        return AUTHORS - numbers // 2 % (AUTHORS - self.authors_least + 1)

    def _edges(self, numbers: Ints) -> tuple[Ints, Ints]:
        counts = self._authors_followed(numbers)
        places = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
        followers, followees = np.repeat(numbers, counts), np.repeat(self._group_start(numbers), counts) + places
        rng = np.random.default_rng((11, int(numbers[0])))
        rows = np.repeat(numbers, np.maximum(self.follows - counts, 0) + MORE_DRAWN)
        ranks = (self.accounts * rng.random(len(rows)) ** (1 / (1 - POPULARITY_EXPONENT))).astype(np.int64)
        drawn = ranks * STRIDE % self.accounts
        others = np.unique((rows * self.accounts + drawn)[~self._is_author(drawn)])
        followers = np.concatenate([followers, others // self.accounts])
        followees = np.concatenate([followees, others % self.accounts])
        keep = followers != followees
        return followers[keep] + self.first_id, followees[keep] + self.first_id


# ---- loading ----------------------------------------------------------------------------------------------------


async def register(loader: BulkLoader, crowd: Crowd, progress: Progress) -> None:
    """Register all accounts."""
    on_count = counting(progress, "registering", crowd.accounts)
    for first in range(0, crowd.accounts, SLICE_ACCOUNTS):
        await load_accounts(loader, crowd.ids[first : first + SLICE_ACCOUNTS], {}, on_count)


async def follow(loader: BulkLoader, crowd: Crowd, progress: Progress) -> int:
    """Load the follows, slice by slice; returns how many."""
    follows, on_count = 0, counting(progress, "follows of accounts", crowd.accounts)
    for followers, followees in crowd.slices():
        loaded = await loader.follows(edges_of(followers, followees), lambda _: None)
        follows += loaded.new
        on_count(len(np.unique(followers)))
    return follows


async def wake(loader: BulkLoader, crowd: Crowd, progress: Progress) -> None:
    """Give half of the readers their rings."""
    awake = crowd.awake
    await wake_all(loader, awake, counting(progress, "waking", len(awake)))


async def write_rounds(
    loader: BulkLoader, crowd: Crowd, rounds: int, posted: dict[int, list[int]], progress: Progress
) -> None:
    """Let each author of each group write so many tweets and wait until all rings have them.

    posted: takes the ids by author. Raises BenchError if the shards count other deliveries than there should be.
    """
    authors = crowd.authors
    total = rounds * len(authors)
    before, on_count = await loader.total("deliveries"), counting(progress, "tweets", total)
    everybody = itertools.chain.from_iterable(itertools.repeat(authors, rounds))
    while chosen := list(itertools.islice(everybody, SLICE_POSTS)):
        for author, tweet_id in await send_posts(loader, make_posts(chosen)):
            posted.setdefault(author, []).append(tweet_id)
        await loader.wait_until_drained()
        on_count(len(chosen))
    made = await loader.total("deliveries") - before
    expected = rounds * sum(len(crowd.authors_of(account)) for account in crowd.awake)
    if made != expected:
        raise BenchError(f"{total} tweets are {expected} deliveries, but the shards count {made}")


def make_posts(authors: Iterable[int]) -> list[Post]:
    """Return a post by each of those authors; no two calls make the same."""
    rng = np.random.default_rng(6)
    texts = [make_text(rng) for _ in range(TEXTS)]
    return [
        Post(author, texts[number % TEXTS], NO_ENTITIES, [], number.to_bytes(16, "big"))
        for author, number in zip(authors, _numbers, strict=False)
    ]


async def send_posts(loader: BulkLoader, posts: list[Post]) -> list[tuple[int, int]]:
    """Send posts through the loader; returns (author, tweet id) of each."""
    made: list[tuple[int, int]] = []
    await loader.send(
        post_batches(posts, loader.client.shard_of),
        lambda batch, ids: made.extend((args[0], i) for args, i in zip(batch.args[0], ids, strict=True)),
    )
    return made


# ---- what timelines hold ----------------------------------------------------------------------------------------


def timeline_of(crowd: Crowd, posted: dict[int, list[int]], account_id: int) -> list[tuple[int, int]]:
    """Return (tweet id, author) of an account's home timeline, ascending, if only the groups' authors wrote."""
    authors = [*crowd.authors_of(account_id), account_id]
    return sorted((i, author) for author in authors for i in posted.get(author, ()))[-LENGTH:]


async def served_ids(loader: BulkLoader, account_id: int) -> list[int]:
    """Return the ids of an account's home timeline as served, newest first."""
    ids: list[int] = await loader.client.account(account_id, "home_ids", 0, LENGTH, timeout_s=60.0)
    return ids


async def check_definition(loader: BulkLoader, crowd: Crowd) -> int:
    """Compare home timelines of random accounts with their definition; returns how many. Raises BenchError.

    The facts are read for those accounts alone: whom each follows, and what all of these wrote.
    """
    rng, facts = random.Random(7), NetworkFacts()
    for group in rng.sample(range(crowd.groups), min(CHECKED_GROUPS, crowd.groups)):
        members = crowd.ids[group * GROUP_ACCOUNTS : (group + 1) * GROUP_ACCOUNTS]
        for account in rng.sample(members, min(CHECKED_PER_GROUP, len(members))):
            facts.following[account] = await _following(loader, account)
    writers = set(facts.following).union(*facts.following.values())
    facts.add_tweets(Fact(i, a, 0, 0, 0, 0) for i, a, _ in await tweets_of(loader, sorted(writers)))
    outcome = Outcome()
    await check_homes(lane_page(loader.client), facts, LENGTH, outcome, lambda _: None)
    if outcome.problem_count:
        raise BenchError(f"{outcome.problem_count} home timelines differ from their definition: {outcome.problems[0]}")
    return len(facts.following)


async def _following(loader: BulkLoader, account_id: int) -> set[int]:
    found: set[int] = set()
    cursor = 0
    while True:
        page, cursor = await loader.client.account(account_id, "following", 0, cursor, LENGTH, timeout_s=60.0)
        found.update(page)
        if not cursor:
            return found
