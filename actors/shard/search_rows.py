"""What the search engine is fed of a tweet or an account: rows of `actors/search/documents.py`, out of memory."""

from __future__ import annotations

from typing import Any

from actors.core.entries import unpack
from actors.core.postings.found import HIDDEN_FLAGS, FoundTweets
from actors.search.documents import FOUND, NEW, UNTOLD


class SearchRows:
    """Rows of one replica."""

    def __init__(self, found: FoundTweets) -> None:
        self.found, self.state = found, found.lookups.state

    def tweet(self, tweet_id: int, news: int) -> list[Any] | None:
        """Return a tweet's row; None if it doesn't belong into the index. 3 us."""
        if not self.found.is_searchable(tweet_id):
            return None
        entry = self.state.tweets.get(tweet_id)
        assert entry is not None, f"tweet {tweet_id} is not here"
        original = None
        if entry.orig is not None:
            fields = unpack(entry.orig)
            if fields[2] & HIDDEN_FLAGS:
                return None
            original = fields[9]
        if news in (NEW, FOUND) and entry.author_id in self.state.people.unindexed:
            news = UNTOLD
        return [
            tweet_id, entry.author_id, entry.flags, entry.reply_author, entry.replies, entry.reposts, entry.likes,
            entry.body, original, news,
        ]  # fmt: skip

    def account(self, account_id: int) -> list[Any] | None:
        """Return an account's row; None if it isn't this shard's."""
        row = self.state.people.row_of.get(account_id)
        if row is None:
            return None
        account = self.state.people.accounts[row]
        return [account_id, account.username, account.display_name, account.bio, self.followers(row)]

    def followers(self, row: int) -> int:
        """Return how many follow the account of a row."""
        return int(self.state.graph.followers.length[row])
