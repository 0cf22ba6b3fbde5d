"""Settled writes: two shards with real journals; what an answer says is what reads of both shards find."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import RayError

import actors.shard.settlements as settlements
from actors.core.errors import InvalidError, MovedError, RookeryError
from actors.core.ids import bucket_of_account, bucket_of_name
from actors.metrics import ShardMetrics
from actors.shard.commits import Commits
from actors.shard.exchange import Exchange
from actors.shard.settlements import Settlements
from actors.shard.storage import Storage
from cluster.client.cluster_client import SETTLED_FROM_LEVEL
from configs.settings import load_settings

NOW_MS = 1_700_000_000_000


class Request:
    """A lane request that somebody waits for."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def reply(self, body: Any) -> None:
        self.answer.set_result(body)

    def fail(self, error: RookeryError) -> None:
        self.answer.set_exception(error)


class Call:
    """A method of a peer's actor: may be held back, or fail."""

    def __init__(self, shard: Shard, name: str) -> None:
        self.shard, self.name = shard, name

    async def remote(self, *args: Any) -> Any:
        self.shard.calls.append(self.name)
        if self.shard.is_away:
            raise RayError
        return await getattr(self.shard.exchange, self.name)(*args)


class Shard:
    """One shard that leads, without Ray and without a lane."""

    def __init__(self, settings: Any, number: int, level: int) -> None:
        self.metrics = ShardMetrics()
        self.commits = Commits(Storage(settings, number), self.metrics, 4)
        self.commits.committed_at = lambda durable: durable
        self.exchange = Exchange(self.commits, self.metrics, "nowhere")
        self.settlements = Settlements(self.commits, self.metrics)
        self.exchange.on_acknowledged, self.exchange.on_heard = self.settlements.acknowledged, self.settlements.heard
        self.state = self.commits.state
        self.is_away = False
        self._ids = itertools.count(1)
        self.calls: list[str] = []
        self.commits.move("level", [level])

    def meet(self, other: Shard) -> None:
        peer = SimpleNamespace(deliver=Call(other, "deliver"), deliver_told=Call(other, "deliver_told"))

        async def find(shard: int) -> Any:
            return peer

        self.exchange.peer = find
        self.exchange.start()

    def account(self) -> int:
        """Register an account that is this shard's, and its name, too."""
        own = self.state.owns_bucket
        account_id = next(n for n in self._ids if own(bucket_of_account(n)) and own(bucket_of_name(f"user{n}")))
        self.commits.write("register", [f"user{account_id}", account_id, "", "", None, []], NOW_MS)
        return account_id

    def post(self, author: int, text: str) -> int:
        posted = json.loads(self.commits.write("post", [author, text, 0, 0, 0, b"", [], [], None], NOW_MS))
        return int(posted["tweet_id"])

    def settle(self, op: str, *args: Any) -> asyncio.Future[Any]:
        request, sent = Request(), self.settlements.begin()
        try:
            body = self.commits.write(op, list(args), NOW_MS)
        finally:
            self.settlements.noted()
        self.commits.when_committed(self.settlements.of(request, sent), body)
        return request.answer

    async def wake(self, account_id: int) -> None:
        """Give an account its ring, which is kept from then on by what comes."""
        self.commits.run(["wake", account_id])
        await until(lambda: account_id not in self.state.waking)

    def ring(self, account_id: int) -> list[int]:
        """Return the tweets in an account's ring: nobody is asked."""
        row, arrivals = self.state.people.row_of[account_id], self.state.arrivals
        return arrivals.tweet_id[self.state.rings.view(row) & arrivals.mask].tolist()

    async def close(self) -> None:
        self.exchange.stop()
        await self.commits.close()


@pytest.fixture
async def make(data_dir: Path):
    """Return a function that makes two shards of a level which know each other."""
    made: list[Shard] = []

    def two(level: int = SETTLED_FROM_LEVEL) -> list[Shard]:
        own = {"storage": {"data_dir": data_dir}, "cluster": {"shards": 2}}
        settings = load_settings("test", overrides=own, environ={})
        made.extend(Shard(settings, number, level) for number in range(2))
        made[0].meet(made[1])
        made[1].meet(made[0])
        return made

    yield two
    for shard in made:
        await shard.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  what is waited for has no event
            await asyncio.sleep(0.001)


async def answer_of(waiting: asyncio.Future[Any]) -> Any:
    return await asyncio.wait_for(waiting, 60)


async def test_a_settled_follow_shows_in_the_next_home_and_among_the_followers(make) -> None:
    here, there = make()
    reader, author = here.account(), there.account()
    tweet = there.post(author, "hello")
    await here.wake(reader)
    for n in range(20):
        settled, position, others, body = await answer_of(here.settle("follow", reader, author))
        assert (settled, body) == (True, True)
        assert here.ring(reader) == [tweet]
        assert there.commits.replica.read("followers", [author, 0, 0, 10]) == [[reader], 0]
        assert position >= here.state.position - 1, "the tweets that came for it are in the position"
        assert others == [[1, there.state.position - 1]], "all there but for the acknowledgement of those tweets"
        settled, _, _, body = await answer_of(here.settle("unfollow", reader, author))
        assert (settled, body) == (True, True), n
        assert there.commits.replica.read("followers", [author, 0, 0, 10]) == [[], 0]


async def test_a_settled_like_counts_where_the_tweet_is(make) -> None:
    here, there = make()
    reader, author = here.account(), there.account()
    tweet = there.post(author, "hello")
    assert (await answer_of(here.settle("like", reader, tweet)))[0] is True
    assert there.commits.replica.read("likers", [tweet, 0, 0, 10])[0] == [reader]


