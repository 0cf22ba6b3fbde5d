"""What leaves a simulated cluster: webhooks of some accounts, a dispatcher of which half of the outcomes are lost.

told   (account, item) -> what it said, of all that a receiver was ever given
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from actors.core.errors import RookeryError
from actors.core.features.blobs import CHANNEL as REMOVAL
from actors.core.features.outbound import CHANNEL_OF
from actors.core.features.webhooks import TYPES_ALL, WEBHOOK
from actors.core.ids import bucket_of_account
from actors.core.outbound import OutboundChannel, SendVerdict, read_facts_of, read_outbound
from actors.core.stores.notice_words import notice_of

if TYPE_CHECKING:
    from tests.sim.test_simulation import Workload

ITEMS = 5  # in one call
FOR_EVER_MS = 1 << 60


class Outside:
    """Receivers, and whoever brings them something."""

    def __init__(self, work: Workload, dice: random.Random) -> None:
        self._work, self._dice = work, dice
        self.told: dict[tuple[int, int], tuple[Any, ...]] = {}
        self._before: dict[int, set[int]] = {}  # notices of who has a webhook, when that was acknowledged

    def act(self, me: int) -> None:
        """Have an account have a webhook, or have leaders bring out what is due."""
        if self._dice.random() < 0.3:
            known = lambda _: self._before.setdefault(me, self._notices(me))  # noqa: E731
            self._work.call(me, "make_webhook", [me, "https://example.org/", TYPES_ALL, b"s"], known)
        else:
            self.bring_out(self._work.sim.now, lambda: self._dice.choice([None, None, SendVerdict.DONE, 1]))

    def _notices(self, account_id: int) -> set[int]:
        sim = self._work.sim
        view = sim.shards[sim.owner[bucket_of_account(account_id)]].replica.state.notices.view(account_id)
        return {notice_of(*words).notice_id for words in view.tolist()}

    def bring_out(self, due_ms: int, verdict: Any) -> int:
        """Have each leader bring out what is due by then; verdict() is what comes of an item, None if nobody hears it.

        Returns how many items there were.
        """
        count = 0
        for shard in self._work.sim.shards:
            state = shard.replica.state
            if not shard.leads or state.frozen or shard.committed < state.position:
                continue
            rows = []
            for item in state.papers.outbound.first(due_ms, ITEMS):
                channel = CHANNEL_OF[item.kind]
                document = read_outbound(state.papers.get(channel.kind, item.owner, item.key))
                came = self._send(shard.replica.lookups, channel, item, document, verdict)
                count += 1
                if came is not None:
                    rows.append([item.kind, item.owner, item.key, document.attempts, int(came), 0])
            if rows:
                shard.run(["outcome", self._work.sim.now, rows])
        return count

    def _send(self, lookups: Any, channel: OutboundChannel, item: Any, document: Any, verdict: Any) -> Any:
        account_id, item_id = item.owner, item.key
        try:
            facts = channel.facts(lookups, self._work.sim.now, account_id, item_id, document)
        except RookeryError:
            facts = None
        if facts is None:
            return SendVerdict.DROPPED
        if channel is REMOVAL:
            self._work.uploading.remove(account_id)
            return verdict()
        said = read_facts_of(document)
        assert self.told.setdefault((account_id, item_id), said) == said, "an id that means two things"
        return verdict()

    def end(self) -> None:
        """Bring out all that waits, and compare: whoever has a webhook was told of all that has happened since."""
        sim = self._work.sim
        sim.drain()
        while self.bring_out(FOR_EVER_MS, lambda: SendVerdict.DONE):
            sim.drain()
        self._work.uploading.check()
        assert not any(len(shard.replica.state.papers.outbound) for shard in sim.shards)
        said = {(account_id, facts[0]) for (account_id, _), facts in self.told.items()}
        for shard in sim.shards:
            papers = shard.replica.state.papers
            for account_id in shard.replica.state.people.row_of:
                if account_id in self._before and papers.keys(WEBHOOK, account_id):
                    self._compare(shard.replica.state, account_id, said)

    def _compare(self, state: Any, account_id: int, said: set[tuple[int, int]]) -> None:
        for words in state.notices.view(account_id).tolist():
            notice = notice_of(*words)
            if notice.notice_id not in self._before[account_id] and not notice.is_filtered:
                is_apart = frozenset((account_id, notice.actor)) in self._work.ever_apart
                assert is_apart or (account_id, notice.notice_id) in said, f"{account_id} was not told of {notice}"
