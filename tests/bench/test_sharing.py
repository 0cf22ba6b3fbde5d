"""Scenarios that share a cluster: no two have the same accounts, and none gets a cluster that is not as it wants it."""

from __future__ import annotations

import pytest

from bench.crowd import Crowd
from bench.dataset import make_network
from bench.processes import BenchError
from bench.scenarios.celebrity import FOLLOWERS_QUICK, make_cast
from bench.scenarios.fanout import make_cases
from tests.bench.sharing import ACCOUNTS_EACH, Shared

FIRST = 300_000


def test_all_accounts_are_within_the_scenarios_own():
    cast, crowd, network = make_cast(1_000, 20, FIRST), Crowd(1_000, 20, first_id=FIRST), make_network(
        200, 20, 10, first_account=FIRST
    )  # fmt: skip
    edges = next(crowd.slices())
    ids = {
        *cast.accounts, *crowd.ids, *crowd.awake, *crowd.authors, *edges[0].tolist(), *edges[1].tolist(),
        *network.accounts.tolist(), *network.followers.tolist(), *network.followees.tolist(), *network.tokens,
        *(account for case in make_cases(1_000, 40, FIRST) for account in case.authors.tolist()),
        *(account for case in make_cases(1_000, 40, FIRST) for some in case.followers for account in some.tolist()),
    }  # fmt: skip
    assert min(ids) == FIRST
    assert max(ids) < FIRST + ACCOUNTS_EACH


def test_a_crowd_is_the_same_wherever_its_ids_begin():
    here, there = Crowd(1_000, 20), Crowd(1_000, 20, first_id=FIRST)
    moved = FIRST - here.first_id
    assert [(f + moved).tolist() for f in next(here.slices())] == [f.tolist() for f in next(there.slices())]
    assert there.authors_of(FIRST + 7) == [account + moved for account in here.authors_of(here.first_id + 7)]


@pytest.mark.parametrize(
    ("shards", "auth", "sets"),
    [(2, "open", ()), (2, "token", (f"timeline.pull_threshold={FOLLOWERS_QUICK + 1}",)), (1, "token", ("a.b=1",))],
)
def test_a_scenario_that_wants_other_settings_than_are_shared_is_told_so(tmp_path, shards, auth, sets):
    with (
        pytest.raises(BenchError, match="are wanted, and shared is"),
        Shared(tmp_path)(tmp_path, shards, auth, sets, ""),
    ):
        pass
    assert not list(tmp_path.iterdir()), "nothing was started"
