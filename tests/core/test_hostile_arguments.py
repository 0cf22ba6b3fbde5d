"""Whatever a caller of the lane sends, a shard refuses it or applies it whole, and goes on.

Requests are made of arguments that fit, of which some, or each in turn, are replaced by whatever msgpack can carry.
"""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from actors.core import ids
from actors.core.entries import pack
from actors.core.errors import InvalidError, MovedError, RookeryError, UnauthorizedError
from actors.core.features import READS, WRITES
from actors.core.replica import Replica
from actors.core.stores.people import token_id
from actors.core.verify import check, digest
from tests.core.harness import NOW_MS, Shards, memory_store, packed_original

BASE = Shards()
HERE = [BASE.account_on(0, i) for i in range(3)]
THERE = [BASE.account_on(1, i) for i in range(2)]
BASE.do("register", f"user{HERE[0]}", HERE[0], "", "", "old hash", [b"x"], "phone")
BASE.register(*HERE[1:], *THERE)
for one in HERE:
    for other in (*HERE, *THERE):
        BASE.do("follow", one, other)
BASE.home(HERE[0])
BASE.home(THERE[0])
TWEETS = [BASE.post(HERE[0]), BASE.post(HERE[1], visibility=1), BASE.post(HERE[1], visibility=2, mentions=[THERE[0]])]
TWEETS += [BASE.post(THERE[0]), BASE.repost(HERE[2], TWEETS[0])]
BASE.do("block", HERE[2], THERE[1])
BASE.do("like", HERE[0], TWEETS[3])
BASE.do("pin", HERE[1], TWEETS[1])
GONE = BASE.post(HERE[0])
BASE.do("delete", GONE, HERE[0])
DUE_MS = NOW_MS + 1_000_000
SCHEDULED = int(
    BASE.do("schedule", HERE[0], DUE_MS, "x", 0, 0, 0, b"", [], []).split(b'"scheduled_id":"')[1].split(b'"')[0]
)
CLIENTS = [
    next(c for c in map(str, range(99)) if BASE.shard_for("app", [ids.thing_of_name(c)]) == shard) for shard in (0, 1)
]
APP, APP_THERE = map(ids.thing_of_name, CLIENTS)
CODE = 1 << 40
BASE.do("authorize", HERE[0], CODE, APP, b"uri", 8, b"challenge")
BASE.do("create_app", APP, CLIENTS[0], b"secret", "Client", "", ["urn:x"], 8)
DIGESTS = BASE.digests()

EDGES = [-(1 << 63), -1, 0, 1, 2, 63, 800, 801, 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]
EXTENSIONS = st.sampled_from([msgpack.Timestamp(1, 2), msgpack.ExtType(5, b"x")])
SCALARS = (
    st.none() | st.booleans() | st.sampled_from(EDGES) | st.sampled_from([float(HERE[0]), 1.5, float("nan"), 1e300])
    | st.text(max_size=4) | st.binary(max_size=9) | EXTENSIONS
)  # fmt: skip
KEYS = st.none() | st.booleans() | st.integers(-2, 2) | st.text(max_size=2) | st.sampled_from(["bio", "fields"])
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=2), max_leaves=6
)

