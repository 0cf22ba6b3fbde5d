"""Every effect, beside every other one, in either order and again; and what is no effect."""

from __future__ import annotations

from typing import Any

import msgpack
import numpy as np
import pytest

from actors.core import ids
from actors.core.apply import GATHERED
from actors.core.cards import Cards, pack_card
from actors.core.errors import MalformedError
from actors.core.facts import Facts, pack_facts
from actors.core.features import EFFECTS
from actors.core.features.conversations import CONVERSATION_FACTS
from actors.core.features.likes import LIKER
from actors.core.features.polls import POLL
from actors.core.messages import FORMS, require_fitting
from actors.core.stores.notice_words import notice_of
from actors.core.stores.people import Account
from actors.core.terms import Owner
from actors.core.verify import check, digest
from tests.core.harness import Shards

SOURCES = (1, 2)  # two shards, whose messages may come in either order
TOLD = sorted(EFFECTS.keys() - GATHERED)


def packed(*values: int) -> bytes:
    return np.array(values, dtype="<i8").tobytes()


class World:
    """Three shards, of which the first gets messages that the others could have sent."""

    def __init__(self) -> None:
        self.shards = Shards(3)
        self.here, self.there = self.shards.account_on(0), {n: self.shards.account_on(n) for n in SOURCES}
        self.shards.register(self.here, *self.there.values())
        self.tweet_id = self.shards.post(self.here, facts=[[11, [["a", "b"], False, False, 600_000]]])
        self.state = self.shards.replicas[0].state
        self.state.cards = Cards(100, self.state.people.changed)

    def facts(self, name: str, source: int) -> list[Any]:
        """Return what an effect of a shard says, about the account and the tweet here and about one of its own."""
        actor, now_ms = self.there[source], self.shards.now_ms
        theirs = ids.make_tweet_id(now_ms, ids.bucket_of_account(actor), 0)
        fresh = self.shards.account_on(0, source)
        form = {
            "actor": actor, "account": self.here, "author": actor, "reader": self.here, "tweet": self.tweet_id,
            "repost": theirs, "reply": theirs, "quote": theirs,
            "conversation": theirs, "tag": 1 << 62, "step": 1, "on": True, "settled": True, "at_ms": now_ms,
            "number": 1, "choices": 2, "since_ms": 0, "answered": 0, "born_day": 1,
            "above": 0, "name": f"user{fresh}", "kind": LIKER.number, "actors": packed(actor),
            "accounts": packed(self.here), "authors": packed(self.here), "floors": packed(-1),
            "actor_list": [self.here], "account_list": [actor], "tweets": [self.tweet_id],
            "count_rows": [[self.tweet_id, 1, 2, 3]], "mark_rows": [[self.tweet_id, actor, now_ms]], "entries": [],
            "card": pack_card(Account(actor, "name", now_ms, display_name="Ada")),
            "body": pack_facts(Facts("other words", "name", edited_ms=now_ms)),
            "registration": [f"user{fresh}", fresh, "New", "", "hash", []],
        }  # fmt: skip
        return [form[field] for field in EFFECTS[name].carries]

    def _named(self, name: str, source: int) -> list[tuple[str, Any]]:
        return list(zip(EFFECTS[name].carries, self.facts(name, source), strict=True))

    def deliver(self, source: int, name: str, times: int = 1, **said: Any) -> list[Any]:
        """Have an effect arrive, as often as said under one number. said: facts that are others. Returns the facts."""
        facts = [said.get(field, fact) for field, fact in self._named(name, source)]
        batch = msgpack.packb([name, *facts])
        require_fitting(batch)
        first = self.state.inbox[source] + 1
        for _ in range(times):
            self.shards.run(0, ["receive", source, first, batch])
        return facts

    def seen(self) -> dict[str, Any]:
        """Return what anybody can see here: not when it was put where, nor in which order it leaves."""
        assert check(self.state) == []
        entry, shelves = self.state.tweets.get(self.tweet_id), self.state.shelves
        owners = {Owner.TWEET: self.tweet_id, Owner.ACCOUNT: self.here}
        cards = self.state.cards
        assert cards is not None
        assert cards.check() == []
        kinds = [kind for kind in shelves.kinds.values() if kind.owner in owners]
        return {
            "tallies": self.state.papers.get(POLL, self.tweet_id),
            "conversations": {
                root: self.state.papers.get(CONVERSATION_FACTS, self.here, root)
                for root in self.state.papers.keys(CONVERSATION_FACTS, self.here)
            },
            "counts": entry and (entry.likes, entry.reposts, entry.replies),
            "shelves": {kind.name: sorted(shelves.view(kind, owners[kind.owner])[0].tolist()) for kind in kinds},
            "accounts": sorted(self.state.people.row_of),
            "notices": sorted(notice_of(*words)[1:] for words in self.state.notices.view(self.here).tolist()),
            "cards": [cards.get(account_id) for account_id in self.there.values()],
            "followers": sorted(self.shards.read("followers", self.here, self.here, 0, 100)[0]),
            "following": sorted(self.shards.read("following", self.here, self.here, 0, 100)[0]),
        }


