"""A second renderer beside the native one: with accounts, the reader's flags and what a repost reposts, from pieces."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any, Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core import ids
from actors.core.cards import pack_card
from actors.core.entries import Entry, pack, unpack, visibility_of
from actors.core.facts import read_facts
from actors.core.features.cards import learn_accounts
from actors.core.features.viewer_flags import BOOKMARKED, LIKED, MUTED, PINNABLE, PINNED, REPOSTED
from actors.core.joining import TweetPieces, flagged, join_tweets
from actors.core.limits import Tuning
from actors.core.pieces import MAPPED_BYTES, ORDERED_BYTES, PIECE_BYTES, AccountPieces
from actors.core.render import created_at
from actors.core.shape_table import MASTODON_FROM_LEVEL
from actors.core.shaped_reads import AskAccounts, ShapedReads
from actors.core.stores.people import NO_COUNTS, Account, AccountCounts, People
from actors.core.timelines.home import Ask, Wake
from tests.core.harness import SMALL, Shards

MARKS: Final = {
    "favourited": LIKED, "reblogged": REPOSTED, "bookmarked": BOOKMARKED, "muted": MUTED, "pinned": PINNED,
}  # fmt: skip
SAYINGS: Final = [
    b"".join(b',"%b":%b' % (name.encode(), b"true" if flags & flag else b"false") for name, flag in MARKS.items())
    + b"}"
    for flags in range(256)
]
ROOMY: Final = replace(SMALL, timeline_length=40, pieces_bytes_max=1 << 20)
COUNTS: Final = b',"replies_count":%d,"reblogs_count":%d,"favourites_count":%d'
COUNTS_BEGIN: Final = COUNTS[: COUNTS.index(b"%")]


class StatusRenderer:
    """Statuses somewhat like Mastodon's, and how often something was rendered."""

    ends: Final = [b',"reblog":null' + said for said in SAYINGS]
    opening, closings = b',"reblog":', SAYINGS

    def __init__(self, tuning: Tuning = SMALL) -> None:
        self.pieces: list[int] = []
        self.accounts: list[int] = []

    def piece(self, entry: Entry) -> bytes:
        self.pieces.append(entry.tweet_id)
        text = read_facts(entry.body).text.replace("&", "&amp;").replace("<", "&lt;")
        said = {"id": str(entry.tweet_id), "created_at": created_at(ids.ms_of_tweet(entry.tweet_id)),
                "visibility": ("public", "private", "direct")[visibility_of(entry.flags)],
                "content": f"<p>{text}</p>"}  # fmt: skip
        return orjson.dumps(said)[:-1] + COUNTS % (entry.replies, entry.reposts, entry.likes)

    def recount(self, piece: bytes, replies: int, reposts: int, likes: int) -> bytes:
        return piece[: piece.rindex(COUNTS_BEGIN)] + COUNTS % (replies, reposts, likes)

    def account(self, account: Account, counts: AccountCounts = NO_COUNTS) -> bytes:
        self.accounts.append(account.account_id)
        shown = {"id": str(account.account_id), "acct": account.username, "display_name": account.display_name}
        return b',"account":' + orjson.dumps(shown | {"avatar": account.avatar or "/missing.png"})


