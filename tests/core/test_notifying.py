"""Of what effects notify whom: what the rows say is what the state knows, whatever is undone or comes again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.core import features
from actors.core.facts import QUOTE
from actors.core.features import EFFECTS
from actors.core.features.likes import LIKED
from actors.core.notifying import require_notifiable
from actors.core.stores.notice_words import notice_of
from actors.core.terms import NOTIFICATION_TYPES, Effect, Notified, Notifies
from actors.core.verify import check
from tests.core.harness import Shards
from tests.core.test_effects import World

ROWS = {name: effect.notifies for name, effect in sorted(EFFECTS.items()) if effect.notifies is not None}
NOTIFYING = {name: row for name, row in ROWS.items() if row.to is not Notified.REPOSTERS}
WHOM = {
    Notified.AUTHOR: "the tweet's author", Notified.ACCOUNT: "the account", Notified.REPOSTERS: "who reposts the tweet",
}  # fmt: skip
Notice = tuple[int, str, int, int]  # who is notified, of what type, who did it, what it is about


class Rows:
    """Whom the rows have notified of what, by the effects that came."""

    def __init__(self) -> None:
        self.now: set[Notice] = set()
        self.author_of: dict[int, int] = {}  # of tweets, also of those that are gone

    def come(self, name: str, facts: list[Any]) -> None:
        said = dict(zip(EFFECTS[name].carries, facts, strict=False))
        for doing, notifies in NOTIFYING.items():
            if name in notifies.also:
                self.now = {n for n in self.now if n[1] != notifies.type or n[3] != said["tweet"]}
            elif name == doing and notifies.unless and not said.get(notifies.unless):
                continue
            elif name in (doing, EFFECTS[doing].undone_by):
                is_done = said[notifies.step] > 0 if notifies.step else name == doing
                notices = self._notices(notifies, said)
                self.now = self.now | notices if is_done else self.now - notices

    def standing(self) -> set[Notice]:
        """Who answers somebody, and mentions him in it, notifies him once."""
        return {n for n in self.now if n[1] != "mention" or (n[0], "reply", n[2], n[3]) not in self.now}

    def _notices(self, notifies: Notifies, said: dict[str, Any]) -> set[Notice]:
        def column(field: str) -> list[int]:
            values = said[field] if field in said else said[f"{field}s"]
            return np.frombuffer(values, dtype="<i8").tolist() if isinstance(values, bytes) else [values]

        recipients = column(notifies.to.value)
        if notifies.to is Notified.AUTHOR:
            recipients = [self.author_of[tweet_id] for tweet_id in recipients]
        rows = zip(recipients, column("actor"), column(notifies.about), strict=True)
        return {(recipient, notifies.type, actor, about) for recipient, actor, about in rows}


def kept(state: Any) -> set[Notice]:
    """Return what a shard's accounts were notified of, and still are."""
    found: set[Notice] = set()
    for row, view in state.notices.all():
        account_id = state.people.accounts[row].account_id
        for notice in (notice_of(*words) for words in view.tolist()):
            type_ = NOTIFICATION_TYPES[notice.type_number]
            found.add((account_id, type_, notice.actor, notice.tweet_id or notice.actor))
    return found


@pytest.mark.parametrize("times", [1, 2], ids=["once", "twice"])
@pytest.mark.parametrize("order", [(1, 1, 2), (1, 2, 1), (2, 1, 1)], ids=["undone, done", "between", "done, undone"])
@pytest.mark.parametrize("name", NOTIFYING)
def test_done_by_one_and_undone_by_another_in_any_order_notifies_of_what_stands(name, order, times):
    world, rows = World(), Rows()
    theirs = {world.facts("replied", source)[3]: actor for source, actor in world.there.items()}
    rows.author_of = {world.tweet_id: world.here, **theirs}
    effect, step = EFFECTS[name], NOTIFYING[name].step
    off = {step: -1 if step == "step" else False, "step": -1}
    told = {1: iter([(name, {}), (effect.undone_by, off)]), 2: iter([(name, {})])}
    for source in order:
        each, said = next(told[source])
        facts = world.deliver(source, each, times, **said)
        for _ in range(times):
            rows.come(each, facts)
    assert rows.now == kept(world.state)
    assert {notice[2] for notice in rows.now} == {world.there[2]}
    assert check(world.state) == []


def test_what_the_rows_say_is_what_accounts_are_told_after_each_of_many_actions(monkeypatch):
    shards, rows = Shards(), Rows()
    for name, handle in list(features.MESSAGES.items()):

        def seen(state: Any, source: int, *facts: Any, name: str = name, handle: Any = handle) -> None:
            rows.come(name, list(facts))
            handle(state, source, *facts)

        monkeypatch.setitem(features.MESSAGES, name, seen)
    ada, bob, cid = (shards.account_on(shard, index) for shard, index in ((0, 0), (1, 0), (0, 1)))
    shards.register(ada, bob, cid)
    met: set[str] = set()

    def agree() -> None:
        for replica in shards.replicas:
            for tweet_id in replica.state.tweets.slot_of:
                rows.author_of[tweet_id] = replica.state.tweets.get(tweet_id).author_id
            assert check(replica.state) == []
        assert rows.standing() == set().union(*(kept(replica.state) for replica in shards.replicas))
        met.update(notice[1] for notice in rows.standing())

    first, second = (shards.post(ada) for _ in range(2))
    rows.author_of |= {first: ada, second: ada}
    for actor in (bob, cid, bob):
        for op, *args in (("like", actor, first), ("like", actor, second), ("follow", actor, ada)):
            shards.do(op, *args)
            agree()
        shards.repost(actor, first)
        agree()
        reply = shards.post(actor, in_reply_to=second, reply_author=ada)
        agree()
        naming = shards.post(actor, in_reply_to=second, reply_author=ada, mentions=[ada, bob, cid])
        agree()
        hidden = shards.post(actor, visibility=2, in_reply_to=second, reply_author=ada, mentions=[ada])
        agree()
        quote = shards.post(actor, facts=[[QUOTE, second]])
        agree()
        shards.do("unlike", actor, second)
        agree()
        shards.do("unrepost", actor, first)
        shards.repost(actor, first)
        agree()
        for tweet_id in (reply, naming, hidden, quote):
            shards.do("delete", tweet_id, actor)
            agree()
        shards.do("unfollow", actor, ada)
        agree()
        shards.do("follow", actor, ada)
    shards.do("block", ada, cid)
    rows.now = {notice for notice in rows.now if {ada, cid} != {notice[0], notice[2]}}
    agree()
    shards.do("delete", first, ada)
    agree()
    shards.do("delete_account", bob)
    while not shards.run(shards.shard_of(bob), ["clear_left", bob, 1]):
        shards.exchange()
        agree()
    assert met == {notifies.type for notifies in NOTIFYING.values()}
    assert rows.now == set()


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
    for name, notifies in ROWS.items():
        who, undone_by = WHOM[notifies.to], EFFECTS[name].undone_by
        undone = f"`{undone_by}`" + (f" with `{notifies.step}` off" if notifies.step else "")
        undone = undone if undone_by else "the repost's end"
        also = "".join(f", `{each}`" for each in notifies.also)
        lines.append(f"| `{name}` | {notifies.type} | {who} | `{notifies.about}` | {undone}{also} |\n")
    head = "| message | notifies of | whom | about | taken back by |\n| --- | --- | --- | --- | --- |\n"
    assert head + "".join(lines) + "\n" in text