async def test_what_concerns_this_shard_alone_is_settled_when_it_is_committed(make) -> None:
    here, _ = make()
    reader, author = here.account(), here.account()
    tweet = here.post(author, "hello")
    await here.wake(reader)
    settled, position, others, _ = await answer_of(here.settle("follow", reader, author))
    assert (settled, position, others) == (True, here.state.position, [])
    assert here.ring(reader) == [tweet]


async def test_a_tweet_is_answered_although_its_followers_shard_is_away(make) -> None:
    here, there = make()
    reader, author = there.account(), here.account()
    there.commits.write("follow", [reader, author], NOW_MS)
    await answer_of(there.settle("like", reader, here.post(author, "first")))  # so the follow is there as well
    there.is_away = True
    assert (await answer_of(here.settle("post", author, "hello", 0, 0, 0, b"", [], [], None)))[0] is True


async def test_a_shard_that_is_away_costs_its_writers_a_while_and_the_answer_says_so(make, monkeypatch) -> None:
    monkeypatch.setattr(settlements, "SETTLE_S", 0.05)
    here, there = make()
    reader, author = here.account(), there.account()
    there.is_away = True
    settled, position, others, body = await answer_of(here.settle("follow", reader, author))
    assert (settled, position, others, body) == (False, here.state.position, [], True)
    assert (here.metrics.settled_in_time, here.metrics.settled_late, len(here.settlements)) == (0, 1, 0)
    there.is_away = False
    monkeypatch.setattr(settlements, "SETTLE_S", 60)
    assert (await answer_of(here.settle("unfollow", reader, author)))[0] is True
    assert (here.metrics.settled_in_time, here.metrics.settled_late) == (1, 1)


async def test_with_replicas_a_shard_is_waited_for_until_another_leads(make, monkeypatch) -> None:
    monkeypatch.setattr(settlements, "SETTLE_S", 0.01)
    monkeypatch.setattr(settlements, "ELECTED_S", 60)
    here, there = make()
    here.settlements = Settlements(here.commits, here.metrics, has_replicas=True)
    here.exchange.on_acknowledged, here.exchange.on_heard = here.settlements.acknowledged, here.settlements.heard
    reader, author = here.account(), there.account()
    there.is_away = True
    answer = here.settle("follow", reader, author)
    await asyncio.sleep(0.2)
    assert not answer.done()
    there.is_away = False
    assert (await answer_of(answer))[0] is True
    monkeypatch.setattr(settlements, "ELECTED_S", 0.05)
    there.is_away = True
    assert (await answer_of(here.settle("unfollow", reader, author)))[0] is False


async def test_a_write_that_was_done_already_is_settled_once_what_it_had_told_is_there(make, monkeypatch) -> None:
    here, there = make()
    reader, author = here.account(), there.account()
    there.is_away = True
    here.commits.write("follow", [reader, author], NOW_MS)  # whose answer was lost
    monkeypatch.setattr(settlements, "SETTLE_S", 0.05)
    assert (await answer_of(here.settle("follow", reader, author)))[0] is False
    monkeypatch.setattr(settlements, "SETTLE_S", 60)
    repeated = here.settle("follow", reader, author)
    there.is_away = False
    assert await answer_of(repeated) == [True, here.state.position, [[1, there.state.position]], False]
    assert there.commits.replica.read("followers", [author, 0, 0, 10]) == [[reader], 0]


async def test_many_settled_writes_at_once_are_all_answered(make, monkeypatch) -> None:
    monkeypatch.setattr(settlements, "SETTLE_S", 60)  # not how quick this machine is
    here, there = make()
    authors = [there.account() for _ in range(20)]
    readers = [here.account() for _ in range(20)]
    tweets = [there.post(author, f"by {author}") for author in authors]
    for reader in readers:
        await here.wake(reader)
    pairs = [(reader, author) for reader in readers for author in authors]
    answers = await asyncio.gather(*(answer_of(here.settle("follow", *pair)) for pair in pairs))
    assert all(settled and body for settled, _, _, body in answers)
    assert [sorted(here.ring(reader)) for reader in readers] == [sorted(tweets)] * len(readers)
    assert len(here.settlements) == 0


async def test_refusals_are_those_of_the_write_itself(make) -> None:
    here, _ = make()
    with pytest.raises(InvalidError, match="id"):
        here.settle("follow", here.account(), -1)
    assert here.state.sent is None


async def test_a_shard_that_leads_no_more_answers_what_is_committed_and_has_the_rest_asked_again(
    make, monkeypatch
) -> None:
    monkeypatch.setattr(settlements, "SETTLE_S", 60)
    here, there = make()
    reader, author = here.account(), there.account()
    there.is_away = True
    liked = here.settle("like", reader, there.post(author, "hello"))
    await until(lambda: len(here.settlements) == 1)
    uncommitted = here.settle("unlike", reader, 1)
    here.commits.refuse_waiting(MovedError("another leads"))
    assert (await answer_of(liked))[0] is False
    assert uncommitted.done()


async def test_a_shard_of_level_1_is_told_as_ever(make) -> None:
    here, there = make(level=1)
    reader, author = here.account(), there.account()
    here.commits.write("follow", [reader, author], NOW_MS)
    await until(lambda: there.state.inbox[0] == 1)
    assert set(there.calls) == {"deliver"}
