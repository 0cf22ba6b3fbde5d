"""Trends of shards beside a twin that keeps every mention, and the actor that merges them with shards that are lists.

Rules of this file
- Time is made up, chance is seeded. Fewer than 48 authors a slice: the sketches are exact, and so are the comparisons.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors import trends_actor
from actors.core.errors import InvalidError, OverloadedError
from actors.search import trends
from actors.search.trend_scores import ScoreSettings, rank, term_keys
from actors.search.trends import (
    AHEAD_MS,
    DAY_MS,
    GROWING_COUNT_MAX,
    KEEP_COUNT,
    SLICE_COUNT,
    SLICE_MS,
    SNAPSHOT_BYTES_MAX,
    WINDOWS,
    ShardTrends,
    merge,
    read_snapshot,
)
from actors.trends_actor import TrendsActor, display_name

T0 = 500_000 * 3_600_000  # the beginning of an hour
MINUTE, HOUR = 60_000, 3_600_000
SIGNS = {"hashtag": "#", "phrase": "_", "link": ">"}


class TwinTrends:
    """Every mention ever: (slice of 25 s, author) by term."""

    def __init__(self):
        self.pairs = defaultdict(set)
        self.since_ms = None

    def add(self, at_ms, author_id, lang, hashtags, words, links):
        self.since_ms = at_ms if self.since_ms is None else min(self.since_ms, at_ms)
        for key in term_keys(lang, hashtags, words, links):
            self.pairs[key].add((at_ms // SLICE_MS[0], author_id))

    def inside(self, key, now_ms, window):
        span = SLICE_MS[WINDOWS.index(window)]
        return [p for p in self.pairs[key] if now_ms // span - p[0] * SLICE_MS[0] // span < SLICE_COUNT]

    def counts(self, key, now_ms, window):
        """Return (mentions in each slice, distinct authors)."""
        span = SLICE_MS[WINDOWS.index(window)]
        counts = [0] * SLICE_COUNT
        inside = self.inside(key, now_ms, window)
        for index, _ in inside:
            counts[SLICE_COUNT - 1 - (now_ms // span - index * SLICE_MS[0] // span)] += 1
        return tuple(counts), len({author for _, author in inside})


def table(shards, now_ms, window, lang=None, authors_min=1):
    """Return key (without language) -> TermCounts of what the shards' snapshots say."""
    snapshots = [read_snapshot(shard.snapshot(now_ms)) for shard in shards]
    terms = merge(snapshots, now_ms, window, authors_min).get(lang, [])
    return {SIGNS[term.kind] + term.text: term for term in terms}


def ranked(shards, now_ms, window, lang=None, settings=ScoreSettings()):  # noqa: B008  frozen
    snapshots = [read_snapshot(shard.snapshot(now_ms)) for shard in shards]
    terms = merge(snapshots, now_ms, window, settings.authors_min).get(lang, [])
    return [trend.term.text for trend in rank(terms, settings, 50)]


def feed(shards, tweets, twin=None):
    """Feed (at_ms, author, lang, hashtags, words, links) as they happen, each to its author's shard."""
    for tweet in tweets:
        for shard in shards:
            shard.advance(tweet[0])
        shards[tweet[1] % len(shards)].add(*tweet)
        if twin is not None:
            twin.add(*tweet)
    for shard in shards:
        shard.check()


def chatter(rng, start_ms, end_ms, every_ms, author_count=2_000, word_count=200):
    """Yield what is always written: a greeting, a steady hashtag, and words by chance."""
    for at in range(start_ms, end_ms, every_ms):
        words = [f"word{min(int(rng.expovariate(0.05)), word_count)}" for _ in range(4)]
        if rng.random() < 0.3:
            words = ["good", "morning", *words]
        yield at, rng.randrange(1, author_count), "en", ["np"] if rng.random() < 0.3 else [], words, []


def with_bursts(tweets, *bursts):
    return sorted([*tweets, *(tweet for burst in bursts for tweet in burst)], key=lambda tweet: tweet[0])


