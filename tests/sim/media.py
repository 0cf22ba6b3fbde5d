"""Media in a simulated cluster: clients upload, attach, give up; every object of the store has to be shown at last.

store   media with objects: written before a job says that it is done, removed by whatever the shards have leave
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from actors.core.facts import ATTACHMENTS, read_facts
from actors.core.features.blobs import BLOB
from actors.core.features.media_held import GOING, HELD
from actors.core.shape_table import MASTODON_FROM_LEVEL
from tests.core.hostile_media import facts_of

if TYPE_CHECKING:
    from tests.sim.test_simulation import Workload

FAR_MS = 1 << 46


class Uploading:
    """What clients do about media, by dice of their own: simulations without them stay what they were."""

    def __init__(self, work: Workload, seed: int) -> None:
        self.work, self.dice = work, random.Random(seed ^ 0x3ED1A)
        self.is_on = seed % 12 in (3, 9)  # none of which a mutant begins with
        self.store: set[int] = set()
        self.ready: dict[int, list[int]] = {}
        self.posted: dict[int, int] = {}  # tweet -> the medium with which it was acknowledged

    def act(self, me: int) -> bool:
        """Do something about media now and then; whether that was so."""
        is_due = self.is_on and self.work.sim.router.map.level >= MASTODON_FROM_LEVEL and self.dice.random() < 0.3
        if is_due:
            self.dice.choices([self._begin, self._post, self._schedule, self._drop, self._show], [6, 4, 1, 1, 1])[0](me)
        return is_due

    def _once(self, me: int, op: str, args: list[Any], then: Any = lambda body: None) -> None:
        self.work.key += 1
        key = self.work.key.to_bytes(8, "big")
        self.work.call(me, "keyed", [me, key, b"media", op, args], then)

    def _begin(self, me: int) -> None:
        """Upload: the objects are written once the paper is there; some jobs die before they can say so."""
        comes_to = self.dice.choices(["done", "failed", "dead", "dead before"], [8, 1, 1, 1])[0]
        purpose = self.dice.choice(["attachment", "attachment", "header"])

        def begun(media_id: int) -> None:
            if comes_to != "dead before":
                self.store.add(media_id)
            if comes_to == "failed":
                self._once(me, "media_fail", [me, media_id, "why"])
            elif comes_to == "done":
                ready = self.ready.setdefault(me, [])
                done = lambda _: ready.append(media_id) if purpose == "attachment" else self._wear(me, media_id)  # noqa: E731
                self._once(me, "media_done", [me, media_id, "image", facts_of(media_id)], done)

        self._once(me, "media_begin", [me, purpose, "", 0, 0], begun)

    def _wear(self, me: int, media_id: int) -> None:
        self._once(me, "update_profile", [me, {"header": f"media:{media_id}"}])

    def _take(self, me: int) -> list[Any]:
        """Return what a tweet of an account says of media: an upload, if there is one."""
        ready = self.ready.get(me)
        return [[ATTACHMENTS, [ready.pop()]]] if ready else []

    def _post(self, me: int) -> None:
        work, more = self.work, self._take(me)
        work.key += 1
        said = [me, f"shown {work.key}", 0, 0, 0, b"", [], [], work.key.to_bytes(8, "big"), more]

        def posted(body: bytes) -> None:
            tweet_id = int(body.split(b'"tweet_id":"')[1].split(b'"')[0])
            work.acked_posts[tweet_id] = me
            if more:
                self.posted[tweet_id] = more[0][1][0]

        work.call(me, "post", said, posted)

    def _schedule(self, me: int) -> None:
        """Schedule for a time that never comes here, or cancel that."""
        more, at_ms = self._take(me), self.work.sim.now + 1_000_000_000

        def scheduled(body: bytes) -> None:
            scheduled_id = int(body.split(b'"scheduled_id":"')[1].split(b'"')[0])
            self._once(me, "unschedule", [me, scheduled_id])

        if more:
            self._once(me, "schedule", [me, at_ms, "later", 0, 0, 0, b"", [], [], more], scheduled)

    def _drop(self, me: int) -> None:
        for row in self._take(me):
            self._once(me, "media_drop", [me, row[1][0]])

    def _show(self, me: int) -> None:
        """Edit one of the last tweets to have another medium, or none."""
        work = self.work
        mine = [t for t, author in work.acked_posts.items() if author == me and t not in work.deleted]
        if mine:
            more = self._take(me) or [[ATTACHMENTS, []]]
            work.key += 1
            tweet_id, text = self.dice.choice(mine[-3:]), f"edit {work.key}"
            self.posted.pop(tweet_id, None)
            done = lambda _: work.edited.update({tweet_id: text})  # noqa: E731
            self._once(me, "edit", [tweet_id, me, text, b"", [], None, more], done)

    def remove(self, media_id: int) -> None:
        """What the shards have leave is gone from the store; twice is as once."""
        held = {row[0] for row in self._held() if row[1] == HELD}
        assert media_id not in held, f"medium {media_id} is removed, and shown"
        self.store.discard(media_id)

    def _held(self) -> list[list[Any]]:
        replicas = [shard.replica for shard in self.work.sim.shards]
        risen = [replica for replica in replicas if replica.state.level >= MASTODON_FROM_LEVEL]
        return [row for replica in risen for row in replica.read("media_held", [0, 0, 1_000])[2]]

    def expire(self) -> None:
        """Have the time pass after which no upload waits any more."""
        sim = self.work.sim
        while self.is_on:
            commands = [(shard, shard.replica.due_command(FAR_MS)) for shard in sim.shards]
            if not any(command for _, command in commands):
                return
            for shard, command in commands:
                if command is not None:
                    shard.run(command)
            sim.drain()

    def check(self) -> None:
        """What is shown is in the store, and nothing else; every tweet has the medium that it was acknowledged with."""
        if not self.is_on:
            return
        rows = self._held()
        assert not [row for row in rows if row[1] != HELD], "something waits still, or is worked on"
        held = {media_id for media_id, what, _ in rows if what != GOING}
        assert held <= self.store, f"shown, but not there: {sorted(held - self.store)[:3]}"
        assert self.store <= held, f"nobody shows {sorted(self.store - held)[:3]}"
        for shard in self.work.sim.shards:
            assert BLOB.number not in shard.replica.state.things.kind_of.values()
            tweets = shard.replica.state.tweets
            for tweet_id, slot in tweets.slot_of.items():
                if tweet_id in self.posted:
                    attached = [medium.media_id for medium in read_facts(tweets.body[slot]).attachments]
                    assert attached == [self.posted[tweet_id]], f"tweet {tweet_id}"
