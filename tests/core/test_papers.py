"""Papers beside a dict of documents, in folders of a few documents, so that they are cut and joined all the time."""

from __future__ import annotations

import copy
import pickle

import msgpack
import numpy as np
import orjson
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from actors.core import limits
from actors.core.errors import TooLargeError
from actors.core.stores import papers, piles
from actors.core.stores.papers import Papers, pack_document, unpack_frozen

KINDS = (1, 2)
ID_MAX, ID_MIN = (1 << 63) - 1, -(1 << 63)
OWNER = st.sampled_from([1, 2, 3, ID_MAX, ID_MIN])
KEY = st.sampled_from([0, 1, 2, 3, 4, 5, -1, -2, -3, ID_MAX, ID_MIN])
KIND = st.sampled_from(KINDS)
PLAIN = st.one_of(st.booleans(), st.integers(ID_MIN, (1 << 64) - 1), st.text(max_size=4), st.binary(max_size=12))
DOCUMENT = st.one_of(
    PLAIN,
    st.lists(PLAIN, max_size=4),
    st.dictionaries(st.one_of(st.text(max_size=3), st.integers(0, 9)), st.one_of(PLAIN, st.lists(PLAIN, max_size=2))),
)


def as_given(document):
    """A document as it was put: lists instead of tuples."""
    if isinstance(document, dict):
        return {key: as_given(value) for key, value in document.items()}
    return [as_given(value) for value in document] if isinstance(document, tuple) else document


class PapersMachine(RuleBasedStateMachine):
    @initialize(count=st.integers(1, 5), size=st.sampled_from([8, 40, 1 << 16]), lately=st.integers(0, 3))
    def start(self, count, size, lately) -> None:
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(piles, "FOLDER_COUNT_MAX", count)
        self.patch.setattr(piles, "FOLDER_BYTES_MAX", size)
        self.patch.setattr(papers, "LATELY_COUNT_MAX", lately)
        self.patch.setattr(papers, "LATELY_BYTES_MAX", 30)
        self.papers, self.twin = Papers(), {}

    @rule(kind=KIND, owner=OWNER, key=KEY, document=DOCUMENT)
    def put(self, kind, owner, key, document) -> None:
        before = self.twin.get((kind, owner, key))
        changes = before is None or pack_document(before) != pack_document(document)
        assert self.papers.put(kind, owner, key, document) == changes
        self.twin[kind, owner, key] = document

    @rule(kind=KIND, owner=OWNER, keys=st.lists(KEY, min_size=4), document=DOCUMENT)
    def put_some(self, kind, owner, keys, document) -> None:
        for key in keys:
            self.papers.put_packed(kind, owner, key, pack_document(document))
            self.twin[kind, owner, key] = document

    @rule(kind=KIND, owner=OWNER, key=KEY)
    def drop(self, kind, owner, key) -> None:
        assert self.papers.drop(kind, owner, key) == (self.twin.pop((kind, owner, key), None) is not None)

    @rule(kind=KIND, owner=OWNER)
    def clear(self, kind, owner) -> None:
        keys = sorted(key for k, o, key in self.twin if (k, o) == (kind, owner))
        assert self.papers.clear(kind, owner) == keys
        for key in keys:
            del self.twin[kind, owner, key]

    @rule(kind=KIND, owner=OWNER, key=KEY)
    def get(self, kind, owner, key) -> None:
        document = self.twin.get((kind, owner, key))
        for _ in range(2):  # once from its bytes, once perhaps as kept
            assert as_given(self.papers.get(kind, owner, key)) == document
        assert self.papers.packed(kind, owner, key) == (None if document is None else pack_document(document))

    @rule(kind=KIND, owner=st.one_of(st.none(), OWNER), random=st.randoms(use_true_random=False))
    def restore_some(self, kind, owner, random) -> None:
        """A kind, or one owner's papers of it, go and come back in another order."""
        owners, keys, documents = self.papers.dump(kind)
        taken = [row for row in zip(owners.tolist(), keys.tolist(), documents, strict=True) if owner in (None, row[0])]
        for row_owner in {row[0] for row in taken}:
            self.papers.clear(kind, row_owner)
        random.shuffle(taken)
        sides = [np.array([row[side] for row in taken], dtype=np.int64) for side in (0, 1)]
        self.papers.fill(kind, *sides, [row[2] for row in taken])

    @invariant()
    def equal_and_sound(self) -> None:
        if not hasattr(self, "papers"):
            return
        assert self.papers.check() == []
        assert self.papers.total == len(self.twin)
        assert self.papers.total_bytes == sum(len(pack_document(document)) for document in self.twin.values())
        for kind in KINDS:
            owners, keys, documents = self.papers.dump(kind)
            rows = sorted((o, key, pack_document(document)) for (k, o, key), document in self.twin.items() if k == kind)
            assert list(zip(owners.tolist(), keys.tolist(), documents, strict=True)) == rows
            for owner in (1, 2, 3, 4, ID_MAX, ID_MIN):
                assert self.papers.keys(kind, owner) == sorted(k for n, o, k in self.twin if (n, o) == (kind, owner))

    def teardown(self) -> None:
        if hasattr(self, "patch"):
            self.patch.undo()


