"""People who write for a soak, one thing after the other, and note when each was asked for and acknowledged.

    who  i follows i+1 and i+2 all the time; towards i+3 he changes his mind: follows, unfollows, blocks, unblocks

Rules of this file
- A thread a person; each notes what he does himself, so that nobody else changes what he has noted.
- Only what can't be doubtful is noted as a notification: of those who never change their mind about each other.
"""

from __future__ import annotations

import random
import threading
import time
from dataclasses import replace

from tests.live.model import Apart, Ledger, Notice, Written
from tests.live.people import Person

FOLLOWED = (1, 2)  # how many places further on
FICKLE = 3
TAG = "soak"
VISIBILITIES, SHARES = ("public", "unlisted", "private", "direct"), (6, 1, 2, 1)
ACTIONS, WEIGHTS = ("post", "delete", "edit", "like", "fickle"), (10, 1, 2, 3, 1)
MINE_MAX = 40  # own statuses that may still be deleted or edited
PAUSE_S = (0.0, 0.15)


def settle_graph(people: list[Person], ledger: Ledger) -> None:
    """Have everybody follow whom he follows all the time, and note who may change his mind."""
    for number, person in enumerate(people):
        for step in FOLLOWED:
            other = people[(number + step) % len(people)]
            person.act("accounts/follow", other.id)
            ledger.follows.add((person.id, other.id))
        other = people[(number + FICKLE) % len(people)]
        ledger.doubtful |= {(person.id, other.id), (other.id, person.id)}


class Writer(threading.Thread):
    """One person at work. failed: what ended him before his time."""

    def __init__(self, people: list[Person], number: int, ledger: Ledger, seed: int) -> None:
        super().__init__()
        self.me, self._ledger, self._dice = people[number], ledger, random.Random(seed)
        self._followed = [people[(number + step) % len(people)] for step in FOLLOWED]
        self._fickle = people[(number + FICKLE) % len(people)]
        self._state = "apart"  # apart, follows, blocks
        self._apart = [Apart(self.me.id, self._fickle.id, is_block=False, begin=0.0)]
        self._mine: list[Written] = []
        self._liked: set[str] = set()
        self.actions = 0
        self.stopping = threading.Event()
        self.failed: Exception | None = None

    def run(self) -> None:
        try:
            while not self.stopping.wait(self._dice.uniform(*PAUSE_S)):
                (action,) = self._dice.choices(ACTIONS, WEIGHTS)
                getattr(self, action)()
                self.actions += 1
            self._ledger.apart += self._apart
        except Exception as error:  # noqa: BLE001  whoever waits for the soak raises it
            self.failed = error

    def post(self, visibility: str = "") -> Written:
        """Post a status; returns what is noted of it."""
        (drawn,) = self._dice.choices(VISIBILITIES, SHARES)
        visibility = visibility or drawn
        named = [self._dice.choice(self._followed)] if visibility == "direct" or self._dice.random() < 0.2 else []
        text = " ".join([*(f"@{each.name}" for each in named), f"number {self.actions} #{TAG}"])
        sent = time.monotonic()
        made = self.me.post(text, visibility=visibility)
        ids = frozenset(each.id for each in named)
        status = Written(made["id"], self.me.id, visibility, sent, time.monotonic(), ids, TAG)
        self._ledger.statuses[status.id] = status
        for each in named:
            self._notify(each.id, "mention", status.id, sent)
        self._mine = [*self._mine, status][-MINE_MAX:]
        return status

    def delete(self) -> None:
        """Delete an own status."""
        if self._mine:
            gone = self._mine.pop(self._dice.randrange(len(self._mine)))
            gone.delete_sent = time.monotonic()
            self.me.delete(gone.id)
            gone.delete_acked = time.monotonic()

    def edit(self) -> None:
        """Edit an own status."""
        if self._mine:
            status = self._dice.choice(self._mine)
            named = [each for each in self._followed if each.id in status.named]
            text = " ".join([*(f"@{each.name}" for each in named), f"another text {self.actions} #{TAG}"])
            sent = time.monotonic()
            self.me.ask("PUT", f"statuses/{status.id}", {"status": text})
            status.edits.append((sent, time.monotonic()))

    def like(self) -> None:
        """Favourite a status that he hasn't yet, of somebody about whom neither changes his mind."""
        friends = {each.id for each in self._followed}
        there = [
            each for each in list(self._ledger.statuses.values())[-MINE_MAX * 4 :]
            if each.visibility == "public" and each.author in friends and each.id not in self._liked
        ]  # fmt: skip
        if there:
            status = self._dice.choice(there)
            self._liked.add(status.id)
            sent = time.monotonic()
            if self.me.ask("POST", f"statuses/{status.id}/favourite", allowed=(404,)) is not None:
                self._notify(status.author, "favourite", status.id, sent)

    def fickle(self) -> None:
        """Change his mind about somebody."""
        follow = self._state == "apart" and self._dice.random() < 0.7
        verb, after = {
            "apart": ("follow", "follows") if follow else ("block", "blocks"), "follows": ("unfollow", "apart"),
            "blocks": ("unblock", "apart"),
        }[self._state]  # fmt: skip
        sent = time.monotonic()
        # One who has blocked him can't be followed.
        self.me.ask("POST", f"accounts/{self._fickle.id}/{verb}", allowed=(403, 404, 422))
        acked = time.monotonic()
        if verb in ("follow", "unblock"):
            self._part_no_more(sent, is_block=verb == "unblock")
        if verb in ("unfollow", "block"):
            self._apart.append(Apart(self.me.id, self._fickle.id, is_block=verb == "block", begin=acked))
        self._state = after

    def _part_no_more(self, sent: float, is_block: bool) -> None:
        self._apart = [
            replace(each, end=sent) if each.is_block == is_block and each.end == float("inf") else each
            for each in self._apart
        ]

    def _notify(self, to: str, kind: str, status_id: str, sent: float) -> None:
        self._ledger.notices.append(Notice(to, kind, self.me.id, status_id, sent, time.monotonic()))
