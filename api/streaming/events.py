"""What is heard from the shards, by whom, and how: the types between the hub and those who face clients.

    shard --one push a (shard, worker, tweet)--> Hub --hear(event, flags, cursor)--> Listener (one a connection)

Rules of this file
- Types alone; the hub is `hub.py`, listeners are whatever writes frames.
- One `Event` object is given to every listener of a push. Frames are made once a form and kept in `event.frames`,
  under a key of the listeners' own (which has the cursor in it, where the frame has one); they go with the event.
- `hear`, `recovered`, `revoked` and `close` are called on the loop's thread, must not block, and must not raise. They
  may call `unlisten` of their own listener at any time, and `listen` for another one.
- Topics are named as Mastodon's streams: `user`, `user:notification`, `direct`, `list:ID`, `public`, `public:local`,
  `public:remote`, `public:media`, `public:local:media`, `public:remote:media`, `hashtag:NAME`, `hashtag:local:NAME`.
  NAME is folded as `actors/core/hashtags.py` does it. Nobody is remote here: those topics are taken and stay quiet.
- Who calls `listen` has asked whether the listener may hear a topic (scopes; that a list is the account's).
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from actors.core.joining import TweetPieces

UPDATE: Final = "update"  # a new tweet: `tweet`, `native`
DELETE: Final = "delete"  # one is gone: `tweet_id`
STATUS_UPDATE: Final = "status.update"  # one was edited: `tweet`, `native`
NOTIFICATION: Final = "notification"  # `notice`: a row as the lane's `notices` answers it
CONVERSATION: Final = "conversation"  # `conversation`: its root; read it anew for the listener's account
FILTERS_CHANGED: Final = "filters_changed"  # nothing but that; read the account's filters anew
CURSOR_BYTES_MAX: Final = 512


@dataclass(slots=True, eq=False)
class Event:
    """Something that has happened, committed, once.

    kind: one of those above. topics: those that it belongs to; a listener hears it once, and sends it for each of its
    own topics that are among them. tweet: in pieces of Mastodon's shape (`api/mastodon/statuses.py` joins, `completed`
    puts polls and quotes in); native: the same as JSON of the native API. Both are there for `update` and
    `status.update`, with the counts of that moment, a repost with its original inside.
    tweet_id: what it is about, 0 if that is no tweet; author_id: its author, 0 where nobody says (delete of what is
    forgotten). notice: [id, type number, is kept apart, actor, tweet id or 0]. root: of a conversation.
    shard, number: where it happened, and its place there; (0, 0) if it was read to fill a gap, for one listener alone:
    own_flags are that one's then, as `hear` has them.
    frames: what listeners have made of it, see the module header.
    """

    kind: str
    topics: frozenset[str]
    tweet: TweetPieces | None = None
    native: bytes | None = None
    tweet_id: int = 0
    author_id: int = 0
    notice: list[int] | None = None
    root: int = 0
    shard: int = 0
    number: int = 0
    frames: dict[Hashable, bytes] = field(default_factory=dict)
    own_flags: bytes | None = None


class Listener(Protocol):
    """One client's connection, or one that stands for it. The hub calls, in the order in which things happened."""

    @property
    def account_id(self) -> int:
        """Whose eyes it hears with; 0 for nobody's (public topics alone)."""
        ...

    def hear(self, event: Event, flags: bytes | None, cursor: str) -> None:
        """Something has happened on one of its topics.

        flags: what the account has done about `event.tweet`, and, of a repost, about the original, as
        `join_tweets(ENDS, [event.tweet], flags)` takes it; None: nothing, so that a frame may be shared.
        cursor: resumes right behind this event. The same object for all who may share a frame; empty if this event
        can't be resumed behind (more than some 45 shards for public topics): send no id then.
        """
        ...

    def recovered(self) -> None:
        """What was missed since the cursor that this listener came with, or since a shard died, can't be said exactly:
        tell the client `recovered: false`. Called only of listeners that gave a cursor to `listen`; for each shard that
        can't say, once it tells of all that comes and before whatever is heard of it next.
        """
        ...

    def revoked(self, secret_hash: bytes | None) -> None:
        """That token of the account is void; None: some of its tokens are, or a push may have been missed: look the
        own one up anew, and close unless it is good.
        """
        ...

    def close(self, reason: str) -> None:
        """The hub lets this listener go (the account is gone, the worker stops); it has been unlistened already."""
        ...


class Hub(Protocol):
    """Who listens to what, in one worker."""

    def listen(self, listener: Listener, topics: Collection[str], cursor: str | None = None) -> None:
        """Have a listener hear some topics from now on, or from a cursor on; returns at once.

        Called again with more topics, it hears those, too; a cursor that comes with them can't be resumed from, so each
        subscription that is to resume by itself is a listener of its own.
        cursor: what `hear` gave for the same account and topics, as text of anybody's; one that can't be read, or isn't
        these topics', is answered by `recovered`. None: from now on, and gaps that shards leave are filled by reading.
        With "" a listener says that it understands `recovered`, but has no cursor yet.
        Raises OverloadedError for too many topics of one listener, or of all; InvalidError for one that there isn't.
        """
        ...

    def unlisten(self, listener: Listener, topics: Collection[str] | None = None) -> None:
        """Have a listener hear those topics no more; None: nothing any more. One that doesn't listen: nothing."""
        ...

    def cursor(self, listener: Listener) -> str:
        """Return what resumes from this moment on; "" while not all of its shards have answered."""
        ...

    def figures(self) -> Mapping[str, float]:
        """Return listening accounts, listeners, events, pushes, resumed by result, lanes lost."""
        ...