class World(Shards):
    """Two shards that are asked in two shapes: an author, an author elsewhere, two readers who follow both.

    Nobody is told of profiles: the cluster's level is below that of the first shape that shows accounts.
    """

    def __init__(self, tuning: Tuning = ROOMY, level: int = MASTODON_FROM_LEVEL - 1) -> None:
        super().__init__(2, tuning, level)
        self.asked: list[dict[int, list[int]]] = []  # about which accounts other shards were asked
        self.silent: set[int] = set()
        self.renderers = [StatusRenderer() for _ in self.replicas]
        self.shaped = [
            ShapedReads(replica.state, replica.lookups, renderer)
            for replica, renderer in zip(self.replicas, self.renderers, strict=True)
        ]
        self.reader, self.other, self.author = (self.account_on(0, i) for i in range(3))
        self.far = self.account_on(1)
        self.register(self.reader, self.other, self.author, self.far)
        for reader in (self.reader, self.other):
            self.do("follow", reader, self.author)
            self.do("follow", reader, self.far)
            self.home(reader)

    def statuses(self, reader: int, **place: int) -> list[dict[str, Any]]:
        """Return a home timeline in the second shape, as a shell would answer it."""
        shard = self.shard_of(reader)
        query = self.replicas[shard].query([reader, place.get("max_id", 0), 0, place.get("min_id", 0), 20])
        found: list[dict[str, Any]] = orjson.loads(self._drive(shard, self.shaped[shard].home_steps(query))[0])
        return found

    def _drive(self, shard: int, steps: Generator[Wake | Ask | AskAccounts, Any, Any]) -> Any:
        """Bring a read to its end; a shard of `silent` isn't asked about accounts."""
        answer: Any = None
        while True:
            try:
                need = steps.send(answer)
            except StopIteration as stop:
                return stop.value
            answer = None
            if isinstance(need, AskAccounts):
                self.asked.append(need.questions)
                for other, account_ids in need.questions.items():
                    if other not in self.silent:
                        body = unpack(pack(self.replicas[other].read("accounts", [account_ids])))
                        learn_accounts(self.replicas[shard].state, other, account_ids, body)
            else:
                assert isinstance(need, Ask)
                answer = {s: self.replicas[s].read(op, args) for s, (op, args) in need.questions.items()}

    def ask(self, op: str, *args: Any) -> Any:
        """Ask for something else in the second shape, over a lane."""
        shard = self.shard_for(op, list(args))
        steps = self.shaped[shard].steps(lambda lookups: self.replicas[shard].read(op, list(args), lookups))
        return unpack(pack(self._drive(shard, steps)))

    def joined(self, reader: int, *pieces: Any) -> list[dict[str, Any]]:
        """Join pieces that a shard has answered as whoever asked does, with the flags that the reader's shard tells."""
        tweets = [TweetPieces.of(each) for each in pieces]
        columns = [b"".join(i.to_bytes(8, "little") for i in column) for column in flagged(tweets)]
        flags = self.read("viewer_flags", reader, *columns) if reader else None
        return [orjson.loads(status) for status in join_tweets(self.rendered, tweets, flags)]

    def native(self, reader: int) -> bytes:
        replica = self.replicas[self.shard_of(reader)]
        reply = replica.try_home(replica.query([reader, 0, 0, 0, 20]))
        assert reply is not None
        body: bytes = reply[0]
        return body

    def tell_counts(self) -> None:
        for shard in range(2):
            self.run(shard, ["flush_counts"])
        self.exchange()

    @property
    def rendered(self) -> StatusRenderer:
        """The second renderer of the readers' shard."""
        return self.renderers[0]


@pytest.fixture
def world() -> World:
    return World()


def test_both_shapes_show_the_same_tweets_of_one_state(world):
    for author, text in ((world.author, "near <b>"), (world.far, "far & away"), (world.author, "漢字")):
        world.post(author, text)
    native, statuses = orjson.loads(world.native(world.reader)), world.statuses(world.reader)
    assert [status["id"] for status in statuses] == [tweet["tweet_id"] for tweet in native]
    assert [status["content"] for status in statuses] == ["<p>漢字</p>", "<p>far &amp; away</p>", "<p>near &lt;b></p>"]
    assert [status["account"]["id"] for status in statuses] == [tweet["user_id"] for tweet in native]
    assert {status["reblog"] for status in statuses} == {None}


def test_asking_in_one_shape_changes_nothing_of_the_other(world):
    world.post(world.author)
    world.repost(world.author, world.post(world.far))
    before = world.native(world.reader)
    world.statuses(world.reader)
    assert world.native(world.reader) == before
    held = [pieces.bytes_held for pieces in world.replicas[0].state.arrivals.pieces]
    assert len(held) == 2
    assert all(held)


def test_what_is_kept_is_rendered_once_for_all_readers(world):
    tweets = [world.post(world.author) for _ in range(3)]
    for _ in range(3):
        world.statuses(world.reader)
        world.statuses(world.other)
    assert sorted(world.rendered.pieces) == tweets
    assert world.rendered.accounts == [world.author]


def test_a_new_count_patches_the_pieces_of_both_shapes(world):
    tweet = world.post(world.far, 'says ,"replies_count":7')
    world.native(world.reader), world.statuses(world.reader)
    for reader in (world.reader, world.other):
        world.do("like", reader, tweet)
    world.post(world.author, "me too", in_reply_to=tweet, reply_author=world.far)
    world.tell_counts()
    status = next(s for s in world.statuses(world.reader) if s["id"] == str(tweet))
    native = next(t for t in orjson.loads(world.native(world.reader)) if t["tweet_id"] == str(tweet))
    assert (status["favourites_count"], status["replies_count"]) == (2, 1)
    assert native["counts"] == {"replies": 1, "reposts": 0, "likes": 2}
    assert world.rendered.pieces.count(tweet) == 1


