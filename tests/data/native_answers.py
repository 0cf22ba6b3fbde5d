"""What the native JSON is, to the letter: every kind of tweet, through every list that shows tweets.

    python -m tests.data.native_answers      writes native_answers.json.xz anew, with the code as it is now

Rules of this file
- The file was made by the code before tweets were put together from pieces. It is made anew only when the native JSON
  is meant to change, and then its difference is what is reviewed.
- Each list is asked for twice: what is rendered on the way, and what was kept.
- At several moments: as tweets were posted, with counts that were not told yet, with counts told, after edits, after
  deletions, and by replicas that were restored from their checkpoints.
"""

from __future__ import annotations

import lzma
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from actors.core.entries import pack
from actors.core.postings.found import FoundTweets, Viewer
from actors.core.timelines.home import Ask, Wake
from actors.core.replica import home_reply
from tests.core.harness import SMALL, Shards, memory_store

PATH = Path(__file__).parent / "native_answers.json.xz"
NOBODY = Viewer(0, np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
TUNING = replace(SMALL, timeline_length=8, pull_threshold=4)
TEXTS = (
    "plain",
    'quotes " and \\ back\\slashes, \t tabs,\n lines, \x00 and \x7f',
    'ends as a tweet does: ","counts":{"replies":9,"reposts":9,"likes":9}}',
    "😀 é é 漢字 \u202eright to left\u202c \u2028 line, " + "👩‍👩‍👧‍👦" * 20,
    "x" * 280,
    "<script>&amp;</script> ünï",
)


class World(Shards):
    """Two shards: an author and a reader on each, a stranger, and an author with so many followers that reads pull."""

    def __init__(self, level: int, pieces_bytes_max: int) -> None:
        super().__init__(2, replace(TUNING, pieces_bytes_max=pieces_bytes_max), level)
        self.author, self.reader, self.stranger, self.pulled = (self.account_on(0, i) for i in range(4))
        self.author2, self.reader2, *self.fans = (self.account_on(1, i) for i in range(6))
        self.everybody = [self.author, self.author2, self.reader, self.reader2, self.stranger, self.pulled, *self.fans]
        self.register(*self.everybody)
        for follower in (self.reader, self.reader2, self.author, *self.fans):
            for followee in (self.author2, self.pulled, self.author):
                if follower != followee and (followee == self.pulled or follower not in self.fans):
                    self.do("follow", follower, followee)
        self.tweets: list[int] = []
        for each in (self.reader, self.reader2):
            self.home(each)  # wakes

    def say(self, author: int, text: str, **more: Any) -> int:
        """Post; more: visibility, in_reply_to, reply_author, entities, media, mentions."""
        self.now_ms += 1_234_567
        given = {
            "visibility": 0,
            "in_reply_to": 0,
            "reply_author": 0,
            "entities": {},
            "media": [],
            "mentions": [],
        } | more
        entities = pack(given["entities"]) if given["entities"] else b""
        self.do(
            "post", author, text, given["visibility"], given["in_reply_to"], given["reply_author"], entities,
            given["media"], given["mentions"], None,
        )  # fmt: skip
        made = int(self.state_of(author).tweets.log.view(self.row_of(author))[-1])
        self.tweets.append(made)
        return made

    def count(self) -> None:
        """Tell counts that have changed, as the shell does several times a second."""
        for shard in range(2):
            self.run(shard, ["flush_counts"])
        self.exchange()


def _write_tweets(world: World) -> None:
    """Post every kind of tweet."""
    for text in TEXTS:
        world.say(world.author, text)
    entities = {
        "mentions": [[world.reader, f"user{world.reader}", 0, 5]],
        "hashtags": [["größe", 6, 12], ['"', 13, 15]],
        "urls": [['https://example.com/?a=1&b="2"', 16, 40]],
    }
    first = world.say(world.author, "everything", entities=entities, media=[1, 1 << 62], mentions=[world.reader])
    world.say(world.author2, "only links", entities={"urls": [["http://a.b", 0, 9]]})
    for visibility in (1, 2):
        world.say(world.author2, f"for {visibility}", visibility=visibility, mentions=[world.reader, world.reader2])
    answer = world.say(world.author2, "an answer", in_reply_to=first, reply_author=world.author)
    world.say(world.author, "to the answer", in_reply_to=answer, reply_author=world.author2)
    world.say(world.author, "for followers", in_reply_to=answer, reply_author=world.author2, visibility=1)
    world.say(world.pulled, "to thousands")
    world.now_ms += 1_000
    unfollowed = world.say(world.stranger, "nobody follows me")
    for account_id, tweet_id in (
        (world.author, answer), (world.author2, first), (world.pulled, world.tweets[3]), (world.author2, unfollowed),
        (world.author, unfollowed),
    ):  # fmt: skip
        world.tweets.append(world.repost(account_id, tweet_id))
        world.now_ms += 1_000
    rows = [[world.author2, f"one of many {i}", 0, 0, 0, b"", [], [], None] for i in range(9)]
    world.tweets += world.write_on(world.shard_of(world.author2), "post_many", [rows])  # as columns
    world.exchange()


def _act(world: World) -> None:
    """Like, repost and answer."""
    for i, tweet_id in enumerate(world.tweets):
        for liker in world.everybody[: i % 5]:
            world.do("like", liker, tweet_id)
    world.tweets.append(world.repost(world.stranger, world.tweets[0]))
    world.say(world.stranger, "me too", in_reply_to=world.tweets[4], reply_author=world.author)


def answers(level: int, pieces_bytes_max: int) -> dict[str, list[str]]:
    """Return what every list answered, by moment and list."""
    world = World(level, pieces_bytes_max)
    found: dict[str, list[str]] = {}

    def look(moment: str) -> None:
        for again in ("first", "again"):
            for name, texts in _everything(world):
                found[f"{moment}, {again}: {name}"] = texts

    _write_tweets(world)
    look("posted")
    _act(world)
    look("counts move")
    world.count()
    look("counts told")
    if level:
        for tweet_id, text in ((world.tweets[0], "edited"), (world.tweets[6], "edited, without entities")):
            world.now_ms += 1_000
            world.do("edit", tweet_id, world.author, text, b"", [])
        look("edited")
    deleted = [world.do("delete", tweet_id, world.author).decode() for tweet_id in world.tweets[2:4]]
    found["deleted"] = deleted
    look("gone")
    stores = [memory_store() for _ in range(2)]
    for shard in range(2):
        world.seal_into(shard, stores[shard])
        world.restore_from(shard, stores[shard])
    look("restored")
    return found


def _everything(world: World) -> Iterator[tuple[str, list[str]]]:
    """Yield the name of each list and what it answers."""
    for reader in (world.reader, world.reader2, world.author):
        yield f"home of {reader}", [_home(world, reader)]
        yield f"home of {reader}, below", [_home(world, reader, max_id=world.tweets[9])]
        yield f"home of {reader}, above", [_home(world, reader, min_id=world.tweets[1], count=5)]
        yield f"home of {reader}, skipping", [_home(world, reader, skip=3)]
    for author in (world.author, world.author2, world.pulled, world.stranger):
        for viewer in (author, world.reader, 0):
            body, *_ = world.read("user_timeline", author, viewer, 0, 0, 0, 200)
            yield f"tweets of {author} for {viewer}", [body.decode()]
    for replica in world.replicas:
        shard, viewer = replica.state.shard, world.reader
        here = [t for t in world.tweets if world.shard_for("tweet", [t]) == shard]
        (shown,) = replica.read("tweets", [here, viewer])
        yield f"tweets of shard {shard}, as in likes", [_text(each) for each in shown]
        there = [t for t in here if t in replica.state.tweets]
        yield (
            f"search of shard {shard}",
            [_text(row[2]) for row in FoundTweets(replica.lookups).rows(there, NOBODY, 99)],
        )
        for tweet_id in there:
            if replica.read("tweets", [[tweet_id], viewer])[0][0] is not None:
                yield f"tweet {tweet_id}", [_text(replica.read("tweet", [tweet_id, viewer]))]
                line, above = replica.read("lineage", [tweet_id, viewer, 40])
                yield f"thread of {tweet_id}", [*map(_text, line), str(above)]


def _text(json: bytes | None) -> str:
    return "" if json is None else json.decode()


def _home(world: World, account_id: int, count: int = 40, **place: int) -> str:
    """Return a home timeline as a shard's shell answers it."""
    shard = world.shard_of(account_id)
    replica = world.replicas[shard]
    args = [account_id, place.get("max_id", 0), 0, place.get("min_id", 0), count, place.get("skip", 0)]
    quick = replica.try_home(replica.query(args))
    if quick is not None:
        return f"{quick[1]} {quick[2]} {quick[0].decode()}"
    steps, answer = replica.home_steps(replica.query(args)), None
    while True:
        try:
            need: Wake | Ask = steps.send(answer)
        except StopIteration as stop:
            body, newest, oldest = home_reply(stop.value)
            return f"{newest} {oldest} {body.decode()}"
        answer = None
        if isinstance(need, Wake):
            if need.start:
                world.run(shard, ["wake", account_id])
            world.exchange()
        else:
            answer = {s: world.replicas[s].read(op, asked) for s, (op, asked) in need.questions.items()}


def answers_of_today(pieces_bytes_max: int = 1 << 20) -> bytes:
    """Return what the file unpacks to: the answers of both levels, one a line; what was said before is only named."""
    said: dict[tuple[str, ...], str] = {}
    found: dict[str, Any] = {}
    for level in (0, 1):
        for name, texts in answers(level, pieces_bytes_max).items():
            place = f"level {level}, {name}"
            before = said.setdefault(tuple(texts), place)
            found[place] = texts if before == place else f"as {before}"
    return orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


if __name__ == "__main__":
    PATH.write_bytes(lzma.compress(answers_of_today()))
