"""A hub that a test speaks for: what it tells is heard, and what was listened to is noted."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from actors.core.errors import RookeryError
from actors.core.joining import TweetPieces
from api.streaming.events import DELETE, UPDATE, Event, Listener


def tweet(tweet_id: int, text: str = "hello") -> TweetPieces:
    """A status in pieces that join to JSON."""
    piece = b'{"id":"%d","content":"%b","url":"http://x/%d","edited_at":null,"account":' % (
        tweet_id, text.encode(), tweet_id,
    )  # fmt: skip
    return TweetPieces(tweet_id, 7, tweet_id, piece, b'{"id":"7"}', None)


def update(tweet_id: int, *topics: str, text: str = "hello") -> Event:
    native = b'{"tweet_id":"%d","text":"%b"}' % (tweet_id, text.encode())
    return Event(UPDATE, frozenset(topics or ("user",)), tweet(tweet_id, text), native, tweet_id, 7)


def delete(tweet_id: int, *topics: str) -> Event:
    return Event(DELETE, frozenset(topics or ("user",)), tweet_id=tweet_id)


class FakeHub:
    """Called on the server's loop; `asked` are the calls of `listen`."""

    def __init__(self) -> None:
        self.topics_of: dict[Listener, set[str]] = {}
        self.asked: list[tuple[int, tuple[str, ...], str | None]] = []
        self.refusal: RookeryError | None = None
        self.here = ""

    def listen(self, listener: Listener, topics: Collection[str], cursor: str | None = None) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.asked.append((listener.account_id, tuple(topics), cursor))
        self.topics_of.setdefault(listener, set()).update(topics)

    def unlisten(self, listener: Listener, topics: Collection[str] | None = None) -> None:
        self.topics_of.pop(listener, None)

    def cursor(self, listener: Listener) -> str:
        return self.here

    def figures(self) -> Mapping[str, float]:
        return {}

    def tell(self, event: Event, cursor: str = "", flags: bytes | None = None, account_id: Any = None) -> None:
        """Have all hear that listen to one of the event's topics."""
        for listener, topics in list(self.topics_of.items()):
            if topics & event.topics and account_id in (None, listener.account_id):
                listener.hear(event, flags, cursor)

    def lose(self) -> None:
        """Nobody can say what was missed."""
        for listener in list(self.topics_of):
            listener.recovered()