def test_a_profile_change_replaces_the_account_piece_and_no_tweet(world):
    for _ in range(2):
        world.post(world.author)
    assert {s["account"]["display_name"] for s in world.statuses(world.reader)} == {""}
    world.do("update_profile", world.author, {"display_name": "Ada", "avatar": "/ada.png"})
    accounts = [status["account"] for status in world.statuses(world.reader)]
    assert [(a["display_name"], a["avatar"]) for a in accounts] == [("Ada", "/ada.png")] * 2
    assert world.rendered.accounts == [world.author, world.author]
    assert len(world.rendered.pieces) == 2


def test_an_author_of_another_shard_is_asked_for_once_and_shown_as_he_is(world):
    world.post(world.far)
    world.do("update_profile", world.far, {"display_name": "from over there"})
    for reader in (world.reader, world.other, world.reader):
        [status] = world.statuses(reader)
        assert status["account"]["display_name"] == "from over there"
    assert world.asked == [{1: [world.far]}]
    world.check()


def test_an_author_whose_shard_does_not_answer_is_shown_by_the_name_on_his_tweet_until_it_does(world):
    world.post(world.far)
    world.do("update_profile", world.far, {"display_name": "only known over there"})
    world.silent.add(1)
    for _ in range(2):
        [status] = world.statuses(world.reader)
        assert status["account"] == {
            "id": str(world.far), "acct": f"user{world.far}", "display_name": "", "avatar": "/missing.png"
        }  # fmt: skip
    world.silent.clear()
    [status] = world.statuses(world.reader)
    assert status["account"]["display_name"] == "only known over there"
    assert len(world.asked) == 3


def test_an_author_who_is_gone_is_asked_for_once_and_shown_by_name(world):
    world.post(world.far)
    world.replicas[1].state.people.row_of.pop(world.far)
    for _ in range(2):
        [status] = world.statuses(world.reader)
        assert status["account"]["acct"] == f"user{world.far}"
    assert len(world.asked) == 1


def test_a_card_that_is_told_replaces_what_was_made_of_the_one_before(world):
    world.post(world.far)
    world.statuses(world.reader)
    for name in ("Ada", "Grace"):
        card = pack_card(Account(world.far, f"user{world.far}", 0, name))
        number = world.replicas[1].state.position + len(name)
        learn_accounts(world.replicas[0].state, 1, [world.far], [number, [card]])
        assert world.statuses(world.reader)[0]["account"]["display_name"] == name
    assert len(world.asked) == 1


def test_authors_of_originals_are_asked_for_too_and_in_every_read(world):
    repost = world.repost(world.author, world.post(world.far, "said once"))
    world.do("update_profile", world.far, {"display_name": "Ada"})
    [status] = world.joined(0, world.ask("tweet", repost, 0))
    assert status["reblog"]["account"]["display_name"] == "Ada"
    assert world.asked == [{1: [world.far]}]


def test_below_a_ring_all_authors_that_are_unknown_are_asked_for_together():
    world = World(replace(ROOMY, timeline_length=1))
    second = world.account_on(1, 1)
    world.register(second)
    world.do("follow", world.reader, second)
    tweets = [world.post(author, "said") for _ in range(2) for author in (world.far, world.author, second)]
    world.do("update_profile", second, {"display_name": "Grace"})
    shown = {s["id"]: s["account"]["display_name"] for s in world.statuses(world.reader)}
    assert shown == {str(tweet): "Grace" if i % 3 == 2 else "" for i, tweet in enumerate(tweets)}
    assert world.asked == [{1: sorted([world.far, second])}]


def test_flags_are_those_of_whoever_reads(world):
    liked, kept, plain = (world.post(world.author, text) for text in ("liked", "kept", "plain"))
    world.do("like", world.reader, liked)
    world.do("bookmark", world.reader, kept)
    world.do("like", world.other, plain)
    set_flags = {
        reader: {s["id"]: [name for name in MARKS if s[name]] for s in world.statuses(reader)}
        for reader in (world.reader, world.other)
    }
    assert set_flags == {
        world.reader: {str(plain): [], str(kept): ["bookmarked"], str(liked): ["favourited"]},
        world.other: {str(plain): ["favourited"], str(kept): [], str(liked): []},
    }
    assert len(world.rendered.pieces) == 3


