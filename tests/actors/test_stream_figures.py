"""Figures of streams: what a shard has pushed and told again, over a real lane."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.actors.test_figures import until, world
from tests.figures import moved

__all__ = ["world"]  # a fixture


class Listens:
    """A listener that notes the tweets that it hears, and its cursor."""

    def __init__(self, account_id: int) -> None:
        self.account_id = account_id
        self.heard: list[int] = []
        self.cursor = ""

    def hear(self, event: Any, flags: bytes | None, cursor: str) -> None:
        self.heard.append(event.tweet_id)
        self.cursor = cursor

    def refilter(self) -> None:
        """It has no filters."""

    def recovered(self) -> None:
        self.heard.append(0)

    def revoked(self, secret_hash: bytes | None) -> None:
        """Its token is as good as ever."""

    def close(self, reason: str) -> None:
        """It isn't connected to anybody."""


def test_what_listeners_are_pushed_and_told_again_is_counted(world):
    """Over a real lane: what is missed while a listener is away is told exactly, or said to be lost."""
    reader, author = world.account(0), world.account(1)
    world.follow(reader, author)
    hub = world.process._worker._services.hub

    def on_worker(call: Callable[[], Any]) -> Any:
        async def run() -> Any:
            return call()

        return world.process._workers.run(run())

    before = world.figures()
    first, again, lost = (Listens(reader) for _ in range(3))
    on_worker(lambda: hub.listen(first, ["user"]))
    until(lambda: on_worker(lambda: hub.cursor(first)))
    assert world.figures()["stream_workers"] == 1
    assert world.figures()["stream_accounts"] == 1
    world.post(author)
    until(lambda: first.heard)
    on_worker(lambda: hub.unlisten(first))
    until(lambda: world.figures()["stream_accounts"] == 0)
    world.post(author)
    until(lambda: world.figures()["stream_events_total"] - before["stream_events_total"] >= 2)
    on_worker(lambda: hub.listen(again, ["user"], first.cursor))
    until(lambda: again.heard)
    world.on_loop(world.served(0).listening.stop)
    on_worker(lambda: hub.listen(lost, ["user"], first.cursor))
    until(lambda: lost.heard)
    deltas = moved(before, world.figures())
    for each in (again, lost):
        on_worker(lambda each=each: hub.unlisten(each))
    assert lost.heard == [0]
    assert len(first.heard) == 1
    assert len(again.heard) in (1, 2)  # it may have been told by now that the shard began anew
    assert first.heard[0] != again.heard[0]
    assert deltas["stream_events_total"] == 2
    assert deltas["stream_pushes_total"] == 1
    assert deltas["stream_resumes_total{exact}"] == 1
    assert deltas["stream_resumes_total{lost}"] >= 1