ACCOUNT = st.sampled_from([*HERE, *THERE, 399])
TWEET = st.sampled_from([*TWEETS, GONE])
COUNT, KEY = st.integers(0, 801), st.none() | st.binary(max_size=70)
NAME = st.sampled_from([BASE.name_on(0), BASE.name_on(1), f"user{HERE[0]}", ""])
IDS = st.binary(max_size=17) | st.lists(ACCOUNT, max_size=3).map(lambda a: b"".join(x.to_bytes(8, "little") for x in a))
ENTITIES = st.just(b"") | ANYTHING.map(pack) | st.fixed_dictionaries({"mentions": ANYTHING}).map(pack)
ACCOUNTS, WORDS = st.lists(ACCOUNT, max_size=3), st.text(max_size=5)
PROFILE = st.dictionaries(st.sampled_from(["bio", "url", "avatar", "fields", "x"]), ANYTHING, max_size=3)
ENTRY = st.one_of(
    st.sampled_from([packed_original(HERE[0], TWEETS[0]), packed_original(THERE[0], TWEETS[3])]),
    st.just(packed_original(HERE[0], GONE)),
    st.tuples(st.sampled_from(list(range(12))), ANYTHING).map(
        lambda c: pack([c[1] if i == c[0] else v for i, v in enumerate(msgpack.unpackb(ORIGINAL))])
    ),
    ANYTHING.map(pack),
)
ORIGINAL = packed_original(THERE[0], TWEETS[3])
EXAMPLES_CUT = 1 if settings.default.max_examples >= 1_000 else 4  # each replays a shard: `make fuzz` has all of them
REGISTRATION = st.tuples(NAME, ACCOUNT, WORDS, WORDS, st.none() | WORDS, st.lists(st.binary(max_size=3), max_size=2))
POST = st.tuples(
    ACCOUNT, WORDS, st.integers(-1, 3), TWEET | st.just(0), ACCOUNT | st.just(0), ENTITIES, ACCOUNTS, ACCOUNTS, KEY
)


def assert_short(error: RookeryError) -> None:
    """A refusal crosses the lane, and doesn't send back what it was given."""
    assert len(pack(error.to_wire())) < 1_000


def rows(row):
    return st.lists(row.map(list) | spoilt(row) | ANYTHING, max_size=3).map(lambda found: (found,))


@st.composite
def spoilt(draw, fitting):
    """Arguments that fit, some of them replaced by anything, one perhaps missing or too many."""
    args = list(draw(fitting))
    for place in draw(st.lists(st.integers(0, max(0, len(args) - 1)), max_size=2)):
        if place < len(args):
            args[place] = draw(ANYTHING)
    if draw(st.integers(0, 9)) == 0:
        args = args[:-1] if draw(st.booleans()) else [*args, draw(ANYTHING)]
    return args


