"""Tweets to search in: texts of our own in many languages and scripts, or lines of a file, as the oracle and the index
take them.

Rules of this file
- Seeded: the same call makes the same tweets.
- A `Sample` says one tweet twice: as the oracle sees it, and as the row that a shard feeds. The two are made here side
  by side from the same text, so that neither is derived by the code under test; but for the language, which has to be
  as detected.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from actors.core.arrays import kernels
from actors.core.facts import ATTACHMENTS, Facts, pack_facts
from actors.search.documents import NEW
from actors.text.text import language_of
from api.text.entities import find_entities, pack_entities
from tests.search.oracle import OracleTweet

MEDIA = ("image", "image alt", "image video", "image video alt", "video", "audio alt", "old")
START_MS = 1_767_225_600_000  # 2026-01-01
AUTHORS = {"ada": 7, "bob": 8, "carol": 9, "dave": 10, "erin": 11, "nobody": None}
AUTHOR_IDS = [account_id for account_id in AUTHORS.values() if account_id]

SENTENCES = [
    "Just saw a blue whale off the coast, the whales are singing tonight",
    "Running late again, but the runners in the park don't stop",
    "I love this city in the morning, nothing beats good coffee and a long walk",
    "The cats chased the dog around the house; what a happy mess",
    "Happy birthday to the best friend anyone could have",
    "Markets are falling: selling everything and buying gold",
    "Watching the game with friends, what a goal!",
    "It's 2 < 3 &amp; <b>bold</b> claims need proof",
    "Der Zug nach München hat schon wieder Verspätung, ich liebe die Bahn trotzdem sehr",
    "Die Häuser in der alten Straße sind größer als gedacht und wunderschön",
    "Les chevaux mangeaient tranquillement dans le pré près de la rivière",
    "J'adore le café crème et les petits gâteaux de ma grand-mère",
    "Los niños corrían por la playa mientras el sol caía sobre el mar",
    "Mañana celebramos el cumpleaños de la abuela con toda la familia",
    "Os barcos pequenos voltaram ao porto antes da tempestade de ontem",
    "Вчера мы гуляли по старому городу и ели мороженое у реки",
    "Новые книги стоят дорого, но читать их очень интересно",
    "Η θάλασσα ήταν ήρεμη και ο ουρανός γεμάτος αστέρια χθες το βράδυ",
    "今日は東京でマラソンを走りました。天気がとても良かったです",
    "日本語の検索は難しいけれど面白い",
    "我昨天在北京看了一场很好看的电影",
    "오늘은 서울에서 친구들과 맛있는 저녁을 먹었어요",
    "วันนี้อากาศดีมาก ไปเที่ยวทะเลกัน",
    "كان البحر هادئا والسماء مليئة بالنجوم الليلة الماضية",
    "आज मौसम बहुत अच्छा है और हम बाज़ार जा रहे हैं",
    "Bugün İstanbul'da hava çok güzel, ışıklar yanıyor",
    "ok",
    "!!!",
    "naïve façade, coöperate, Ünïcödé and ＦＵＬＬ width letters",
    "well-known e-mail re: C++ and AT&T at 12:30",
    "don't can't won't shouldn't've",
]
TAGS = ["#love", "#Ocean", "#MondayMotivation", "#Tōkyō", "#東京", "#straße", "#münchen", "#2026goals", "#w_i_p"]
CASHTAGS = ["$TSLA", "$brk.a", "$BTC", "$5"]
NAMES = ["@ada", "@Bob", "@carol_99", "＠dave", "@erin's", "RT @ada:"]
LINKS = ["https://example.com/whales?x=1#top", "http://rookery.example.org", "www.example.com/love"]
EMOJI = ["👍", "👍🏽", "🎉🎉", "❤️", "👨‍👩‍👧", "🇩🇪", "☕"]
WORDS = ["love", "whale", "whales", "morning", "gold", "friends", "running", "café", "stars", "the", "a", "zzz", "2026"]


@dataclass(frozen=True)
class Sample:
    """A tweet as the oracle sees it and as it is fed."""

    tweet: OracleTweet
    row: list[Any]

    def with_likes(self, likes: int) -> Sample:
        """Return the same tweet with other likes; in its row only the counts have changed."""
        row = [*self.row[:6], likes, *self.row[7:9], 0]
        return Sample(replace(self.tweet, likes=likes), row)


def make_texts(count: int, seed: int) -> list[str]:
    """Return texts of our own."""
    rng = random.Random(seed)
    return [_make_text(rng) for _ in range(count)]


def _make_text(rng: random.Random) -> str:
    sentence = rng.choice(SENTENCES)
    words = sentence.split(" ")
    if rng.random() < 0.5 and len(words) > 3:
        words = words[: rng.randrange(2, len(words))]
    if rng.random() < 0.4:
        words += rng.choice(SENTENCES).split(" ")[-rng.randrange(1, 6) :]
    for chance, pool in ((0.4, TAGS), (0.1, CASHTAGS), (0.3, NAMES), (0.15, LINKS), (0.3, EMOJI), (0.4, WORDS)):
        while rng.random() < chance:
            words.insert(rng.randrange(len(words) + 1), rng.choice(pool))
    text = " ".join(words)
    return text.upper() if rng.random() < 0.05 else text


def multiply(texts: list[str], count: int, seed: int) -> list[str]:
    """Return further texts: the first part of one and the last part of another."""
    rng = random.Random(seed)
    made = []
    for _ in range(count):
        first, last = rng.choice(texts).split(" "), rng.choice(texts).split(" ")
        made.append(" ".join(first[: rng.randrange(len(first) + 1)] + last[rng.randrange(len(last)) :]))
    return made


def samples(texts: Iterable[str], seed: int) -> list[Sample]:
    """Return a tweet for each text, ids ascending over some days: replies, reposts, media, likes, as it happens."""
    rng = random.Random(seed)
    found: list[Sample] = []
    at_ms = START_MS
    for text in texts:
        at_ms += rng.randrange(1, 200_000)
        author = rng.choice(AUTHOR_IDS) if rng.random() < 0.3 else rng.randrange(100, 2_000)
        reply_author = rng.choice([*AUTHOR_IDS, rng.randrange(100, 2_000)]) if rng.random() < 0.2 else 0
        is_repost = rng.random() < 0.1
        likes = 0 if rng.random() < 0.5 else int(rng.paretovariate(0.7))
        tweet_id = at_ms << 16 | rng.randrange(1 << 16)
        media = rng.choice(MEDIA) if rng.random() < 0.1 else ""
        found.append(
            make_sample(
                tweet_id, author, text, 0 if is_repost else reply_author, media, is_repost,
                min(likes, 100_000), rng.randrange(3), rng.randrange(3),
            )
        )  # fmt: skip
    return found


def attachments_for(media: str) -> dict[int, list[list[Any]]]:
    """Return the fact of media of such kinds."""
    kinds = {"image video": 1, "image": 0, "video": 2, "audio": 3}
    kind = next((number for words, number in kinds.items() if media.startswith(words)), None)
    if kind is None:
        return {}
    words = "said" if media.endswith("alt") else ""
    return {ATTACHMENTS: [[5, kind, words, 0, 0, "", 0, 0, 0, [["0123456789abcdef-original.png", 1, 1, 1]]]]}


def make_sample(
    tweet_id: int, author: int, text: str, reply_author: int = 0, media: str = "", is_repost: bool = False,
    likes: int = 0, replies: int = 0, reposts: int = 0,
) -> Sample:  # fmt: skip
    """Return one tweet."""
    entities = find_entities(text)
    tweet = OracleTweet(
        tweet_id, author, reply_author, text, [tag for tag, _, _ in entities.hashtags], media, bool(entities.urls),
        is_repost, likes, language_of(text),
    )  # fmt: skip
    packed = pack_entities(entities, {}) if entities.hashtags or entities.urls else b""
    older, attached = [5] if media == "old" else [], attachments_for(media)
    body = pack_facts(
        Facts(text, f"user{author}", tweet_id - 1 if reply_author else 0, older, packed, 0, attached), True
    )
    flags = (kernels.FLAG_REPLY if reply_author else 0) | (kernels.FLAG_REPOST if is_repost else 0)
    if is_repost:
        original, body = body, pack_facts(Facts("", f"user{author}"))
    else:
        original = None
    return Sample(tweet, [tweet_id, author, flags, reply_author, replies, reposts, likes, body, original, NEW])