def burst(start_ms, count, every_ms, lang="en", hashtags=(), words=(), links=(), first_author=10_000):
    return [
        (start_ms + n * every_ms, first_author + n, lang, list(hashtags), list(words), list(links))
        for n in range(count)
    ]


@pytest.mark.parametrize("shard_count", [1, 3])
def test_counts_authors_and_histories_are_those_of_the_twin(shard_count):
    rng, twin = random.Random(1), TwinTrends()
    shards = [ShardTrends(T0) for _ in range(shard_count)]
    end = T0 + 3 * HOUR + 7 * MINUTE
    feed(shards, list(chatter(rng, T0, end, 6_000, author_count=40, word_count=4)), twin)
    compared = 0
    for window in WINDOWS:
        for key, term in table(shards, end, window).items():
            counts, authors = twin.counts(f"{key[0]}en {key[1:]}", end, window)
            assert (term.counts, term.authors) == (counts, authors), (window, key)
            compared += 1
    assert compared > 150


def test_three_shards_together_say_what_one_alone_says_within_the_sketches_error():
    tweets = with_bursts(
        chatter(random.Random(2), T0, T0 + 2 * HOUR, 2_000),
        burst(T0 + 115 * MINUTE, 280, 1_000, hashtags=["quake"], words=["strong", "earthquake", "felt"]),
    )
    alone, three, twin = [ShardTrends(T0)], [ShardTrends(T0) for _ in range(3)], TwinTrends()
    feed(alone, tweets, twin)
    feed(three, tweets)
    for window in WINDOWS:
        one, many = (table(shards, T0 + 2 * HOUR, window) for shards in (alone, three))
        for key in ("#np", "_good morning", "#quake", "_strong earthquake felt"):
            counts, authors = twin.counts(f"{key[0]}en {key[1:]}", T0 + 2 * HOUR, window)
            for terms in (one, many):
                assert terms[key].tweets == pytest.approx(sum(counts), rel=0.05)
                assert terms[key].authors == pytest.approx(authors, rel=0.15)
            assert many[key].usual == pytest.approx(one[key].usual, rel=0.1, abs=1.0)


def test_planted_bursts_come_first_and_what_is_always_written_does_not_come():
    now = T0 + 5 * HOUR
    shards = [ShardTrends(T0) for _ in range(2)]
    feed(
        shards,
        with_bursts(
            chatter(random.Random(3), T0, now, 3_000),
            burst(now - 8 * MINUTE, 60, 7_000, hashtags=["Eclipse"], words=["total", "eclipse"]),
            burst(now - 5 * MINUTE, 20, 9_000, links=["https://rookery.dev/news"], first_author=20_000),
        ),
    )
    for window in ("10m", "1h"):
        found = ranked(shards, now, window)
        assert set(found[:3]) == {"eclipse", "total eclipse", "https://rookery.dev/news"}
        assert not {"np", "good morning"} & set(found)


def test_one_account_alone_makes_no_trend_whatever_it_writes():
    shard = ShardTrends(T0)
    feed([shard], ((T0 + n * 100, 7, "en", ["buy"], ["buy", "now"], ["https://a.example"]) for n in range(10_000)))
    now = T0 + 1_000_000
    assert ranked([shard], now, "1h") == []
    assert table([shard], now, "1h")["#buy"].authors == 1
    assert table([shard], now, "1h")["#buy"].tweets == 1_000_000 // SLICE_MS[0]  # once a slice