SCHEDULED_ID = st.just(SCHEDULED) | TWEET
AT_MS = st.integers(0, 1 << 42) | st.integers(NOW_MS, NOW_MS + 1_000_000)
TOKEN_ID = st.sampled_from([token_id(b"x")])
FACTS = st.none() | st.tuples(IDS, IDS).map(list)
SHORT = st.binary(max_size=3)
LISTED = st.tuples(TWEET, ACCOUNT, COUNT, COUNT, FACTS)
PAGE = (st.integers(0, 1 << 63), st.integers(0, 3), st.integers(0, 3))
FITTING = {
    "register": REGISTRATION, "register_many": rows(REGISTRATION),
    "login_token": st.tuples(ACCOUNT, st.binary(), st.just("old hash"), WORDS, COUNT, COUNT),
    "revoke_tokens": st.tuples(ACCOUNT, st.lists(st.binary(), max_size=3)),
    "change_password": st.tuples(
        ACCOUNT, st.text(max_size=9), st.text(max_size=9), st.none() | st.lists(st.binary(), max_size=3),
        st.none() | st.binary(),
    ),
    "revoke_token": st.tuples(ACCOUNT, st.binary()), "end_token": st.tuples(ACCOUNT, TOKEN_ID | WORDS),
    "tokens": st.tuples(ACCOUNT), "delete_account": st.tuples(ACCOUNT, st.none() | st.text(max_size=9)),
    "update_profile": st.tuples(ACCOUNT, PROFILE), "post": POST,
    "post_many": rows(POST), "delete": st.tuples(TWEET, ACCOUNT, FACTS), "like": st.tuples(ACCOUNT, TWEET),
    "unlike": st.tuples(ACCOUNT, TWEET), "repost": st.tuples(ACCOUNT, ENTRY), "unrepost": st.tuples(ACCOUNT, TWEET),
    "follow_many": st.tuples(IDS, IDS),
    "tweet": st.tuples(TWEET, ACCOUNT, FACTS), "tweet_ref": st.tuples(TWEET, ACCOUNT, FACTS),
    "seen": st.tuples(TWEET, ACCOUNT, FACTS), "lineage": st.tuples(TWEET, ACCOUNT, COUNT, FACTS),
    "tweets": st.tuples(st.lists(TWEET, max_size=3), ACCOUNT | st.just(0), FACTS),
    "user_timeline": st.tuples(ACCOUNT, ACCOUNT, *PAGE, COUNT, COUNT, FACTS),
    "pull": st.tuples(ACCOUNT, IDS, TWEET, COUNT), "pull_after": st.tuples(ACCOUNT, IDS, TWEET, COUNT),
    "account": st.tuples(ACCOUNT), "accounts": st.tuples(ACCOUNTS),
    "cards": st.tuples(ACCOUNTS, ACCOUNT | st.just(0)), "blocked_among": st.tuples(ACCOUNT, IDS),
    "names": st.tuples(st.lists(NAME, max_size=3)), "credentials": st.tuples(ACCOUNT),
    "reader": st.tuples(ACCOUNT),
    "likes": st.tuples(ACCOUNT, COUNT, COUNT), "bookmarks": st.tuples(ACCOUNT, COUNT, COUNT),
    "viewer_flags": st.tuples(ACCOUNT, IDS, IDS, IDS), "answered": st.tuples(ACCOUNT, SHORT, SHORT),
    "keyed": st.tuples(ACCOUNT, SHORT, SHORT, st.sampled_from(sorted(WRITES)), ANYTHING),
    "if_seen": st.tuples(ACCOUNT, TWEET, st.sampled_from(["like", "bookmark", "repost"]))
    | st.tuples(ACCOUNT, TWEET, st.sampled_from(sorted(WRITES)), ANYTHING),
    "likers": LISTED, "reposters": LISTED, "replies": LISTED,
    "edit": st.tuples(TWEET, ACCOUNT, WORDS, ENTITIES, ACCOUNTS, FACTS), "history": st.tuples(TWEET, ACCOUNT, FACTS),
    "schedule": st.tuples(
        ACCOUNT, AT_MS, WORDS, st.integers(-1, 3), TWEET | st.just(0), ACCOUNT | st.just(0), ENTITIES, ACCOUNTS,
        ACCOUNTS,
    ),
    "reschedule": st.tuples(ACCOUNT, SCHEDULED_ID, AT_MS), "unschedule": st.tuples(ACCOUNT, SCHEDULED_ID),
    "scheduled": st.tuples(ACCOUNT, COUNT, COUNT), "scheduled_one": st.tuples(ACCOUNT, SCHEDULED_ID),
    "bookmark": st.tuples(ACCOUNT, TWEET), "unbookmark": st.tuples(ACCOUNT, TWEET),
    "pin": st.tuples(ACCOUNT, TWEET), "unpin": st.tuples(ACCOUNT, TWEET),
    "pins": st.tuples(ACCOUNT, ACCOUNT | st.just(0)),
    "create_app": st.tuples(
        st.sampled_from([APP, APP_THERE, TWEETS[0]]), st.sampled_from([*CLIENTS, ""]), SHORT, WORDS, WORDS,
        st.lists(WORDS, max_size=2), COUNT,
    ),
    "use_app": st.tuples(st.sampled_from([APP, APP_THERE, TWEETS[0]])),
    "authorize": st.tuples(ACCOUNT, st.sampled_from([CODE, 7]), TWEET, SHORT, COUNT, SHORT),
    "redeem": st.tuples(
        ACCOUNT, st.just(CODE), st.just(APP), st.just(b"uri"), st.just(b"challenge"), st.sampled_from([b"x", b"new"]),
        WORDS,
    ),
    "app": st.tuples(st.sampled_from([APP, APP_THERE, TWEETS[0]])),
    "token_scopes": st.tuples(ACCOUNT, st.sampled_from([b"x", b"y"])),
    "token": st.tuples(ACCOUNT, st.binary()), "token_owner": st.tuples(st.binary()), "export": st.tuples(COUNT, COUNT),
    "referred": st.tuples(COUNT, COUNT),
}  # fmt: skip
for name in ("follow", "unfollow", "block", "unblock", "mute", "unmute", "profile"):
    FITTING[name] = st.tuples(ACCOUNT, ACCOUNT)
