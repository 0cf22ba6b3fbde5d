"""Searches that reach a shard: whatever is asked gets one answer or refusal, and hidden rows are made up for."""

from __future__ import annotations

import asyncio
import gc
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.errors import InvalidError, MalformedError, NotFoundError, OverloadedError, RookeryError
from actors.core.ids import ID_MAX
from actors.core.postings.found import FoundTweets, Weights
from actors.shard import search_pages, search_requests
from actors.shard.search_postings import TweetPostings
from actors.shard.search_requests import IN_FLIGHT_MAX, OPERATIONS, SearchRequests
from actors.shard.search_rows import SearchRows
from actors.text.query import parse, resolve
from actors.turns import Turns
from api.search.cursor import pack_ids
from api.text.entities import find_entities, pack_entities
from cluster.lane.protocol import LaneDisconnected, LaneTimeout
from tests.core.harness import Shards
from tests.search.in_process import InProcessEngine

NOBODY: list[Any] = [0, b"", b""]


class Request:
    """A lane request that remembers how it ended, and that it ended once."""

    is_abandoned = False

    def __init__(self) -> None:
        self.body: Any = None
        self.error: RookeryError | None = None
        self.ended = 0

    def reply(self, body: Any) -> None:
        self.body, self.ended = msgpack.unpackb(msgpack.packb(body)), self.ended + 1

    def fail(self, error: RookeryError) -> None:
        assert isinstance(error, RookeryError)
        assert len(msgpack.packb(error.to_wire())) < 1_000
        self.error, self.ended = error, self.ended + 1


def carried_out(requests: SearchRequests, op: str, args: list[Any]) -> Request:
    """Return a request that has had all its turns. Raises what it is refused with before them."""
    request = Request()

    async def run() -> None:
        requests.handle(request, op, args)
        await drained(requests.turns)

    asyncio.run(run())
    return request


async def drained(turns: Turns) -> None:
    while len(turns):  # noqa: ASYNC110  a few turns
        await asyncio.sleep(0)


class World:
    """One shard of two with an index."""

    def __init__(self, folder: Path, has_lists: bool = False) -> None:
        self.shards = Shards()
        self.people = [self.shards.account_on(0, i) for i in range(3)]
        self.shards.register(*self.people)
        self.found = FoundTweets(self.shards.replicas[0].lookups)
        self.engine = InProcessEngine(self.found, folder, None, has_lists)
        self.requests = SearchRequests(self.engine, self.found, Weights(), 200, 1.0, Turns())  # type: ignore[arg-type]

    def post(self, author: int, text: str) -> int:
        self.shards.now_ms += 1
        entities = pack_entities(find_entities(text), {})
        self.shards.do("post", author, text, 0, 0, 0, entities, [], [], None)
        state = self.shards.state_of(author)
        return int(state.tweets.log.view(state.people.row_of[author])[-1])

    def reader(self, account_id: int) -> list[Any]:
        return [account_id, *self.shards.read("reader", account_id)]

    def ask(self, op: str, *args: Any) -> Any:
        """Return the body of an answer. Raises what it is refused with."""
        request = carried_out(self.requests, op, msgpack.unpackb(msgpack.packb(args)))
        assert request.ended == 1
        assert self.requests.in_flight == 0
        if request.error is not None:
            raise request.error
        return request.body

    def latest(self, text: str, count: int, reader: list[Any] = NOBODY, max_id: int = 0, min_id: int = 0) -> Any:
        rows, more, _ = self.ask("search", tree_of(text), "latest", count, [max_id, min_id], 0, reader, False)
        return [row[1] for row in rows], bool(more)


def first_page(world: World, order: str) -> list[Any]:
    """Return a search's cursor, and of when ages count."""
    return [b"", world.shards.now_ms] if order == "top" else [[0, 0], 0]


def tree_of(text: str) -> list[Any]:
    return resolve(parse(text).tree, {})


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.engine.close()


# ---- pages of which not all may be shown -----------------------------------------------------------------------------