def test_a_few_accounts_that_write_all_the_time_are_no_news():
    shard = ShardTrends(T0)
    now = T0 + 6 * HOUR
    feed([shard], ((at, 1 + at // 25_000 % 5, "en", ["radio"], [], []) for at in range(T0, now, 5_000)))
    assert ranked([shard], now, "10m") == ranked([shard], now, "1h") == []


def test_a_morning_like_yesterdays_is_no_trend_and_one_with_news_is():
    shard = ShardTrends(T0)
    morning = T0 + 25 * HOUR
    greetings = [
        (start + n * 5_000, n, "en", [], ["good", "morning"], []) for start in (T0 + HOUR, morning) for n in range(300)
    ]
    feed([shard], with_bursts(greetings, burst(morning + 10 * MINUTE, 100, 3_000, hashtags=["snow"])))
    assert ranked([shard], morning + 25 * MINUTE, "1h") == ["snow"]


def test_each_language_has_its_trends_and_all_have_theirs():
    now = T0 + 2 * HOUR
    shard = ShardTrends(T0)
    feed(
        [shard],
        with_bursts(
            chatter(random.Random(4), T0, now, 2_000),
            burst(now - 5 * MINUTE, 40, 5_000, "de", words=["hohe", "welle"]),
            burst(now - 5 * MINUTE, 30, 5_000, "ja", hashtags=["地震"], first_author=20_000),
            burst(now - 5 * MINUTE, 30, 5_000, "en", hashtags=["地震"], first_author=30_000),
        ),
    )
    assert ranked([shard], now, "10m", "de") == ["hohe welle"]
    assert ranked([shard], now, "10m", "ja") == ["地震"]
    assert ranked([shard], now, "10m")[:2] == ["地震", "hohe welle"]
    assert table([shard], now, "10m")["#地震"].authors == pytest.approx(60, rel=0.1)
    assert ranked([shard], now, "10m", "fr") == []


def test_a_small_languages_trend_is_told_however_loud_the_others_are():
    now = T0 + 10 * MINUTE
    shard = ShardTrends(T0)
    loud = [(T0 + n * 60, n, "en", [f"tag{n % 900}"], [], []) for n in range(9_900)]
    feed([shard], with_bursts(loud, burst(T0 + 5 * MINUTE, 4, 5_000, "is", hashtags=["gos"], first_author=20_000)))
    assert ranked([shard], now, "10m", "is") == ["gos"]


def test_a_burst_leaves_the_window_after_its_time_and_stays_in_the_longer_ones():
    shard = ShardTrends(T0)
    feed([shard], burst(T0, 30, 1_000, hashtags=["short"]))
    assert ranked([shard], T0 + 9 * MINUTE, "10m") == ["short"]
    assert ranked([shard], T0 + 11 * MINUTE, "10m") == []
    assert ranked([shard], T0 + 50 * MINUTE, "1h") == ["short"]
    assert ranked([shard], T0 + 62 * MINUTE, "1h") == []
    assert ranked([shard], T0 + 23 * HOUR, "24h") == ["short"]
    assert table([shard], T0 + 23 * HOUR, "24h")["#short"].authors == 30
    assert ranked([shard], T0 + 25 * HOUR, "24h") == []
    shard.check()


def test_a_weekly_habit_is_usual_long_after_its_hours_were_given_up():
    shard = ShardTrends(T0)
    for day in range(6):
        feed([shard], burst(T0 + day * 24 * HOUR, 240, 360_000, hashtags=["daily"]))
    now = T0 + 6 * 24 * HOUR
    assert table([shard], now, "24h")["#daily"].usual == pytest.approx(240, rel=0.1)
    assert ranked([shard], now, "24h") == []


@given(st.integers(0, 2**32))
def test_tweets_may_come_in_any_order(seed):
    rng = random.Random(seed)
    now = T0 + 26 * HOUR
    tweets = [
        (now - rng.randrange(DAY_MS), rng.randrange(1, 30), "en", [f"t{rng.randrange(3)}"], [], []) for _ in range(60)
    ]
    shard, twin = ShardTrends(now), TwinTrends()
    for tweet in tweets:
        shard.add(*tweet)
        twin.add(*tweet)
    shard.check()
    for window in WINDOWS:
        for key, term in table([shard], now, window).items():
            counts, authors = twin.counts(f"{key[0]}en {key[1:]}", now, window)
            assert term.authors == authors
            assert authors <= term.tweets <= sum(counts)  # late ones count once an hour in hours that are over


def test_a_tweet_that_is_fed_twice_counts_once():
    tweets = list(chatter(random.Random(5), T0, T0 + 9 * MINUTE, 2_000, author_count=30))
    once, twice = ShardTrends(T0), ShardTrends(T0)
    feed([once], tweets)
    feed([twice], tweets)
    for tweet in tweets:
        twice.add(*tweet)
    assert table([once], T0 + 9 * MINUTE, "10m") == table([twice], T0 + 9 * MINUTE, "10m")


def test_what_is_older_than_a_day_or_far_ahead_is_left_out_and_moves_no_time():
    shard = ShardTrends(T0)
    for at in (T0 - DAY_MS, 0, -1, T0 + AHEAD_MS + 1, T0 + 365 * DAY_MS):
        shard.add(at, 1, "en", ["x"], [], [])
    assert (shard.added_count, shard.ignored_count, shard.now_ms, shard.term_count()) == (0, 5, T0, 0)
    shard.add(T0 + AHEAD_MS, 1, "en", ["x"], [], [])
    shard.add(T0 - DAY_MS + 1, 2, "en", ["x"], [], [])
    assert (shard.added_count, shard.last_ms, shard.now_ms) == (2, T0 + AHEAD_MS, T0)
    shard.check()


def test_a_clock_that_was_far_ahead_is_forgiven():
    shard = ShardTrends(T0)
    shard.advance(T0 + 365 * DAY_MS)
    shard.advance(T0 + 364 * DAY_MS + 1)
    assert shard.now_ms == T0 + 365 * DAY_MS  # a small step back is ignored
    shard.advance(T0)
    feed([shard], burst(T0, 9, 1_000, hashtags=["back"]))
    assert ranked([shard], T0 + MINUTE, "10m") == ["back"]


def test_memory_and_snapshot_stay_bounded_under_terms_without_end():
    rng, shard = random.Random(6), ShardTrends(T0)
    shard.advance(T0 + 30 * HOUR)
    for n in range(50_000):
        at = shard.now_ms - rng.randrange(DAY_MS) if n % 2 else shard.now_ms
        shard.add(at, n, "en", [f"{rng.getrandbits(60):x}" for _ in range(4)], [], [])
    shard.check()
    assert shard.term_count() <= sum(
        24 * 2 * keep + 3 * growing for keep, growing in zip(KEEP_COUNT, GROWING_COUNT_MAX, strict=True)
    )
    assert len(shard.snapshot(shard.now_ms)) <= SNAPSHOT_BYTES_MAX + 10_000
    feed([shard], burst(shard.now_ms, 50, 100, hashtags=["through"]))
    assert ranked([shard], shard.now_ms, "10m") == ["through"]


def test_a_snapshot_is_cut_at_its_limit_and_the_likeliest_trends_stay(monkeypatch):
    monkeypatch.setattr(trends, "SNAPSHOT_BYTES_MAX", 2_000)
    shard = ShardTrends(T0)
    feed([shard], with_bursts(chatter(random.Random(7), T0, T0 + MINUTE, 100), burst(T0, 90, 500, hashtags=["big"])))
    assert len(shard.snapshot(T0 + MINUTE)) < 2_100 + 10
    assert "#big" in table([shard], T0 + MINUTE, "10m")


def assert_alike(one, other, now_ms):
    """Assert that two shards say the same; unions of sketches in another order may differ in the last place."""
    for window in WINDOWS:
        first, second = (table([shard], now_ms, window) for shard in (one, other))
        assert first.keys() == second.keys()
        for key, term in first.items():
            assert second[key]._replace(authors=0) == term._replace(authors=0)
            assert second[key].authors == pytest.approx(term.authors, rel=0.02)


def test_a_restart_forgets_nothing():
    now = T0 + 30 * HOUR
    shard = ShardTrends(T0)
    feed(
        [shard],
        with_bursts(chatter(random.Random(8), T0, now, 60_000), burst(now - MINUTE, 30, 1_000, hashtags=["new"])),
    )
    back = ShardTrends.from_state(shard.state(), now)
    back.check()
    assert_alike(shard, back, now)
    later = now + 3 * HOUR
    assert_alike(shard, back, later)
    assert (back.added_count, back.last_ms, back.since_ms) == (shard.added_count, shard.last_ms, shard.since_ms)


@pytest.mark.parametrize("read", [read_snapshot, lambda data: ShardTrends.from_state(data, T0)])
def test_damaged_and_foreign_bytes_are_value_errors(read):
    shard = ShardTrends(T0)
    feed([shard], burst(T0, 9, 1_000, hashtags=["x"]))
    rng = random.Random(9)
    whole = shard.snapshot(T0 + 9_000) if read is read_snapshot else shard.state()
    read(whole)
    other = shard.state() if read is read_snapshot else shard.snapshot(T0 + 9_000)
    damaged = [b"", b"x", other, whole[:-1], whole + b"\0", b"\xff" * 100, None, 7, [whole]]
    for _ in range(200):
        at = rng.randrange(len(whole))
        damaged.append(whole[:at] + bytes([whole[at] ^ (1 << rng.randrange(8))]) + whole[at + 1 :])
    for data in damaged:
        with pytest.raises(ValueError):
            read(data)


def test_sealed_bytes_of_another_shape_are_value_errors_too():
    for body in (None, 1, [], [1, 2], [[1, 2, 3], [b"\xc1"]], [[1, 2, 3], [1]], [[1], [], []], {"a": 1}):
        with pytest.raises(ValueError):
            read_snapshot(trends.seal(trends._SNAPSHOT, body))
        with pytest.raises(ValueError):
            ShardTrends.from_state(trends.seal(trends._STATE, body), T0)


def test_an_old_snapshot_slides_out_of_the_window_when_merged_later():
    shard = ShardTrends(T0)
    feed([shard], burst(T0, 30, 1_000, hashtags=["x"]))
    old = read_snapshot(shard.snapshot(T0 + MINUTE))
    for minutes, found in ((1, 1), (5, 1), (11, 0)):
        assert len(merge([old], T0 + minutes * MINUTE, "10m", 1)[None]) == found
    ahead = merge([old], T0 - MINUTE, "10m", 1)[None][0]  # the merger's clock may be behind
    assert ahead.tweets == 30


# -- the actor ---------------------------------------------------------------------------------------------------------


class FakeShards:
    """Shards that answer `trends` with what they are given; an exception is raised."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []
        self.closed = False

    @property
    def shard_count(self):
        return len(self.answers)

    async def call_shard(self, shard, op, args, timeout_s):
        self.asked.append((shard, op, args))
        await asyncio.sleep(0)
        answer = self.answers[shard]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self):
        self.closed = True


@pytest.fixture
def now_ms(monkeypatch):
    monkeypatch.setattr(trends_actor.time, "time_ns", lambda: (T0 + 9 * MINUTE) * 1_000_000)
    return T0 + 9 * MINUTE


@pytest.fixture
async def start(now_ms):
    actors = []

    async def begin(shards):
        async def connect(namespace):
            assert namespace == "test"
            return shards

        actor = TrendsActor("test", interval_s=0.01, connect=connect)
        actors.append(actor)
        await next_round(actor)
        return actor

    yield begin
    for actor in actors:
        await actor.stop()


async def next_round(actor, count=2):
    """Wait until rounds that began after now have ended."""
    before = (await actor.ping())["rounds"]
    for _ in range(1_000):
        if (await actor.ping())["rounds"] >= before + count:
            return
        await asyncio.sleep(0.005)
    raise AssertionError("there are no rounds")


def answers_of(*bursts, shard_count=2, at=T0 + 9 * MINUTE):
    shards = [ShardTrends(T0) for _ in range(shard_count)]
    feed(shards, with_bursts([], *bursts))
    return [shard.snapshot(at) for shard in shards]


async def test_the_actor_answers_with_merged_trends_as_json(start):
    shards = FakeShards(
        *answers_of(
            burst(T0 + MINUTE, 20, 1_000, hashtags=["Hello"]),
            burst(T0 + MINUTE, 10, 1_000, "de", words=["guten", "morgen"], first_author=50_000),
            burst(
                T0 + MINUTE, 5, 1_000, "ja", words=["日本", "本語"], links=["https://a.example/x"], first_author=60_000
            ),
        )
    )
    actor = await start(shards)
    found = orjson.loads(await actor.get("10m"))
    assert {key: found[key] for key in found if key != "trends"} == {
        "window": "10m", "lang": None, "as_of": "Fri Jan 15 08:09:00 +0000 2027", "partial": False,
        "shards": {"answered": 2, "of": 2},
    }  # fmt: skip
    first = found["trends"][0]
    assert (first["name"], first["kind"], first["query"]) == ("#hello", "hashtag", "#hello")
    assert (first["tweets"], first["authors"], first["usual"], sum(first["history"])) == (20, 20, 0.0, 20)
    assert len(first["history"]) == SLICE_COUNT
    assert [t["query"] for t in found["trends"][1:]] == ['"guten morgen"', '"日本語"', '"https://a.example/x"']
    assert [0, "trends", []] in map(list, shards.asked)


async def test_the_actor_tells_languages_and_kinds_apart(start):
    actor = await start(
        FakeShards(
            *answers_of(
                burst(T0, 20, 1_000, hashtags=["one"]),
                burst(T0, 10, 1_000, "de", words=["guten", "morgen"], first_author=50_000),
            )
        )
    )

    async def names(*asked):
        return [trend["name"] for trend in orjson.loads(await actor.get(*asked))["trends"]]

    assert await names("1h", None, None, 10) == ["#one", "guten morgen"]
    assert await names("1h", None, None, 1) == ["#one"]
    assert await names("1h", "de", None, 10) == ["guten morgen"]
    assert await names("1h", None, "phrase", 10) == ["guten morgen"]
    assert await names("24h", "de", "hashtag", 10) == []
    assert await names("24h", "xx", None, 10) == []
    assert await names("1h", "DE-at", None, 10) == ["guten morgen"]


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (("2h",), "window"),
        (("1h", None, "word"), "kind"),
        (("1h", None, None, 0), "count"),
        (("1h", None, None, 51), "count"),
        (("1h", "english"), "lang"),
        (("1h", "x" * 10_000), "lang"),
    ],
)
async def test_the_actor_refuses_what_it_does_not_know(start, asked, field):
    actor = await start(FakeShards())
    with pytest.raises(InvalidError) as refused:
        await actor.get(*asked)
    assert refused.value.field == field


async def test_a_shard_that_falls_silent_is_told_as_missing_and_counts_until_it_is_stale(start, monkeypatch):
    shards = FakeShards(*answers_of(burst(T0, 20, 1_000, hashtags=["one"])))
    actor = await start(shards)
    for silence in (OverloadedError("restarts"), b"damaged", None):
        shards.answers[0] = silence
        await next_round(actor)
        found = orjson.loads(await actor.get("10m"))
        assert (found["partial"], found["shards"]) == (True, {"answered": 1, "of": 2})
        assert found["trends"][0]["tweets"] == 20
    monkeypatch.setattr(trends_actor, "STALE_S", -1.0)
    await next_round(actor)
    assert orjson.loads(await actor.get("10m"))["trends"][0]["tweets"] == 10
    assert (await actor.ping())["missing"] == [0]


async def test_before_the_first_round_there_is_an_empty_partial_answer():
    waiting = asyncio.Event()

    async def connect(namespace):
        waiting.set()
        raise OverloadedError("no cluster yet")

    actor = TrendsActor("test", connect=connect)
    await waiting.wait()
    found = orjson.loads(await actor.get("24h", "en"))
    assert (found["trends"], found["partial"], found["as_of"]) == ([], True, None)
    await actor.stop()


async def test_a_stopped_actor_has_closed_its_connections(start):
    shards = FakeShards(*answers_of())
    actor = await start(shards)
    await actor.stop()
    assert shards.closed


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("good morning", "good morning"),
        ("日本 本語", "日本語"),
        ("日本 京都", "日本 京都"),
        ("ab bc", "ab bc"),
        ("ab cd", "ab cd"),
    ],
)
def test_phrases_are_shown_as_they_are_written(text, name):
    assert display_name("phrase", text) == name
