"""What `check --mastodon` knows of accounts and statuses, and holds to that whatever is shown of them.

    Account, as its own shard shows it   --take_account--> held to the facts, and kept
    Status, as its author sees it        --take--> held to the facts, and kept: what it says to everybody
    Status, anywhere else                --compare--> with what was kept, the reader's marks, account and reblog inside

Rules of this file
- Facts say what there is; nothing that renders is used. Only that a status says the same everywhere is compared with
  what its author was shown.
- Differences are noted in the outcome, never raised.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import orjson

from actors.core.ids import ms_of_tweet
from commands.checking import Outcome
from commands.mastodon_reading import common, iso, text_of
from commands.oracle import DIRECT, REPLY, REPOST, Fact, NetworkFacts

FOLLOWERS, UNLISTED = 4, 64  # of `Fact.flags`, beside those of the oracle
PRIVATE = FOLLOWERS | DIRECT


class ShownStatuses:
    """See the head of the file. facts: of a cluster that nobody writes to meanwhile."""

    def __init__(self, facts: NetworkFacts, outcome: Outcome) -> None:
        self.facts, self.outcome = facts, outcome
        self.tweets = {fact.tweet_id: fact for of_author in facts.tweets_by.values() for fact in of_author}
        self.reblogs = {(fact.author_id, fact.orig_id) for fact in self.tweets.values() if fact.flags & REPOST}
        self.accounts: dict[int, dict[str, Any]] = {}
        self.said: dict[int, bytes] = {}  # what a status says to everybody
        self.texts: Counter[tuple[int, str]] = Counter()
        self.parents: dict[int, int] = {}  # what a status answers
        self._said_counts: dict[int, tuple[int, int]] = {}  # replies, reblogs
        self.favourite_counts: dict[int, int] = {}  # of those that have any
        self.tags: dict[str, list[int]] = {}  # statuses with a hashtag, that everybody comes across
        self.favourites: set[tuple[int, int]] | None = None  # (account, status), once they have been asked for
        self.shown_old: set[int] = set()  # readers who were shown another account than there is
        self.is_last_look = False  # whether that is a difference now

    def take_account(self, account: dict[str, Any], followers: int) -> None:
        """Hold an account to the facts, and keep it. followers: how many it has."""
        account_id = int(account["id"])
        self.accounts[account_id] = account
        public = [f.tweet_id for f in self.facts.tweets_by.get(account_id, ()) if not f.flags & PRIVATE]
        expected = {
            "followers_count": followers, "following_count": len(self.facts.following[account_id]),
            "statuses_count": len(public), "last_status_at": iso(ms_of_tweet(max(public)))[:10] if public else None,
            "acct": account["username"],
        }  # fmt: skip
        self.expect(f"account {account_id}", {name: account[name] for name in expected}, expected)
        if not account["url"].endswith(f"/@{account['username']}"):
            self.outcome.add([f"account {account_id}: its url is {account['url']}"])

    def take(self, status: dict[str, Any]) -> None:
        """Hold a status to its fact, and keep what it says."""
        fact = self.tweets.get(int(status["id"]))
        if fact is None:
            return  # said already: it is on no list of what there is
        self.said[fact.tweet_id] = common(status)
        self._said_counts[fact.tweet_id] = status["replies_count"], status["reblogs_count"]
        if status["favourites_count"]:
            self.favourite_counts[fact.tweet_id] = status["favourites_count"]
        self.compare(fact, status, fact.author_id)
        answers = bool(fact.flags & REPLY)
        visibility = ("public", "private", "direct", "unlisted")[
            1 if fact.flags & FOLLOWERS else 2 if fact.flags & DIRECT else 3 if fact.flags & UNLISTED else 0
        ]
        expected = {
            "created_at": iso(ms_of_tweet(fact.tweet_id)), "visibility": visibility,
            "in_reply_to_account_id": str(fact.reply_author) if answers else None,
            "url": f"{status['account']['url']}/{fact.tweet_id}",
        }  # fmt: skip
        where = f"status {fact.tweet_id}"
        self.expect(where, {name: status[name] for name in expected}, expected)
        if status["in_reply_to_id"]:
            self.parents[fact.tweet_id] = int(status["in_reply_to_id"])
        if fact.flags & REPOST:
            return
        self.expect(f"{where}: mentions", {int(each["id"]) for each in status["mentions"]}, set(fact.mention_ids))
        self.texts[fact.author_id, text_of(status["content"])] += 1
        if not fact.flags & (PRIVATE | UNLISTED):
            for tag in status["tags"]:
                self.tags.setdefault(tag["name"], []).append(fact.tweet_id)

    def check_counts(self) -> None:
        """Compare the counts of all statuses with the answers and reblogs that there are."""
        reblogs = Counter(orig_id for _, orig_id in self.reblogs)
        replies = Counter(parent for child, parent in self.parents.items() if not self.tweets[child].flags & PRIVATE)
        for tweet_id, said in self._said_counts.items():
            if not self.tweets[tweet_id].flags & REPOST:
                self.expect(f"status {tweet_id}: replies, reblogs", said, (replies[tweet_id], reblogs[tweet_id]))

    def check_texts(self, given: Counter[tuple[int, str]], extra_ok: bool) -> None:
        """Compare what authors say with the file that was loaded."""
        for (author, text), count in given.items():
            if self.texts[author, text] != count:
                found = self.texts[author, text]
                self.outcome.add([f"{author} wrote {text[:40]!r} {count} times in the file, {found} are shown"])
        if not extra_ok:
            extra = self.texts - given
            self.outcome.add(
                f"{author} is shown to say {text[:40]!r}, which is not in the file" for author, text in extra
            )

    def compare(self, fact: Fact, status: dict[str, Any], viewer: int) -> None:
        """Compare a status, wherever it is shown, with what is known of it."""
        self.compare_said(fact.tweet_id, status, viewer)
        where = f"status {fact.tweet_id}, shown to account {viewer}"
        if status["account"] != self.accounts.get(fact.author_id):
            if self.is_last_look:
                self.outcome.add([f"{where}: its account is {str(status['account'])[:300]}"])
            self.shown_old.add(viewer)
        inner, is_reblog = status["reblog"], bool(fact.flags & REPOST)
        if is_reblog != (inner is not None):
            self.outcome.add([f"{where}: it {'reblogs' if is_reblog else 'does not reblog'}, and is shown otherwise"])
        elif inner is not None:
            self.expect(f"{where}: what it reblogs", int(inner["id"]), fact.orig_id)
            self.compare(self.tweets[fact.orig_id], inner, viewer)
        elif viewer:
            marks = {"reblogged": (viewer, fact.tweet_id) in self.reblogs}
            if self.favourites is not None and viewer not in self.facts.hidden.get(fact.author_id, ()):
                marks["favourited"] = (viewer, fact.tweet_id) in self.favourites
            self.expect(where, {name: status[name] for name in marks}, marks)

    def compare_said(self, tweet_id: int, status: dict[str, Any], viewer: int) -> None:
        """Compare what a status says to everybody with what its author was shown."""
        said = self.said.get(tweet_id)
        if said is not None and common(status) != said:
            known = orjson.loads(said)
            differing = {name: (status.get(name), known[name]) for name in known if status.get(name) != known[name]}
            where = f"status {tweet_id}, shown to account {viewer}"
            self.outcome.add([f"{where}, differs from what its author was shown: {str(differing)[:300]}"])

    def expect(self, what: str, shown: Any, expected: Any) -> None:
        """Note it if something isn't what it should be, where lists part."""
        if shown == expected:
            return
        if isinstance(shown, list):
            at = next((i for i, (a, b) in enumerate(zip(shown, expected, strict=False)) if a != b),
                      min(len(shown), len(expected)))  # fmt: skip
            shown, expected = (f"{each[at : at + 1]} at {at} of {len(each)}" for each in (shown, expected))
        self.outcome.add([f"{what}: expected {expected}, shown {shown}"])
