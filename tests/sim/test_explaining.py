"""Why a tweet is, or isn't, in a home timeline: for every pair of small worlds the verdict is the definition's."""

from __future__ import annotations

import itertools
import os

import pytest

from actors.core import ids
from actors.core.errors import NotFoundError
from actors.core.timelines.explaining import BELOW, DORMANT, LEFT_OUT, NOWHERE, OLDER, RULES, SHOWN, Explanation
from tests.sim.cluster import SimCluster
from tests.sim.test_simulation import levels_of, run

WORLDS = int(os.environ.get("ROOKERY_EXPLAIN_WORLDS", "50"))
STEPS = 80


def explain(sim: SimCluster, account_id: int, tweet_id: int) -> Explanation:
    replica = sim.shards[sim.owner[ids.bucket_of_account(account_id)]].replica
    steps = replica.explain_steps([account_id, tweet_id])
    try:
        need = next(steps)
        while True:
            questions = need.questions.items()
            need = steps.send({shard: sim.shards[shard].replica.read(op, args) for shard, (op, args) in questions})
    except StopIteration as stop:
        return stop.value


def test_a_verdict_is_the_definitions_for_every_account_and_tweet_of_small_worlds():
    seen: dict[str, int] = {}
    short = (seed for seed in itertools.count() if levels_of(seed)[1] < STEPS)  # others are upgraded later
    for seed in itertools.islice(short, WORLDS):
        work = run(seed, STEPS)
        sim, length = work.sim, work.tuning.timeline_length
        facts = sim.facts()
        existing = facts.existing()
        for account_id in work.accounts:
            endless = facts.home(account_id, 1 << 30)
            home = set(endless[:length])
            for tweet_id in sorted(existing | work.deleted | {1 << 40}):
                found = explain(sim, account_id, tweet_id)
                wanted = SHOWN if tweet_id in home else OLDER if tweet_id in endless else LEFT_OUT
                told = f"seed {seed}: account {account_id}, tweet {tweet_id}: {found}"
                assert found.verdict == wanted, told
                assert (found.rules[0].passed, found.author_id != 0) == (tweet_id in existing,) * 2, told
                assert all(rule.passed for rule in found.rules) == (wanted == SHOWN), told
                assert [rule.name for rule in found.rules] == [r for r in RULES if r in {f.name for f in found.rules}]
                for word in [found.verdict, found.place[0], *(rule.saw.split()[0] for rule in found.rules)]:
                    seen[word] = seen.get(word, 0) + 1
                if found.place[0] == DORMANT:
                    continue
                assert found.place[0] != NOWHERE or wanted == LEFT_OUT, told
    missing = {
        SHOWN,
        OLDER,
        LEFT_OUT,
        DORMANT,
        BELOW,
        "ring",
        "pull_log",
        "twin",
        "blocks",
        "mutes",
        "answers_stranger",
    }
    assert not missing - seen.keys(), f"these worlds show nothing of {missing - seen.keys()}; they show {seen}"


def test_an_account_that_is_not_there_is_refused():
    work = run(2, 10)
    replica = work.sim.shards[work.sim.owner[ids.bucket_of_account(12345)]].replica
    with pytest.raises(NotFoundError, match="12345"):
        next(replica.explain_steps([12345, 1]))
