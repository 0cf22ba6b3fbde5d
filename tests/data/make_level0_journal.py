"""Made `level0/journal.msgpack.xz`, with the code of commit e40ad83: run it there to make it again.

    git worktree add /tmp/before e40ad83 && cp -r tests/data/*level0*.py /tmp/before/tests/data/ && cd /tmp/before
    python -m tests.data.make_level0_journal tests/data/level0

Two shards live through every command and every message there is (it is an error if one is missing), buckets that move
and come back among them. Written down per shard: every record of its journal, and, after each, the number of the next
message to the other shard and of the last one from it; every message that ever left; and all answers at the end.
"""

from __future__ import annotations

import lzma
import random
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import msgpack
import numpy as np

from actors.core import ids, limits
from actors.core.entries import pack, unpack
from actors.core.errors import RookeryError
from actors.core.messages import MESSAGES, split_batch
from actors.core.state import COMMANDS
from tests.core.harness import SMALL
from tests.core.test_moving import Moving
from tests.data.level0_answers import answers_of

MADE_BY = "e40ad83"
TUNING = replace(SMALL, timeline_length=12, pull_threshold=5, dormant_after_days=3)
SEED, STEPS = 16, 420
DAY_MS = limits.DAY_MS
ENTITIES = pack({"hashtags": [["first", 0, 6]], "urls": [["https://example.org/x", 7, 28]]})


class Recorder(Moving):
    """Shards that write down what each record has come to."""

    def __init__(self) -> None:
        self.numbers: list[list[list[int]]] = [[], []]
        super().__init__(2, TUNING)

    def _note(self) -> None:
        for shard in (0, 1):
            state = self.replicas[shard].state
            while len(self.numbers[shard]) < len(self.journals[shard]):
                self.numbers[shard].append([state.outboxes[1 - shard].next_seq, state.inbox[1 - shard]])

    def run(self, shard: int, command: list[Any]) -> Any:
        result = super().run(shard, command)
        self._note()
        return result

    def write_on(self, shard: int, op: str, args: Any) -> Any:
        try:
            return super().write_on(shard, op, args)
        finally:
            self._note()

    def ask(self, shard: int, op: str, *args: Any) -> Any:
        body = super().ask(shard, op, *args)
        self._note()
        return body

    def many(self, accounts: list[int]) -> None:
        """Post a batch on each shard, as bulk loads do."""
        self.now_ms += 1
        for shard in (0, 1):
            authors = [a for a in accounts if self.shard_of(a) == shard]
            rows = [[a, f"of a batch {n}", n % 2, 0, 0, b"", [], [], bytes([shard, n])]
                    for n, a in enumerate(authors * 6)]  # fmt: skip
            self.write_on(shard, "post_many", [rows])
            self.exchange()


def explicit(s: Recorder, accounts: list[int]) -> None:
    """What chance would take long to come to."""
    ada, ben, eve, joe = accounts[0], accounts[1], accounts[-1], accounts[-2]
    for account_id in (ada, eve):
        s.do("login_token", account_id, b"t" * 32)
        s.do("login_token", account_id, b"u" * 32)
        s.do("revoke_token", account_id, b"t" * 32)
        s.do("revoke_tokens", account_id, [])
        s.do("change_password", account_id, f"hash of {account_id}", f"new hash of {account_id}", None, b"v" * 32)
        s.do("update_profile", account_id, {"bio": "some\nlines", "fields": [["key", "value"]]})
    x, y = s.post(ada, "#first https://example.org/x"), s.post(eve, "of eve")
    s.do("post", ada, "#first https://example.org/x", 0, y, eve, ENTITIES, [7, 8], [eve], b"with everything")
    s.do("follow", ada, eve)
    s.do("unfollow", ada, eve)
    s.send("block", eve, ada)  # its message waits while ada follows
    s.send("follow", ada, eve)
    s.exchange()
    s.do("unblock", eve, ada)
    gone = s.post(eve, "soon gone")
    kept = s.read("tweet_ref", gone, joe)[3]
    s.send("delete", gone, eve)
    s.send("like", ada, gone)
    s.send("repost", ada, kept)
    s.exchange()
    through = s.repost(ben, x)
    s.do("like", eve, through)
    s.post(joe, "an answer for few", 2, in_reply_to=x, reply_author=ada, mentions=[ada])
    for shard in (0, 1):
        s.run(shard, ["flush_counts"])
    s.exchange()
    s.many(accounts[:3] + accounts[-3:])
    s.now_ms += DAY_MS
    for shard in (0, 1):
        s.run(shard, ["tick", s.now_ms])
        s.run(shard, ["touch", [a for a in accounts if s.shard_of(a) == shard][:4]])
    s.now_ms += 2 * DAY_MS
    for shard in (0, 1):
        s.run(shard, ["tick", s.now_ms])
    s.exchange()