for name in ("followers", "following"):
    FITTING[name] = st.tuples(ACCOUNT, ACCOUNT, COUNT, COUNT)


TYPICAL = {
    "register": [BASE.name_on(0), 500, "Ada", "bio", "hash", [b"x"], "tablet"],
    "login_token": [HERE[0], b"y", "old hash", "phone", 8, 500],
    "register_many": [[[BASE.name_on(0), 500, "Ada", "bio", "hash", [b"x"]]]], "revoke_token": [HERE[0], b"x"],
    "end_token": [HERE[0], token_id(b"x")], "delete_account": [HERE[0], "old hash"],
    "revoke_tokens": [HERE[0], [b"kept"]],
    "change_password": [HERE[0], "old hash", "new hash", [b"kept"], b"fresh", "x"],
    "update_profile": [HERE[0], {"bio": "x", "fields": [["a", "b"]]}], "delete": [TWEETS[0], HERE[0], [b"", b""]],
    "post": [HERE[0], "x", 0, TWEETS[0], HERE[0], b"", [1], [THERE[0]], b"key"], "like": [HERE[0], TWEETS[1]],
    "post_many": [[[HERE[0], "x", 0, TWEETS[0], HERE[0], b"", [1], [THERE[0]], b"key"]]],
    "unlike": [HERE[0], TWEETS[3]], "repost": [HERE[0], ORIGINAL], "unrepost": [HERE[2], TWEETS[0]],
    "follow": [HERE[0], 399], "unfollow": [HERE[0], THERE[0]],
    "follow_many": [HERE[0].to_bytes(8, "little"), HERE[1].to_bytes(8, "little")],
    "block": [HERE[0], THERE[0]], "unblock": [HERE[2], THERE[1]], "mute": [HERE[0], THERE[0]],
    "edit": [TWEETS[0], HERE[0], "y", b"", [THERE[0]], [b"", b""]],
    "schedule": [HERE[0], DUE_MS, "x", 0, TWEETS[0], HERE[0], b"", [1], [THERE[0]]],
    "reschedule": [HERE[0], SCHEDULED, DUE_MS], "unschedule": [HERE[0], SCHEDULED],
    "unmute": [HERE[0], THERE[0]], "bookmark": [HERE[0], TWEETS[1]],
    "if_seen": [HERE[0], TWEETS[0], "repost", [HERE[0], ORIGINAL]],
    "create_app": [APP, CLIENTS[0], b"secret", "Client", "", ["urn:x"], 8], "use_app": [APP],
    "authorize": [HERE[0], 7, APP, b"uri", 8, b"challenge"],
    "redeem": [HERE[0], CODE, APP, b"uri", b"challenge", b"new", "Client"],
    "keyed": [HERE[0], b"key", b"print", "like", [HERE[0], TWEETS[1]]], "unbookmark": [HERE[0], TWEETS[3]],
    "pin": [HERE[0], TWEETS[0]], "unpin": [HERE[1], TWEETS[1]],
}  # fmt: skip
NASTY = [
    None, True, False, *EDGES, float(HERE[0]), 1.5, float("nan"), float("inf"), 1e300, "", "x", str(HERE[0]), b"",
    b"x" * 65, b"x" * 8, [], [[]], [[None] * 9], [1, 2], [None], ["x"], [1.5], [True], [1 << 63], [-1], [b"x"], {},
    {"bio": 1}, {"fields": [["a"]]}, {"fields": 1}, {1: 2}, msgpack.Timestamp(1, 2), msgpack.ExtType(1, b""),
]  # fmt: skip


