"""Polls in a simulated cluster: asked, edited, voted on by clients that repeat, and what must have been counted.

Whoever votes looks at the poll where its tweet is, so he may send what is out of date by the time it arrives.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from actors.core import ids
from actors.core.entries import unpack
from actors.core.facts import POLL, read_facts
from actors.core.features.polls import POLL as POLL_PAPER
from actors.core.features.polls import TALLIES, VOTE, VOTER, VOTERS
from actors.core.shape_table import MASTODON_FROM_LEVEL

if TYPE_CHECKING:
    from tests.sim.test_simulation import Workload

OPEN_MS, LONG_MS = 400, 4_000  # so that some end on the way
NEWEST = 3  # polls that people care about, so that they meet each other there
SETS = (["yes", "no"], ["yes", "no", "maybe"], ["red", "blue"])


class Polling:
    """What clients do about polls, by dice of their own: simulations without polls stay what they were."""

    def __init__(self, work: Workload, seed: int) -> None:
        self.work, self.dice = work, random.Random(seed ^ 0x9011)
        self.is_on = seed % 12 in (1, 5, 9)  # none of which a mutant begins with
        self.told: dict[tuple[int, int], set[int]] = {}  # (tweet, round) -> whose votes were acknowledged

    def act(self, me: int) -> bool:
        """Do something about a poll now and then; whether that was so."""
        is_due = self.is_on and self.work.sim.router.map.level >= MASTODON_FROM_LEVEL and self.dice.random() < 0.3
        if is_due:
            self.dice.choices([self._ask, self._edit, self._vote], [1, 2, 6])[0](me)
        return is_due

    def _fact(self) -> list[Any]:
        return [POLL, [self.dice.choice(SETS), True, False, self.dice.choice([OPEN_MS, LONG_MS])]]

    def _ask(self, me: int) -> None:
        work = self.work
        work.key += 1
        said = [me, f"ask {work.key}", 0, 0, 0, b"", [], [], work.key.to_bytes(8, "big"), [self._fact()]]

        def posted(body: bytes) -> None:
            work.acked_posts[int(body.split(b'"tweet_id":"')[1].split(b'"')[0])] = me
            self._wait()

        work.call(me, "post", said, posted)

    def _edit(self, me: int) -> None:
        """Edit one of the newest polls, or else one of the last tweets."""
        work = self.work
        mine = [t for t, a in work.acked_posts.items() if a == me and t not in work.deleted]
        asking = [t for t, author_id, _ in self._polls()[-NEWEST:] if author_id == me and t in mine]
        if mine:
            work.key += 1
            tweet_id, text = self.dice.choice(asking or mine[-3:]), f"edit {work.key}"
            more = self.dice.choice([None, [], [self._fact()], [self._fact()]])
            key = work.key.to_bytes(8, "big")
            args = [me, key, b"edit", "edit", [tweet_id, me, text, b"", [], None, more]]

            def done(_: Any) -> None:
                work.edited[tweet_id] = text
                self._wait()

            work.call(me, "keyed", args, done)

    def _wait(self) -> None:
        """Have the simulation go on until what was just asked is over."""
        self.work.due_ms = max(self.work.due_ms, self.work.sim.now + LONG_MS)

    def _vote(self, me: int) -> None:
        """Vote as the poll was asked a moment ago."""
        work, polls = self.work, self._polls()
        if not polls:
            return
        tweet_id, author_id, asked = self.dice.choice(polls[-NEWEST:])
        work.key += 1
        choices = self.dice.randrange(1, 1 << len(asked.options))
        vote = [me, tweet_id, author_id, choices, asked.ends_ms, asked.since_ms]
        told = self.told.setdefault((tweet_id, asked.since_ms), set())
        work.call(
            me, "keyed", [me, work.key.to_bytes(8, "big"), b"vote", "vote", vote], lambda _: told.add(me)
        )  # fmt: skip

    def _polls(self) -> list[tuple[int, int, Any]]:
        found = []
        for shard in self.work.sim.shards:
            tweets = shard.replica.state.tweets
            for tweet_id, slot in tweets.slot_of.items():
                asked = read_facts(tweets.body[slot]).poll
                if asked is not None:
                    found.append((tweet_id, tweets.columns["author_id"].item(slot), asked))
        return sorted(found, key=lambda each: each[0])

    def check(self) -> None:
        """Every poll has counted the votes of its round, those of accounts that went included, and no others."""
        states = [shard.replica.state for shard in self.work.sim.shards]
        cast: dict[tuple[int, int], dict[int, int]] = {}
        for state in states:
            owners, tweets, documents = state.papers.dump(VOTE.number)
            for owner, tweet_id, packed in zip(owners.tolist(), tweets.tolist(), documents, strict=True):
                if state.shard_of_account(owner) == state.shard:
                    vote = unpack(packed)
                    choices, since_ms = (vote, 0) if isinstance(vote, int) else vote
                    cast.setdefault((tweet_id, since_ms), {})[owner] = choices
        for tweet_id, _, asked in self._polls():
            state = states[self.work.sim.owner[ids.bucket_of_tweet(tweet_id)]]
            counted, votes = state.papers.get(POLL_PAPER, tweet_id), cast.get((tweet_id, asked.since_ms), {})
            told = self.told.get((tweet_id, asked.since_ms), set()) - set(self.work.gone)
            assert told <= votes.keys(), f"votes on {tweet_id} that were acknowledged are gone"
            voters = set(state.shelves.view(VOTER, tweet_id)[0].tolist())
            assert voters - set(self.work.gone) == votes.keys(), f"voters of {tweet_id}"
            if voters == votes.keys():
                tallies = [sum(c >> option & 1 for c in votes.values()) for option in range(len(asked.options))]
                assert (list(counted[TALLIES]), counted[VOTERS]) == (tallies, len(votes)), f"tallies of {tweet_id}"
