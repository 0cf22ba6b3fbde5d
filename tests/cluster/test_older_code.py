"""What this code writes at level 0 is read by the commit before levels, and what it writes above is refused there."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from actors.core.levels import LEVEL
from cluster.placement.shard_map import ShardMap
from cluster.router.files import load_state, save_state
from tests.old_tree import ARCHIVE

# Run in the old tree with folders of a router's files: what the old code makes of each, and of what replicas report.
READ_WITH_OLD_CODE = """
import json, sys
sys.path.insert(0, ".")
from pathlib import Path
from cluster.router import Endpoints
from cluster.router_files import RouterStateError, load_state, save_state

for folder in map(Path, sys.argv[2:]):
    try:
        cluster_id, shard_map = load_state(folder)
    except RouterStateError as error:
        (folder / "refused").write_text(error.message)
    else:
        save_state(folder, cluster_id, shard_map.with_replica(shard_map.replica(0, 0)))
where = json.loads(sys.argv[1])
print(json.dumps(Endpoints.from_wire(where).pid))
"""
REPORTED = {"unix_path": "/run/lane", "host": "", "port": 0, "node_id": "node", "pid": 17, "level": LEVEL}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Return folders with a map of level 0 and of this code's level, after the old code has looked at them."""
    tree = tmp_path_factory.mktemp("old")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tree, filter="data")
    found = {}
    for level in (0, LEVEL):
        found[level] = tmp_path_factory.mktemp(f"level-{level}")
        save_state(found[level], "0" * 16, a_map(level))
    done = subprocess.run(
        [sys.executable, "-c", READ_WITH_OLD_CODE, json.dumps(REPORTED), *map(str, found.values())], cwd=tree,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    # An old router takes what a replica of now reports, and passes over its level.
    assert (done.returncode, done.stdout) == (0, f"{REPORTED['pid']}\n"), done.stderr[-3000:]
    return found


def a_map(level: int) -> ShardMap:
    """Return a map as this code writes it."""
    shard_map = ShardMap.even("test", 2, 2, level)
    return shard_map.with_replica(replace(shard_map.replica(1, 1), unix_path="/run/lane", pid=7))


def test_a_map_of_level_0_goes_to_the_old_code_and_back_unchanged(folders):
    assert not (folders[0] / "refused").exists()
    before = a_map(0)
    assert load_state(folders[0]) == ("0" * 16, replace(before, epoch=before.epoch + 1))


def test_a_cluster_that_has_risen_is_refused_by_the_old_code_and_left_as_it_is(folders):
    assert "the shard map has format 3; this version reads 2" in (folders[LEVEL] / "refused").read_text()
    assert load_state(folders[LEVEL]) == ("0" * 16, a_map(LEVEL))
