"""Of what effects notify whom: what the rows say is what the state knows, whatever is undone or comes again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.core import features
from actors.core.features import EFFECTS
from actors.core.features.likes import LIKED, LIKER
from actors.core.features.replies import REPLY
from actors.core.features.reposts import REPOSTER
from actors.core.notifying import require_notifiable
from actors.core.terms import Effect, Notified, Notifies
from tests.core.harness import Shards
from tests.core.test_effects import World

NOTIFYING = {name: effect.notifies for name, effect in sorted(EFFECTS.items()) if effect.notifies is not None}
Notice = tuple[int, str, int, int]  # who is notified, of what type, who did it, what it is about


class Notices:
    """Whom the rows have notified of what, by the effects that came."""

    def __init__(self) -> None:
        self.now: set[Notice] = set()
        self.author_of: dict[int, int] = {}  # of tweets, also of those that are gone

    def come(self, name: str, facts: list[Any]) -> None:
        said = dict(zip(EFFECTS[name].carries, facts, strict=False))
        for doing, notifies in NOTIFYING.items():
            if name in notifies.also:
                self.now = {n for n in self.now if n[1] != notifies.type or n[3] != said["tweet"]}
            elif name in (doing, EFFECTS[doing].undone_by):
                is_done = said[notifies.step] > 0 if notifies.step else name == doing
                notices = self._notices(notifies, said)
                self.now = self.now | notices if is_done else self.now - notices

    def _notices(self, notifies: Notifies, said: dict[str, Any]) -> set[Notice]:
        def column(field: str) -> list[int]:
            values = said[field] if field in said else said[f"{field}s"]
            return np.frombuffer(values, dtype="<i8").tolist() if isinstance(values, bytes) else [values]

        recipients = column(notifies.to.value)
        if notifies.to is Notified.AUTHOR:
            recipients = [self.author_of[tweet_id] for tweet_id in recipients]
        rows = zip(recipients, column("actor"), column(notifies.about), strict=True)
        return {(recipient, notifies.type, actor, about) for recipient, actor, about in rows}


def known(state: Any, author_of: dict[int, int]) -> set[Notice]:
    """Return what a shard's facts say that its accounts were to be notified of."""
    found: set[Notice] = set()
    for tweet_id in state.tweets.slot_of:
        author = author_of[tweet_id]
        for kind, type_ in ((LIKER, "favourite"), (REPOSTER, "reblog")):
            actors = state.shelves.view(kind, tweet_id)[0].tolist()
            found |= {(author, type_, actor, tweet_id) for actor in actors}
        replies = state.shelves.view(REPLY, tweet_id)[0].tolist()
        found |= {(author, "mention", author_of[reply_id], reply_id) for reply_id in replies}
    for account_id, row in state.people.row_of.items():
        followers = state.graph.followers.view(row).tolist()
        found |= {(account_id, "follow", follower, follower) for follower in followers}
    return found


@pytest.mark.parametrize("times", [1, 2], ids=["once", "twice"])
@pytest.mark.parametrize("order", [(1, 1, 2), (1, 2, 1), (2, 1, 1)], ids=["undone, done", "between", "done, undone"])
@pytest.mark.parametrize("name", NOTIFYING)
def test_done_by_one_and_undone_by_another_in_any_order_notifies_of_what_stands(name, order, times):
    world, notices = World(), Notices()
    theirs = {world.facts("replied", source)[3]: actor for source, actor in world.there.items()}
    notices.author_of = {world.tweet_id: world.here, **theirs}
    effect, step = EFFECTS[name], NOTIFYING[name].step
    off = {step: -1 if step == "step" else False, "step": -1}
    told = {1: iter([(name, {}), (effect.undone_by, off)]), 2: iter([(name, {})])}
    for source in order:
        each, said = next(told[source])
        facts = world.deliver(source, each, times, **said)
        for _ in range(times):
            notices.come(each, facts)
    assert notices.now == known(world.state, notices.author_of)
    assert {notice[2] for notice in notices.now} == {world.there[2]}


