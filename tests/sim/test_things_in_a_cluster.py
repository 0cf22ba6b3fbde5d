"""Apps and authorization codes in a whole cluster that crashes, elects, moves and is upgraded meanwhile.

The workload is the simulation's, with these in between; its own draws are left alone, so that each is of one seed.
"""

from __future__ import annotations

import functools
import os
import random
from typing import Any

import pytest

from actors.core import ids, scopes
from actors.core.errors import ConflictError, RookeryError
from actors.core.terms import THINGS_FROM_LEVEL
from cluster.placement import rebalancing
from tests.sim.test_simulation import Workload, levels_of

FIRST, COUNT = int(os.environ.get("ROOKERY_SIM_FIRST", "0")), int(os.environ.get("ROOKERY_SIM_SEEDS", "12"))
SEEDS = [seed for seed in range(FIRST, FIRST + 4 * COUNT) if levels_of(seed) != (0, -1)][:COUNT]
CLIENTS = [f"client {i}" for i in range(24)]
FACTS = [b"secret", "Client", "", ["urn:x"], scopes.READ]
OF_CODE = [ids.thing_of_name("client 1"), b"hash of the uri"]


class ThingWorkload(Workload):
    """The clients of the simulation, who make apps and sign in to them."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.draw = random.Random(seed ^ 0xA995)
        self.apps: set[int] = set()  # acknowledged
        self.codes: list[tuple[int, int]] = []  # acknowledged: account, key
        self.outcomes: dict[tuple[int, int], dict[bytes, Any]] = {}  # of each code, by the token's secret
        self.secrets = 0
        self.moved = 0  # buckets with an app

    def act(self) -> None:
        if self.sim.router.map.level < THINGS_FROM_LEVEL or self.draw.random() > 0.3:
            super().act()
            return
        what = self.draw.choice(["create", "use", "authorize", "redeem", "redeem", "redeem", "move"])
        getattr(self, f"{what}_some")()

    def create_some(self) -> None:
        client = self.draw.choice(CLIENTS)
        app_id = ids.thing_of_name(client)

        def created(body: Any) -> None:
            assert body is True, body
            self.apps.add(app_id)

        self.sim.write(ids.bucket_of_thing(app_id), "create_app", [app_id, client, *FACTS], created)

    def use_some(self) -> None:
        if self.apps:
            app_id = self.draw.choice(sorted(self.apps))
            self.sim.write(ids.bucket_of_thing(app_id), "use_app", [app_id])

    def authorize_some(self) -> None:
        me, key = self.draw.choice(self.accounts), len(self.codes) + 1 + 1000 * self.draw.randrange(1 << 40)

        def authorized(body: Any) -> None:
            if body is True:
                self.codes.append((me, key))

        args = [me, key, *OF_CODE, scopes.READ, b"challenge"]
        self.sim.write(ids.bucket_of_account(me), "authorize", args, authorized)

    def redeem_some(self) -> None:
        """Redeem one of the last codes; others may be doing that as well."""
        if not self.codes:
            return
        code = me, key = self.draw.choice(self.codes[-3:])
        self.secrets += 1
        secret = b"token %d" % self.secrets
        outcomes = self.outcomes.setdefault(code, {})

        def answered(body: Any) -> None:
            outcomes[secret] = body

        args = [me, key, *OF_CODE, b"challenge", secret, "Client"]
        self.sim.write(ids.bucket_of_account(me), "redeem", args, answered)

    def move_some(self) -> None:
        """Move the buckets of an app and of an account to another shard."""
        sim, moves = self.sim, self.sim.moves
        count = sim.router.map.shard_count
        if moves.steps is not None or not sim.router.there or count == 1 or not self.apps:
            return
        buckets = {ids.bucket_of_thing(self.draw.choice(sorted(self.apps)))}
        source = sim.owner[min(buckets)]
        buckets.update(b for a in self.accounts if sim.owner[b := ids.bucket_of_account(a)] == source)
        target = self.draw.choice([shard for shard in range(count) if shard != source])

        def ended(done: bool) -> None:
            self.moved += done

        moves.start(rebalancing.move(source, target, sorted(buckets), moves.now), ended)


def run(seed: int) -> ThingWorkload:
    """Let a cluster go through it all, and come to rest."""
    work = ThingWorkload(seed)
    work.register()
    for _ in range(300):
        work.act()
        for _ in range(work.draw.randrange(0, 30)):
            work.sim.step()
    work.sim.faults = False
    work.sim.drain()
    return work


def check_apps(work: ThingWorkload) -> None:
    """Each that was acknowledged is on the shard of its bucket, on all replicas, and nowhere else."""
    for app_id in work.apps:
        shard = work.sim.owner[ids.bucket_of_thing(app_id)]
        for number, replicas in enumerate(work.sim.replicas):
            for replica in replicas:
                assert (replica.replica.state.things.find(app_id) is not None) == (number == shard), app_id
        assert work.sim.shards[shard].replica.read("app", [app_id])[1:6] == FACTS


def check_codes(work: ThingWorkload) -> int:
    """A code has become one token at most, and none any more if anybody else tried; returns how many became one."""
    redeemed = 0
    for (account_id, _), outcomes in work.outcomes.items():
        state = work.sim.shards[work.sim.owner[ids.bucket_of_account(account_id)]].replica.state
        account = state.people.get(account_id)
        tokens = [] if account is None else [token for token in outcomes if token in account.tokens]
        got = [secret for secret, body in outcomes.items() if not isinstance(body, RookeryError)]
        used_again = any(isinstance(body, ConflictError) for body in outcomes.values())
        assert len(got) <= 1, f"{got} were all made of one code"
        assert tokens == ([] if used_again or account is None else got)
        redeemed += len(got)
        for token in tokens:
            assert account is not None
            assert account.token_facts[token][3:] == (scopes.READ, OF_CODE[0])
    return redeemed


@functools.cache
def lived(seed: int) -> tuple[int, int, int]:
    """Let a cluster live and check it; returns how many apps, codes that were redeemed, and moves there were."""
    work = run(seed)
    check_apps(work)
    check_codes(work)
    work.sim.check()
    check_apps(work)
    return len(work.apps), check_codes(work), work.moved


@pytest.mark.parametrize("seed", SEEDS)
def test_apps_are_where_their_buckets_are_and_codes_become_one_token_whatever_happens(seed: int) -> None:
    lived(seed)


def test_the_seeds_have_apps_that_moved_and_codes_that_were_redeemed() -> None:
    """Else the test above would say nothing."""
    apps, redeemed, moves = map(sum, zip(*(lived(seed) for seed in (0, 1, 2, 3, 8, 9)), strict=True))
    assert apps > 20
    assert redeemed > 5
    assert moves > 3