@pytest.fixture
def crowd(world) -> list[int]:
    return crowded(world)


@pytest.fixture
def listed(tmp_path: Path) -> Iterator[World]:
    """A shard whose posting lists answer."""
    made = World(tmp_path, has_lists=True)
    yield made
    assert made.engine.postings.lists is not None
    made.engine.close()


def crowded(world: World) -> list[int]:
    """Tweets of the first account, one for each 19 of the second, whom the third has muted."""
    shown = []
    for n in range(120):
        author = world.people[0] if n % 20 == 10 else world.people[1]
        tweet = world.post(author, f"sparse finch {n} #finch")
        if n % 20 == 10:
            shown.append(tweet)
    world.shards.do("mute", world.people[2], world.people[1])
    return shown[::-1]


def test_a_page_is_asked_for_until_it_is_full(world, crowd):
    reader = world.reader(world.people[2])
    assert world.latest("finch", 2, reader) == (crowd[:2], True)
    assert world.latest("finch", 3, reader, max_id=crowd[1]) == (crowd[2:5], True)
    assert world.latest("finch", 2, reader, min_id=crowd[4]) == (crowd[2:4], True)
    assert world.latest("finch", 4, reader) == (crowd[:4], True)
    assert world.latest("finch", 20, reader) == (crowd, False)


def test_a_hashtags_page_is_asked_for_until_it_is_full(world, crowd):
    def tagged(max_id: int, min_id: int, count: int) -> list[int]:
        reader = world.reader(world.people[2])
        rows, _, spans = world.ask("tagged", ["finch"], [], [], max_id, min_id, count, reader)
        assert spans == []
        return [row[1] for row in rows]

    assert tagged(0, 0, 2) == crowd[:2]
    assert tagged(crowd[1], 0, 3) == crowd[2:5]
    assert tagged(0, crowd[4], 2) == crowd[2:4]
    assert tagged(0, 0, 20) == crowd


def test_the_best_are_looked_through_until_the_page_is_full(world, crowd):
    reader, now_ms = world.reader(world.people[2]), world.shards.now_ms
    seen: list[int] = []
    for more_expected in (True, True, False):
        rows, more, _ = world.ask("search", tree_of("finch"), "top", 2, pack_ids(seen), now_ms, reader, False)
        assert len(rows) == 2
        assert more or not more_expected
        seen += [row[1] for row in rows]
    assert sorted(seen, reverse=True) == crowd


def test_where_hardly_anything_is_shown_the_asking_ends_and_says_that_there_may_be_more(world, monkeypatch):
    monkeypatch.setattr(search_pages, "ROUNDS_MAX", 2)
    tweet = world.post(world.people[0], "rare finch")
    for n in range(60):
        world.post(world.people[1], f"common finch {n}")
    world.shards.do("mute", world.people[2], world.people[1])
    world.engine.asked.clear()
    assert world.latest("finch", 1, world.reader(world.people[2])) == ([], True)
    assert world.engine.asked == ["latest"] * 2
    assert world.latest("finch", 100, world.reader(world.people[2])) == ([tweet], False)


def test_a_full_page_asks_the_engine_once(world, crowd):
    world.engine.asked.clear()
    assert world.latest("finch", 20)[0][0] > crowd[0]
    assert world.engine.asked == ["latest"]


def test_what_the_index_still_has_and_memory_no_longer_is_not_shown(world, monkeypatch):
    kept, gone = world.post(world.people[0], "stale auk #auk"), world.post(world.people[0], "stale auk #auk")
    world.engine.feed()
    monkeypatch.setattr(world.engine, "feed", lambda: None)
    world.shards.do("delete", gone, world.people[0])
    assert world.latest("auk", 5) == ([kept], False)
    rows, _, spans = world.ask("search", tree_of("auk"), "top", 5, b"", world.shards.now_ms, NOBODY, True)
    assert ([row[1] for row in rows], spans) == ([kept], [[[6, 9], [11, 14]]])
    assert [row[1] for row in world.ask("tagged", ["auk"], [], [], 0, 0, 5, NOBODY)[0]] == [kept]


