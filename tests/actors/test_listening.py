"""Workers that listen to a shard: what is pushed to them when, and what never is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from actors.core.errors import InvalidError, MovedError, NotFoundError, OverloadedError, RookeryError
from actors.core.heard import DELETE, EVERYTHING, TWEET
from actors.metrics import ShardMetrics
from actors.shard import listening
from actors.shard.listening import Listening
from tests.core.harness import Shards
from tests.core.test_moving import Moving

EMPTY = [[], []]


class Connection:
    """A worker's connection: what was pushed to it."""

    def __init__(self) -> None:
        self.pushed: list[tuple[str, Any]] = []
        self.gone: Callable[[Any], None] = lambda connection: None

    def push(self, topic: str, value: Any) -> None:
        self.pushed.append((topic, value))

    def when_gone(self, tell: Callable[[Any], None]) -> None:
        self.gone = tell

    @property
    def heard(self) -> list[tuple[int, int]]:
        """What it was told: (kind, item)."""
        return [(value[2], value[3]) for topic, value in self.pushed if topic == "heard"]


class Request:
    """A lane request that remembers how it ended."""

    def __init__(self, op: str, args: Any, connection: Connection | None) -> None:
        self.op, self.args, self.connection = op, args, connection
        self.ended: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def reply(self, body: Any) -> None:
        self.ended.set_result(body)

    def fail(self, error: Exception) -> None:
        self.ended.set_exception(error)


class Commits:
    """The commits of one shard: a test says how far they are."""

    def __init__(self, shards: Shards, shard: int) -> None:
        self.replica, self.state = shards.replicas[shard], shards.replicas[shard].state
        self.committed_position = self.state.position
        self.on_committed: list[Callable[[], None]] = []
        self.on_refused: list[Callable[[Exception], None]] = []
        self.run = lambda command: shards.run(shard, command)

    def commit(self) -> None:
        self.committed_position = self.state.position
        for tell in self.on_committed:
            tell()


class Cards:
    """What other shards say of accounts: nothing, once it is let go."""

    def __init__(self) -> None:
        self.asked: list[dict[int, list[int]]] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def ask(self, questions: dict[int, list[int]]) -> None:
        self.asked.append(questions)
        await self.may_answer.wait()


class World:
    """Shard 0 of two, to which a worker listens for bob, who follows ada here and cyd there."""

    def __init__(self, shards: Shards | None = None) -> None:
        self.shards = shards or Shards()
        self.ada, self.bob, self.cyd = (
            self.shards.account_on(0),
            self.shards.account_on(0, 1),
            self.shards.account_on(1),
        )
        self.shards.register(self.ada, self.bob, self.cyd)
        self.shards.do("follow", self.bob, self.ada)
        self.shards.do("follow", self.bob, self.cyd)
        self.commits, self.cards = Commits(self.shards, 0), Cards()
        self.metrics, self.leads = ShardMetrics(), True
        self.listening = Listening(self.commits, self.cards, self.metrics, lambda: self.leads)  # type: ignore[arg-type]
        self.worker = Connection()

    async def ask(self, op: str, args: Any, connection: Connection | None = None) -> Any:
        request = Request(op, args, connection or self.worker)
        self.listening.handle(request)  # type: ignore[arg-type]
        return await request.ended

    async def listen(self, *topics: str) -> Any:
        return await self.ask("listen", [[[self.bob, EVERYTHING, []]], list(topics)])

    def post(self, author: int) -> int:
        """Post and let it arrive, uncommitted."""
        return self.shards.post(author)


def in_a_loop(work: Callable[[World], Awaitable[None]]) -> None:
    async def run() -> None:
        await work(World())

    asyncio.run(run())