def test_what_the_rows_say_is_what_the_shards_know_after_each_of_many_actions(monkeypatch):
    shards, notices = Shards(), Notices()
    for name, handle in list(features.MESSAGES.items()):

        def seen(state: Any, source: int, *facts: Any, name: str = name, handle: Any = handle) -> None:
            notices.come(name, list(facts))
            handle(state, source, *facts)

        monkeypatch.setitem(features.MESSAGES, name, seen)
    ada, bob, cid = (shards.account_on(shard, index) for shard, index in ((0, 0), (1, 0), (0, 1)))
    shards.register(ada, bob, cid)
    met: set[str] = set()

    def agree() -> None:
        for replica in shards.replicas:
            for tweet_id in replica.state.tweets.slot_of:
                notices.author_of[tweet_id] = replica.state.tweets.get(tweet_id).author_id
        facts = [known(replica.state, notices.author_of) for replica in shards.replicas]
        assert notices.now == set().union(*facts)
        met.update(notice[1] for notice in notices.now)

    first, second = (shards.post(ada) for _ in range(2))
    notices.author_of |= {first: ada, second: ada}
    for actor in (bob, cid, bob):
        for op, *args in (("like", actor, first), ("like", actor, second), ("follow", actor, ada)):
            shards.do(op, *args)
            agree()
        shards.repost(actor, first)
        agree()
        reply = shards.post(actor, in_reply_to=second, reply_author=ada)
        agree()
        hidden = shards.post(actor, visibility=2, in_reply_to=second, reply_author=ada, mentions=[ada])
        agree()
        shards.do("unlike", actor, second)
        agree()
        shards.do("unrepost", actor, first)
        shards.repost(actor, first)
        agree()
        shards.do("delete", reply, actor)
        shards.do("delete", hidden, actor)
        agree()
        shards.do("unfollow", actor, ada)
        agree()
        shards.do("follow", actor, ada)
    shards.do("block", ada, cid)
    agree()
    shards.do("delete", first, ada)
    agree()
    shards.do("delete_account", bob)
    while not shards.run(shards.shard_of(bob), ["clear_left", bob, 1]):
        shards.exchange()
        agree()
    assert met == {notifies.type for notifies in NOTIFYING.values()}
    assert notices.now == set()


def changed(notifies: Notifies, **effect: Any) -> dict[str, Effect]:
    return {**EFFECTS, "liked": replace(LIKED, notifies=notifies, **effect)}


FAVOURITE = Notifies("favourite", Notified.AUTHOR, "tweet", "step")


@pytest.mark.parametrize(
    ("effects", "problem"),
    [
        (changed(replace(FAVOURITE, type="like")), "effect liked notifies of 'like', which is none of mention, status"),
        (changed(replace(FAVOURITE, to=Notified.ACCOUNT)), "liked notifies of needs a account, which liked doesn't"),
        (changed(replace(FAVOURITE, about="reply")), "liked notifies of needs a reply, which liked doesn't carry"),
        (changed(replace(FAVOURITE, step="on")), "effect liked doesn't carry on, which is to say whether"),
        (changed(FAVOURITE, undone_by="lost"), "effect liked says by step that it is undone, and by 'lost'"),
        (changed(FAVOURITE, undone_by=""), "effect liked says by step that it is undone, and by ''"),
        (changed(replace(FAVOURITE, step=""), undone_by=""), "effect liked notifies, but '' is no effect that takes"),
        (changed(replace(FAVOURITE, step=""), undone_by="lost"), "notifies of needs a tweet, which lost doesn't carry"),
        (changed(replace(FAVOURITE, also=("vanished",))), "is taken back by 'vanished', which is no effect"),
        (changed(replace(FAVOURITE, also=("lost",))), "notifies of needs a tweet, which lost doesn't carry"),
    ],
    ids=["no such type", "nobody to notify", "about nothing that it says", "no such step", "undone twice over",
         "undone by nothing, with a step", "undone by nothing", "undone by what doesn't say of what",
         "also by what there isn't", "also by what names no tweet"],
)  # fmt: skip
def test_a_row_that_cannot_notify_is_refused_by_its_name(effects, problem):
    with pytest.raises(ValueError, match=problem):
        require_notifiable(effects)


def test_the_table_in_the_documents_is_what_the_rows_say():
    text = (Path(features.__file__).parents[1] / "DESIGN.md").read_text()
    lines = []
    for name, notifies in NOTIFYING.items():
        who = "the tweet's author" if notifies.to is Notified.AUTHOR else "the account"
        undone = f"`{EFFECTS[name].undone_by}`" + (f" with `{notifies.step}` off" if notifies.step else "")
        also = "".join(f", `{each}`" for each in notifies.also)
        lines.append(f"| `{name}` | {notifies.type} | {who} | `{notifies.about}` | {undone}{also} |\n")
    head = "| message | notifies of | whom | about | taken back by |\n| --- | --- | --- | --- | --- |\n"
    assert head + "".join(lines) + "\n" in text