def test_what_is_asked_of_nothing_is_answered_with_nothing(world):
    assert world.latest("finch", 5) == ([], False)
    assert world.ask("search", tree_of("finch"), "top", 5, b"", 0, NOBODY, True) == [[], False, []]
    assert world.ask("tagged", ["finch"], [], [], 0, 0, 5, NOBODY) == [[], False, []]
    assert world.ask("suggest", "fin", 5, NOBODY) == [[], [], True]
    assert world.ask("corrections", ["finch"]) == {"finch": [0, []]}
    assert isinstance(world.ask("trends"), bytes)


def test_posting_lists_fill_a_page_and_ask_no_engine(listed):
    crowd, reader, now_ms = crowded(listed), listed.reader(listed.people[2]), listed.shards.now_ms
    listed.engine.is_away = True
    assert listed.latest("finch", 2, reader) == (crowd[:2], True)
    assert listed.latest("sparse finch -auk", 3, reader, max_id=crowd[1]) == (crowd[2:5], True)
    assert listed.latest("#finch", 20, reader) == (crowd, False)
    assert listed.latest("finch", 2, reader, min_id=crowd[4]) == (crowd[2:4], True)
    assert listed.latest("finch", 9, reader, min_id=crowd[4], max_id=crowd[1]) == (crowd[2:4], False)
    assert listed.latest("finch", 9, reader, min_id=ID_MAX) == ([], False)
    assert listed.latest("finch unheard", 20, reader) == ([], False)
    seen: list[int] = []
    for _ in range(3):
        rows, _, _ = listed.ask("search", tree_of("finch"), "top", 2, pack_ids(seen), now_ms, reader, False)
        seen += [row[1] for row in rows]
    assert sorted(seen, reverse=True) == crowd
    with pytest.raises(OverloadedError):
        listed.latest("finch OR auk", 2)
    assert listed.engine.asked == []


@pytest.mark.parametrize("has_lists", [True, False])
@pytest.mark.parametrize("order", ["latest", "top"])
def test_a_search_leaves_nothing_behind_that_only_a_collection_finds(tmp_path, order, has_lists):
    """Collections take the shard's loop 10 ms and more, and home reads wait meanwhile."""
    world = World(tmp_path, has_lists)
    for n in range(30):
        world.post(world.people[0], f"tidy finch {n}")
    args = [tree_of("tidy finch"), order, 5, *first_page(world, order), NOBODY, False]
    for _ in range(3):
        world.ask("search", *args)
    gc.collect()
    gc.disable()
    try:
        for _ in range(50):
            world.ask("search", *args)
        assert gc.collect() < 50
    finally:
        gc.enable()
        world.engine.close()


@pytest.mark.parametrize("order", ["latest", "top"])
async def test_a_long_search_lets_others_go_first_between_its_steps(listed, monkeypatch, order):
    monkeypatch.setattr("actors.core.postings.lists.STEP_WORK", 1)
    monkeypatch.setattr("actors.turns.TURN_S", 0.0)
    wanted = [listed.post(listed.people[0], f"endless finch {n}") for n in range(9)]
    listed.post(listed.people[1], "one wren")
    turns = Turns()
    requests = SearchRequests(listed.engine, listed.found, Weights(), 200, 1.0, turns)  # type: ignore[arg-type]
    long, short, done = Request(), Request(), []
    requests.handle(long, "search", [tree_of("endless finch"), order, 9, *first_page(listed, order), NOBODY, False])
    requests.handle(short, "search", [tree_of("wren"), "latest", 9, [0, 0], 0, NOBODY, False])
    while len(turns):
        done.append((long.ended, short.ended))
        await asyncio.sleep(0)
    assert (0, 1) in done
    assert len(done) > 5
    assert (long.ended, short.ended) == (1, 1)
    assert sorted((row[1] for row in long.body[0]), reverse=True) == wanted[::-1]
    assert requests.answered == 2


