"""The listeners of one worker: by account, by public topic; and whom their accounts hide.

Cost: 0.3 us for each listener that is looked up.
"""

from __future__ import annotations

from collections.abc import Iterable

from api.streaming.events import Listener
from api.streaming.hearers import Hearer, is_told, keys_of
from api.streaming.pushed import Addressed


class Audience:
    """See the module header. Bounded by the listeners, whom their connections' limits bound."""

    def __init__(self) -> None:
        self.by_listener: dict[Listener, Hearer] = {}
        self.by_account: dict[int, dict[Hearer, None]] = {}
        self.by_topic: dict[str, dict[Hearer, None]] = {}
        self.hidden: dict[int, frozenset[int]] = {}

    def add(self, hearer: Hearer, topics: Iterable[str]) -> list[str]:
        """Have a listener listen to some topics; return those that it adds and all shards tell."""
        self.by_listener[hearer.listener] = hearer
        new = set(topics) - hearer.topics
        hearer.add(new)
        if hearer.account_id:
            self.by_account.setdefault(hearer.account_id, {})[hearer] = None
        public = sorted(filter(is_told, new))
        for topic in public:
            self.by_topic.setdefault(topic, {})[hearer] = None
        return public

    def drop(self, hearer: Hearer, topics: Iterable[str]) -> list[str]:
        """Have a listener listen to some topics no more; return those that nobody listens to now."""
        idle = []
        for topic in hearer.topics.intersection(topics):
            hearer.drop(topic)
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
        others = self.by_account.get(hearer.account_id)
        if others is not None:
            others.pop(hearer, None)
            if not others:
                del self.by_account[hearer.account_id]
                self.hidden.pop(hearer.account_id, None)

    def hides(self, account_ids: Iterable[int], hidden: frozenset[int]) -> None:
        """Note whom accounts hide."""
        for account_id in account_ids:
            if account_id in self.by_account:
                self.hidden[account_id] = hidden

    def leave(self, shard: int) -> list[Hearer]:
        """Hear a shard no more that is gone; return who waits for what it would have said."""
        return [hearer for hearer in self.by_listener.values() if hearer.leave(shard)]

    def refilter(self, account_ids: Iterable[int]) -> None:
        """Have all listeners of accounts ask for their filters anew, those of other topics than `user`, too."""
        for account_id in account_ids:
            for hearer in self.by_account.get(account_id, ()):
                hearer.listener.refilter()

    def public(self) -> list[Hearer]:
        """Return the listeners of topics that all shards tell."""
        return list({hearer: None for hearers in self.by_topic.values() for hearer in hearers})

    def of(self, each: Addressed) -> list[Hearer]:
        """Return the listeners that something is addressed to."""
        if each.accounts:
            by_account = self.by_account
            return [hearer for account_id in each.accounts for hearer in by_account.get(account_id, ())]
        return list({hearer: None for topic in each.event.topics for hearer in self.by_topic.get(topic, ())})

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
        return account_id not in each.without and each.event.author_id not in self.hidden.get(account_id, ())
