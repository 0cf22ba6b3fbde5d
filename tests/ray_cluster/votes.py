"""Polls that are voted on at once from all shards, by people whose clients repeat what was refused for a while.

    votes = Votes(cluster, "v"); votes.cast(kill); votes.check()

Each voter votes on every poll, each in an order of their own, so that all shards tell the same poll of votes all the
time. A client sees its own vote in the answer and in the next read, and is refused a second one.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from mastodon.errors import MastodonAPIError

from tests.ray_cluster.clients import names_of_all_shards
from tests.ray_cluster.rounds import new_person
from tests.serving import ServedCluster

POLLS, VOTERS = 24, 2  # voters: of each shard
AUTHORS_SHARD = 0  # which has all polls
OPTIONS = ["this", "that", "neither"]
POLL_S = 3600
VOTE_AGAIN_SHARE = 0.25


class Votes:
    """Polls of one author, all on one shard, and the votes that everybody casts."""

    def __init__(self, cluster: ServedCluster, prefix: str, seed: int = 5) -> None:
        self._dice = random.Random(seed)
        base = f"http://127.0.0.1:{cluster.port}"
        self._author, *self._voters = [
            new_person(base, name)
            for name in (
                names_of_all_shards(f"{prefix}_author", 1)[AUTHORS_SHARD],
                *names_of_all_shards(prefix, VOTERS),
            )
        ]
        asked = self._author.make_poll(OPTIONS, POLL_S, multiple=True)
        self._polls = [self._author.status_post(f"which? {n}", poll=asked).poll.id for n in range(POLLS)]
        self._choices = {  # by voter and poll
            (voter, poll): sorted(self._dice.sample(range(len(OPTIONS)), self._dice.randint(1, len(OPTIONS))))
            for voter in range(len(self._voters)) for poll in self._polls
        }  # fmt: skip

    def cast(self, in_the_middle: Callable[[], None]) -> None:
        """Have all voters vote at once; in_the_middle is called when the first has done half of it."""
        orders = [self._dice.sample(self._polls, POLLS) for _ in self._voters]
        with ThreadPoolExecutor(len(self._voters)) as pool:
            halves = [pool.submit(self._vote, voter, order[: POLLS // 2]) for voter, order in enumerate(orders)]
            halves[0].result()
            rest = [pool.submit(self._vote, voter, order[POLLS // 2 :]) for voter, order in enumerate(orders)]
            in_the_middle()
            for each in (*halves, *rest):
                each.result()

    def _vote(self, voter: int, polls: list[Any]) -> None:
        client, dice = self._voters[voter], random.Random(voter)
        for poll in polls:
            chosen = self._choices[voter, poll]
            assert client.poll_vote(poll, chosen).own_votes == chosen
            found = client.poll(poll)
            assert (found.voted, found.own_votes) == (True, chosen)
            if dice.random() < VOTE_AGAIN_SHARE:
                with pytest.raises(MastodonAPIError, match="You have already voted on this poll"):
                    client.poll_vote(poll, chosen)

    def check(self) -> None:
        """Assert that every poll has every vote, once, whoever asks."""
        for poll in self._polls:
            chosen = [self._choices[voter, poll] for voter in range(len(self._voters))]
            tallies = [sum(option in choices for choices in chosen) for option in range(len(OPTIONS))]
            for client in (self._author, self._voters[0], self._voters[-1]):
                found = client.poll(poll)
                assert [option.votes_count for option in found.options] == tallies
                assert (found.votes_count, found.voters_count) == (sum(tallies), len(self._voters))
            for voter, client in enumerate(self._voters):
                assert client.poll(poll).own_votes == self._choices[voter, poll]