@pytest.mark.parametrize("order", ["latest", "top"])
async def test_a_long_search_ends_when_nobody_waits_for_it_any_more(listed, monkeypatch, order):
    monkeypatch.setattr("actors.core.postings.lists.STEP_WORK", 1)
    monkeypatch.setattr("actors.turns.TURN_S", 0.0)
    for n in range(40):
        listed.post(listed.people[0], f"belated finch {n}")
    clock = SimpleNamespace(seconds=0.0, monotonic=lambda: clock.seconds)
    monkeypatch.setattr(search_requests, "time", clock)
    turns = Turns()
    requests = SearchRequests(listed.engine, listed.found, Weights(), 200, 1.0, turns)  # type: ignore[arg-type]
    late, request = Request(), Request()
    requests.handle(late, "search", [tree_of("belated finch"), order, 40, *first_page(listed, order), NOBODY, False])
    for _ in range(9):
        await asyncio.sleep(0)
        clock.seconds += 0.1
    assert late.ended == 0
    requests.handle(request, "search", [tree_of("belated finch"), order, 40, *first_page(listed, order), NOBODY, False])
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    clock.seconds += 0.2
    await drained(turns)
    assert isinstance(late.error, OverloadedError)
    assert (late.ended, request.ended, len(request.body[0])) == (1, 1, 40)
    assert requests.answered == 1


async def test_a_search_that_fails_in_a_later_step_is_answered(listed, monkeypatch):
    monkeypatch.setattr("actors.core.postings.lists.STEP_WORK", 1)
    for n in range(5):
        listed.post(listed.people[0], f"brittle finch {n}")
    turns = Turns()
    requests = SearchRequests(listed.engine, listed.found, Weights(), 200, 1.0, turns)  # type: ignore[arg-type]
    monkeypatch.setattr(listed.found, "rows", lambda *_: 1 / 0)
    request = Request()
    requests.handle(request, "search", [tree_of("brittle finch"), "latest", 5, [0, 0], 0, NOBODY, False])
    await drained(turns)
    assert request.ended == 1
    assert isinstance(request.error, RookeryError)


async def test_searches_wait_for_their_turn_and_are_bounded_while_they_do(listed):
    listed.post(listed.people[0], "patient finch")
    requests = SearchRequests(listed.engine, listed.found, Weights(), 200, 1.0, Turns())  # type: ignore[arg-type]
    asked = [Request() for _ in range(IN_FLIGHT_MAX)]
    for request in asked:
        requests.handle(request, "search", list(SEARCH))
    with pytest.raises(OverloadedError, match="256 searches"):
        requests.handle(Request(), "search", list(SEARCH))
    assert [request.ended for request in asked] == [0] * IN_FLIGHT_MAX
    await drained(requests.turns)
    assert all(len(request.body[0]) == 1 for request in asked)
    for args in ([["word"], *SEARCH[1:]], SEARCH[:3]):
        request = Request()
        requests.handle(request, "search", args)
        await asyncio.sleep(0)
        assert isinstance(request.error, MalformedError | InvalidError)
    assert all(request.ended == 1 for request in asked)


def test_posting_lists_show_nothing_that_memory_no_longer_has(listed):
    kept, gone = (listed.post(listed.people[0], "stale auk") for _ in range(2))
    listed.engine.feed()
    listed.shards.do("delete", gone, listed.people[0])
    again = listed.post(listed.people[1], "another auk")  # in the place of the one that has gone
    assert listed.latest("auk", 5) == ([again, kept], False)
    now_ms = listed.shards.now_ms
    rows, more, _ = listed.ask("search", tree_of("auk"), "top", 5, b"", now_ms, NOBODY, False)
    assert (sorted(row[1] for row in rows), more) == ([kept, again], 0)


# ---- engines that are away, refuse or never answer ----------------------------------------------------------------


