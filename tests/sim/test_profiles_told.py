"""Simulations of profiles that change while replicas show accounts: what each knows of others is true at last."""

from __future__ import annotations

import random

import pytest

from actors.core import ids, shape_table
from actors.core.cards import read_card
from actors.core.errors import OverloadedError
from actors.core.levels import LEVEL
from actors.core.shape_table import MASTODON, ShapeRow
from tests.core.test_shapes import StatusRenderer
from tests.sim import test_simulation
from tests.sim.test_simulation import Workload

SHAPE = 9


class Profiles(Workload):
    """The clients of every simulation, who change what they say of themselves too."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.profiles = random.Random(seed ^ 0xCA2D)

    def act(self) -> None:
        if self.profiles.random() < 0.3:
            self.show(self.profiles.choice(self.profiles.choice(self.sim.replicas)))
        idle = [a for a in self.accounts if a not in self.busy_accounts]
        if idle and self.profiles.random() < 0.3:
            self.key += 1
            me = self.profiles.choice(idle)
            self.call(me, "update_profile", [me, {"display_name": f"name {self.key}"}])
        else:
            super().act()

    def show(self, replica) -> None:
        """Have a replica show accounts from now on, or until it is started anew."""
        try:
            replica.replica.shaped(SHAPE)
        except OverloadedError:
            assert replica.replica.state.level < LEVEL


@pytest.mark.parametrize("level", [(LEVEL, -1), (0, 60)], ids=["from the beginning", "once all are upgraded"])
@pytest.mark.parametrize("seed", range(6))
def test_what_replicas_know_of_others_is_what_those_say_of_themselves_at_last(seed, level, monkeypatch):
    monkeypatch.delitem(shape_table.SHAPES, MASTODON)
    monkeypatch.setitem(shape_table.SHAPES, SHAPE, ShapeRow(SHAPE, "statuses", StatusRenderer))
    monkeypatch.setattr(test_simulation, "levels_of", lambda seed: level)
    work = Profiles(seed)
    work.register()
    for _ in range(140):
        work.act()
        for _ in range(work.rng.randrange(0, 6)):
            work.sim.step()
    work.sim.faults = False
    work.sim.drain()
    work.sim.run_until(lambda: work.sim.router.map.level == LEVEL)
    check_known(work)
    replicas = [replica for replicas in work.sim.replicas for replica in replicas]
    for replica in replicas:
        work.show(replica)
    for account_id in work.accounts:
        work.call(account_id, "update_profile", [account_id, {"display_name": f"last of {account_id}"}])
    work.sim.drain()
    check_known(work)
    for replica in replicas:
        assert all(
            i in replica.replica.state.cards for i in work.accounts if i not in replica.replica.state.people.row_of
        )


def check_known(work: Profiles) -> None:
    """No replica knows anything of an account that the account doesn't say."""
    sim = work.sim
    owners = {account_id: sim.owner[ids.bucket_of_account(account_id)] for account_id in work.accounts}
    said = {i: sim.shards[owner].replica.state.people.get(i).display_name for i, owner in owners.items()}
    for state in (replica.replica.state for replicas in sim.replicas for replica in replicas):
        for account_id in said.keys() - state.people.row_of.keys() if state.cards is not None else ():
            facts = state.cards.get(account_id)
            assert not facts or read_card(account_id, facts)[0].display_name == said[account_id]
