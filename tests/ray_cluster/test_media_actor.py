"""A served cluster's media actor: there on each node, back when it was killed; and a file as workers serve it."""

from __future__ import annotations

import asyncio
import os
import signal

import httpx
import pytest

from actors.core.media_names import prefix_of
from persistence.objects import LocalStore, object_folder
from tests.serving import wait_for

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]


def media_pids(cluster) -> list[int]:
    return [process["pid"] for process in cluster.status()["processes"] if process["role"] == "media"]


def test_a_nodes_media_actor_comes_back_when_it_was_killed(plain):
    (pid,) = media_pids(plain)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: [found for found in media_pids(plain) if found not in (0, pid)])


def test_a_worker_serves_what_lies_in_the_store(plain):
    name = f"{prefix_of(77)}0123456789abcdef-small.jpg"
    asyncio.run(LocalStore(object_folder("", plain.data)).put_new(name, b"a picture", "image/jpeg"))
    answer = httpx.get(f"http://127.0.0.1:{plain.port}/media/{name}", timeout=60)
    assert (answer.status_code, answer.content) == (200, b"a picture")
    assert answer.headers["etag"] == '"0123456789abcdef"'