class Engine:
    """An engine that answers when and what a test says."""

    postings = TweetPostings(SearchRows(FoundTweets(Shards().replicas[0].lookups)), None)  # type: ignore[arg-type]

    def __init__(self) -> None:
        self.waiting: list[Any] = []
        self.facts: dict[str, Any] = {}

    def send(self, op: str, args: list[Any], timeout_s: float, done: Any) -> None:
        self.waiting.append(done)

    def figures(self) -> dict[str, Any]:
        return {"state": "ready"}

    async def compare(self) -> dict[str, int]:
        return {"indexed": 3}

    def repair(self) -> None:
        self.repaired = True


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def slow(engine) -> SearchRequests:
    found = FoundTweets(Shards().replicas[0].lookups)
    return SearchRequests(engine, found, Weights(), 200, 1.0, Turns())


QUIET = {"dropped_late": 0, "shed": 0}
SEARCH = [["word", "finch"], "latest", 5, [0, 0], 0, NOBODY, False]


def test_no_more_searches_are_under_way_than_there_is_room_for(slow, engine):
    requests = [carried_out(slow, "search", list(SEARCH)) for _ in range(IN_FLIGHT_MAX)]
    with pytest.raises(OverloadedError, match="256 searches"):
        slow.handle(Request(), "suggest", ["fin", 5, NOBODY])
    assert slow.figures() == {"state": "ready", "in_flight": IN_FLIGHT_MAX, "answered": 0, "failed": 0} | QUIET
    engine.waiting.pop(0)([], None)
    requests.append(carried_out(slow, "search", list(SEARCH)))
    for done in engine.waiting:
        done(None, LaneTimeout("no answer within 1 s"))
    assert slow.figures() == {"state": "ready", "in_flight": 0, "answered": 1, "failed": IN_FLIGHT_MAX} | QUIET
    assert all(request.ended == 1 for request in requests)


@pytest.mark.parametrize(
    ("error", "expected"),
    [(LaneTimeout("late"), OverloadedError), (LaneDisconnected("gone"), OverloadedError),
     (MalformedError("no such tree"), MalformedError), (RookeryError("it failed"), RookeryError),
     (OSError("broken pipe"), OverloadedError)],
)  # fmt: skip
def test_what_the_engine_fails_with_is_told(slow, engine, error, expected):
    request = carried_out(slow, "search", list(SEARCH))
    engine.waiting.pop()(None, error)
    assert type(request.error) is expected or isinstance(request.error, LaneDisconnected)
    assert request.ended == 1
    assert slow.in_flight == 0


def test_an_engine_that_goes_away_between_two_questions_for_one_page_ends_the_request(world, monkeypatch):
    for n in range(40):
        world.post(world.people[1], f"finch {n}")
    world.shards.do("mute", world.people[2], world.people[1])
    answer = world.engine._answer

    def once(op: str, args: list[Any]) -> Any:
        world.engine.is_away = True
        return answer(op, args)

    monkeypatch.setattr(world.engine, "_answer", once)
    with pytest.raises(OverloadedError):
        world.latest("finch", 1, world.reader(world.people[2]))
    assert world.requests.in_flight == 0


def test_while_the_engine_is_away_everything_is_refused_at_once(world):
    world.engine.is_away = True
    for op, args in TYPICAL.items():
        if op != "search_check":
            assert isinstance(carried_out(world.requests, op, list(args)).error, OverloadedError)
    assert world.requests.in_flight == 0


def test_where_search_is_switched_off_everything_is_not_found():
    requests = SearchRequests(None, FoundTweets(Shards().replicas[0].lookups), Weights(), 200, 1.0, Turns())
    for op, args in TYPICAL.items():
        with pytest.raises(NotFoundError, match="switched off"):
            requests.handle(Request(), op, list(args))
    assert requests.figures() == {"state": "off"}


