"""What one listener of a worker listens to, and how far it has heard each shard.

    live: shards that tell it of what happens      waiting: those of which it lacks something first

Rules of this file
- Public topics are every shard's to tell, the others the account's own shard's.
- Nobody is remote here: those topics are taken, and stay quiet.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

from actors.core.errors import InvalidError, OverloadedError
from actors.core.heard import DIRECT, MEDIA_TOPICS, NOTIFICATIONS, PUBLIC_TOPICS, RELATED, USER
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
    """What one listener listens to. live: shards at which it is; waiting: those of which it lacks something.

    knows_cursors: it is told that something was missed, and reads it itself. kept: events that have come while a gap
    is read, by shard; was_read: what was read for it lately, which isn't told again.
    """

    __slots__ = (
        "account_id", "kept", "knows_cursors", "listener", "live", "notice_id", "public", "topics", "waiting",
        "was_read",
    )  # fmt: skip

    def __init__(self, listener: Listener) -> None:
        self.listener, self.account_id = listener, listener.account_id
        self.topics: set[str] = set()
        self.public: list[str] = []  # of them those that all shards tell
        self.live: set[int] = set()
        self.waiting: dict[int, LostAt] = {}
        self.kept: dict[int, list[tuple[Event, bytes | None, str]]] = {}
        self.knows_cursors = False
        self.notice_id = 0
        self.was_read: frozenset[Key] = frozenset()

    def forget_read(self, was_read: frozenset[Key]) -> None:
        """Forget some of what was read."""
        self.was_read -= was_read

    def add(self, topics: Iterable[str]) -> None:
        """Listen to some more topics."""
        self.topics.update(topics)
        self.public = sorted(filter(is_told, self.topics))

    def drop(self, topic: str) -> None:
        """Listen to a topic no more."""
        self.topics.discard(topic)
        self.public = sorted(filter(is_told, self.topics))

    def end(self) -> None:
        """Hear nothing any more, and wait for nothing."""
        self.live.clear()
        self.waiting.clear()
        self.kept.clear()

    def lose(self, line: Line) -> None:
        """Wait at the place up to which a shard was heard. What is read of it now is read for nothing."""
        self.live.discard(line.shard)
        if self.kept.pop(line.shard, None) is not None:
            self.waiting[line.shard] = LostAt(*self.waiting[line.shard])
        self.waiting.setdefault(line.shard, LostAt(line.position, line.newest_id))

    def move(self, line: Line, to: int) -> None:
        """Wait at another shard, which can't say what the account has missed meanwhile; if it was heard before."""
        if line.shard not in self.live and line.shard not in self.waiting:
            return
        waits = self.waiting.get(line.shard) or LostAt(line.position, line.newest_id)
        if not self.public:
            self.live.discard(line.shard)
            self.waiting.pop(line.shard, None)
        self.live.discard(to)
        self.kept.pop(to, None)
        self.waiting[to] = LostAt(NOWHERE if to != line.shard else waits.position, waits.newest_id)

    @property
    def heard(self) -> AskedOf:
        """What it wants of its account's shard."""
        mask = sum(_MASKS.get(topic, 0) for topic in self.topics)
        if self.account_id and self.public:
            mask |= RELATED
        return AskedOf(mask, tuple(sorted(int(topic[5:]) for topic in self.topics if topic.startswith(_LIST))))


def keys_of(event: Event, topics: set[str]) -> list[Key]:
    """Return what tells a new tweet or a notification from others, on each of some topics; nothing of other events."""
    if event.kind not in (UPDATE, NOTIFICATION):
        return []
    item = event.notice[0] if event.notice else event.tweet_id
    return [(event.kind, item, topic) for topic in topics & event.topics]


def is_told(topic: str) -> bool:
    """Whether shards tell of a topic, the same to everybody."""
    return topic in PUBLIC_TOPICS or topic in MEDIA_TOPICS or topic.startswith(_HASHTAG)


def wanted_of(every: Iterable[AskedOf]) -> AskedOf:
    """Return what all listeners of an account want together; of too many lists the newest."""
    mask, lists = 0, set[int]()
    for each in every:
        mask |= each.mask
        lists.update(each.lists)
    return AskedOf(mask, tuple(sorted(lists)[-LISTS_COUNT_MAX:]))


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