TestPapers = PapersMachine.TestCase


def test_folders_of_the_real_size_are_cut_and_joined():
    rng, kept, twin = np.random.default_rng(5), Papers(), {}
    for turn in range(6_000):
        owner, key = int(rng.integers(1, 40)), int(rng.integers(0, 60))
        size = int(rng.choice([1, 30, 3_000, limits.PAPER_BYTES_MAX - 5], p=[0.4, 0.5, 0.09, 0.01]))
        kept.put(1, owner, key, bytes(size))
        twin[owner, key] = size
        if turn % 600 == 0:
            assert kept.check() == []
    pile = kept._piles[1]
    assert len(pile.folders) > 10
    assert kept.keys(1, 7) == sorted(key for owner, key in twin if owner == 7)
    left = [place for place in sorted(twin) if twin[place] < 100][::20]
    for owner, key in sorted(twin):
        if (owner, key) not in left:
            assert kept.drop(1, owner, key)
    assert len(left) > 50
    assert len(pile.folders) <= 3  # each lost nearly all it had, none everything
    assert kept.check() == []
    assert [kept.get(1, *place) for place in left] == [bytes(twin[place]) for place in left]


def test_a_large_document_between_others_gets_a_folder_of_its_own():
    kept = Papers()
    for key, size in ((1, 40_000), (3, 24_000), (2, 65_000)):
        kept.put(1, 1, key, bytes(size))
    assert [len(folder) for folder in kept._piles[1].folders] == [1, 1, 1]
    assert kept.check() == []


def test_a_document_has_64_kib_at_most_and_a_larger_one_changes_nothing():
    kept = Papers()
    largest = bytes(limits.PAPER_BYTES_MAX - 3)  # msgpack puts three bytes before it
    assert kept.put(1, 5, 0, largest)
    with pytest.raises(TooLargeError, match="may have 65536 bytes when packed, not 65537"):
        kept.put(1, 5, 0, largest + b"x")
    with pytest.raises(TooLargeError, match="65537"):
        kept.put_packed(1, 5, 1, bytes(65_537))
    assert kept.get(1, 5) == largest
    assert kept.total_bytes == limits.PAPER_BYTES_MAX
    assert kept.check() == []


def test_what_was_larger_than_todays_limit_can_still_be_loaded():
    kept, document = Papers(), bytes(limits.PAPER_BYTES_MAX + 9)
    kept.fill(1, np.array([5]), np.array([0]), [msgpack.packb(document)])
    assert kept.get(1, 5) == document
    assert kept.check() == []


def test_none_is_no_document():
    kept = Papers()
    with pytest.raises(ValueError, match=r"None is no document: drop paper \(1, 5, 0\) instead"):
        kept.put(1, 5, 0, None)
    assert kept.get(1, 5) is None
    assert kept.total == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.__setitem__("a", 1), lambda d: d.__delitem__("a"), lambda d: d.update(a=1), lambda d: d.pop("a"),
        lambda d: d.popitem(), lambda d: d.clear(), lambda d: d.setdefault("b", 1), lambda d: d.__ior__({"a": 2}),
        lambda d: d["a"][0].update(b=2),
    ],
    ids=["set", "delete", "update", "pop", "popitem", "clear", "setdefault", "or", "deep inside"],
)  # fmt: skip
def test_a_document_that_was_read_refuses_changes(change):
    kept = Papers()
    kept.put(1, 5, 0, {"a": [{"b": 1}, [2]]})
    with pytest.raises(TypeError, match="shared by all who read it"):
        change(kept.get(1, 5))
    assert kept.get(1, 5) == {"a": ({"b": 1}, (2,))}


