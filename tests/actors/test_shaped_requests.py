"""Reads in a shape, as a shard carries them out: the wrapper, and the questions about accounts of other shards."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from actors.core import shape_table
from actors.core.cards import FRESH_MS
from actors.core.errors import InvalidError, MalformedError, MovedError, NotFoundError, OverloadedError, RookeryError
from actors.core.features import READS
from actors.core.features.cards import tend_cards
from actors.core.joining import TweetPieces, join_tweets
from actors.core.shape_table import MASTODON, ShapeRow
from actors.shard import account_questions, home_requests
from actors.shard.account_questions import AccountQuestions
from actors.shard.carried_reads import CarriedReads
from actors.shard.home_requests import HomeRequests
from actors.shard.served_replica import ServedReplica
from tests.core.harness import SMALL, Shards
from tests.core.test_shapes import StatusRenderer

SHAPE = 9
HANGS_S = 60.0


class Request:
    """A lane request that remembers how it ended."""

    def __init__(self, op: str, args: Any) -> None:
        self.op, self.args = op, args
        self.ended: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def reply(self, body: Any) -> None:
        self.ended.set_result(body)

    def fail(self, error: Exception) -> None:
        self.ended.set_exception(error)


class Peers:
    """What a replica asks other shards by: their answers, which a test may hold back or replace."""

    def __init__(self, shards: Shards) -> None:
        self.shards = shards
        self.asked: list[tuple[int, list[int]]] = []
        self.error: Exception | None = None
        self.body: Any = None
        self.hold = asyncio.Event()
        self.hold.set()

    async def ask(self, shard: int, op: str, args: list[Any], timeout_s: float) -> Any:
        assert op == "accounts"
        self.asked.append((shard, args[0]))
        await self.hold.wait()
        if self.error is not None:
            raise self.error
        return self.body if self.body is not None else self.shards.replicas[shard].read(op, args)


class Served:
    """The first of two shards, as it carries out requests: a leader, or a follower."""

    def __init__(self) -> None:
        self.shards = Shards(2, SMALL)
        self.reader, self.author = (self.shards.account_on(0, i) for i in range(2))
        self.far = [self.shards.account_on(1, i) for i in range(3)]
        self.shards.register(self.reader, self.author, *self.far)
        for author in (self.author, *self.far):
            self.shards.do("follow", self.reader, author)
        self.shards.home(self.reader)
        self.peers, self.leads = Peers(self.shards), True
        replica = self.shards.replicas[0]
        commits = SimpleNamespace(replica=replica, state=replica.state, on_refused=[])
        metrics = SimpleNamespace(pulls=0, ring_rebuilds=0)
        self.homes = HomeRequests(commits, self.peers, metrics)  # type: ignore[arg-type]
        self.actor = SimpleNamespace(
            replica=replica, homes=self.homes, state=replica.state, shard=0, index=0, _require_lead=self._require_lead,
            replication=SimpleNamespace(leads=True), _reads_at=frozenset({*READS, "home", "shaped"}),
        )  # fmt: skip

        def home(request: Any, args: list[Any]) -> None:
            ServedReplica._home(self.actor, request, args)  # type: ignore[arg-type]

        self.actor.carried = CarriedReads(replica, self.homes, None, home, self._require_lead)  # type: ignore[arg-type]

    def _require_lead(self) -> None:
        if not self.leads:
            raise MovedError("this replica doesn't lead")

    def start(self, args: Any, op: str = "shaped") -> Request:
        request = Request(op, args)
        try:
            ServedReplica._operate(self.actor, request)  # type: ignore[arg-type]
        except RookeryError as error:
            request.fail(error)
        return request

    async def ask(self, args: Any, op: str = "shaped") -> Any:
        async with asyncio.timeout(HANGS_S):
            return await self.start(args, op).ended

    async def all_asked(self) -> None:
        """Wait until no question is under way."""
        asking = self.homes.accounts._line(1)._asking
        assert asking is not None
        async with asyncio.timeout(HANGS_S):
            await asking

    async def statuses(self) -> list[dict[str, Any]]:
        body, _, _ = await self.ask([SHAPE, "home", [self.reader, 0, 0, 0, 20]])
        found: list[dict[str, Any]] = orjson.loads(body)
        return found


@pytest.fixture(autouse=True)
def shape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(shape_table.SHAPES, MASTODON)
    monkeypatch.setitem(shape_table.SHAPES, SHAPE, ShapeRow(SHAPE, "statuses", StatusRenderer))


@pytest.fixture
async def served() -> Served:
    return Served()


def names(statuses: list[dict[str, Any]]) -> list[str]:
    return [status["account"]["display_name"] for status in statuses]


# ---- the wrapper --------------------------------------------------------------------------------------------------


async def test_a_home_timeline_is_joined_and_anything_else_comes_in_pieces(served):
    tweet = served.shards.post(served.author, "hello")
    served.shards.do("like", served.reader, tweet)
    [status] = await served.statuses()
    assert (status["id"], status["favourited"], status["account"]["id"]) == (str(tweet), True, str(served.author))
    pieces = TweetPieces.of(list(await served.ask([SHAPE, "tweet", [tweet, served.reader]])))
    [alone] = join_tweets(StatusRenderer(), [pieces], None)
    assert orjson.loads(alone)["content"] == "<p>hello</p>"
    listed, newest, oldest = await served.ask([SHAPE, "user_timeline", [served.author, 0, 0, 0, 0, 20]])
    assert ([p.tweet_id for p in listed], newest, oldest) == ([tweet], tweet, tweet)


async def test_the_native_shape_is_what_is_answered_without_one(served):
    tweet = served.shards.post(served.author)
    args = [served.reader, 0, 0, 0, 20]
    assert await served.ask([0, "home", args]) == served.shards.replicas[0].try_home(served.actor.replica.query(args))
    assert await served.ask([0, "tweet", [tweet, 0]]) == served.shards.read("tweet", tweet, 0)


async def test_at_carries_a_read_in_a_shape_and_waits_for_its_position(served):
    tweet = served.shards.post(served.author)
    args = [SHAPE, "tweet", [tweet, 0]]
    position = served.actor.state.position
    assert (await served.ask([position + 1, "shaped", args], "at")).tweet_id == tweet
    served.actor.replication.leads = False
    assert (await served.ask([position, "shaped", args], "at")).tweet_id == tweet
    with pytest.raises(MovedError, match="is behind position"):
        await served.ask([position + 1, "shaped", args], "at")


@pytest.mark.parametrize(
    "args",
    [[], [SHAPE], [SHAPE, "tweet"], ["9", "tweet", [1, 0]], [True, "tweet", [1, 0]], [9.0, "tweet", [1, 0]],
     [SHAPE, 5, []], [SHAPE, "tweet", 5], [SHAPE, "tweet", {}], [SHAPE, "tweet", [1, 0], 1], [None, "tweet", [1, 0]]],
    ids=["nothing", "a shape", "no arguments", "a text for a number", "true", "a float", "no operation",
         "a number for arguments", "a map for arguments", "one too many", "no number"],
)  # fmt: skip
async def test_what_wraps_nothing_is_refused(served, args):
    with pytest.raises(MalformedError):
        await served.ask(args)


@pytest.mark.parametrize("op", ["profile", "post", "token", "at", "shaped", "tracked", "search", "history", ""])
async def test_what_answers_no_tweets_is_asked_in_no_shape(served, op):
    with pytest.raises(InvalidError, match="shaped takes a read, not"):
        await served.ask([SHAPE, op, []])


@pytest.mark.parametrize("number", [1, -1, 1 << 62])
async def test_an_unknown_shape_is_refused_by_its_number(served, number):
    with pytest.raises(InvalidError, match=f"there is no shape {number}; there are 0 .native., 9 .statuses."):
        await served.ask([number, "home", [served.reader, 0, 0, 0, 20]])


async def test_what_an_operation_refuses_is_refused_in_a_shape_too(served):
    private = served.shards.post(served.author, "for followers", visibility=1)
    with pytest.raises(NotFoundError):
        await served.ask([SHAPE, "tweet", [private, 0]])
    assert (await served.ask([SHAPE, "tweet", [private, served.reader]])).tweet_id == private
    with pytest.raises(MalformedError):
        await served.ask([SHAPE, "tweet", ["x"] * 9])
    with pytest.raises(InvalidError):
        await served.ask([SHAPE, "home", ["x"]])


# ---- accounts of other shards --------------------------------------------------------------------------------------


async def test_authors_of_another_shard_are_asked_for_in_one_question(served):
    for author in served.far:
        served.shards.do("update_profile", author, {"display_name": f"n{author}"})
        served.shards.post(author)
    assert names(await served.statuses()) == [f"n{author}" for author in reversed(served.far)]
    assert served.peers.asked == [(1, sorted(served.far))]
    assert len(await served.statuses()) == 3
    assert served.homes.accounts.figures() == {"account_questions": 1, "account_questions_failed": 0}


async def test_a_follower_asks_for_accounts_and_leaves_the_rest_to_the_leader(served):
    served.leads = False
    served.shards.post(served.far[0])
    served.shards.do("update_profile", served.far[0], {"display_name": "Ada"})
    assert names(await served.statuses()) == ["Ada"]
    for _ in range(5 * SMALL.timeline_length):
        served.shards.post(served.far[0])
    with pytest.raises(MovedError):
        await served.ask([SHAPE, "home", [served.reader, 0, 0, 0, 200]])


async def test_a_shard_that_is_slow_keeps_no_page_waiting_and_its_answer_is_kept_for_the_next(served, monkeypatch):
    monkeypatch.setattr(account_questions, "ANSWER_S", 0.01)
    served.shards.post(served.far[0])
    served.shards.do("update_profile", served.far[0], {"display_name": "Ada"})
    served.peers.hold.clear()
    [status] = await served.statuses()
    assert (status["account"]["acct"], status["account"]["display_name"]) == (f"user{served.far[0]}", "")
    served.peers.hold.set()
    await served.all_asked()
    assert names(await served.statuses()) == ["Ada"]
    assert len(served.peers.asked) == 1


@pytest.mark.parametrize(
    ("error", "body"), [(TimeoutError(), None), (ValueError("moved"), None), (None, "nonsense"), (None, [1, [b"123"]])],
    ids=["no answer", "a refusal", "nonsense", "no card"],
)  # fmt: skip
async def test_a_shard_without_a_good_answer_is_left_alone_for_a_second(served, monkeypatch, error, body):
    served.shards.post(served.far[0])
    served.peers.error, served.peers.body = error, body
    for _ in range(3):
        assert names(await served.statuses()) == [""]
    assert len(served.peers.asked) == 1
    assert served.homes.accounts.figures() == {"account_questions": 0, "account_questions_failed": 1}
    served.peers.error = served.peers.body = None
    served.homes.accounts._line(1)._quiet_until = 0.0
    assert len(await served.statuses()) == 1
    assert len(served.peers.asked) == 2


async def test_what_many_pages_miss_at_once_is_asked_for_once(served):
    served.shards.post(served.far[0])
    served.peers.hold.clear()
    requests = [served.start([SHAPE, "home", [served.reader, 0, 0, 0, 20]]) for _ in range(50)]
    await asyncio.sleep(0)
    served.peers.hold.set()
    async with asyncio.timeout(HANGS_S):
        bodies = await asyncio.gather(*(request.ended for request in requests))
    assert len({body for body, _, _ in bodies}) == 1
    assert len(served.peers.asked) <= 2


async def test_too_many_pages_that_wait_are_refused(served, monkeypatch):
    monkeypatch.setattr(home_requests, "SLOW_HOMES_MAX", 1)
    served.shards.post(served.far[0])
    served.peers.hold.clear()
    first = served.start([SHAPE, "home", [served.reader, 0, 0, 0, 20]])
    with pytest.raises(OverloadedError):
        await served.ask([SHAPE, "home", [served.reader, 0, 0, 0, 20]])
    served.peers.hold.set()
    async with asyncio.timeout(HANGS_S):
        await first.ended


async def test_cards_that_have_grown_old_are_asked_for_in_the_background(served):
    state = served.actor.state
    served.shards.post(served.far[0])
    await served.statuses()
    served.shards.replicas[1].state.people.accounts[served.shards.row_of(served.far[0])].display_name = "Ada"
    tend_cards(state, FRESH_MS)
    assert names(await served.statuses()) == [""], "shown as it was"
    served.homes.accounts.ask_anew(tend_cards(state, FRESH_MS + 1_000))
    await served.all_asked()
    assert names(await served.statuses()) == ["Ada"]
    assert len(served.peers.asked) == 2


async def test_a_question_holds_no_more_accounts_than_a_shard_answers_for(served):
    questions = AccountQuestions(served.actor.state, served.peers.ask)
    await questions.ask({1: list(range(1, 451))})
    assert [len(account_ids) for _, account_ids in served.peers.asked] == [200, 200, 50]


async def test_what_waits_to_be_asked_for_is_bounded(served, monkeypatch):
    monkeypatch.setattr(account_questions, "WANTED_MAX", 10)
    monkeypatch.setattr(account_questions, "ANSWER_S", 0.001)
    questions = AccountQuestions(served.actor.state, served.peers.ask)
    served.peers.hold.clear()
    await questions.ask({1: [1]})
    for first in range(10, 100, 5):
        await questions.ask({1: list(range(first, first + 5))})
    assert len(questions._line(1)._wanted) == 10
    served.peers.hold.set()
