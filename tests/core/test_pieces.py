"""What is kept of rendered tweets: never too much, never old, and made again the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors.core import ids, limits
from actors.core.entries import Entry, TweetBatch, pack, unpack
from actors.core.facts import Facts, pack_facts
from actors.core.flags import FLAG_REPOST
from actors.core.pieces import MAPPED_BYTES, PIECE_BYTES, Pieces
from actors.core.render import NATIVE, NativeRenderer, render_tweet
from actors.core.shapes import WholeShape
from actors.core.state import ShardState
from actors.core.timelines.arrivals import Arrivals
from tests.core.harness import SMALL, Shards

COUNT = st.integers(0, 10**12)
TEXT = st.one_of(
    st.text(max_size=20), st.sampled_from(["x" * 700, '","counts":{"replies":1,', ',"counts":{', "😀" * 50])
)


def entry_of(tweet_id: int, text: str = "hello", original: Entry | None = None) -> Entry:
    body = pack_facts(Facts(text if original is None else "", "ada"))
    if original is None:
        return Entry(tweet_id, 1, 0, 0, tweet_id, 1, 0, 0, 0, body, [], None)
    packed = pack(list(original))
    return Entry(tweet_id, 1, FLAG_REPOST, 0, original.tweet_id, 1, 0, 0, 0, body, [], packed)


class CountingRenderer(NativeRenderer):
    """The native JSON, and how often a tweet was rendered."""

    def __init__(self) -> None:
        super().__init__("")
        self.rendered = 0

    def piece(self, entry: Entry) -> bytes:
        self.rendered += 1
        return super().piece(entry)


class Window:
    """Arrivals of a shard, and the native shape over them."""

    def __init__(self, capacity: int = 64, pieces_bytes_max: int = 1 << 20) -> None:
        tuning = limits.Tuning(arrivals_max=capacity, pieces_bytes_max=pieces_bytes_max)
        state = ShardState(0, [0] * ids.BUCKET_COUNT, tuning)
        self.state, self.renderer = state, CountingRenderer()
        self.arrivals: Arrivals = state.arrivals
        self.shape = WholeShape(state, self.renderer)
        self.pieces: Pieces = self.shape.pieces
        self.next_id = 1

    def add(self, text: str = "hello", original: Entry | None = None) -> int:
        self.next_id += 1
        self.arrivals.newest_id = self.next_id
        return self.arrivals.add(entry_of(self.next_id, text, original))[0]

    def fresh(self, n: int) -> bytes:
        """Return what an arrival must look like, made of the columns alone."""
        entry = self.arrivals.entry(n)
        if entry.orig is None:
            return render_tweet(entry)
        at = self.arrivals.number_of.get(entry.orig_id)
        return render_tweet(entry, render_tweet(Entry(*unpack(entry.orig)) if at is None else self.arrivals.entry(at)))

    def kept(self) -> set[int]:
        """Return the slots of which a piece is kept."""
        return {slot for slot in range(len(self.pieces.kept)) if self.pieces.of(slot) is not None}


class PiecesMachine(RuleBasedStateMachine):
    """A window that wraps, under a bound that is met all the time."""

    @initialize(bytes_max=st.sampled_from([0, 300, 1_000, 3_000, 1 << 20]), capacity=st.sampled_from([8, 16]))
    def start(self, bytes_max, capacity) -> None:
        self.window = Window(capacity, bytes_max)
        self.bytes_max = bytes_max

    def alive(self) -> list[int]:
        return list(self.window.arrivals.number_of.values())

    @rule(text=TEXT)
    def tweet_arrives(self, text) -> None:
        self.window.add(text)

    @rule(texts=st.lists(TEXT, min_size=1, max_size=6))
    def batch_arrives(self, texts) -> None:
        window, count = self.window, len(texts)
        entries = [entry_of(window.next_id + 1 + i, text) for i, text in enumerate(texts)]
        window.next_id += count
        window.arrivals.newest_id = window.next_id
        window.arrivals.add_many(batch_of(entries))

    @precondition(lambda self: self.alive())
    @rule(data=st.data())
    def repost_arrives(self, data) -> None:
        originals = [n for n in self.alive() if self.window.arrivals.entry(n).orig is None]
        if originals:
            self.window.add(original=self.window.arrivals.entry(data.draw(st.sampled_from(originals))))

    @precondition(lambda self: self.alive())
    @rule(data=st.data())
    def page_is_read(self, data) -> None:
        window = self.window
        ns = data.draw(st.lists(st.sampled_from(self.alive()), min_size=1, max_size=8))
        slots = [n & window.arrivals.mask for n in ns]
        assert window.shape.array(slots, 0) == b"[" + b",".join([window.fresh(n) for n in ns]) + b"]"
        orjson.loads(window.shape.array(slots, 0))

    @precondition(lambda self: self.alive())
    @rule(data=st.data(), counts=st.tuples(COUNT, COUNT, COUNT))
    def tweet_is_read_where_counts_have_moved(self, data, counts) -> None:
        n = data.draw(st.sampled_from(self.alive()))
        entry = self.window.arrivals.entry(n)._replace(replies=counts[0], reposts=counts[1], likes=counts[2])
        if entry.orig is None:
            assert self.window.shape.tweet(entry) == render_tweet(entry)

    @precondition(lambda self: self.alive())
    @rule(data=st.data(), counts=st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 9), st.integers(0, 99)))
    def counts_are_told(self, data, counts) -> None:
        self.window.arrivals.set_counts(data.draw(st.sampled_from(sorted(self.window.arrivals.number_of))), *counts)

    @precondition(lambda self: self.alive())
    @rule(data=st.data(), text=TEXT)
    def tweet_is_edited(self, data, text) -> None:
        tweet_id = data.draw(st.sampled_from(sorted(self.window.arrivals.number_of)))
        self.window.arrivals.set_body(tweet_id, entry_of(tweet_id, text).body)

    @precondition(lambda self: self.alive())
    @rule(data=st.data())
    def tweet_is_deleted(self, data) -> None:
        self.window.arrivals.mark_deleted(data.draw(st.sampled_from(sorted(self.window.arrivals.number_of))))

    @invariant()
    def bytes_are_within_their_bound(self) -> None:
        pieces = self.window.pieces
        assert pieces.check() == []
        assert pieces.bytes_held <= self.bytes_max
        assert len(pieces._queue) <= self.window.arrivals.capacity
        assert self.window.arrivals.check() == []


TestPiecesMachine = PiecesMachine.TestCase


def batch_of(entries: list[Entry]) -> TweetBatch:
    message = [
        b"".join(getattr(e, name).to_bytes(8, "little") for e in entries)
        for name in ("tweet_id", "author_id", "reply_author")
    ]
    return TweetBatch.from_message(*message, bytes(e.flags for e in entries), [e.body for e in entries])


def test_what_was_made_first_goes_first():
    window = Window(pieces_bytes_max=3 * (len(render_tweet(entry_of(9))) + PIECE_BYTES))
    slots = [window.add() for _ in range(5)]
    for slot in (3, 0, 4, 1):
        window.shape.arrived(slots[slot])
    assert window.kept() == {0, 4, 1}
    assert window.state.pieces_figures() == (window.pieces.bytes_max, 1)


def test_what_was_given_up_comes_back_the_same():
    window = Window(pieces_bytes_max=1_000)
    slots = [window.add(f"tweet {i}") for i in range(20)]
    first = [window.shape.arrived(slot) for slot in slots]
    assert window.pieces.evicted_count > 10
    assert [window.shape.arrived(slot) for slot in slots] == first
    assert window.shape.array(slots, 0) == b"[" + b",".join(first) + b"]"


def test_a_tweet_that_is_larger_than_all_that_may_be_kept_is_shown_all_the_same():
    window = Window(pieces_bytes_max=500)
    small, large = window.add(), window.add("x" * 600)
    window.shape.arrived(small)
    assert window.shape.arrived(large) == window.fresh(large)
    assert (window.kept(), window.pieces.bytes_held) == (set(), 0)


def test_a_tweet_that_is_kept_is_rendered_once():
    window = Window()
    slots = [window.add(), window.add()]
    for _ in range(3):
        window.shape.array(slots, 0)
    assert window.renderer.rendered == 2


def test_a_new_count_patches_the_end_and_renders_nothing_anew():
    window = Window()
    n = window.add('it says ","counts":{"replies":7,"reposts":7,"likes":7}}')
    repost = window.add(original=window.arrivals.entry(n))
    window.shape.array([n, repost], 0)
    window.arrivals.set_counts(window.arrivals.tweet_id.item(n), 1, 22, 333)
    window.arrivals.set_counts(window.arrivals.tweet_id.item(repost), 0, 0, 4)
    tweet, shown = orjson.loads(window.shape.array([n, repost], 0))
    assert window.renderer.rendered == 2
    assert tweet["counts"] == {"replies": 1, "reposts": 22, "likes": 333}
    assert shown["counts"]["likes"] == 4
    assert shown["repost_of"] == tweet


def test_a_count_that_makes_pieces_longer_than_they_may_be_gives_some_up():
    window = Window(pieces_bytes_max=2 * (len(render_tweet(entry_of(9))) + PIECE_BYTES))
    slots = [window.add(), window.add()]
    window.shape.array(slots, 0)
    window.arrivals.set_counts(window.arrivals.tweet_id.item(slots[1]), 10, 10, 10)
    assert window.kept() == {1}
    assert window.pieces.check() == []


def test_counts_of_a_tweet_that_nobody_has_read_render_nothing():
    window = Window()
    window.arrivals.set_counts(window.arrivals.tweet_id.item(window.add()), 1, 1, 1)
    assert window.renderer.rendered == window.pieces.bytes_held == 0


def test_edits_and_reads_in_turn_do_not_lengthen_the_queue():
    window = Window()
    n = window.add()
    for i in range(100):
        window.arrivals.set_body(window.arrivals.tweet_id.item(n), entry_of(2, f"edit {i}").body)
        assert f"edit {i}".encode() in window.shape.arrived(n)
    assert len(window.pieces._queue) == 1


def test_the_piece_of_a_repost_is_kept_without_its_original():
    window = Window()
    original = window.add()
    repost = window.add(original=window.arrivals.entry(original))
    window.shape.arrived(repost)
    piece = window.pieces.of_reposts[repost]
    assert b"repost_of" not in piece
    costs = (len(piece) + PIECE_BYTES + MAPPED_BYTES, len(window.shape.arrived(original)) + PIECE_BYTES)
    assert window.pieces.bytes_held == sum(costs)
    assert window.shape.ready([original, repost]) is None
    window.arrivals.mark_deleted(window.arrivals.tweet_id.item(repost))
    assert window.pieces.of_reposts == {}


def test_nothing_is_left_of_a_tweet_that_has_made_room_for_another():
    window = Window(capacity=8)
    for i in range(8):
        window.shape.arrived(window.add(f"old {i}"))
    n = window.add("new")
    assert window.pieces.of(n & window.arrivals.mask) is None
    assert b'"new"' in window.shape.arrived(n)


@pytest.mark.parametrize("bytes_max", [0, 1_000, 1 << 20])
def test_a_shard_counts_what_it_keeps_and_shows_the_same_whatever_that_is(bytes_max: int):
    shards = Shards(1, replace(SMALL, pieces_bytes_max=bytes_max))
    reader, author = shards.account_on(0, 0), shards.account_on(0, 1)
    shards.register(reader, author)
    shards.do("follow", reader, author)
    tweets = [shards.post(author, f"tweet {i}") for i in range(6)]
    replica = shards.replicas[0]
    shards.home(reader)
    body: Any = replica.try_home(replica.query([reader, 0, 0, 0, 20]))[0]
    assert [int(tweet["tweet_id"]) for tweet in orjson.loads(body)] == tweets[::-1]
    facts = replica.lookups.facts()
    assert facts["pieces_bytes"] <= bytes_max
    assert (facts["pieces_bytes"] > 0) == (bytes_max > 0)
    assert (facts["pieces_evicted"] > 0) == (bytes_max < 1 << 20)
    shards.check()


def test_the_native_renderer_patches_counts_as_it_renders_them():
    entry = entry_of(77)
    for counts in ((0, 0, 0), (1, 2, 3), (10**12, 0, 2**31 - 1)):
        counted = entry._replace(replies=counts[0], reposts=counts[1], likes=counts[2])
        assert NATIVE.recount(NATIVE.piece(entry), *counts) == NATIVE.piece(counted)