def test_copies_of_a_document_are_free_and_it_packs_as_it_was_put():
    kept, given = Papers(), {"b": [{"c": 1}], 7: "x", "a": b"y"}
    kept.put(1, 5, 0, given)
    given["b"].append(2)
    read = kept.get(1, 5)
    assert read is kept.get(1, 5)
    assert pack_document(read) == kept.packed(1, 5) == pack_document({"b": [{"c": 1}], 7: "x", "a": b"y"})
    assert not kept.put(1, 5, 0, read)
    for free in (
        dict(read),
        {**read},
        read | {},
        copy.copy(read),
        copy.deepcopy(read),
        pickle.loads(pickle.dumps(read)),
    ):
        assert type(free) is dict
        free["d"] = 1
    copy.deepcopy(read)["b"][0]["c"] = 2
    assert kept.get(1, 5)["b"] == ({"c": 1},)
    kept.put(1, 6, 0, {"a": [1, {}]})
    assert orjson.dumps(kept.get(1, 6)) == b'{"a":[1,{}]}'


def test_a_changed_document_is_read_as_it_is_now():
    kept = Papers()
    kept.put(1, 5, 0, {"a": 1})
    before = kept.get(1, 5)
    assert kept.put(1, 5, 0, {"a": 2})
    assert (before, kept.get(1, 5)) == ({"a": 1}, {"a": 2})
    kept.drop(1, 5)
    assert kept.get(1, 5) is None
    kept.fill(1, np.array([5]), np.array([0]), [pack_document({"a": 3})])
    assert kept.get(1, 5) == {"a": 3}


@pytest.mark.parametrize("there", [[], [(9, 9)], [(5, 1)]], ids=["none yet", "others", "the same"])
def test_loading_a_paper_twice_is_refused_and_changes_nothing(there):
    kept = Papers()
    for owner, key in there:
        kept.put(1, owner, key, "before")
    owners, keys = np.array([5, 4, 5]), np.array([1, 1, 1 if there != [(5, 1)] else 2])
    with pytest.raises(ValueError, match=r"paper \(5, 1\) of kind 1 is there already"):
        kept.fill(1, owners, keys, [pack_document("new")] * 3)
    assert kept.total == len(there)
    assert kept.dump(1)[2] == [pack_document("before")] * len(there)
    assert kept.check() == []


def test_reading_many_large_documents_keeps_few_of_them(monkeypatch):
    kept = Papers()
    for owner in range(50):
        kept.put(1, owner, 0, bytes(60_000))
        kept.get(1, owner)
    assert len(kept._lately) == papers.LATELY_BYTES_MAX // 60_003
    monkeypatch.setattr(papers, "LATELY_COUNT_MAX", 3)
    kept.get(1, 0)
    assert [place[1] for place in kept._lately] == [48, 49, 0]
    assert kept.check() == []


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda p: p._piles[1].folders[0].data.__setitem__(0, 0xC1), r"paper \(1, 5, 0\) is no document"),
        (lambda p: p._piles[1].folders[0].data.append(1), "don't fill its 8 bytes"),
        (lambda p: p._piles[1].folders[0].keys.reverse(), "not in ascending order"),
        (lambda p: p._piles[1].folders[0].owners.__setitem__(0, 4), "the first documents"),
        (lambda p: setattr(p, "total_bytes", 1), "2 papers of 7 bytes are counted as 2 of 1"),
        (lambda p: p._lately.__setitem__((1, 5, 0), ({"a": 2}, 4)), "kept unpacked as it was before"),
        (lambda p: p._lately.__setitem__((1, 6, 0), ({"a": 2}, 4)), "a paper that is gone"),
        (lambda p: setattr(p, "_lately_bytes", 3), "0 papers are kept unpacked, of 0 bytes"),
    ],
    ids=["no msgpack", "too many bytes", "order", "firsts", "counts", "stale", "gone", "bytes kept unpacked"],
)
def test_damage_is_told(damage, said):
    kept = Papers()
    kept.put(1, 5, 0, {"a": 1})
    kept.put(1, 5, 3, "xy")
    assert kept.check() == []
    damage(kept)
    with pytest.raises(AssertionError, match=said):
        assert "; ".join(kept.check()) == ""


def test_what_follows_a_document_makes_it_none():
    with pytest.raises(ValueError):
        unpack_frozen(pack_document(1) + b"\x00")
