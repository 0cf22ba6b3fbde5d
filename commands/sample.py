"""A small sample network, so that a first `make run` shows something: people, follows, tweets, replies, reposts, likes.

Rules of this file
- Everything is made up here; nobody in it exists. The same network every time: one seed, no clock.
- It goes through the lane like any client's writes, and may be loaded again after an interruption: names and follows
  are sets, tweets have keys, reposts and likes are idempotent.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from commands.input_files import Edges
from commands.loading import BulkLoader, OnCount, Post

Pack = Callable[[str, dict[str, int]], bytes]
"""(text, account ids by lower-case name) -> packed entities, as the API extracts them."""

SEED = 1
FIRST_ID = 1001
SAMPLE_READER = FIRST_ID  # ada, whose home timeline `serve` points at
TWEET_COUNT, REPLY_COUNT, REPOST_COUNT, LIKE_COUNT = 330, 70, 30, 150
_NAMES = [
    "ada", "bruno", "cleo", "dario", "elif", "fumiko", "goran", "hana", "imani", "jonas", "kaya", "leandro", "mira",
    "nils", "odile", "pavel", "quinn", "rosa", "sami", "tova", "uma", "viggo", "wanda", "ximena", "yusuf", "zora",
    "anouk", "bashir", "carmen", "dmitri", "esme", "farid", "greta", "hugo", "ines", "jun", "katia", "lior",
    "malika", "noor", "oskar", "petra", "ravi", "selma", "theo", "ulla", "vera", "wim", "xenia", "yara", "zeno",
    "amara", "birk", "celia", "dov", "edda", "fabio", "gwen", "hamid", "ida",
]  # fmt: skip
_SURNAMES = [
    "Alder", "Birch", "Cedar", "Dunlin", "Elm", "Finch", "Gorse", "Heron", "Iris", "Juniper", "Kestrel", "Linden",
    "Merlin", "Nettle", "Osprey", "Poplar",
]  # fmt: skip
_BIOS = (
    "Bread, bicycles and long walks.", "Reads more than is good for the eyes.", "Night shifts, early trains.",
    "Grows tomatoes on a windowsill.", "Repairs radios.", "Sings in a choir that nobody asked for.", "",
)  # fmt: skip
_SUBJECTS = (
    ("The sourdough has risen", "baking"), ("Two herons on the canal this morning", "birds"),
    ("The 6:40 train was on time", "commute"), ("First tomatoes of the year", "garden"),
    ("Finished the second chapter", "reading"), ("The old radio plays again", "repair"),
    ("Rain on the tin roof", "weather"), ("Rehearsal ran late", "choir"), ("Found a shorter way", "walking"),
    ("Soup for eleven people", "cooking"), ("The chain came off again", "cycling"), ("A fox in the yard", "birds"),
)  # fmt: skip
_ENDINGS = (
    "and I can't stop smiling.", "which never happens.", "so there is hope.", "and nobody believes me.",
    "just like last spring.", "and the neighbours clapped.", "before breakfast.", "at last.", "again.",
    "on the first try.",
)  # fmt: skip
_ANSWERS = (
    "lovely news!", "how did you do it?", "same here.", "save some for me.", "I was there too.", "wonderful.",
    "next time call me.", "pictures, please.",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SampleTweet:
    """A tweet of the sample. answers: index of the tweet that it replies to, -1 for none."""

    author: int
    text: str
    answers: int = -1


@dataclass(frozen=True, slots=True)
class Sample:
    """The whole network; people are numbered 0.., tweets by index."""

    usernames: list[str]
    display_names: list[str]
    bios: list[str]
    follows: list[tuple[int, int]]
    tweets: list[SampleTweet]
    reposts: list[tuple[int, int]]
    likes: list[tuple[int, int]]

    @property
    def size(self) -> int:
        """Writes that load it."""
        return len(self.usernames) + len(self.follows) + len(self.tweets) + len(self.reposts) + len(self.likes)


def make_sample() -> Sample:
    """Return the sample network."""
    rng = random.Random(SEED)
    count = len(_NAMES)
    popularity = [1 / (rank + 1) ** 0.8 for rank in range(count)]
    follows: dict[tuple[int, int], None] = {}
    for person in range(count):
        wanted = 14 if person == 0 else rng.choice([3, 4, 6, 8, 11])
        for other in rng.choices(range(count), popularity, k=2 * wanted)[:wanted]:
            if other != person:
                follows[person, other] = None
    tweets: list[SampleTweet] = []
    while len(tweets) < TWEET_COUNT:
        subject, tag = rng.choice(_SUBJECTS)
        text = f"{subject} {rng.choice(_ENDINGS)}" + (f" #{tag}" if rng.random() < 0.6 else "")
        tweets.append(SampleTweet(rng.choices(range(count), popularity)[0], text))
    for _ in range(REPLY_COUNT):
        to = rng.randrange(TWEET_COUNT)
        author = rng.choices(range(count), popularity)[0]
        tweets.append(SampleTweet(author, f"@{_NAMES[tweets[to].author]} {rng.choice(_ANSWERS)}", to))
    everyone = range(count)
    reposts = {(rng.choice(everyone), rng.randrange(TWEET_COUNT)): None for _ in range(REPOST_COUNT)}
    likes = {(rng.choice(everyone), rng.randrange(TWEET_COUNT)): None for _ in range(LIKE_COUNT)}
    display = [f"{name.capitalize()} {_SURNAMES[i % len(_SURNAMES)]}" for i, name in enumerate(_NAMES)]
    bios = [rng.choice(_BIOS) for _ in everyone]
    return Sample(list(_NAMES), display, bios, list(follows), tweets, list(reposts), list(likes))


def sample_size() -> int:
    """Return how many writes `load_sample` makes."""
    return make_sample().size


async def load_sample(loader: BulkLoader, secret_hash: bytes, pack: Pack, on_count: OnCount) -> None:
    """Load the sample; secret_hash: of the token that ada gets."""
    sample = make_sample()
    people = range(len(sample.usernames))
    ids = {name: FIRST_ID + i for i, name in enumerate(sample.usernames)}
    rows = [
        [sample.usernames[i], FIRST_ID + i, sample.display_names[i], sample.bios[i], None,
         [secret_hash] if FIRST_ID + i == SAMPLE_READER else []]
        for i in people
    ]  # fmt: skip
    await loader.accounts(rows, on_count)
    us, vs = (np.array(side, dtype=np.int64) + FIRST_ID for side in zip(*sample.follows, strict=True))
    await loader.follows(Edges(us, vs), on_count)
    tweet_ids = await _post(loader, sample, ids, pack, on_count)
    for person, index in sample.likes:
        await loader.client.account(FIRST_ID + person, "like", tweet_ids[index])
        on_count(1)
    for person, index in sample.reposts:
        reference = await loader.client.tweet(tweet_ids[index], "tweet_ref", FIRST_ID + person)
        await loader.client.account(FIRST_ID + person, "repost", reference[3])
        on_count(1)
    await loader.wait_until_drained()


async def _post(loader: BulkLoader, sample: Sample, ids: dict[str, int], pack: Pack, on_count: OnCount) -> list[int]:
    """Post one by one, so that ids follow the order of the tweets and replies know what they answer."""
    tweet_ids: list[int] = []
    for index, tweet in enumerate(sample.tweets):
        key = hashlib.blake2b(f"sample:{index}".encode(), digest_size=16).digest()
        answered = sample.tweets[tweet.answers].author + FIRST_ID if tweet.answers >= 0 else 0
        post = Post(
            FIRST_ID + tweet.author, tweet.text, pack(tweet.text, ids), [answered] if answered else [], key,
            tweet_ids[tweet.answers] if answered else 0, answered,
        )  # fmt: skip
        args: list[Any] = post.to_args()
        tweet_ids.append(int(orjson.loads(await loader.client.account(args[0], "post", *args[1:]))["tweet_id"]))
        on_count(1)
    return tweet_ids
