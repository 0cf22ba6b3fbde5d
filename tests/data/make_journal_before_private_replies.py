"""Made `journal_before_private_replies.msgpack`, with the code of commit 9f9be63: run it there to make it again.

    git worktree add /tmp/before 9f9be63 && cp tests/data/make_*.py /tmp/before/ && cd /tmp/before
    python make_journal_before_private_replies.py journal.msgpack

Two shards live through what counts: replies of every visibility, one by one and in batches, answered across and within
a shard, some of them deleted; likes, reposts and blocks that cross on the way. Written down per shard: every record of
its journal, and what applying it must come to: the number of the next message to the other shard and of the last one
from it; every message that ever left; the digest and the counts at the end.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgpack

from actors.core.entries import unpack
from actors.core.verify import digest
from tests.core.harness import Shards

PUBLIC, FOLLOWERS, DIRECT = 0, 1, 2


class Recorder(Shards):
    """Shards that write down what each record has come to."""

    def __init__(self) -> None:
        super().__init__(2)
        self.numbers: list[list[list[int]]] = [[], []]
        self.messages: list[list[bytes]] = [[], []]
        for shard in (0, 1):
            outbox = self.replicas[shard].state.outboxes[1 - shard]
            push = outbox.push

            def pushed(position: int, message: bytes, shard: int = shard, push: Any = push) -> None:
                self.messages[shard].append(message)
                push(position, message)

            # Outbox has slots: its class is wrapped, not the object.
            self.replicas[shard].state.outboxes[1 - shard] = _Wrapped(outbox, pushed)  # type: ignore[assignment]

    def _note(self, shard: int) -> None:
        state = self.replicas[shard].state
        while len(self.numbers[shard]) < len(self.journals[shard]):
            self.numbers[shard].append([state.outboxes[1 - shard].next_seq, state.inbox[1 - shard]])

    def run(self, shard: int, command: list[Any]) -> Any:
        result = super().run(shard, command)
        self._note(shard)
        return result

    def write_on(self, shard: int, op: str, args: Any) -> Any:
        try:
            return super().write_on(shard, op, args)
        finally:
            self._note(shard)


class _Wrapped:
    def __init__(self, outbox: Any, push: Any) -> None:
        self.outbox, self.push = outbox, push

    def __getattr__(self, name: str) -> Any:
        return getattr(self.outbox, name)


def live() -> Recorder:
    """Let everything happen."""
    s = Recorder()
    ada, eve, bob, joe = s.account_on(0, 0), s.account_on(0, 1), s.account_on(1, 0), s.account_on(1, 1)
    s.register(ada, eve, bob, joe)
    for follower, followed in ((bob, ada), (eve, ada), (ada, bob), (joe, bob), (ada, joe)):
        s.do("follow", follower, followed)
    for account_id in (ada, bob, joe):
        s.home(account_id)
    x, y = s.post(ada, "x of ada"), s.post(bob, "y of bob")
    replies = []
    for author in (eve, bob, joe):
        for tweet_id, answered in ((x, ada), (y, bob)):
            for visibility in (PUBLIC, FOLLOWERS, DIRECT):
                more = {"in_reply_to": tweet_id, "reply_author": answered, "mentions": [answered]}
                replies.append((author, s.post(author, f"reply {len(replies)}", visibility, **more)))
    for shard, author in ((0, eve), (1, joe)):
        s.now_ms += 1
        rows = [
            [author, f"batch {n}", n % 2, x if n % 3 else 0, ada if n % 3 else 0, b"", [], [ada], bytes([shard, n])]
            for n in range(10)
        ]
        s.write_on(shard, "post_many", [rows])
        s.exchange()
    for author, tweet_id in replies[1::4]:
        s.do("delete", tweet_id, author)
    for account_id in (eve, bob, joe):
        s.do("like", account_id, x)
        s.do("like", account_id, replies[0][1])
    s.do("unlike", eve, x)
    through = s.repost(bob, x)
    s.repost(joe, x)
    s.do("like", joe, through)
    s.send("block", ada, joe)  # its message waits while joe likes and answers what he has just been shut out of
    s.send("like", joe, y)
    s.send("unlike", joe, x)
    s.send("like", joe, x)
    s.now_ms += 1
    s.send("post", joe, "too late", DIRECT, x, ada, b"", [], [ada], None)
    s.exchange()
    for shard in (0, 1):
        s.run(shard, ["flush_counts"])
    s.exchange()
    s.do("unrepost", bob, x)
    doomed = s.post(ada, "doomed")
    s.repost(bob, doomed)
    s.post(bob, "an answer", DIRECT, in_reply_to=doomed, reply_author=ada, mentions=[ada])
    s.do("delete", doomed, ada)
    for shard in (0, 1):
        s.run(shard, ["flush_counts"])
    s.exchange()
    return s


def main(path: Path) -> None:
    s = live()
    shards = []
    for shard in (0, 1):
        state = s.replicas[shard].state
        entries = [state.tweets.get(t) for t in sorted(state.tweets.slot_of)]
        shards.append(
            {
                "records": s.journals[shard],
                "numbers": s.numbers[shard],
                "messages": s.messages[shard],
                "digest": digest(state),
                "tweets": [[e.tweet_id, e.author_id, e.flags, unpack(e.body)[2], *e[6:9]] for e in entries],
            }
        )
    path.write_bytes(msgpack.packb({"made_by": "9f9be63", "shards": shards}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
