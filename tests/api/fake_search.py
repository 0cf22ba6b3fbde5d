"""Searches of the cluster of dicts: a word is found wherever it stands in the text, and everything is worth 1."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import orjson

from actors.core.ids import bucket_of_account
from api.search.cursor import unpack_ids

if TYPE_CHECKING:
    from tests.api.fake_cluster import FakeAccount, FakeTweet

PUBLIC = 0


class FakeSearches:
    """What `FakeCluster` answers to searches, out of its accounts and tweets."""

    accounts: dict[int, FakeAccount]
    tweets: dict[int, FakeTweet]
    follows: set[tuple[int, int]]

    def _public(self, shard: int, reader: list[Any]) -> list[FakeTweet]:
        reader_id, _, packed = reader
        hidden = {int.from_bytes(packed[at : at + 8], "little") for at in range(0, len(packed), 8)}
        here = (t for t in self.tweets.values() if self.shard_of(bucket_of_account(t.author_id)) == shard)
        return [
            t
            for t in here
            if t.visibility == PUBLIC and t.author_id not in hidden and self._visible(t, reader_id) and not t.repost_of
        ]

    def _rows(self, found: Iterable[FakeTweet], max_id: int, min_id: int, count: int, top: bool = False) -> list[Any]:
        inside = sorted(t.tweet_id for t in found if (not max_id or t.tweet_id < max_id) and t.tweet_id > min_id)
        page = (inside[:count] if min_id else inside[-count:])[::-1]
        rows = [[1.0 if top else 0.0, t, orjson.dumps(self._render(self.tweets[t]))] for t in page]
        return [rows, len(inside) > len(page)]

    def search_search(
        self, shard: int, tree: Any, order: str, count: int, cursor: Any, at_ms: int, reader: Any, spans: bool
    ) -> list[Any]:
        found = [t for t in self._public(shard, reader) if self._matches(t, tree, reader)]
        top = order == "top"
        if top:
            found, cursor = [t for t in found if t.tweet_id not in unpack_ids(cursor)], [0, 0]
        rows, more = self._rows(found, *cursor, count, top)
        edge = 0 if not more else rows[-1][1] if not rows or top or not cursor[1] else rows[0][1]
        return [rows, edge, [[[0, 1]] for _ in rows] if spans else []]

    def search_tagged(
        self, shard: int, any_of: Any, all_of: Any, none_of: Any, max_id: int, min_id: int, count: int, reader: Any
    ) -> list[Any]:
        some: list[Any] = ["or", *(["tag", tag] for tag in any_of)]
        rest = [["tag", tag] for tag in all_of] + [["not", ["tag", tag]] for tag in none_of]
        found = [t for t in self._public(shard, reader) if self._matches(t, ["and", some, *rest], reader)]
        return [*self._rows(found, max_id, min_id, count), []]

    def search_search_accounts(self, shard: int, words: list[str], count: int, reader: Any) -> list[Any]:
        here = (a for a in self.accounts.values() if self.shard_of(bucket_of_account(a.account_id)) == shard)
        found = [a for a in here if all(word in f"{a.username} {a.display_name}".lower() for word in words)]
        return [[1.0, a.account_id, orjson.dumps(self._card(a))] for a in found][:count]

    def search_suggest(self, shard: int, typed: str, count: int, reader: Any) -> list[Any]:
        tags: dict[str, int] = {}
        for tweet in self._public(shard, reader):
            for tag, *_ in tweet.entities.get("hashtags", ()):
                if tag.lower().startswith(typed.lower().lstrip("#")):
                    tags[tag.lower()] = tags.get(tag.lower(), 0) + 1
        accounts = self.search_search_accounts(shard, [typed.lower().lstrip("@")], count, reader)
        return [accounts, [list(each) for each in tags.items()][:count]]

    def search_corrections(self, shard: int, words: list[str]) -> dict[str, Any]:
        return {word: [0, []] for word in words}

    def _matches(self, tweet: FakeTweet, node: list[Any], reader: list[Any]) -> bool:
        kind, value = node[0], node[1] if len(node) > 1 else None
        if kind in ("and", "or"):
            return (all if kind == "and" else any)(self._matches(tweet, part, reader) for part in node[1:])
        if kind == "not":
            return not self._matches(tweet, value, reader)
        if kind in ("word", "prefix", "cash", "mention"):
            return value in tweet.text.lower()
        if kind == "phrase":
            return all(word in tweet.text.lower() for word in value)
        if kind == "tag":
            return value in [tag.lower() for tag, *_ in tweet.entities.get("hashtags", ())]
        if kind == "author":
            return tweet.author_id in value
        if kind == "ids":
            return value <= tweet.tweet_id and (not node[2] or tweet.tweet_id < node[2])
        if kind == "follows":
            return (reader[0], tweet.author_id) in self.follows
        return False
