"""Starting a Ray of our own: once more where it was too slow, and nothing left of what was given up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray

from commands import local_ray
from configs.settings import Settings, load_settings

API_SERVER = ray._private.services.start_api_server
SLOW = "The current node timed out during startup. This could happen because some of the raylet failed to startup."


class FakeRay:
    """Fails as often as it is told, and leaves a process each time."""

    def __init__(self, errors: list[str]) -> None:
        self.errors, self.left = list(errors), []
        self.is_without: list[tuple[bool, bool]] = []  # autoscaler, API server

    def init(self, **_: Any) -> str:
        self.is_without.append(is_without())
        if not self.errors:
            return "context"
        self.left.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]))
        raise Exception(self.errors.pop(0))


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(local_ray, "keep_ray_on_loopback", lambda: None)
    monkeypatch.setattr(local_ray.spare_workers, "arrange", lambda folder: None)
    monkeypatch.setattr("ray.shutdown", lambda: None)
    return load_settings("test", sets=[f"storage.data_dir={tmp_path}", "cluster.dashboard=false"], environ={})


def started(settings: Settings, monkeypatch: pytest.MonkeyPatch, *errors: str) -> tuple[Any, FakeRay]:
    fake = FakeRay(list(errors))
    monkeypatch.setattr("ray.init", fake.init)
    try:
        return local_ray.start_ray(settings, {}), fake
    except ConnectionError as error:
        return error, fake
    finally:
        ended = [process.wait(60) for process in fake.left]
        assert len(ended) == len(errors) - len(fake.errors)
        assert not [p for p in psutil.Process().children() if p.pid in {left.pid for left in fake.left}]
        local_ray.remove_ray_folder(settings.storage.data_dir)


def test_a_ray_that_was_too_slow_is_started_once_more(settings, monkeypatch):
    assert started(settings, monkeypatch, SLOW)[0] == "context"
    error, fake = started(settings, monkeypatch, SLOW, SLOW, SLOW)
    assert "Ray did not start: The current node timed out" in str(error)
    assert len(fake.left) == 2


def test_another_reason_is_told_at_once(settings, monkeypatch):
    error, fake = started(settings, monkeypatch, "no space left", SLOW)
    assert "Ray did not start: no space left" in str(error)
    assert len(fake.left) == 1


def test_a_dashboard_whose_port_was_taken_tries_the_next_ones(settings, monkeypatch):
    assert started(settings, monkeypatch, "dashboard can't bind", "dashboard can't bind")[0] == "context"


def is_without() -> tuple[bool, bool]:
    """Whether a Ray that starts now has no autoscaler, and no API server."""
    return ray._private.parameter.RayParams().no_monitor, ray._private.services.start_api_server is not API_SERVER


def test_it_is_started_without_what_would_add_nodes_and_without_a_dashboard_that_is_off(settings, monkeypatch):
    for is_off in (True, False):
        cluster = settings.cluster.model_copy(update={"dashboard": not is_off})
        ours = settings.model_copy(update={"cluster": cluster})
        for errors in ([], ["no space left"]):
            assert started(ours, monkeypatch, *errors)[1].is_without == [(True, is_off)]
            assert is_without() == (False, False)