async def until(look: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not look():  # noqa: ASYNC110  what is looked at tells nobody
            await asyncio.sleep(0.002)


def test_what_is_not_committed_is_pushed_to_nobody():
    async def work(world: World) -> None:
        await world.listen()
        tweet_id = world.post(world.ada)
        world.listening.look()
        assert world.worker.pushed == []
        world.commits.commit()
        assert world.worker.heard == [(TWEET, tweet_id)]

    in_a_loop(work)


def test_who_leads_no_more_says_so_once_and_pushes_nothing_after():
    """It was deposed with a tweet that it had still to commit, which the next leader's commits then cover here."""

    async def work(world: World) -> None:
        await world.listen()
        world.post(world.ada)
        world.leads = False
        world.commits.commit()
        world.post(world.ada)
        world.commits.commit()
        assert world.worker.pushed == [("unheard", [0, None])]
        assert world.shards.replicas[0].state.heard is None
        with pytest.raises(MovedError):
            await world.listen()

    in_a_loop(work)


def test_whoever_waits_for_a_commit_that_is_refused_listens_anew():
    async def work(world: World) -> None:
        await world.listen()
        world.commits.on_refused[0](MovedError("it follows now"))
        assert world.worker.pushed == [("unheard", [0, None])]

    in_a_loop(work)


def test_each_worker_is_pushed_an_event_once_with_all_whom_it_is_for():
    async def work(world: World) -> None:
        other = Connection()
        await world.ask("listen", [[[world.ada, EVERYTHING, []], [world.bob, EVERYTHING, []]], ["public"]])
        await world.ask("listen", [[[world.bob, EVERYTHING, []]], []], other)
        tweet_id = world.post(world.ada)
        world.commits.commit()
        assert world.worker.heard == other.heard == [(TWEET, tweet_id)]
        addresses = world.worker.pushed[0][1][5]
        assert [(topics, accounts and len(accounts) // 8) for topics, accounts, _ in addresses] == [
            (["user"], 2), (["public"], None),
        ]  # fmt: skip
        assert world.metrics.streams_pushes == 2

    in_a_loop(work)


def test_an_author_of_whom_nothing_is_known_is_asked_for_and_what_comes_after_waits():
    async def work(world: World) -> None:
        await world.listen()
        world.cards.may_answer.clear()
        first, second = world.post(world.cyd), world.post(world.ada)
        world.commits.commit()
        await asyncio.sleep(0)
        assert world.cards.asked == [{1: [world.cyd]}]
        assert world.worker.heard == []
        world.cards.may_answer.set()
        for _ in range(5):
            await asyncio.sleep(0)
        assert world.worker.heard == [(TWEET, first), (TWEET, second)]

    in_a_loop(work)


def test_what_was_missed_comes_up_to_the_number_of_the_reply_and_pushes_go_on_behind_it():
    async def work(world: World) -> None:
        incarnation, number, *_ = await world.listen()
        first = world.post(world.ada)
        world.shards.do("delete", first, world.ada)
        second = world.post(world.ada)
        world.commits.commit()
        row = [world.bob, EVERYTHING, []]
        said = await world.ask("missed", [row, [], incarnation, number])
        assert said[:2] == [incarnation, 3]
        assert [(push[1], push[2]) for push in said[2]] == [(DELETE, first), (TWEET, second)]
        assert (await world.ask("missed", [row, [], incarnation, 3]))[2] == []
        assert (await world.ask("missed", [row, [], incarnation + 1, number]))[2] is None
        assert (await world.ask("missed", [row, [], incarnation, 4]))[2] is None
        assert (world.metrics.streams_resumed, world.metrics.streams_lost) == (2, 2)

    in_a_loop(work)


def test_accounts_that_have_moved_are_given_up_and_said_to_be_elsewhere():
    async def run() -> None:
        world = World(Moving())
        await world.listen()
        moving: Any = world.shards
        moving.move(1, world.bob)
        world.commits.commit()
        assert ("unheard", [0, [world.bob]]) in world.worker.pushed
        assert (await world.listen())[5] == [world.bob]
        pushed_count = len(world.worker.pushed)
        world.post(world.ada)
        world.commits.commit()
        assert len(world.worker.pushed) == pushed_count

    asyncio.run(run())


def test_who_was_elsewhere_meanwhile_is_told_that_something_may_be_missed():
    async def run() -> None:
        world = World(Moving())
        incarnation, number, *_ = await world.listen()
        moving: Any = world.shards
        for to in (1, 0):
            moving.move(to, world.bob)
            world.commits.commit()
        row = [world.bob, EVERYTHING, []]
        assert (await world.ask("missed", [row, [], incarnation, number]))[2] is None
        assert (await world.ask("missed", [None, ["public"], incarnation, number]))[2] == []
        incarnation, number, *_ = await world.listen()
        assert (await world.ask("missed", [row, [], incarnation, number]))[2] == []

    asyncio.run(run())


def test_a_worker_that_has_gone_is_forgotten_and_nothing_is_noted_in_the_end(monkeypatch):
    monkeypatch.setattr(listening, "IDLE_S", 0.0)

    async def work(world: World) -> None:
        await world.listen("public")
        assert world.listening.figures()["listening_accounts"] == 1
        world.worker.gone(world.worker)
        assert world.listening.figures()["listening_workers"] == 0
        await until(lambda: world.shards.replicas[0].state.heard is None)
        world.post(world.ada)
        world.commits.commit()
        assert world.worker.pushed == []

    in_a_loop(work)


def test_a_dormant_listener_s_ring_is_built():
    async def work(world: World) -> None:
        state = world.shards.replicas[0].state
        row = state.people.row_of[world.bob]
        assert not state.rings.awake[row]
        await world.listen()
        await until(lambda: bool(state.rings.awake[row]))

    in_a_loop(work)


def test_who_asks_by_an_actor_call_is_sent_to_the_lane():
    async def work(world: World) -> None:
        request = Request("listen", EMPTY, None)
        with pytest.raises(OverloadedError, match="lane"):
            world.listening.handle(request)  # type: ignore[arg-type]

    in_a_loop(work)


def test_accounts_that_there_are_not_are_named_and_refused_where_they_are_asked_for_alone():
    async def work(world: World) -> None:
        nobody, elsewhere = world.shards.account_on(0, 7), world.shards.account_on(1, 5)
        said = await world.ask("listen", [[[nobody, 1, []], [elsewhere, 1, []], [world.ada, 1, []]], []])
        assert [each[0] for each in said[4]] == [world.ada]
        assert said[5:] == [[elsewhere], [nobody]]
        with pytest.raises(NotFoundError):
            await world.ask("missed", [[nobody, 1, []], [], 1, 0])
        with pytest.raises(MovedError):
            await world.ask("missed", [[elsewhere, 1, []], [], 1, 0])

    in_a_loop(work)


NONSENSE: list[Any] = [None, 1, -1, True, 1.5, "x", b"x", [], [[]], {}, [1], [[1]], [[[]]], [["public"]], 1 << 70]


@pytest.mark.parametrize("op", sorted(listening.OPERATIONS))
def test_nonsense_is_refused_and_changes_nothing(op):
    async def work(world: World) -> None:
        await world.listen("public")
        before = world.listening.figures()
        row = [world.bob, EVERYTHING, []]
        fitting = {"listen": [[row], ["public"]], "unlisten": EMPTY, "missed": [row, ["public"], 1, 0]}[op]
        hostile: list[Any] = [*NONSENSE, [*fitting, 1], fitting[:-1]]
        for place in range(len(fitting)):
            for value in (*NONSENSE, [[world.bob, 99, []]], [world.bob, 1, [0]], ["public", "nothing"]):
                hostile.append([*fitting[:place], value, *fitting[place + 1 :]])
        refused = 0
        for args in hostile:
            try:
                await world.ask(op, args)
            except RookeryError:
                refused += 1
        assert refused > len(hostile) // 2
        assert world.listening.figures() == before

    in_a_loop(work)


def test_too_much_is_refused(monkeypatch):
    monkeypatch.setattr(listening, "ACCOUNTS_MAX", 1)

    async def work(world: World) -> None:
        await world.listen()
        with pytest.raises(OverloadedError):
            await world.ask("listen", [[[world.ada, 1, []]], []])
        with pytest.raises(InvalidError):
            await world.ask("listen", [[[world.bob, 1, []]] * 2_001, []])

    in_a_loop(work)
