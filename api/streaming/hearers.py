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

from collections.abc import Collection, Iterable, Mapping, Set
from typing import Any, Final, NamedTuple

from actors.core.errors import InvalidError, OverloadedError
from actors.core.heard import DIRECT, EVERYTHING, MEDIA_TOPICS, NOTIFICATIONS, PUBLIC_TOPICS, RELATED, USER
from actors.core.ids import ID_MAX
from actors.core.limits import LISTS_COUNT_MAX, TAG_BYTES_MAX
from actors.core.numbers import whole_number
from api.streaming.cursors import NOWHERE, Position
from api.streaming.events import NOTIFICATION, UPDATE, Event, Listener
from api.streaming.lines import AskedOf, Line

Key = tuple[str, int, str]  # kind, tweet or notice, topic
TOPICS_MAX: Final = 32  # of one listener
TOPIC_BYTES_MAX: Final = TAG_BYTES_MAX  # with what stands before a hashtag's name
_MASKS: Final = {"user": USER, "user:notification": NOTIFICATIONS, "direct": DIRECT}
_QUIET: Final = ("public:remote", "public:remote:media")
_LIST: Final = "list:"
_HASHTAG: Final = "hashtag:"
_NO_TOPICS: Final[frozenset[str]] = frozenset()
_NOTHING_READ: Final[frozenset[Key]] = frozenset()
_NONE: Final[Mapping[int, Any]] = {}  # that anything waits for
_ALONE: Final = {each: frozenset((each,)) for each in (*_MASKS, *_QUIET, *PUBLIC_TOPICS, *MEDIA_TOPICS)}
_OF_MASK: Final = [AskedOf(mask, ()) for mask in range(EVERYTHING + 1)]


class Gap(NamedTuple):
    """What is to be read for a listener: what came to a shard after some ids. notice_id: 0 where none are wanted."""

    account_id: int
    topics: frozenset[str]
    shard: int
    newest_id: int
    notice_id: int


class LostAt(NamedTuple):
    """Where a listener was when it lost a shard. newest_id: of the tweets that it had heard of by then."""

    position: Position
    newest_id: int


class Hearer:
    """What one listener listens to. live: shards at which it is, as bits; waiting: those of which it lacks something.

    knows_cursors: it is told that something was missed, and reads it itself. kept: events that have come while a gap
    is read, by shard; was_read: what was read for it lately, which isn't told again.
    """

    __slots__ = (
        "account_id", "kept", "knows_cursors", "listener", "live", "notice_id", "public", "topics", "waiting",
        "was_read",
    )  # fmt: skip

    def __init__(self, listener: Listener) -> None:
        self.listener, self.account_id = listener, listener.account_id
        self.topics = _NO_TOPICS
        self.public: tuple[str, ...] = ()  # of them those that all shards tell
        self.live = 0
        self.waiting: Mapping[int, LostAt] = _NONE
        self.kept: Mapping[int, list[tuple[Event, bytes | None, str]]] = _NONE
        self.knows_cursors = False
        self.notice_id = 0
        self.was_read = _NOTHING_READ

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

    def wait(self, shard: int, at: LostAt) -> None:
        """Lack at a shard what has come since."""
        self.waiting = {**self.waiting, shard: at}

    def wait_no_more(self, shard: int) -> None:
        """Lack nothing of a shard."""
        self.waiting = _without(self.waiting, shard)

    def keep(self, shard: int) -> None:
        """Have what comes from a shard kept from now on."""
        self.kept = {**self.kept, shard: []}

    def taken_out(self, shard: int) -> list[tuple[Event, bytes | None, str]] | None:
        """Return what was kept of a shard, and keep nothing more; None if nothing was to be."""
        found = self.kept.get(shard)
        self.kept = _without(self.kept, shard)
        return found

    def lose(self, line: Line) -> None:
        """Wait at the place up to which a shard was heard. What is read of it now is read for nothing."""
        shard = line.shard
        self.leave(shard)
        if self.taken_out(shard) is not None:
            self.wait(shard, LostAt(*self.waiting[shard]))
        if shard not in self.waiting:
            self.wait(shard, LostAt(line.position, line.newest_id))

    def move(self, line: Line, to: int) -> None:
        """Wait at another shard, which can't say what the account has missed meanwhile; if it was heard before."""
        if not self.is_live(line.shard) and line.shard not in self.waiting:
            return
        waits = self.waiting.get(line.shard) or LostAt(line.position, line.newest_id)
        if not self.public:
            self.leave(line.shard)
            self.wait_no_more(line.shard)
        self.leave(to)
        self.taken_out(to)
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
    """Return what tells a new tweet or a notification from others, on each of some topics; nothing of other events."""
    if event.kind not in (UPDATE, NOTIFICATION):
        return []
    item = event.notice[0] if event.notice else event.tweet_id
    return [(event.kind, item, topic) for topic in topics & event.topics]


def is_told(topic: str) -> bool:
    """Whether shards tell of a topic, the same to everybody."""
    return topic in PUBLIC_TOPICS or topic in MEDIA_TOPICS or topic.startswith(_HASHTAG)


def asked_of(topics: Collection[str]) -> AskedOf:
    """Return what is wanted of an account's shard for some topics, each there once; of too many lists the newest."""
    mask = sum(_MASKS.get(topic, 0) for topic in topics)
    if any(map(is_told, topics)):
        mask |= RELATED
    lists = sorted(int(topic[len(_LIST) :]) for topic in topics if topic.startswith(_LIST))
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
