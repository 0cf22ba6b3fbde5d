"""`check --mastodon` over a small network with everything in it: nothing differs, and whatever would is found."""

from __future__ import annotations

import asyncio
import copy
import random
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from actors.core.errors import InvalidError
from actors.core.features.cards import learn_accounts, tend_cards
from bench.dataset import make_network
from commands import mastodon_checking
from commands.checking import Outcome, spread
from commands.http_api import HttpApi
from commands.http_loading import HttpInput, HttpLoader
from commands.input_files import Edges
from commands.mastodon_checking import MastodonCheck
from commands.mastodon_reading import Read, read_over_http, text_of
from commands.oracle import NetworkFacts
from tests.api.conftest import NO_LIMITS, LiveServer, ServerThread

ACCOUNTS, FOLLOWEES, TWEETS, ACTIONS = 24, 6, 90, 160


class World:
    """A network that was loaded over HTTP, and changed by what Mastodon's clients do."""

    def __init__(self, live: LiveServer) -> None:
        self.url, self.api, self.core = live.base_url, HttpApi(live.base_url), live.fake.sim
        network = make_network(ACCOUNTS, FOLLOWEES, TWEETS, seed=17)
        edges = Edges(network.followers, network.followees)
        texts = [f"{text} #tag{n % 7} <&> @user{1_000 + n % ACCOUNTS}" for n, (_, text) in enumerate(network.tweets)]
        posts = [
            (author, text, f"key {n}") for n, ((author, _), text) in enumerate(zip(network.tweets, texts, strict=True))
        ]
        loader = HttpLoader(self.api, 17)
        loader.load(HttpInput(edges, network.accounts.tolist(), [], posts, 17), lambda title, total: lambda done: None)
        self.tokens = {int(account_id): token for account_id, token in loader.who.values()}
        self.core_ms = 0
        self.dice, self.people = random.Random(17), sorted(self.tokens)
        self.statuses: list[tuple[int, str]] = []
        for me in self.people:
            self.statuses += [(me, status["id"]) for status in self.ask(me, "GET", f"/api/v1/accounts/{me}/statuses")]
        for _ in range(ACTIONS):
            self.dice.choice(
                (self.answer, self.answer, self.reblog, self.favourite, self.delete, self.unfollow, self.hide)
            )()
        for shard in self.core.shards:
            shard.run(["flush_counts"])
        self.core.drain()
        self.facts: NetworkFacts = self.core.facts()

    async def pause(self, seconds: float) -> None:
        """Let a minute pass for what shards know of each other's accounts."""
        self.core_ms += 61_000
        for shard in self.core.shards:
            state = shard.replica.state
            for asked, account_ids in tend_cards(state, self.core_ms).items():
                body = self.core.shards[asked].replica.read("accounts", [account_ids])
                learn_accounts(state, asked, account_ids, body)

    def ask(self, me: int, method: str, path: str, **body: Any) -> Any:
        return self.api.request(method, path, self.tokens[me], body or None)

    def answer(self) -> None:
        me, (_, parent) = self.dice.choice(self.people), self.dice.choice(self.statuses)
        visibility = self.dice.choice(("public", "public", "unlisted", "private", "direct"))
        body = {"status": "answers, #tag1", "in_reply_to_id": parent, "visibility": visibility}
        made = self.ask(me, "POST", "/api/v1/statuses", **body)
        if visibility in ("public", "unlisted"):
            self.statuses.append((me, made["id"]))

    def reblog(self) -> None:
        me, (_, status) = self.dice.choice(self.people), self.dice.choice(self.statuses)
        self.ask(me, "POST", f"/api/v1/statuses/{status}/reblog")

    def favourite(self) -> None:
        me, (_, status) = self.dice.choice(self.people), self.dice.choice(self.statuses)
        self.ask(me, "POST", f"/api/v1/statuses/{status}/favourite")

    def delete(self) -> None:
        author, status = self.statuses.pop(self.dice.randrange(len(self.statuses)))
        self.ask(author, "DELETE", f"/api/v1/statuses/{status}")

    def unfollow(self) -> None:
        me, other = self.dice.sample(self.people, 2)
        self.ask(me, "POST", f"/api/v1/accounts/{other}/unfollow")

    def hide(self) -> None:
        me, other = self.dice.sample(self.people[:5], 2)
        body = {"reblogs": False}
        path = self.dice.choice(("mute", "follow"))
        self.ask(me, "POST", f"/api/v1/accounts/{other}/{path}", **body if path == "follow" else {})


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with ServerThread({"rate_limits": NO_LIMITS}) as live, pytest.MonkeyPatch.context() as patch:
        patch.setattr(mastodon_checking, "PAGE_COUNT", 7)
        yield World(live)


