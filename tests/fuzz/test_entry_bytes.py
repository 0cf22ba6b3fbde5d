"""Packed bytes inside of requests, a tweet to repost and a tweet's entities: if damaged, refused or stored whole."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.core.entries import pack
from actors.core.errors import RookeryError
from actors.core.limits import ENTRY_BYTES_MAX
from actors.core.verify import check, digest
from tests.core.harness import NOW_MS, Shards, packed_original
from tests.core.test_hostile_arguments import assert_short
from tests.fuzz.mutations import EXAMPLES_SHARE, mutated, peak_bytes

BASE = Shards()
READER, AUTHOR = BASE.account_on(0, 0), BASE.account_on(1, 0)
BASE.register(READER, AUTHOR)
BASE.do("follow", READER, AUTHOR)
ORIGINAL = packed_original(AUTHOR, BASE.post(AUTHOR))
ENTITIES = pack({"mentions": [[AUTHOR, "name", 0, 5]], "hashtags": [["tag", 6, 10]], "urls": [["http://a.b", 11, 21]]})
FEWER = settings(max_examples=max(10, settings.default.max_examples // EXAMPLES_SHARE))
# An array's header makes room for all its items at once, 8 bytes each: at most as many as there are bytes, but on each
# level, and msgpack goes some 130 levels deep.
PEAK_BYTES_MAX = 160 * 8 * ENTRY_BYTES_MAX


def request_with(entry: bytes | None, entities: bytes) -> tuple[str, list]:
    if entry is not None:
        return "repost", [READER, entry]
    return "post", [READER, "text", 0, 0, 0, entities, [], [], None]


def assert_refused_or_sound(op: str, args: list) -> None:
    """Prepare and apply a request; what was accepted can be rendered and leaves a sound state."""
    replica = BASE.replayed(0)
    before = digest(replica.state)
    refusal = None
    try:
        replica.write(op, args, NOW_MS + 1_000)
    except RookeryError as error:
        refusal = error
    if refusal is not None:
        assert_short(refusal)
        assert digest(replica.state) == before
        return
    replica.read("user_timeline", [READER, READER, 0, 0, 0, 100])
    assert check(replica.state) == []


@given(mutated(ORIGINAL))
@FEWER
def test_a_damaged_tweet_is_reposted_whole_or_refused(entry):
    assert_refused_or_sound(*request_with(entry, b""))


@given(mutated(ENTITIES) | st.binary(max_size=60))
@FEWER
def test_damaged_entities_are_stored_as_they_render_or_refused(entities):
    assert_refused_or_sound(*request_with(None, entities))


nested = st.lists(
    st.sampled_from([b"\xdd\x00\x01\x38\x80", b"\xdc\xff\xff", b"\xdf\x00\x00\xff\xff", b"\x91", b"\x81\xc0", b"\xc0"]),
    min_size=1, max_size=300,
).map(b"".join)  # fmt: skip


@given(nested, st.booleans())
@FEWER
def test_arrays_that_claim_to_be_large_take_no_more_than_their_levels_can_hold(head, as_entities):
    data = head + b"\xc0" * 30_000
    op, args = request_with(None, data) if as_entities else request_with(data, b"")
    replica = BASE.replicas[0]

    def prepare() -> None:
        try:
            replica.prepare(op, args, NOW_MS)
        except RookeryError:
            return

    assert peak_bytes(prepare) < PEAK_BYTES_MAX


def test_the_worst_entry_stays_within_the_bound():
    data = b"\xdd\x00\x01\x38\x80" * 2_000
    data += b"\xc0" * (ENTRY_BYTES_MAX - len(data))

    def prepare() -> None:
        try:
            BASE.replicas[0].prepare("repost", [READER, data], NOW_MS)
        except RookeryError:
            return

    assert peak_bytes(prepare) < PEAK_BYTES_MAX