def spoilt_everywhere(args: list) -> list[list]:
    """Return the arguments with each place in turn, also one list deep or two, taken by each nasty value."""
    found = []
    for i, value in enumerate(args):
        found += [[*args[:i], nasty, *args[i + 1 :]] for nasty in NASTY]
        if isinstance(value, list):
            found += [[*args[:i], inner, *args[i + 1 :]] for inner in spoilt_everywhere(value)]
    return found


@pytest.mark.parametrize("op", WRITES)
def test_each_argument_of_a_write_in_turn_may_be_anything(op):
    BASE.replicas[0].prepare(op, TYPICAL[op], NOW_MS)
    requests = spoilt_everywhere(TYPICAL[op])
    if op == "repost":
        fields = msgpack.unpackb(ORIGINAL)
        requests += [[HERE[0], pack(spoilt)] for spoilt in spoilt_everywhere(fields)]
    if op == "post":
        requests += [[*TYPICAL[op][:5], pack(nasty), *TYPICAL[op][6:]] for nasty in NASTY]
        requests += [[*TYPICAL[op][:5], pack({"mentions": nasty}), *TYPICAL[op][6:]] for nasty in NASTY]
    refused, accepted = 0, []
    fresh = rebuilt(0)
    for args in requests:
        try:
            fresh.prepare(op, args, NOW_MS + 1_000)
            accepted.append(args)
        except RookeryError as error:
            assert_short(error)
            refused += 1
    assert refused
    assert digest(fresh.state) == DIGESTS[0]
    known: dict[bytes | None, str] = {}
    for args in accepted:
        outcome_is_sound(op, [args], known)


def rebuilt(shard: int) -> Replica:
    return BASE.replayed(shard)


UNTOUCHED: list[Replica] = []  # who has refused everything so far holds what BASE holds, and serves again


def untouched() -> Replica:
    return UNTOUCHED.pop() if UNTOUCHED else rebuilt(0)


def read_everything(replica: Replica) -> None:
    """Render all that a client could see, so that nothing unreadable was stored."""
    for account_id in set(HERE) & replica.state.people.row_of.keys():  # one may have been deleted
        query = replica.query([account_id, 0, 0, 0, 100])
        if (
            account_id not in replica.state.waking
            and replica.state.rings.awake[replica.state.people.row_of[account_id]]
        ):
            replica.home.page(replica.state.people.row_of[account_id], query)
            replica.try_home(query)
        replica.read("user_timeline", [account_id, account_id, 0, 0, 0, 100])
        replica.read("profile", [account_id, 0])
        replica.read("pins", [account_id, 0])
        replica.read("scheduled", [account_id, 0, 100])
    for tweet_id, author in ((TWEETS[0], HERE[0]), (TWEETS[1], HERE[1])):
        if tweet_id in replica.state.tweets and author not in replica.state.people.leaving:
            replica.read("history", [tweet_id, author])
    replica.read("cards", [HERE])
    for app_id in replica.state.things.kind_of:
        replica.read("app", [app_id])
    for account_id in HERE[: HERE[0] in replica.state.people.row_of]:
        replica.read("tokens", [account_id])


