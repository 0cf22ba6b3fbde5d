"""What one listener of a worker listens to, and how far it has heard each shard.

    live: shards that tell it of what happens      waiting: those of which it lacks something first

Rules of this file
- Public topics are every shard's to tell, the others the account's own shard's.
- Nobody is remote here: those topics are taken, and stay quiet.
- There are tens of thousands of listeners, nearly all of one topic and with nothing that waits: what is the same for
  those is one object for all.

Cost: 0.1 KB a listener of one plain topic.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Set
from typing import Any, Final, NamedTuple

from actors.core.errors import InvalidError, OverloadedError
from actors.core.heard import DIRECT, EVERYTHING, MEDIA_TOPICS, NOTIFICATIONS, PUBLIC_TOPICS, RELATED, USER
from actors.core.ids import ID_MAX
from actors.core.limits import LISTS_COUNT_MAX, TAG_BYTES_MAX
from actors.core.numbers import whole_number
from api.streaming.cursors import NOWHERE, Cursor, Position
from api.streaming.events import CONVERSATION, NOTIFICATION, STATUS_UPDATE, Event, Listener
from api.streaming.lines import AskedOf, Line
from api.streaming.pushed import Addressed
from api.streaming.told import COUNT_MAX, OF_TWEETS, Record, ToldLately, record_of, version_of

Key = tuple[str, int, str, bytes]  # kind, tweet, notice or root, topic, version
LATE_MS: Final = 600_000  # by so much a tweet may come late
NEVER: Final = -1
_MS_BITS: Final = 16  # below the milliseconds of an id
TALKS_MAX: Final = 40  # conversations that one listener was told of, and that are remembered
OWN_MAX: Final = 100  # events that one listener was told alone, and that are remembered
TOPICS_MAX: Final = 32  # of one listener
TOPIC_BYTES_MAX: Final = TAG_BYTES_MAX  # with what stands before a hashtag's name
_MASKS: Final = {"user": USER, "user:notification": NOTIFICATIONS, "direct": DIRECT}
_QUIET: Final = ("public:remote", "public:remote:media")
_LIST: Final = "list:"
_HASHTAG: Final = "hashtag:"
_NO_TOPICS: Final[frozenset[str]] = frozenset()
_NO_PUSHES: Final[frozenset[int]] = frozenset()
_NOTHING_READ: Final[frozenset[Key]] = frozenset()
_NONE: Final[Mapping[int, Any]] = {}  # that anything waits for
_ALONE: Final = {each: frozenset((each,)) for each in (*_MASKS, *_QUIET, *PUBLIC_TOPICS, *MEDIA_TOPICS)}
_OF_MASK: Final = [AskedOf(mask, ()) for mask in range(EVERYTHING + 1)]


class Gap(NamedTuple):
    """What is to be read for a listener: what came to a shard, and what has become of what it knows.

    newest_id: of the tweets that the shard had told of; since_id: nothing older is told as new, as it was told, or is
    from before it listened; notice_id: -1 where none are wanted; known: what it was told lately; talks: the newest
    tweet of each conversation that it was told of, by root; talks_since_id: nothing older of others is new.
    """

    account_id: int
    topics: frozenset[str]
    shard: int
    newest_id: int
    notice_id: int
    since_id: int = 0
    known: Mapping[tuple[int, str], bytes] = {}
    talks: Mapping[int, int] = {}
    talks_since_id: int = 0


class LostAt(NamedTuple):
    """Where a listener was when it lost a shard. newest_id: of the tweets that it had heard of by then."""

    position: Position
    newest_id: int


class Kept(NamedTuple):
    """An event that waits until a gap is read. number: of the push (`told.py`)."""

    each: Addressed
    number: int


class Hearer:
    """What one listener listens to. live: shards at which it is, as bits; waiting: those of which it lacks something.

    knows_cursors: it is told that something was missed, and reads it itself. Of the others: kept: events that have come
    while they wait, by shard; was_read: what was read for it lately, which isn't told again; own: what it was told
    alone, the newest first; talks: the newest tweet of each conversation that it was told of, by root; untold: numbers
    (`told.py`) of pushes that were kept, and never told; began, since_id: the newest push and tweet when it began.
    """

    __slots__ = (
        "account_id", "began", "kept", "knows_cursors", "listener", "live", "notice_id", "own", "public",
        "since_id", "talks", "talks_since_id", "topics", "untold", "waiting", "was_read",
    )  # fmt: skip

    def __init__(self, listener: Listener) -> None:
        self.listener, self.account_id = listener, listener.account_id
        self.topics = _NO_TOPICS
        self.public: tuple[str, ...] = ()  # of them those that all shards tell
        self.live = 0
        self.waiting: Mapping[int, LostAt] = _NONE
        self.kept: Mapping[int, list[Kept]] = _NONE
        self.knows_cursors = False
        self.notice_id = self.talks_since_id = 0
        self.talks: dict[int, int] | None = None
        self.was_read = _NOTHING_READ
        self.own: deque[Record] | None = None
        self.untold = _NO_PUSHES
        self.began, self.since_id = NEVER, 0

    def forget_read(self, was_read: frozenset[Key]) -> None:
        """Forget some of what was read."""
        self.was_read = self.was_read - was_read or _NOTHING_READ

    def add(self, topics: Iterable[str]) -> None:
        """Listen to some more topics."""
        self._have(self.topics.union(topics))

    def drop(self, topic: str) -> None:
        """Listen to a topic no more."""
        self._have(self.topics - {topic})

    def _have(self, topics: frozenset[str]) -> None:
        self.topics = _ALONE.get(next(iter(topics)), topics) if len(topics) == 1 else topics
        self.public = tuple(sorted(filter(is_told, topics)))

    def end(self) -> None:
        """Hear nothing any more, and wait for nothing."""
        self.live = 0
        self.waiting = self.kept = _NONE

    def is_live(self, shard: int) -> bool:
        """Whether a shard tells it of what happens."""
        return bool(self.live >> shard & 1)

    def go_live(self, shard: int) -> None:
        """Be told by a shard from now on."""
        self.live |= 1 << shard

    def leave(self, shard: int) -> None:
        """Be told by a shard no more."""
        self.live &= ~(1 << shard)

    def missed_args(self, shard: int, is_own: bool) -> list[Any] | None:
        """Return what to ask a shard for what was missed; None if this waits no more. is_own: it is its account's."""
        waits = self.waiting.get(shard)
        if waits is None or not self.is_live(shard) or not self.topics:
            return None
        heard = self.heard
        row = [self.account_id, heard.mask & ~RELATED, list(heard.lists)] if is_own else None
        return [row, list(self.public), *waits.position]

    def resume_from(self, cursor: Cursor | None, shards: Iterable[int]) -> None:
        """Wait at shards for what came since a cursor. Of what it lacks they say that nobody knows it."""
        newest_id, sources = cursor or (0, {})
        self.waiting = {shard: LostAt(sources.get(shard, NOWHERE), newest_id) for shard in shards}

    def wait(self, shard: int, at: LostAt) -> None:
        """Lack at a shard what has come since."""
        self.waiting = {**self.waiting, shard: at}

    def wait_no_more(self, shard: int) -> None:
        """Lack nothing of a shard."""
        self.waiting = _without(self.waiting, shard)

    def taken_out(self, shard: int) -> list[Kept]:
        """Return what was kept of a shard, and keep nothing more."""
        found = self.kept.get(shard, [])
        self.kept = _without(self.kept, shard)
        return found

    def begin(self, told: ToldLately) -> None:
        """Hear a shard from now on: nothing that is older was missed."""
        self.began = told.number if self.began == NEVER else self.began
        self.since_id = max(self.since_id, told.newest_id)

    def await_new(self, line: Line) -> None:
        """Wait at a shard that there was not, for all that it has told since there is one."""
        if line.shard not in self.waiting:
            self.wait(line.shard, LostAt(NOWHERE, line.newest_id))
        self.begin_keeping(line.shard)

    def lose_for_good(self, shard: int) -> bool:
        """Hear a shard no more, as it is gone; True: it hasn't said yet what was missed."""
        self.leave(shard)
        self._drop_kept(shard)
        waited = shard in self.waiting
        self.wait_no_more(shard)
        return waited

    def gap(self, shard: int, waits: LostAt, told: ToldLately) -> Gap:
        """Return what is to be read for what was missed of a shard."""
        notice_id = self.notice_id if {"user", "user:notification"} & self.topics else -1
        known = told.known(self.account_id, self.topics, self.began, self.own or (), self._untold_by_now())
        # Above the shard's own newest everything is read, and below it as far back as is known what was told.
        since_id = min(waits.newest_id, max(told.lost_max_id, waits.newest_id - (LATE_MS << _MS_BITS)))
        return Gap(
            self.account_id, self.topics, shard, waits.newest_id, notice_id, max(since_id, self.since_id),
            known, self.talks or {}, max(since_id, self.since_id, self.talks_since_id),
        )  # fmt: skip

    def note_own(self, event: Event) -> None:
        """Remember something that it is told alone. Of what is forgotten nothing older is read any more."""
        if event.kind not in OF_TWEETS or self.knows_cursors:
            return
        if self.own is None:
            self.own = deque()
        self.own.appendleft(record_of(event, None, 0))
        if len(self.own) > OWN_MAX:
            self.since_id = max(self.since_id, self.own.pop().tweet_id)

    def note_talk(self, event: Event) -> None:
        """Remember which tweet of a conversation it was told of last. Of what is forgotten nothing older is read."""
        if self.knows_cursors or not event.tweet_id:
            return
        if self.talks is None:
            self.talks = {}
        self.talks[event.root] = max(self.talks.pop(event.root, 0), event.tweet_id)
        if len(self.talks) > TALKS_MAX:
            self.talks_since_id = max(self.talks_since_id, self.talks.pop(next(iter(self.talks))))

    def begin_keeping(self, shard: int) -> None:
        """Keep what a shard pushes while this waits there; who knows cursors is told that it missed something."""
        if not self.knows_cursors and shard not in self.kept:
            self.kept = {**self.kept, shard: []}

    def _untold_by_now(self) -> Set[int]:
        return self.untold.union(each.number for kept in self.kept.values() for each in kept if each.number)

    def _drop_kept(self, shard: int) -> bool:
        if shard not in self.kept:
            return False
        kept = self.taken_out(shard)
        if kept:
            self.untold = frozenset(sorted(self.untold.union(each.number for each in kept if each.number))[-COUNT_MAX:])
        return True

    def lose(self, line: Line) -> None:
        """Wait at the place up to which a shard was heard. What is read of it now is read for nothing."""
        shard = line.shard
        self.leave(shard)
        if self._drop_kept(shard):
            self.wait(shard, LostAt(*self.waiting[shard]))
        if shard not in self.waiting:
            self.wait(shard, LostAt(line.position, line.newest_id))
        self.begin_keeping(shard)

    def hold_back(self, lines: Iterable[Line]) -> None:
        """Be told of no public topic until it is known whom the account hides, and ask then what has come since.

        The shards go on, so they can say so: nothing is kept.
        """
        for line in lines if self.public else ():
            if self.is_live(line.shard):
                self.leave(line.shard)
                if line.shard not in self.waiting:
                    self.wait(line.shard, LostAt(line.position, line.newest_id))

    def move(self, line: Line, to: int) -> None:
        """Wait at another shard, which can't say what the account has missed meanwhile; if it was heard before."""
        is_public_alone = len(self.public) == len(self.topics)  # which doesn't move with the account
        if is_public_alone or (not self.is_live(line.shard) and line.shard not in self.waiting):
            return
        waits = self.waiting.get(line.shard) or LostAt(line.position, line.newest_id)
        if not self.public:
            self.leave(line.shard)
            self.wait_no_more(line.shard)
            self._drop_kept(line.shard)
        self.leave(to)
        self._drop_kept(to)
        self.begin_keeping(to)
        self.wait(to, LostAt(NOWHERE if to != line.shard else waits.position, waits.newest_id))

    @property
    def heard(self) -> AskedOf:
        """What it wants of its account's shard."""
        return asked_of(self.topics) if self.account_id else _OF_MASK[0]