@given(
    st.lists(st.tuples(st.sampled_from(["like", "unlike", "bookmark", "repost", "mute", "unmute"]), st.integers(0, 7))),
    st.lists(st.integers(0, 7), max_size=12),
)
def test_flags_of_tweets_are_what_the_reader_has_done(acts, asked):
    world = World()
    tweets = [world.post(author) for author in (world.author, world.far, world.other, world.reader) for _ in range(2)]
    authors = [author for author in (world.author, world.far, world.other, world.reader) for _ in range(2)]
    done: dict[str, set[int]] = {name: set() for name in MARKS}
    for op, at in acts:
        if op == "repost" and tweets[at] not in done["reblogged"]:
            world.repost(world.reader, tweets[at])
            done["reblogged"].add(tweets[at])
        elif op in ("like", "unlike", "bookmark"):
            world.do(op, world.reader, tweets[at])
            name = "bookmarked" if op == "bookmark" else "favourited"
            (done[name].discard if op == "unlike" else done[name].add)(tweets[at])
        elif op in ("mute", "unmute") and authors[at] != world.reader:
            world.do(op, world.reader, authors[at])
            (done["muted"].add if op == "mute" else done["muted"].discard)(authors[at])
    ids, by = [tweets[at] for at in asked], [authors[at] for at in asked]
    columns = [b"".join(i.to_bytes(8, "little") for i in column) for column in (ids, ids, by)]
    assert list(world.read("viewer_flags", world.reader, *columns)) == [
        sum(MARKS[n] for n in MARKS if (author_id if n == "muted" else tweet_id) in done[n])
        + PINNABLE * (author_id == world.reader)
        for tweet_id, author_id in zip(ids, by, strict=True)
    ]


@pytest.mark.parametrize("is_here", [True, False], ids=["it is here", "it has left the window"])
def test_a_repost_holds_its_original_with_its_own_account_and_flags(world, is_here):
    stranger = world.account_on(1, 1)  # whom the reader doesn't follow: an original below its repost would hide that
    world.register(stranger)
    original = world.post(stranger, "said once")
    world.do("like", world.reader, original)
    repost = world.repost(world.author, original)
    world.do("bookmark", world.reader, repost)
    if not is_here:
        world.replicas[0].state.arrivals.mark_deleted(original)
    [status] = world.statuses(world.reader)
    assert (status["id"], status["account"]["id"]) == (str(repost), str(world.author))
    inner = status["reblog"]
    assert (inner["id"], inner["content"]) == (str(original), "<p>said once</p>")
    assert (inner["account"]["id"], inner["reblog"]) == (str(stranger), None)
    assert [name for name in MARKS if inner[name]] == ["favourited"]
    assert [name for name in MARKS if status[name]] == ["bookmarked"]


def test_a_repost_shows_the_new_count_of_its_original(world):
    stranger = world.account_on(1, 1)
    world.register(stranger)
    original = world.post(stranger)
    repost = world.repost(world.author, original)
    world.statuses(world.reader)
    world.do("like", world.other, original)
    world.tell_counts()
    [status] = world.statuses(world.reader)
    assert (status["reblog"]["favourites_count"], status["favourites_count"]) == (1, 0)
    assert sorted(world.rendered.pieces) == sorted([original, repost])


def test_a_page_of_many_asks_for_each_tweets_flags(world):
    """Those of originals stand beside, in order."""
    stranger = world.account_on(1, 1)
    world.register(stranger)
    expected = {}
    for i in range(12):
        tweet = world.post(stranger if i % 2 else world.author, f"tweet {i}")
        if i % 3 == 0:
            world.do("like", world.reader, tweet)
        shown = world.repost(world.author, tweet) if i % 2 else tweet
        if i % 4 == 1:
            world.do("like", world.reader, shown)
        expected[str(shown)] = [i % 4 == 1 if i % 2 else i % 3 == 0, i % 3 == 0 if i % 2 else None]
    found = {
        s["id"]: [s["favourited"], None if s["reblog"] is None else s["reblog"]["favourited"]]
        for s in world.statuses(world.reader)
    }
    assert found == expected