@pytest.mark.parametrize("op", WRITES)
def test_a_write_with_any_arguments_is_refused_and_changes_nothing_or_is_applied_and_can_be_replayed(op):
    known: dict[bytes | None, str] = {}

    @given(requests=st.lists(spoilt(FITTING[op]), min_size=1, max_size=3))
    @settings(max_examples=max(25, settings.default.max_examples // EXAMPLES_CUT))
    def attempt(requests):
        outcome_is_sound(op, requests, known)

    attempt()


def outcome_is_sound(op: str, requests: list, known: dict[bytes | None, str]) -> None:
    """Make requests until one is accepted; then replay, exchange, read, seal and restore.

    known: digests after the records for which all that was done before. A state follows from its records, so that one
    that comes again only has to lead to the same.
    """
    here = untouched()
    for args in requests:
        try:
            record, body = here.write(op, args, NOW_MS + 1_000)
        except RookeryError as error:
            assert_short(error)
            assert digest(here.state) == DIGESTS[0]
            continue
        pack(body.to_wire() if isinstance(body, RookeryError) else body)
        break
    else:
        read_everything(here)
        UNTOUCHED.append(here)
        return
    after = digest(here.state)
    if record in known:
        assert after == known[record]
        return
    copy = rebuilt(0)
    if record is not None:
        copy.replay(copy.state.position + 1, record)
    assert digest(copy.state) == after
    goes_on(here, rebuilt(1))
    known[record] = after


def goes_on(here: Replica, there: Replica) -> None:
    """Exchange, read, publish, seal and restore."""
    cross(here, there)
    read_everything(here)
    while (command := here.due_command(1 << 46)) is not None:
        here.command(command)  # what was scheduled can be published
    cross(here, there)
    read_everything(here)
    assert check(here.state) == check(there.state) == []
    restored, store = Replica(0, BASE.owner, BASE.tuning), memory_store()
    store.write(here.state.position, 1, here.seal())
    restored.load(store.load())
    assert digest(restored.state) == digest(here.state)


def cross(here: Replica, there: Replica) -> None:
    """Let all messages arrive on both sides."""
    for _ in range(20):
        quiet = True
        for source, target in ((here, there), (there, here)):
            first, messages = source.state.outboxes[target.state.shard].batch(1 << 62)
            if messages:
                quiet = False
                _, seq = target.command(["receive", source.state.shard, first, b"".join(messages)])
                source.command(["acked", target.state.shard, seq])
        if quiet:
            return
    raise AssertionError("shards never stop sending")


@pytest.mark.parametrize("op", READS)
def test_a_read_with_any_arguments_is_answered_or_refused_and_changes_nothing(op):
    @given(args=spoilt(FITTING[op]))
    def attempt(args):
        try:
            pack(BASE.replicas[0].read(op, args))
        except RookeryError as error:
            assert_short(error)
        assert digest(BASE.replicas[0].state) == DIGESTS[0]

    attempt()


HOME = st.tuples(ACCOUNT, TWEET | st.just(0), TWEET | st.just(0), TWEET | st.just(0), COUNT)
WITH_SCOPES = st.tuples(ACCOUNT, st.just(0), st.just(0), st.just(0), COUNT, COUNT, st.just(b"x"), COUNT)
HOME |= st.tuples(ACCOUNT, TWEET | st.just(0), TWEET | st.just(0), TWEET | st.just(0), COUNT, COUNT)


@given(args=spoilt(HOME) | spoilt(st.tuples(ACCOUNT, TWEET, TWEET, TWEET, COUNT, st.binary())) | spoilt(WITH_SCOPES))
@example(args=5)
@example(args={1: 2})
@example(args=[HERE[0], 0, 0, 0, 20, [[]]])
@example(args=[HERE[0], 0, 0, 0, 20, 0, b"x", "read"])
def test_a_home_timeline_with_any_arguments_is_answered_or_refused(args):
    replica = BASE.replicas[0]
    try:
        query = replica.query(args)
    except RookeryError as error:
        assert_short(error)
    else:
        replica.try_home(query)
    assert digest(replica.state) == DIGESTS[0]


def test_a_home_read_with_a_token_is_refused_before_anything_is_looked_at():
    world = Shards()
    world.register(*HERE)
    replica, account_id = world.replicas[0], HERE[0]
    replica.write("login_token", [account_id, b"right"], NOW_MS)
    replica.touched.clear()
    replica.state.day += 1  # a read would be noted
    for args in ([account_id, 0, 0, 0, 20, 0, b"wrong"], [account_id, "x", 0, 0, 0, 0, b"wrong"]):
        with pytest.raises(UnauthorizedError):
            replica.query(args)
    assert not replica.touched
    with pytest.raises(InvalidError):
        replica.query([account_id, "x", 0, 0, 20, 0, b"right"])
    assert replica.query([account_id, 0, 0, 0, 20, 0, b"right"]).count == 20
    assert replica.touched == {account_id}


@given(op=ANYTHING, args=ANYTHING)
def test_an_operation_of_any_name_is_refused(op, args):
    for call in (lambda: BASE.replicas[0].read(op, args), lambda: BASE.replicas[0].write(op, args, NOW_MS)):
        with pytest.raises(RookeryError):
            call()


@pytest.mark.parametrize("size", [10_000, 5_000_000])
def test_a_refusal_does_not_repeat_a_huge_argument(size):
    nested: list = []
    for _ in range(1_000):
        nested = [nested]
    for args in (["x" * size], [b"x" * size], [nested], [[1] * size], [{i: i for i in range(size // 100)}]):
        for op in (*WRITES, *READS):
            call = BASE.replicas[0].read if op in READS else lambda o, a: BASE.replicas[0].write(o, a, NOW_MS)
            with pytest.raises(RookeryError) as caught:
                call(op, args)
            assert len(caught.value.message) < 1_000
        with pytest.raises(RookeryError) as caught:
            BASE.replicas[0].query(args * 5)
        assert len(caught.value.message) < 1_000


MISPLACED = {
    "like": [THERE[0], TWEETS[0]], "follow": [THERE[0], HERE[0]], "post": [THERE[0], "x", 0, 0, 0, b"", [], [], None],
    "delete": [TWEETS[3], THERE[0]], "register": [BASE.name_on(1), 7, "", "", None, []],
    "login_token": [THERE[0], b"x"], "revoke_tokens": [THERE[0], []],
    "authorize": [THERE[0], 7, APP, b"uri", 8, b""], "redeem": [THERE[0], 7, APP, b"uri", b"", b"new"],
    "change_password": [THERE[0], "old", "new", None, None], "update_profile": [THERE[0], {}],
    "repost": [THERE[0], ORIGINAL],
    "account": [THERE[0]], "tweet": [TWEETS[3], 0], "seen": [TWEETS[3], 0], "lineage": [TWEETS[3], 0, 1],
    "tweets": [[TWEETS[3], TWEETS[0]], 0], "token": [THERE[0], b"x"], "token_scopes": [THERE[0], b"x"],
    "profile": [THERE[0], 0],
    "reader": [THERE[0]], "blocked_among": [THERE[0], b""], "user_timeline": [THERE[0], 0, 0, 0, 0, 20],
    "followers": [THERE[0], 0, 0, 20], "app": [APP_THERE], "use_app": [APP_THERE],
    "create_app": [APP_THERE, CLIENTS[1], b"secret", "Client", "", ["urn:x"], 8],
}  # fmt: skip


@pytest.mark.parametrize("op", MISPLACED)
def test_a_request_for_a_bucket_of_another_shard_is_answered_with_moved(op):
    replica = BASE.replicas[0]
    with pytest.raises(MovedError):
        replica.read(op, MISPLACED[op]) if op in READS else replica.write(op, MISPLACED[op], NOW_MS)


def test_a_home_timeline_of_another_shard_is_answered_with_moved():
    with pytest.raises(MovedError):
        BASE.replicas[0].query([THERE[0], 0, 0, 0, 20])


def test_ids_outside_64_bits_are_refused():
    for wrong in (0, -1, ids.ID_MAX + 1):
        with pytest.raises(RookeryError):
            BASE.replicas[0].read("account", [wrong])
