"""Who listens to what in this worker, and what the shards push for them: one hub a worker.

    listen(listener, topics, cursor) --> Line of each shard concerned --listen, missed--> shard
    heard, unheard, opened, closed   --> take(topic, value) --> hear(event, flags, cursor) of each listener

Rules of this file
- A listener hears a shard once it is *live* there. While it waits there (`Hearer.waiting`) for what it has missed, what
  the shard pushes is passed over, as the answer holds all of it: nothing twice, and nothing out of order.
- A shard that was lost is listened to anew, wherever it is, and each listener that was live there waits at the place
  where it was; at a shard that is new, where nobody has been. If the shard can't say what was missed, whoever knows
  cursors is told so (`recovered`), and for the others it is read (`gaps.py`), without what they were told (`told.py`);
  what is pushed meanwhile is kept for afterwards.
- What an account hides is asked of its own shard, and taken out of public topics here. While that can't be said, as
  the shard was lost, or is another one now, nobody else tells the account's listeners of public topics, either: they
  ask afterwards what they have missed.
- The lines to the shards, and their pace, are `lines.py`'s; what a push says, `pushed.py`'s.

Costs: 1.8 us for each listener that hears a push, without what it writes; 0.4 KB a listener beside its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from actors.core.errors import OverloadedError
from actors.core.ids import bucket_of_account
from api.ports import Cluster
from api.streaming.audience import Audience
from api.streaming.cursor_texts import CursorTexts
from api.streaming.cursors import Position, read_cursor
from api.streaming.events import CONVERSATION, FILTERS_CHANGED, NOTIFICATION, Event, Listener
from api.streaming.filling import GapFilling
from api.streaming.hearers import Hearer, Kept, LostAt, check_topics, is_told
from api.streaming.lines import Line
from api.streaming.pushed import Addressed, hidden_in, read_push
from api.streaming.token_doubts import TokenDoubts
from api.streaming.told import ToldLately

PUBLIC_TOPICS_MAX: Final = 2_000  # of all listeners together
KEPT_MAX: Final = 256  # events that are kept while a gap is read; more, and the listener is let go
TICK_S: Final = 1.0
COUNTED: Final = (
    "stream_pushes", "stream_events", "streams_resumed", "streams_lost", "streams_filled", "stream_lines_lost",
)  # fmt: skip


class StreamHub:
    """As `events.Hub`."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._lines: dict[int, Line] = {}
        self.audience = Audience()
        self.texts = CursorTexts(self._line, self._shard_of)
        self._doubts = TokenDoubts(self.revoked)
        self.filling = GapFilling(self)
        self.told = ToldLately()
        self._shard_count = cluster.shard_count
        self._ticking: asyncio.TimerHandle | None = None
        self.counts = dict.fromkeys(COUNTED, 0)

    # ---- what listeners call -------------------------------------------------------------------------------------

    def listen(self, listener: Listener, topics: Collection[str], cursor: str | None = None) -> None:
        """As `events.Hub.listen`."""
        hearer = self.audience.by_listener.get(listener) or Hearer(listener)
        check_topics(hearer, topics)
        by_topic = self.audience.by_topic
        if len(by_topic) + sum(each not in by_topic for each in filter(is_told, set(topics))) > PUBLIC_TOPICS_MAX:
            raise OverloadedError(f"streams of this worker have {PUBLIC_TOPICS_MAX} public topics by now", None, 1.0)
        is_first = not hearer.topics
        public = self.audience.add(hearer, topics)
        hearer.knows_cursors = hearer.knows_cursors or cursor is not None
        if hearer.account_id:
            self._want_account(hearer.account_id)
        for shard in range(self._cluster.shard_count) if public else ():
            for topic in public:
                self._line(shard).want_topic(topic)
        if cursor and is_first:
            hearer.resume_from(read_cursor(cursor), self._sources(hearer))
        elif cursor:
            self._tell_lost(hearer)
        for shard in self._sources(hearer):
            self._join(self._line(shard), hearer)
        if self._ticking is None:  # nobody has listened while there were fewer shards, or more
            self._shard_count = self._cluster.shard_count
            self._ticking = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def unlisten(self, listener: Listener, topics: Collection[str] | None = None) -> None:
        """As `events.Hub.unlisten`."""
        hearer = self.audience.by_listener.get(listener)
        if hearer is None:
            return
        for topic in self.audience.drop(hearer, hearer.topics if topics is None else topics):
            for line in self._lines.values():
                line.unwant_topic(topic)
        if hearer.account_id:
            self._want_account(hearer.account_id)

    def cursor(self, listener: Listener) -> str:
        """As `events.Hub.cursor`."""
        hearer = self.audience.by_listener.get(listener)
        return "" if hearer is None else self.texts.of(hearer, self._sources(hearer))

    def revoked(self, account_id: int, secret_hash: bytes | None) -> None:
        """Pass a `revoked` push on."""
        for hearer in list(self.audience.of_account(account_id)):
            hearer.listener.revoked(secret_hash)

    def account_gone(self, account_id: int) -> None:
        """Let the listeners of an account go that there isn't any more."""
        for hearer in list(self.audience.of_account(account_id)):
            self.let_go(hearer, "the account is gone")

    def let_go(self, hearer: Hearer, reason: str) -> None:
        """End a listener's listening, and tell it."""
        self.unlisten(hearer.listener)
        hearer.listener.close(reason)

    def close(self) -> None:
        """Let everybody go."""
        for line in self._lines.values():
            line.close()
        self.filling.close()
        if self._ticking is not None:
            self._ticking.cancel()
        for hearer in list(self.audience.by_listener.values()):
            self.let_go(hearer, "this worker stops")

    def figures(self) -> Mapping[str, float]:
        """As `events.Hub.figures`."""
        return {
            "stream_listeners": len(self.audience.by_listener),
            "stream_accounts": len(self.audience.by_account),
            **self.counts,
        }

    # ---- where --------------------------------------------------------------------------------------------------

    def _line(self, shard: int) -> Line:
        line = self._lines.get(shard)
        if line is None:
            line = self._lines[shard] = Line(self, self._cluster, shard)
            line.newest_id = self.told.newest_id
        return line

    def _shard_of(self, account_id: int) -> int:
        return self._cluster.shard_of(bucket_of_account(account_id))

    def _sources(self, hearer: Hearer) -> Iterable[int]:
        """Return the shards that a listener hears."""
        if hearer.public:
            return range(self._cluster.shard_count)
        return (self._shard_of(hearer.account_id),) if hearer.account_id else ()

    def _want_account(self, account_id: int) -> None:
        """Have its shard tell of an account what all its listeners want together."""
        wanted = self.audience.wanted(account_id)
        line = self._line(self._shard_of(account_id))
        if wanted.mask or wanted.lists:
            line.want(account_id, wanted)
        else:
            line.unwant(account_id)

    def _tick(self) -> None:
        """Follow the number of shards."""
        self._ticking, before = None, self._shard_count
        count = self._shard_count = self._cluster.shard_count
        for shard in range(count) if self.audience.by_topic else ():
            line = self._line(shard)
            for topic in self.audience.by_topic:
                line.want_topic(topic)
            for hearer in self.audience.public() if shard >= before else ():
                if not hearer.is_live(shard):  # it began when the shard was there
                    hearer.await_new(line)
                    self._join(line, hearer)
        for shard in [shard for shard in self._lines if shard >= count]:
            line = self._lines.pop(shard)
            self.elsewhere(line, list(line.accounts))  # it may have gone before it could say so
            line.close()
            self.texts.moved_on()
            for hearer in self.audience.leave(shard):
                self.let_go(hearer, "a shard is gone before it could say what was missed")
        if self.audience.by_listener:
            self._ticking = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    # ---- what lines tell ----------------------------------------------------------------------------------------

    def _join(self, line: Line, hearer: Hearer) -> None:
        """Make a listener live at a shard that tells of all that it listens to."""
        shard = line.shard
        if hearer.is_live(shard) or not line.tells(hearer.account_id, hearer.public) or not self._sees(hearer):
            return
        hearer.go_live(shard)
        if shard in hearer.waiting:
            hearer.listener.refilter()
            line.resume(hearer)
        else:
            hearer.begin(self.told)

    def _sees(self, hearer: Hearer) -> bool:
        """Whether it is known whom the account of a listener of public topics hides."""
        account_id = hearer.account_id
        return not (account_id and hearer.public) or account_id in self._line(self._shard_of(account_id)).heard

    def listened(self, line: Line, found: list[list[Any]], topics: list[str]) -> None:
        """A shard tells of some accounts, [[account, newest notice, whom it hides], ...], and topics from now on."""
        waiting: dict[Hearer, None] = {}
        for account_id, notice_id, hidden in found:
            self.audience.hides((account_id,), hidden_in(hidden))
            for hearer in self.audience.of_account(account_id):
                waiting[hearer] = None
                if line.shard not in hearer.waiting:
                    hearer.notice_id = max(hearer.notice_id, notice_id)
        for topic in topics:
            waiting.update(self.audience.by_topic.get(topic, {}))
        for hearer in waiting:
            self._join(line, hearer)
            for shard in self._sources(hearer) if hearer.account_id and hearer.public else ():
                self._join(self._line(shard), hearer)

    def line_lost(self, line: Line) -> None:
        """What a shard has pushed since `line.position` may be lost: whoever was live there waits at that place."""
        self.counts["stream_lines_lost"] += 1
        line.lost()
        for hearer in self.audience.by_listener.values():
            if hearer.is_live(line.shard):
                hearer.lose(line)
            if hearer.account_id in line.accounts:
                hearer.hold_back(self._lines.values())

    def elsewhere(self, line: Line, account_ids: list[int]) -> None:
        """Some accounts aren't that shard's: listen to them where they are, as far as is known."""
        line.forget(account_ids)
        for account_id in account_ids:
            to = self._shard_of(account_id)
            for hearer in self.audience.of_account(account_id):
                hearer.move(line, to)
                hearer.hold_back(self._lines.values())
            if account_id in self.audience.by_account:
                self._want_account(account_id)

    def resumed(self, line: Line, hearer: Hearer, args: list[Any], reply: list[Any]) -> None:
        """Take what a shard says that a listener has missed."""
        waits = hearer.waiting.get(line.shard)
        if waits is None or not hearer.is_live(line.shard) or args[2:] != list(waits.position):
            return  # it has gone, or has lost the shard anew
        incarnation, number, pushes = reply
        line.heard_up_to(Position(incarnation, number), 0)
        if pushes is None:
            self._cannot_resume(line, hearer, waits)
            return
        self.counts["streams_resumed"] += 1
        hearer.wait_no_more(line.shard)
        hearer.taken_out(line.shard)  # the answer holds all of it
        for push in pushes:
            for each in read_push([line.shard, *push]):
                if self.audience.may_hear(hearer, each):
                    at = line.shard, Position(incarnation, each.event.number)
                    hearer.note_own(each.event)
                    cursor = self.texts.of(hearer, self._sources(hearer), at)
                    self.hear(hearer, each.event, each.flags_of(hearer.account_id), cursor)

    def _cannot_resume(self, line: Line, hearer: Hearer, waits: LostAt) -> None:
        if not hearer.knows_cursors and line.shard not in hearer.kept:  # it was held back, and too much has happened
            self.let_go(hearer, "it takes too long to read what was missed")
        elif hearer.knows_cursors or not self.filling.begin(line.shard, hearer, waits):
            hearer.wait_no_more(line.shard)
            self._tell_lost(hearer)

    def _tell_lost(self, hearer: Hearer) -> None:
        """Tell a listener that it has missed something at a shard that tells of everything from now on.

        Told again for the next shard: what was read when the first one was told lacks what the next one has made since.
        """
        self.counts["streams_lost"] += 1
        if hearer.knows_cursors:
            hearer.listener.recovered()

    # ---- what shards push ---------------------------------------------------------------------------------------

    def take(self, topic: str, value: Any) -> None:
        """Take a push of a shard, or news of its lane (`heard`, `unheard`, `opened`, `closed`); or pass it over."""
        if topic == "heard":
            self._take_heard(value)
        elif topic == "unheard":
            line = self._lines.get(value[0])
            if line is not None and value[1] is None:
                self.line_lost(line)
            elif line is not None:
                self.elsewhere(line, value[1])
        elif topic in ("opened", "closed") and value in self._lines:
            self._lines[value].look()
            if topic == "opened":
                self._doubts.put(each for each in self.audience.by_account if self._shard_of(each) == value)

    def _take_heard(self, value: list[Any]) -> None:
        line = self._lines.get(value[0])
        if line is None:
            return
        self.counts["stream_pushes"] += 1
        found = read_push(value)
        newest_id = max((each.event.tweet_id for each in found if each.event.tweet is not None), default=0)
        line.heard_up_to(Position(line.position.incarnation, value[1]), newest_id)
        for each in found:
            if each.hidden is not None:
                self.audience.hides(each.accounts, each.hidden)
                continue
            self.told.note(each.event, each.packed)
            if each.event.kind == FILTERS_CHANGED:
                self.audience.refilter(each.accounts)
            self._tell(line.shard, each)

    def _tell(self, shard: int, each: Addressed) -> None:
        """Let all listeners hear something; this is done for thousands of them at a time."""
        here, flags, text = 1 << shard, each.flags, self.texts.of_shard(shard)
        may_hear, event, get_flags = self.audience.may_hear, each.event, flags.get
        for hearer in self.audience.of(each):
            if not (hearer.live & here or shard in hearer.kept) or not may_hear(hearer, each):
                continue
            if hearer.public or hearer.waiting:
                self._pass(shard, hearer, each)
            else:
                self.hear(hearer, event, get_flags(hearer.account_id) if flags else None, text)

    def _pass(self, shard: int, hearer: Hearer, each: Addressed) -> None:
        """Let a listener hear a push, unless what it waits for holds that, or comes first."""
        if shard not in hearer.waiting:
            cursor = self.texts.of(hearer, self._sources(hearer))
            self.hear(hearer, each.event, each.flags_of(hearer.account_id), cursor)
        elif shard in hearer.kept:
            kept = hearer.kept[shard]
            kept.append(Kept(each, self.told.number_of(each.event)))
            if len(kept) > KEPT_MAX:
                self.let_go(hearer, "it takes too long to read what was missed")

    def hear(self, hearer: Hearer, event: Event, flags: bytes | None, cursor: str) -> None:
        """Let a listener hear something, if it still listens."""
        if hearer.listener in self.audience.by_listener:  # it may have gone while others heard
            self.counts["stream_events"] += 1
            if event.kind == NOTIFICATION and event.notice:
                hearer.notice_id = max(hearer.notice_id, event.notice[0])
            elif event.kind == CONVERSATION:
                hearer.note_talk(event)
            hearer.listener.hear(event, flags, cursor)