@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_every_read_answers_pieces_that_are_joined_with_the_flags_of_whoever_reads(world, where):
    """No operation has an argument for it, and the reader may be of another shard than the tweets."""
    reader = world.reader if where == "here" else world.far
    first = world.post(world.author, "first")
    answer = world.post(world.author, "second", in_reply_to=first, reply_author=world.author)
    world.do("like", reader, first)
    native = world.read("tweet", first, reader)
    pieces, newest, oldest = world.ask("user_timeline", world.author, reader, 0, 0, 0, 20)
    statuses = world.joined(reader, *pieces)
    assert ([s["id"] for s in statuses], newest, oldest) == ([str(answer), str(first)], answer, first)
    assert [s["favourited"] for s in statuses] == [False, True]
    assert world.joined(reader, world.ask("tweet", first, reader)) == [statuses[1]]
    line, _ = world.ask("lineage", answer, reader, 9)
    assert world.joined(reader, *line) == statuses
    [[shown, gone]] = world.ask("tweets", [first, first + 1], reader)
    assert (world.joined(reader, shown), gone) == ([statuses[1]], None)
    assert world.read("tweet", first, reader) == native
    assert statuses[1]["favourites_count"] == 1, "as the tweet's own shard knows it, before counts are told"
    if where == "here":
        world.tell_counts()
        assert world.statuses(reader) == statuses


def test_a_repost_by_itself_has_its_original_in_pieces_with_flags_of_its_own(world):
    original = world.post(world.far, "said once")
    repost = world.repost(world.author, original)
    world.do("like", world.reader, original)
    world.do("bookmark", world.reader, repost)
    [status] = world.joined(world.reader, world.ask("tweet", repost, world.reader))
    assert [name for name in MARKS if status[name]] == ["bookmarked"]
    assert [name for name in MARKS if status["reblog"][name]] == ["favourited"]
    assert status["reblog"]["content"] == "<p>said once</p>"


def test_a_page_without_anything_is_answered_as_everywhere(world):
    world.do("unfollow", world.reader, world.author)
    assert world.statuses(world.reader) == []
    assert world.ask("user_timeline", world.author, 0, 0, 0, 0, 20) == [[], 0, 0]


def test_nobody_has_done_anything(world):
    [status] = world.joined(0, world.ask("tweet", world.post(world.author), 0))
    assert not any(status[name] for name in MARKS)


def test_what_lies_below_a_ring_is_shown_in_the_same_shape():
    world = World(replace(ROOMY, timeline_length=1))
    tweets = [world.post(author, f"tweet {i}") for i in range(6) for author in (world.author, world.far)]
    world.do("like", world.reader, tweets[0])
    statuses = world.statuses(world.reader)
    assert [s["id"] for s in statuses] == [str(t) for t in reversed(tweets)]
    assert [s["favourited"] for s in statuses] == [False] * 11 + [True]
    above = world.statuses(world.reader, min_id=tweets[-3])
    assert above == statuses[:2]


@pytest.mark.parametrize("bytes_max", [0, 300, 1_500])
def test_a_shape_that_may_keep_little_shows_the_same(bytes_max):
    roomy, small = World(), World(replace(ROOMY, pieces_bytes_max=bytes_max))
    for world in (roomy, small):
        tweets = [world.post(author, "said") for _ in range(6) for author in (world.author, world.far)]
        world.repost(world.other, tweets[0])
        world.do("like", world.reader, tweets[3])
    for _ in range(2):
        assert small.statuses(small.reader) == roomy.statuses(roomy.reader)
    held, evicted = small.replicas[0].state.pieces_figures()
    assert held <= 2 * bytes_max + bytes_max // 2
    assert evicted > 0
    small.check()


# ---- account pieces -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["leave", "depart", "arrive", "replace"])
def test_an_account_that_comes_or_goes_is_shown_anew(change):
    people, pieces = People(), AccountPieces(1_000)
    people.pieces.append(pieces)
    row = people.add(Account(7, "ada", 0), away=change == "arrive")
    pieces.put(7, b"old")
    pieces.put(8, b"another")
    if change == "replace":
        people.replace(row, Account(7, "ada", 0, display_name="Ada"))
    else:
        getattr(people, change)(7)
    assert list(pieces.of) == [8]
    pieces.drop(8)
    assert pieces.bytes_held == 0


@given(st.lists(st.tuples(st.integers(0, 9), st.binary(max_size=300)), max_size=40), st.sampled_from([0, 200, 1_000]))
def test_account_pieces_never_take_more_than_they_may(puts, bytes_max):
    pieces = AccountPieces(bytes_max)
    for account_id, piece in puts:
        pieces.drop(account_id)
        pieces.put(account_id, piece)
        assert pieces.bytes_held <= bytes_max
        taken = sum(len(kept) + PIECE_BYTES + MAPPED_BYTES + ORDERED_BYTES for kept in pieces.of.values())
        assert taken == pieces.bytes_held
