"""What this code seals, and journals, at level 0 comes to the same in the code of the commit before levels."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest

from actors.core import limits
from actors.core.errors import RookeryError
from actors.core.verify import digest
from tests.core.harness import SMALL, Shards, memory_store
from tests.old_tree import unpack_old_tree

# Run in the old tree: restores what it is given, replays the journal, and says what both came to.
OPEN_WITH_OLD_CODE = """
import json, sys
sys.path.insert(0, ".")
import msgpack, numpy as np
from actors.core.limits import Tuning
from actors.core.replica import Replica
from actors.core.snapshot import TABLES
from actors.core.tables import Checkpoint
from actors.core.verify import check, digest

given = msgpack.unpackb(open(sys.argv[1], "rb").read(), strict_map_key=False)
known = {table.name for table in TABLES}
answers = []
for shard, sealed in enumerate(given["shards"]):
    tables = {
        name: {c: np.frombuffer(v[1], v[0]) if v[0] else v[1] for c, v in columns.items()}
        for name, columns in sealed["tables"].items() if name in known
    }
    unknown = {name for name, columns in sealed["tables"].items() if name not in known and any(
        len(v[1]) for v in columns.values())}
    restored, replayed = (Replica(shard, given["owner"], Tuning(**given["tuning"])) for _ in range(2))
    restored.load(Checkpoint(sealed["position"], 1, tables))
    for position, record in enumerate(sealed["journal"], start=1):
        replayed.replay(position, record)
    states = restored.state, replayed.state
    problems = [problem for state in states for problem in check(state)]
    answers.append([[digest(state) for state in states], problems, sorted(unknown)])
print(json.dumps(answers))
"""
OLD_CODE_S = 120  # on a busy machine
ACCOUNTS_PER_SHARD = 3
ACTS = ("block", "unblock", "mute", "unmute", "follow", "unfollow", "like", "unlike", "repost", "seal")
ACTS_COUNT = 300


@pytest.fixture(scope="module")
def old_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack_old_tree(tmp_path_factory.mktemp("old"))


def lived(seed: int) -> tuple[Shards, list[Any]]:
    """Return shards of level 0 after many acts, and what a checkpoint of each holds, sealed now and then."""
    shards, stores = Shards(2, SMALL, level=0), [memory_store(), memory_store()]
    people = [shards.account_on(shard, index) for shard in (0, 1) for index in range(ACCOUNTS_PER_SHARD)]
    shards.register(*people)
    tweets = [shards.post(account_id) for account_id in people]
    chosen = random.Random(seed)
    acts = [(chosen.choice(ACTS), chosen.randrange(6), chosen.randrange(6)) for _ in range(ACTS_COUNT)]
    for what, who, whom in [*acts, ("seal", 0, 0), ("seal", 1, 0)]:
        shards.now_ms += 1
        try:
            if what == "seal":
                shards.seal_into(who % 2, stores[who % 2])
            elif what == "repost":
                shards.repost(people[who], tweets[whom])
            else:
                shards.do(what, people[who], tweets[whom] if "like" in what else people[whom])
        except RookeryError:
            continue  # not to oneself, and not across a block
    return shards, [store.load() for store in stores]


def plain(values: Any) -> list[Any]:
    return [values.dtype.str, values.tobytes()] if isinstance(values, np.ndarray) else ["", values]


@pytest.mark.parametrize("seed", [1, 2])
def test_old_code_restores_and_replays_what_this_one_writes_at_level_0(old_tree, tmp_path, seed):
    shards, checkpoints = lived(seed)
    tuning = {name: getattr(SMALL, name) for name in ("timeline_length", "pull_threshold", "arrivals_max")}
    assert replace(limits.Tuning(**tuning), pieces_bytes_max=SMALL.pieces_bytes_max) == SMALL  # which changes no state
    sealed = [
        {"position": stored.position, "journal": journal,
         "tables": {name: {c: plain(v) for c, v in columns.items()} for name, columns in stored.tables.items()}}
        for stored, journal in zip(checkpoints, shards.journals, strict=True)
    ]  # fmt: skip
    file = tmp_path / "sealed"
    file.write_bytes(msgpack.packb({"owner": shards.owner, "tuning": tuning, "shards": sealed}))
    done = subprocess.run(
        [sys.executable, "-c", OPEN_WITH_OLD_CODE, str(file)], cwd=old_tree, capture_output=True, text=True,
        timeout=OLD_CODE_S, check=False,
    )  # fmt: skip
    assert all(len(stored.tables[name]["account_id"]) >= 3 for stored in checkpoints for name in ("relations", "likes"))
    assert done.returncode == 0, done.stderr[-3000:]
    digests = [digest(replica.state) for replica in shards.replicas]
    assert json.loads(done.stdout) == [[[each, each], [], []] for each in digests]
