"""Restarting a replica: it is back when it serves what it served, its searches too, and not before."""

from __future__ import annotations

from typing import Any

import pytest

from commands import maintenance
from commands.maintenance import _Rolling

NAME = "rookery:shard-00:replica-1"


class Cluster:
    """A cluster whose statuses come one after the other, the last one again and again."""

    def __init__(self, *statuses: dict[str, Any]) -> None:
        self.statuses, self.looks = list(statuses), 0
        self.namespace = "test"

    def settled(self) -> dict[str, Any] | None:
        self.looks += 1
        status = self.statuses[min(self.looks, len(self.statuses)) - 1]
        return {"replicas": [{"actor": NAME, **status}]} if status else None

    def actor(self, name: str) -> str:
        return name

    def wait(self, look: Any, what: str, timeout_s: float) -> Any:
        for _ in range(100):
            if (found := look()) is not None:
                return found
        raise AssertionError(what)


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    monkeypatch.setattr(maintenance.ray, "kill", lambda name, no_restart: names.append(name))
    return names


def restarted(*statuses: dict[str, Any]) -> int:
    """Return after how many looks a replica counts as back, the one before its restart included."""
    cluster = Cluster({"pid": 1, "search": "ready"}, *statuses)
    _Rolling(cluster, lambda _: None).restart_replica(NAME)  # type: ignore[arg-type]
    return cluster.looks


@pytest.mark.parametrize("waiting", [None, "starting", "starting again"])
def test_the_next_replica_waits_for_the_searches_of_the_one_before(killed, waiting):
    back = {"pid": 2, "search": "ready"}
    assert restarted({"pid": 1, "search": "ready"}, {}, {"pid": 2, "search": waiting}, back) == 5
    assert killed == [NAME]


@pytest.mark.parametrize("state", ["ready", "catching up", "off"])
def test_an_index_that_is_filled_and_search_that_is_off_keep_nobody(killed, state):
    assert restarted({"pid": 2, "search": state}) == 2


def test_a_router_of_an_older_version_does_not_tell(killed):
    assert restarted({"pid": 2}) == 2


def test_an_engine_that_does_not_come_up_keeps_nobody_for_ever(killed, monkeypatch):
    now = iter(range(1_000))
    monkeypatch.setattr(maintenance.time, "monotonic", lambda: float(next(now)))
    monkeypatch.setattr(maintenance, "SEARCH_BACK_S", 5.0)
    assert restarted({"pid": 2, "search": "starting"}) < 12