def at_random(s: Recorder, accounts: list[int], chance: random.Random) -> None:
    """Writes and reads as they come; messages wait for a while."""
    tweets: list[int] = []
    for step in range(STEPS):
        one, other = chance.sample(accounts, 2)
        try:
            match chance.randrange(12):
                case 0 | 1 | 2:
                    answered = chance.choice(tweets) if tweets and chance.random() < 0.4 else 0
                    reply_author = s.read("tweet_ref", answered, one)[0] if answered else 0
                    s.now_ms += chance.choice((1, 1, 1_000))
                    s.send("post", one, f"step {step}", chance.choice((0, 0, 1, 2)), answered, reply_author, b"", [],
                           [other] if chance.random() < 0.5 else [], b"step %d" % step)  # fmt: skip
                    state = s.state_of(one)
                    tweets.append(int(state.tweets.log.view(state.people.row_of[one])[-1]))
                case 3 | 4:
                    s.send(chance.choice(("follow", "follow", "unfollow")), one, other)
                case 5 | 6 if tweets:
                    s.send(chance.choice(("like", "like", "unlike")), one, chance.choice(tweets))
                case 7 if tweets:
                    s.send("repost", one, s.read("tweet_ref", chance.choice(tweets), one)[3])
                case 8 if tweets:
                    tweet_id = tweets.pop(chance.randrange(len(tweets)))
                    s.send("delete", tweet_id, s.read("tweet_ref", tweet_id, 0)[0])
                case 9:
                    s.send(chance.choice(("block", "unblock", "mute", "unmute", "unblock")), one, other)
                case 10:
                    s.home(one)
                case _:
                    s.deliver(*chance.choice(((0, 1), (1, 0))))
        except RookeryError:
            pass  # refused, as some of what comes by chance is


def live() -> Recorder:
    """Let everything happen."""
    s, chance = Recorder(), random.Random(SEED)
    accounts = [s.account_on(0, n) for n in range(7)] + [s.account_on(1, n) for n in range(7)]
    for account_id in accounts:
        row = [f"user{account_id}", account_id, f"Name {account_id}", "bio", f"hash of {account_id}", []]
        s.do("register", *row)
    imported = ["imported", s.account_on(1, 20), "", "", None, [b"i" * 32]]
    s.write_on(s.owner[ids.bucket_of_name("imported")], "register_many", [[imported]])
    s.send("register", s.name_on(1), accounts[3], "", "", None, [])  # the id is taken: the name is given back
    s.exchange()
    star = accounts[2]
    for account_id in accounts[3:] + accounts[:2]:
        s.do("follow", account_id, star)
    s.write_on(0, "follow_many", follows_of(accounts))
    s.exchange()
    explicit(s, accounts)
    at_random(s, accounts, chance)
    s.exchange()
    s.move(1, accounts[0], accounts[1])
    at_random(s, accounts, chance)
    s.exchange()
    s.move(0, accounts[0], accounts[-1])
    s.sweep()
    s.exchange()
    at_random(s, accounts, chance)  # ends with messages that wait
    return s


def follows_of(accounts: list[int]) -> list[Any]:
    """Return the arguments of a bulk follow by accounts of shard 0."""
    followers = np.repeat(np.array(accounts[:3], "<i8"), 2)
    followees = np.array([accounts[-1], accounts[-2]] * 3, "<i8")
    return [followers.tobytes(), followees.tobytes()]


def require_all_kinds(s: Recorder) -> None:
    commands = {unpack(record)[0] for journal in s.journals for record in journal}
    assert commands == set(COMMANDS), set(COMMANDS) - commands
    assert kinds_sent(s) == set(MESSAGES), set(MESSAGES) - kinds_sent(s)


def kinds_sent(s: Recorder) -> set[str]:
    received = [unpack(record) for journal in s.journals for record in journal]
    return {message[0] for c in received if c[0] == "receive" for message in split_batch(c[3])}


def main(folder: Path) -> None:
    s = live()
    require_all_kinds(s)
    waiting = [[[seq, m] for seq, _, m in s.replicas[n].state.outboxes[1 - n].waiting] for n in (0, 1)]
    made = {
        "made_by": MADE_BY,
        "tuning": asdict(TUNING),
        "owner": Moving(2, TUNING).owner,
        "shards": [{"records": s.journals[n], "numbers": s.numbers[n], "waiting": waiting[n]} for n in (0, 1)],
        "answers": answers_of(s.replicas),
    }
    (folder / "journal.msgpack.xz").write_bytes(lzma.compress(msgpack.packb(made), preset=9))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