def _without(every: Mapping[int, Any], shard: int) -> Mapping[int, Any]:
    if shard not in every:
        return every
    return {each: found for each, found in every.items() if each != shard} or _NONE


def keys_of(event: Event, topics: Set[str]) -> list[Key]:
    """Return what tells a notification, a conversation, or what becomes of a tweet, from others, on each topic."""
    if event.kind == CONVERSATION:
        return [(event.kind, event.root, topic, b"%d" % event.tweet_id) for topic in topics & event.topics]
    if event.kind != NOTIFICATION and event.kind not in OF_TWEETS:
        return []
    item = event.notice[0] if event.notice else event.tweet_id
    version = version_of(event.tweet) if event.kind == STATUS_UPDATE else b""
    return [(event.kind, item, topic, version) for topic in topics & event.topics]


def is_told(topic: str) -> bool:
    """Whether shards tell of a topic, the same to everybody."""
    return topic in PUBLIC_TOPICS or topic in MEDIA_TOPICS or topic.startswith(_HASHTAG)


def asked_of(topics: Collection[str]) -> AskedOf:
    """Return what is wanted of an account's shard for some topics, each there once; of too many lists the newest."""
    mask = sum(_MASKS.get(topic, 0) for topic in topics)
    lists = sorted(int(topic[len(_LIST) :]) for topic in topics if topic.startswith(_LIST))
    if lists or any(map(is_told, topics)):
        mask |= RELATED
    return AskedOf(mask, tuple(lists[-LISTS_COUNT_MAX:])) if lists else _OF_MASK[mask]


def check_topics(hearer: Hearer, topics: Collection[str]) -> None:
    """Refuse topics that there aren't, or too many. Raises InvalidError, OverloadedError."""
    if len(hearer.topics | set(topics)) > TOPICS_MAX:
        raise OverloadedError(f"one stream has at most {TOPICS_MAX} topics")
    for topic in topics:
        is_own_list = topic.startswith(_LIST) and whole_number(topic[len(_LIST) :], ID_MAX)
        is_own = bool(hearer.account_id) and (topic in _MASKS or bool(is_own_list))
        is_too_long = len(topic.encode(errors="replace")) > TOPIC_BYTES_MAX or not topic.isprintable()
        if is_too_long or not (is_told(topic) or topic in _QUIET or is_own):
            raise InvalidError(f"there is no stream {topic[:60]!r}", "stream")