@pytest.mark.parametrize("name", TOLD)
def test_an_effect_beside_every_other_one_comes_to_the_same_in_either_order(name):
    for other in TOLD:
        seen = []
        for order in (((1, name), (2, other)), ((2, other), (1, name))):
            world = World()
            for source, each in order:
                world.deliver(source, each)
            seen.append(world.seen())
        assert seen[0] == seen[1], other


@pytest.mark.parametrize("name", TOLD)
def test_an_effect_that_comes_again_changes_nothing(name):
    once, thrice = World(), World()
    once.deliver(1, name)
    thrice.deliver(1, name, 3)
    for shard in range(3):
        assert digest(once.shards.replicas[shard].state) == digest(thrice.shards.replicas[shard].state)


@pytest.mark.parametrize("name", sorted(name for name in TOLD if EFFECTS[name].short is not None))
def test_an_effect_of_level_0_fits_too(name):
    world = World()
    batch = msgpack.packb([name, *world.facts(name, 1)[: EFFECTS[name].short]])
    require_fitting(batch)
    world.shards.run(0, ["receive", 1, world.state.inbox[1] + 1, batch])
    assert check(world.state) == []


@pytest.mark.parametrize("name", TOLD)
def test_what_does_not_fit_is_refused_by_its_name(name):
    facts = World().facts(name, 1)
    for at in range(len(facts)):
        for wrong in (None, "x" * 1_000, 1.5, [1, [2]], {"a": 1}, 1 << 63, b"123"):
            batch = msgpack.packb([name, *facts[:at], wrong, *facts[at + 1 :]])
            with pytest.raises(MalformedError, match=f"message {name}: "):
                require_fitting(batch)
    least = len(facts) if EFFECTS[name].short is None else EFFECTS[name].short
    for wrong_width in (facts[: least - 1], [*facts, 1]):
        with pytest.raises(MalformedError, match=f"message {name} has"):
            require_fitting(msgpack.packb([name, *wrong_width]))


@pytest.mark.parametrize(
    "batch",
    [b"\xc1", b"\x93", msgpack.packb(["nonsense", 1]), msgpack.packb([1, 2]), msgpack.packb("tweet"),
     msgpack.packb([]), msgpack.packb(["liked"]), b"\xdc\xff\xff", b"\xdd\xff\xff\xff\xff"],
    ids=["no msgpack", "cut off", "an unknown one", "no name", "no list", "an empty one", "without facts",
         "a large one", "a huge one"],
)  # fmt: skip
def test_what_is_no_message_is_refused(batch):
    with pytest.raises(MalformedError):
        require_fitting(batch)


def test_tweets_on_their_way_are_passed_over_and_what_comes_after_them_is_not():
    batch = msgpack.packb(["tweets", [1], [2]]) + msgpack.packb(["liked", 1, 2, 5])
    with pytest.raises(MalformedError, match="message liked: step must be 1, 0 or -1"):
        require_fitting(batch)
    require_fitting(msgpack.packb(["tweet", 1, 2]))
    require_fitting(b"")


def test_every_fact_that_an_effect_carries_has_a_form():
    carried = {field for name in TOLD for field in EFFECTS[name].carries}
    assert carried <= FORMS.keys()
    assert not FORMS.keys() - carried, "forms that nothing carries"