@pytest.fixture(scope="module")
def pages(world: World) -> Iterator[dict[tuple[str, int], Any]]:
    """What was answered to whom, once a check has found it all as it should be."""
    answered: dict[tuple[str, int], Any] = {}
    read = read_over_http(world.url, world.tokens)

    async def noted(path: str, account_id: int) -> tuple[Any, dict[str, str]]:
        answered[path, account_id] = await read(path, account_id)
        return answered[path, account_id]

    outcome = asyncio.run(checked(noted, world.facts, world.pause))
    assert (outcome.problems, outcome.problem_count) == ([], 0)
    assert min(outcome.figures[name] for name in ("favourites", "reblogs", "hashtags", "homes_upwards")) > 5
    assert outcome.figures["mastodon_home_entries"] > 10 * ACCOUNTS
    return answered


async def checked(read: Read, facts: NetworkFacts, pause: Any = asyncio.sleep) -> Outcome:
    outcome = Outcome()
    await MastodonCheck(read, facts, outcome, pause).check_all(
        None, False, True, lambda title, total: lambda done: None
    )
    return outcome


def test_what_mastodons_clients_are_served_is_what_there_is(world, pages):
    """The fixture has looked. What follows is sure to be found, then."""
    assert any("max_id" in path for path, _ in pages)


HOME = "/api/v1/timelines/home?"


def swapped(items: list[Any]) -> None:
    items[0], items[1] = items[1], items[0]


def marked(items: list[Any]) -> None:
    next(item for item in items if not item["reblog"])["reblogged"] = None


def of_reblog(name: str, value: Any) -> Callable[[list[Any]], None]:
    def change(items: list[Any]) -> None:
        next(item for item in items if item["reblog"])["reblog"][name] = value

    return change


@pytest.mark.parametrize(
    ("where", "change", "said"),
    [
        (HOME, lambda items: items.pop(), "Mastodon's home: account .* is missing"),
        (HOME, swapped, "Mastodon's home: account"),
        (HOME, lambda items: items.append(items[-1]), "is served twice"),
        (HOME, marked, "expected {'reblogged'"),
        (HOME, lambda items: items[0].update(content="<p>other</p>"), "differs from what its author was shown"),
        (HOME, lambda items: items[0].update(favourites_count=99), "differs from what its author was shown"),
        (HOME, lambda items: items[0]["account"].update(followers_count=99), "its account is"),
        (HOME, of_reblog("id", "5"), "what it reblogs: expected"),
        (HOME, of_reblog("replies_count", 9), "differs from what its author was shown"),
        ("/api/v1/accounts?", lambda items: items[0].update(statuses_count=99), "'statuses_count': 99"),
        ("/statuses?", lambda items: items[0].update(visibility="direct"), "'visibility': .*'direct'"),
        ("/statuses?", lambda items: items.pop(0), "statuses of account .* expected"),
        ("/timelines/public?", lambda items: items.pop(0), "the public timeline: expected"),
        ("/timelines/tag/", lambda items: items.pop(0), "the timeline of #tag"),
    ],
)  # fmt: skip
def test_whatever_is_served_otherwise_is_found(world, pages, where, change, said):
    def fits(path: str, items: Any) -> bool:
        try:
            change(copy.deepcopy(items))
        except (StopIteration, IndexError, KeyError):
            return False
        return where in path

    changed = next(key for key, (items, _) in sorted(pages.items()) if fits(key[0], items))

    async def read(path: str, account_id: int) -> tuple[Any, dict[str, str]]:
        items, links = pages[path, account_id]
        if (path, account_id) == changed:
            items = copy.deepcopy(items)
            change(items)
        return items, links

    async def no_pause(seconds: float) -> None:
        """Nothing gets newer."""

    problems = asyncio.run(checked(read, world.facts, no_pause)).problems
    assert any(re.search(said, problem) for problem in problems), problems


def test_homes_of_some_accounts_are_spread_evenly():
    assert list(spread(range(10), 3)) == [0, 4, 8]
    assert list(spread(range(10), 20)) == list(spread(range(10), 0)) == list(range(10))


def test_an_account_without_a_token_is_named(world):
    async def read() -> None:
        await read_over_http(world.url, {})(HOME, 5)

    with pytest.raises(InvalidError, match="none of account 5"):
        asyncio.run(read())


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("<p>a &lt;b&gt;<br />c</p><p>d</p>", "a <b>\nc\n\nd"),
        ("", ""),
        ('<p><a href="x">#<span>t</span></a></p>', "#t"),
    ],
)
def test_the_text_of_a_status_is_what_was_written(content, text):
    assert text_of(content) == text
