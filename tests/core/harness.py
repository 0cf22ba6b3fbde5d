"""A few shards in one thread, without time, faults or disks: commands go in, messages go across when a test says so.

Rules of this file
- Every record that a journal would get is kept, so that any moment can be replayed or recovered.
- Nothing is random; the clock is `now_ms`, which a test moves.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

from actors.core import ids, limits
from actors.core.checkpoints.snapshot import TABLES
from actors.core.entries import pack
from actors.core.errors import RookeryError
from actors.core.features import READS, WRITES
from actors.core.levels import LEVEL
from actors.core.messages import require_fitting
from actors.core.replica import Replica
from actors.core.state import ShardState
from actors.core.terms import Key
from actors.core.timelines.home import Ask, Wake
from actors.core.verify import check, digest
from persistence.memory import MemoryCheckpointStore

NOW_MS = 1_700_000_000_000
SMALL = limits.Tuning(timeline_length=6, pull_threshold=1000, arrivals_max=64, pieces_bytes_max=4_096)
SAID_BESIDE = [[6, "first"], [7, True], [8, "en"], [9, ["app", ""]], [11, [["a", "b"], False, True, 600_000]]]
OPERATIONS = {**WRITES, **READS}


class Shards:
    """Shards that share buckets evenly."""

    def __init__(self, count: int = 2, tuning: limits.Tuning = SMALL, level: int = LEVEL) -> None:
        """level: 0 as in a cluster that has still to be rolled."""
        self.tuning = tuning
        self.owner = [bucket % count for bucket in range(ids.BUCKET_COUNT)]
        self.replicas = [Replica(n, self.owner, tuning) for n in range(count)]
        self.journals: list[list[bytes]] = [[] for _ in range(count)]
        self.now_ms = NOW_MS
        self.question_count = 0
        for shard in range(count if level else 0):
            self.run(shard, ["level", level])

    # ---- places -----------------------------------------------------------------------------------------------

    def shard_of(self, account_id: int) -> int:
        return self.owner[ids.bucket_of_account(account_id)]

    def state_of(self, account_id: int) -> Any:
        return self.replicas[self.shard_of(account_id)].state

    def row_of(self, account_id: int) -> int:
        return self.state_of(account_id).people.row_of[account_id]

    def account_on(self, shard: int, index: int = 0) -> int:
        """Return the index-th small account id that lives on a shard."""
        return next(islice((a for a in range(1, 400) if self.shard_of(a) == shard), index, None))

    def name_on(self, shard: int, index: int = 0) -> str:
        """Return the index-th name whose reservation lives on a shard."""
        names = (f"name{i}" for i in range(400))
        return next(islice((n for n in names if self.owner[ids.bucket_of_name(n)] == shard), index, None))

    # ---- writes -----------------------------------------------------------------------------------------------

    def run(self, shard: int, command: list[Any]) -> Any:
        record, result = self.replicas[shard].command(command)
        self.journals[shard].append(record)
        return result

    def write_on(self, shard: int, op: str, args: Any) -> Any:
        """Carry out a write. Raises what refuses it, also when only applying it could find the refusal."""
        record, body = self.replicas[shard].write(op, args, self.now_ms)
        if record is not None:
            self.journals[shard].append(record)
        if isinstance(body, RookeryError):
            raise body
        return body

    def shard_for(self, op: str, args: list[Any]) -> int:
        key = OPERATIONS[op].key
        if key is Key.NAME:
            return self.owner[ids.bucket_of_name(args[0])]
        if key in (Key.TWEET, Key.THING):
            return self.owner[ids.bucket_of_tweet(args[0])]
        if op == "tweets":
            return self.owner[ids.bucket_of_tweet(args[0][0])]
        return self.shard_of(args[0])

    def send(self, op: str, *args: Any) -> Any:
        """Carry out a write where it belongs, and leave its messages waiting."""
        return self.write_on(self.shard_for(op, list(args)), op, list(args))

    def do(self, op: str, *args: Any) -> Any:
        """Carry out a write where it belongs, and all that follows from it."""
        body = self.send(op, *args)
        self.exchange()
        return body

    def register(self, *account_ids: int) -> None:
        for account_id in account_ids:
            self.do("register", f"user{account_id}", account_id, "", "", None, [])

    def post(self, author: int, text: str = "hello", visibility: int = 0, **more: Any) -> int:
        """Post and let it arrive; return the tweet id. more: in_reply_to, reply_author, mentions, key, facts."""
        self.now_ms += 1
        self.do(
            "post", author, text, visibility, more.get("in_reply_to", 0), more.get("reply_author", 0), b"", [],
            more.get("mentions", []), more.get("key"), *([more["facts"]] if "facts" in more else []),
        )  # fmt: skip
        state = self.state_of(author)
        return int(state.tweets.log.view(state.people.row_of[author])[-1])

    def repost(self, account_id: int, tweet_id: int) -> int:
        entry = self.read("tweet_ref", tweet_id, account_id)[3]
        self.do("repost", account_id, entry)
        return self.state_of(account_id).reposts[self.row_of(account_id)][tweet_id]

    # ---- messages ---------------------------------------------------------------------------------------------

    def deliver(self, source: int, destination: int) -> int:
        """Carry one batch across and acknowledge it; return how many messages it held."""
        first, messages = self.replicas[source].state.outboxes[destination].batch(1 << 62)
        if messages:
            require_fitting(b"".join(messages))
            seq = self.run(destination, ["receive", source, first, b"".join(messages)])
            self.run(source, ["acked", destination, seq])
        return len(messages)

    def exchange(self) -> None:
        """Carry messages across until none waits."""
        pairs = [(s.state.shard, d) for s in self.replicas for d in s.state.outboxes]
        for _ in range(100):
            if not sum([self.deliver(s, d) for s, d in pairs]):
                return
        raise AssertionError("shards never stop sending")

    # ---- reads ------------------------------------------------------------------------------------------------

    def read(self, op: str, *args: Any) -> Any:
        return self.replicas[self.shard_for(op, list(args))].read(op, list(args))

    def ask_as(self, viewer: int, op: str, *args: Any) -> Any:
        """Ask what a viewer is to see, as API workers do; args: without the facts. Counts the questions."""
        asked = hidden = b""
        self.question_count, ask = 0, self.do if op == "delete" else self.read
        while True:
            reply = ask(op, *args, [asked, hidden])
            if not (isinstance(reply, list) and reply[0] is None):
                return reply
            self.question_count += 1
            asked += reply[1]
            hidden += self.read("blocked_among", viewer, reply[1])

    def home(
        self, account_id: int, count: int = 20, max_id: int = 0, since_id: int = 0, min_id: int = 0, skip: int = 0
    ) -> list[int]:
        """Read a home timeline as the shell does, waking and asking; return its tweet ids."""
        shard = self.shard_of(account_id)
        replica = self.replicas[shard]
        steps = replica.home_steps(replica.query([account_id, max_id, since_id, min_id, count, skip]))
        answer: Any = None
        while True:
            try:
                need = steps.send(answer)
            except StopIteration as stop:
                return [tweet_id for tweet_id, _ in stop.value]
            answer = None
            if isinstance(need, Wake):
                if need.start:
                    self.run(shard, ["wake", account_id])
                self.exchange()
            elif isinstance(need, Ask):
                answer = {s: self.replicas[s].read(op, args) for s, (op, args) in need.questions.items()}

    # ---- the state as a whole -----------------------------------------------------------------------------------

    def digests(self) -> list[str]:
        return [digest(r.state) for r in self.replicas]

    def check(self) -> None:
        problems = [problem for r in self.replicas for problem in (*check(r.state), *stale_pieces(r.state))]
        assert not problems, problems[:5]

    def replayed(self, shard: int) -> Replica:
        """Return a fresh replica after the whole journal of a shard."""
        fresh = Replica(shard, self.owner, self.tuning)
        for position, record in enumerate(self.journals[shard], start=1):
            fresh.replay(position, record)
        return fresh

    def seal_into(self, shard: int, store: Any) -> None:
        replica = self.replicas[shard]
        store.write(replica.state.position, 1, replica.seal())

    def restore_from(self, shard: int, store: Any) -> Replica:
        """Put a fresh replica, loaded from a store, in the place of a shard; return it."""
        fresh = self.replicas[shard] = Replica(shard, self.owner, self.tuning)
        fresh.load(store.load())
        return fresh


def stale_pieces(state: ShardState) -> list[str]:
    """Return violations: what is kept of each tweet that has arrived is what would be made of it now."""
    a = state.arrivals
    return [
        f"what is kept of tweet {tweet_id} isn't what it says and counts"
        for pieces in a.pieces
        for tweet_id, n in a.number_of.items()
        if pieces.of(n & a.mask) not in (None, pieces.renderer.piece(a.entry(n)))
    ]


def memory_store() -> MemoryCheckpointStore:
    """Return an empty store of the core's tables."""
    return MemoryCheckpointStore(TABLES)


def packed_original(author_id: int, tweet_id: int, /, **changes: Any) -> bytes:
    """Return the packed entry of a public tweet as `tweet_ref` gives it, with some of its fields changed."""
    fields = {
        "tweet_id": tweet_id, "author_id": author_id, "flags": 0, "reply_author": 0, "orig_id": tweet_id,
        "orig_author": author_id, "replies": 0, "reposts": 0, "likes": 0,
        "body": pack(["text", "name", 0, [], b"", 0]), "mention_ids": [], "orig": None,
    }  # fmt: skip
    return pack(list((fields | changes).values()))