def test_a_check_compares_and_repairs_if_it_is_asked_to(slow, engine, monkeypatch):
    async def run(repair: Any) -> Request:
        request = Request()
        slow.handle(request, "search_check", [repair])
        await asyncio.sleep(0.01)
        return request

    assert asyncio.run(run(False)).body == {"indexed": 3}
    assert not hasattr(engine, "repaired")
    assert asyncio.run(run(True)).body == {"indexed": 3}
    assert engine.repaired
    for error in (TimeoutError(), LaneDisconnected("gone"), OverloadedError("starting")):

        async def compare(error: Exception = error) -> dict[str, int]:
            raise error

        monkeypatch.setattr(engine, "compare", compare)
        assert isinstance(asyncio.run(run(True)).error, OverloadedError)
    assert isinstance(carried_out(slow, "search_check", [1]).error, MalformedError)


# ---- any arguments ------------------------------------------------------------------------------------------------

READER = [7, np.array([3, 9], "<i8").tobytes(), np.array([4], "<i8").tobytes()]
TREE = ["and", ["word", "finch"], ["or", ["tag", "auk"], ["author", [7]]], ["not", ["ids", 0, 9]]]
TYPICAL: dict[str, list[Any]] = {
    "search": [TREE, "latest", 5, [0, 0], 0, READER, True], "tagged": [["auk"], ["finch"], ["gull"], 0, 0, 5, READER],
    "search_accounts": [["user", "ada"], 5, READER], "suggest": ["use", 5, READER], "corrections": [["finhc", "akk"]],
    "trends": [], "search_check": [False],
}  # fmt: skip
TOP = [TREE, "top", 5, pack_ids([9, 1 << 60]), 1_700_000_000_000, READER, True]
EDGES = [-(1 << 63), -1, 0, 1, 2, 800, 801, 2_000, 1 << 31, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]
NASTY: list[Any] = [
    None, True, False, *EDGES, 1.5, float("nan"), float("inf"), -1e300, "", "x", "latest", "top", "(", ".*", "a b",
    "\0", "x" * 5_000, b"", b"x" * 7, b"\xff" * 8, b"x" * 8, [], [[]], [None], [0], [0, 0], [0, "", ""], [1.5, -1],
    ["x"] * 60, ["word"], ["word", "\0"], ["word", ["x"]], ["prefix", "(*"], ["prefix", "[a"], ["not", ["word", "a"]],
    ["and"], ["or", ["follows"], []], ["follows"], ["author", list(range(1, 101))], ["author", [-1]], ["phrase", []],
    ["ids", 5, 2], ["ids", (1 << 63) - 1, 1], ["likes", -1], ["likes", 1 << 40], ["lang", "x" * 99], ["cash", "\ud7ff"],
    ["is", "repost"], ["tag", "x" * 101], ["tag", "a b"], ["mention", "é"], ["phrase", ["a"] * 50],
    ["phrase", ["a"] * 51], {}, {"and": 1}, {1: 2}, msgpack.Timestamp(1, 2), msgpack.ExtType(1, b""),
]  # fmt: skip
DEEP: list[Any] = ["word", "a"]
for _ in range(400):
    DEEP = ["and", DEEP]
NASTY.append(DEEP)
ANYTHING = st.recursive(
    st.sampled_from(NASTY) | st.text(max_size=4) | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=6,
)
LEAF = st.tuples(
    st.sampled_from(["word", "phrase", "prefix", "tag", "cash", "mention", "author", "to", "lang", "ids", "has", "is",
                     "likes", "follows"]),
    st.sampled_from(["finch", "a", "en", "media", "reply", [1], ["finch"], 3, ".", "?", "東"]) | ANYTHING,
).map(list) | st.just(["follows"])  # fmt: skip
TREES = st.recursive(
    LEAF, lambda inner: st.tuples(st.sampled_from(["and", "or", "not"]), inner, inner | st.none()).map(
        lambda node: [each for each in node if each is not None]
    ), max_leaves=6,
)  # fmt: skip


