"""What another user of the same machine can do to a cluster that runs: nothing.

As root the tests become that other user and try; else they look at what the file system would let him do.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import grpc
import pytest

from bench.processes import free_port
from tests.serving import ServedCluster, command

pytestmark = [
    pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400), pytest.mark.xdist_group("watched"),
]  # fmt: skip

NOBODY = 65_534
# Prints what can be opened below the folders that are its arguments, and whether a lock can be had there.
LOOK = f"""
import fcntl, os, sys
os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
for top in sys.argv[1:]:
    for place, folders, files in os.walk(top):
        print(place)
        for name in files:
            try:
                with open(os.path.join(place, name), "rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                print(os.path.join(place, name))
            except OSError:
                pass
"""


@pytest.fixture(scope="module")
def cluster(watched: ServedCluster) -> ServedCluster:
    return watched


def folders_of(cluster: ServedCluster) -> list[str]:
    """Return the data folder and Ray's folder."""
    return [str(cluster.data), (cluster.data / "ray.folder").read_text()]


def test_nothing_of_the_data_or_of_ray_can_be_read_or_locked(cluster):
    folders = folders_of(cluster)
    modes = {path: Path(path).stat().st_mode & 0o777 for path in folders}
    assert modes == dict.fromkeys(folders, 0o700)
    wide = [str(p) for p in cluster.data.rglob("*") if p.lstat().st_mode & 0o077 and not p.is_symlink()]
    assert wide == [], "a folder that is opened by mistake must not show what lies in it"
    if os.getuid() == 0:
        os.chmod(cluster.data.parent, 0o755)  # the test's own folder, which would be in the way
        found = subprocess.run([sys.executable, "-c", LOOK, *folders], capture_output=True, check=True)
        assert set(found.stdout.decode().split("\n")) <= {*folders, ""}


def test_ray_answers_nobody_without_its_token(cluster):
    from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc

    address = json.loads((cluster.data / "cluster.json").read_text())["ray_address"]
    with grpc.insecure_channel(address) as channel:
        stub = gcs_service_pb2_grpc.NodeInfoGcsServiceStub(channel)
        with pytest.raises(grpc.RpcError) as refused:
            stub.GetAllNodeInfo(gcs_service_pb2.GetAllNodeInfoRequest(), timeout=60)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_folder_that_was_opened_is_told_of_by_check(cluster):
    cluster.data.chmod(0o755)
    try:
        found = cluster.run("check", statuses=(1,))
    finally:
        cluster.data.chmod(0o700)
    assert any("open to other users" in problem for problem in found["problems"])


def test_serve_does_not_go_on_with_a_ray_that_asks_nobody_for_a_token():
    with tempfile.TemporaryDirectory(prefix="rk-") as folder:
        args = command("serve", "--profile", "test", "--data", f"{folder}/data", "--port", str(free_port()))
        environ = {**os.environ, "RAY_AUTH_MODE": "disabled"}
        done = subprocess.run(args, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "answers without a token" in done.stderr
    assert "RAY_AUTH_MODE=token" in done.stderr
