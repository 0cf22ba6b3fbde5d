"""The listeners of one worker: by account, by public topic; and whom their accounts hide.

Rules of this file
- What all listeners of an account want together is counted, never gathered anew: an account may have hundreds.

Cost: 0.3 us for each listener that is looked up; 0.1 KB a listener, where its account has no other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from api.streaming.events import Listener
from api.streaming.hearers import Hearer, asked_of, is_told, keys_of
from api.streaming.lines import AskedOf
from api.streaming.pushed import NONE, Addressed

_NOBODY: Final[tuple[Hearer, ...]] = ()


class _Several:
    """The listeners of an account that has more than one. counts: how many of them listen to each topic."""

    __slots__ = ("counts", "hearers")

    def __init__(self, first: Hearer) -> None:
        self.hearers: dict[Hearer, None] = {first: None}
        self.counts = dict.fromkeys(first.topics, 1)

    def drop(self, topic: str) -> None:
        """One of them listens to a topic no more."""
        self.counts[topic] -= 1
        if not self.counts[topic]:
            del self.counts[topic]


class Audience:
    """See the module header. Bounded by the listeners, whom their connections' limits bound."""

    def __init__(self) -> None:
        self.by_listener: dict[Listener, Hearer] = {}
        self.by_account: dict[int, Hearer | _Several] = {}
        self.by_topic: dict[str, dict[Hearer, None]] = {}
        self.hidden: dict[int, frozenset[int]] = {}  # of accounts that hide anybody

    def add(self, hearer: Hearer, topics: Iterable[str]) -> list[str]:
        """Have a listener listen to some topics; return those that it adds and all shards tell."""
        self.by_listener[hearer.listener] = hearer
        new = set(topics) - hearer.topics
        if hearer.account_id:
            self._add_to_account(hearer, new)
        hearer.add(new)
        public = sorted(filter(is_told, new))
        for topic in public:
            self.by_topic.setdefault(topic, {})[hearer] = None
        return public

    def _add_to_account(self, hearer: Hearer, new: set[str]) -> None:
        """new: topics that it doesn't have yet."""
        there = self.by_account.setdefault(hearer.account_id, hearer)
        if there is hearer:
            return
        if isinstance(there, Hearer):
            there = self.by_account[hearer.account_id] = _Several(there)
        there.hearers[hearer] = None
        for topic in new:
            there.counts[topic] = there.counts.get(topic, 0) + 1

    def drop(self, hearer: Hearer, topics: Iterable[str]) -> list[str]:
        """Have a listener listen to some topics no more; return those that nobody listens to now."""
        idle = []
        several = self.by_account.get(hearer.account_id)
        for topic in hearer.topics.intersection(topics):
            hearer.drop(topic)
            if isinstance(several, _Several):
                several.drop(topic)
            others = self.by_topic.get(topic)
            if others is not None:
                others.pop(hearer, None)
                if not others:
                    del self.by_topic[topic]
                    idle.append(topic)
        if not hearer.topics:
            self._forget(hearer)
        return idle

    def _forget(self, hearer: Hearer) -> None:
        self.by_listener.pop(hearer.listener, None)
        hearer.end()
        there = self.by_account.get(hearer.account_id)
        if isinstance(there, _Several):
            there.hearers.pop(hearer, None)
            if len(there.hearers) == 1:
                (self.by_account[hearer.account_id],) = there.hearers
        elif there is hearer:
            del self.by_account[hearer.account_id]
            self.hidden.pop(hearer.account_id, None)

    def of_account(self, account_id: int) -> Collection[Hearer]:
        """Return the listeners of an account."""
        there = self.by_account.get(account_id)
        if isinstance(there, _Several):
            return there.hearers
        return _NOBODY if there is None else (there,)

    def wanted(self, account_id: int) -> AskedOf:
        """Return what all listeners of an account want together of its shard."""
        there = self.by_account.get(account_id)
        if isinstance(there, _Several):
            return asked_of(there.counts)
        return asked_of(()) if there is None else there.heard

    def hides(self, account_ids: Iterable[int], hidden: frozenset[int]) -> None:
        """Note whom accounts hide."""
        for account_id in account_ids:
            if hidden and account_id in self.by_account:
                self.hidden[account_id] = hidden
            else:
                self.hidden.pop(account_id, None)

    def leave(self, shard: int) -> list[Hearer]:
        """Hear a shard no more that is gone; return who waits for what it would have said."""
        return [hearer for hearer in self.by_listener.values() if hearer.lose_for_good(shard)]

    def refilter(self, account_ids: Iterable[int]) -> None:
        """Have all listeners of accounts ask for their filters anew, those of other topics than `user`, too."""
        for account_id in account_ids:
            for hearer in self.of_account(account_id):
                hearer.listener.refilter()

    def public(self) -> list[Hearer]:
        """Return the listeners of topics that all shards tell."""
        return list({hearer: None for hearers in self.by_topic.values() for hearer in hearers})

    def of(self, each: Addressed) -> list[Hearer]:
        """Return the listeners that something is addressed to."""
        if not each.accounts:
            return list({hearer: None for topic in each.event.topics for hearer in self.by_topic.get(topic, ())})
        found: list[Hearer] = []
        for there in map(self.by_account.get, each.accounts):
            if isinstance(there, Hearer):
                found.append(there)
            elif there is not None:
                found += there.hearers
        return found

    def may_hear(self, hearer: Hearer, each: Addressed) -> bool:
        """Whether something is for a listener: on a topic of its own, by nobody whom its account hides, and not read
        for it already.
        """
        if hearer.topics.isdisjoint(each.event.topics):
            return False
        if hearer.was_read and not hearer.was_read.isdisjoint(keys_of(each.event, hearer.topics)):
            return False
        account_id = hearer.account_id
        if each.accounts or not account_id:
            return True
        return account_id not in each.without and each.event.author_id not in self.hidden.get(account_id, NONE)