@pytest.fixture(scope="module")
def lived_in() -> Iterator[World]:
    with tempfile.TemporaryDirectory() as folder:
        made = World(Path(folder))
        tweets = [made.post(made.people[n % 3], f"finch {n} $TSLA and #auk @user http://e.org/{n}") for n in range(30)]
        made.shards.repost(made.people[0], tweets[1])
        made.shards.do("like", made.people[0], tweets[0])
        yield made
        made.engine.close()


def attempt(world: World, op: str, args: Any) -> None:
    """Ask; there is one answer that can be packed, or one refusal, at once."""
    request = carried_out(world.requests, op, args)
    assert request.ended == 1, (op, args)
    assert world.requests.in_flight == 0


def spoilt_everywhere(args: list[Any]) -> list[list[Any]]:
    """Return the arguments with each place in turn, at whatever depth, taken by each nasty value."""
    spoilt = []
    for i, value in enumerate(args):
        spoilt += [[*args[:i], nasty, *args[i + 1 :]] for nasty in NASTY]
        if isinstance(value, list):
            spoilt += [[*args[:i], inner, *args[i + 1 :]] for inner in spoilt_everywhere(value)]
    return spoilt


@pytest.mark.parametrize("op", sorted(OPERATIONS - {"search_check"}))
def test_each_argument_in_turn_may_be_anything(lived_in, op):
    for fitting in [TYPICAL[op], *([TOP] if op == "search" else [])]:
        attempt(lived_in, op, fitting)
        for args in [*spoilt_everywhere(fitting), fitting[:-1], [*fitting, 1], [], [1] * 20]:
            attempt(lived_in, op, args)


def test_each_argument_of_a_check_may_be_anything(slow):
    for args in [[nasty] for nasty in NASTY if type(nasty) is not bool] + [[], [False, 1]]:
        assert isinstance(carried_out(slow, "search_check", args).error, RookeryError)


@given(op=st.sampled_from(sorted(OPERATIONS - {"search_check"})), data=st.data())
def test_several_arguments_may_be_anything(lived_in, op, data):
    args = list(TYPICAL[op])
    for place in data.draw(st.lists(st.integers(0, max(0, len(args) - 1)), max_size=3)):
        if args:
            args[place] = data.draw(ANYTHING)
    attempt(lived_in, op, args)


@given(tree=TREES, order=st.sampled_from(["latest", "top"]), reader=st.sampled_from([NOBODY, READER]))
def test_a_search_for_any_tree_is_answered_or_refused(lived_in, tree, order, reader):
    attempt(lived_in, "search", [tree, order, 5, [0, 0], 0, reader, True])


def test_a_search_of_any_tree_takes_no_time_worth_mentioning(lived_in):
    begin = time.perf_counter()
    prefixes = ["or", *(["prefix", "(a*)*" * 12 + f"b{n}"] for n in range(50))]
    for tree in (DEEP, prefixes, ["or", *(["prefix", "." * n] for n in range(1, 50))], ["prefix", "a{999}{999}"]):
        attempt(lived_in, "search", [tree, "latest", 5, [0, 0], 0, NOBODY, False])
    assert time.perf_counter() - begin < 60, "patterns that go back would take years"


def test_the_bounds_of_a_request_are_told(world):
    for op, args, error in [
        ("search", [TREE, "latest", 0, [0, 0], 0, NOBODY, False], InvalidError),
        ("search", [TREE, "latest", 801, [0, 0], 0, NOBODY, False], InvalidError),
        ("search", [TREE, "oldest", 5, [0, 0], 0, NOBODY, False], InvalidError),
        ("search", [["from", "ada"], "latest", 5, [0, 0], 0, NOBODY, False], MalformedError),
        ("tagged", [[], ["a"], [], 0, 0, 5, NOBODY], InvalidError),
        ("search_accounts", [["w"] * 51, 5, NOBODY], InvalidError),
        ("suggest", ["x" * (search_requests.QUERY_BYTES_MAX + 1), 5, NOBODY], RookeryError),
        ("suggest", ["x", 5, [0, b"1234567", b""]], MalformedError),
    ]:
        with pytest.raises(error):
            world.ask(op, *args)
