"""Is everything that was acknowledged there, once, and is every timeline as defined? Asked over HTTP, page by page.

Rules of this file
- What the cluster serves is compared with the ledger first; then every home timeline with the definition
  (commands/oracle.py), computed from what has just been compared.
- Nothing is forgiven but what the ledger marks as unknown; how much that is, the report says.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from actors.core.errors import InvalidError
from commands.bulk import http_page
from commands.checking import Outcome as Found
from commands.checking import check_homes
from commands.http_api import HttpApi
from commands.oracle import REPLY, Fact, NetworkFacts
from tests.chaos.ledger import Ledger, Outcome, Post, Register

PAGE_COUNT = 200


@dataclass(slots=True)
class Served:
    """What the cluster says of all accounts. tweets: by id, as served; follows: account -> followed, as listed."""

    tweets: dict[int, dict[str, Any]] = field(default_factory=dict)
    listed: Counter[int] = field(default_factory=Counter)
    follows: dict[int, list[int]] = field(default_factory=dict)
    followers: dict[int, list[int]] = field(default_factory=dict)
    profiles: dict[int, dict[str, Any]] = field(default_factory=dict)


def read_all(api: HttpApi, accounts: Iterable[int]) -> Served:
    """Read every account's own timeline, both follow lists and the profile, page by page."""
    served = Served()

    def one(account: int) -> None:
        max_id = ""
        while True:
            page = api.request("GET", f"/api/v1/user_timeline?user_id={account}&count={PAGE_COUNT}{max_id}")
            for tweet in page:
                served.listed[int(tweet["tweet_id"])] += 1
                served.tweets[int(tweet["tweet_id"])] = tweet
            if len(page) < PAGE_COUNT:
                break
            max_id = f"&max_id={page[-1]['tweet_id']}"
        served.follows[account] = _list(api, account, "following")
        served.followers[account] = _list(api, account, "followers")
        served.profiles[account] = api.request("GET", f"/{account}/profile")

    for account in accounts:
        one(account)
    return served


def _list(api: HttpApi, account: int, name: str) -> list[int]:
    found: list[int] = []
    cursor = ""
    while True:
        page = api.request("GET", f"/{account}/{name}?count={PAGE_COUNT}{cursor}")
        found += [int(user["user_id"]) for user in page["users"]]
        if not page["next_cursor"]:
            return found
        cursor = f"&cursor={page['next_cursor']}"


def compare(ledger: Ledger, served: Served, found: Found) -> None:
    """Compare what is served with the ledger."""
    _compare_tweets(ledger, served, found)
    _compare_counts(ledger, served, found)
    for (u, v), register in ledger.follows.items():
        if (v in served.follows[u]) not in register.possible:
            found.add([f"{u} -> {v} should be {_only(register)}, and is not"])
    for u, followed in served.follows.items():
        found.add(f"{u} -> {v} is there, and nobody asked for it" for v in followed if (u, v) not in ledger.follows)
        found.add(f"{u} -> {v} is listed {n} times" for v, n in Counter(followed).items() if n > 1)
        found.add(f"{v} doesn't list its follower {u}" for v in followed if u not in served.followers[v])
        found.add(f"{u} lists {w} as a follower" for w in served.followers[u] if u not in served.follows[w])
    for account, register in ledger.names.items():
        name = served.profiles[account]["display_name"]
        if name not in register.possible:
            found.add([f"the name of {account} should be {_only(register)!r}, and is {name!r}"])


def _only(register: Register) -> object:
    return register.value if register.value is not None else register.possible


def _compare_tweets(ledger: Ledger, served: Served, found: Found) -> None:
    by_text: defaultdict[str, list[int]] = defaultdict(list)
    for tweet_id, tweet in served.tweets.items():
        by_text[tweet["status"]].append(tweet_id)
    found.add(f"{text!r} exists {len(ids)} times: {ids}" for text, ids in by_text.items() if len(ids) > 1)
    found.add(f"tweet {i} is listed {n} times" for i, n in served.listed.items() if n > 1)
    for post in ledger.posts:
        ids = by_text.pop(post.text, [])
        if problem := _judge(post, ids, served):
            found.add([problem])
    found.add(f"{text!r} exists, and nobody wrote it" for text in by_text)


def _judge(post: Post, ids: list[int], served: Served) -> str:
    """Return what is wrong with one post, which the cluster serves under these ids."""
    if post.outcome is Outcome.REFUSED:
        return f"{post.text!r} was refused, and exists as {ids}" if ids else ""
    if post.outcome is Outcome.UNKNOWN:
        return ""
    if post.deleted is Outcome.ACKNOWLEDGED:
        return f"tweet {post.tweet_id} {post.text!r}, whose delete was acknowledged, is there: {ids}" if ids else ""
    if not ids:
        gone = post.deleted is None
        return f"tweet {post.tweet_id} {post.text!r} by {post.author} was acknowledged, and is gone" if gone else ""
    tweet = served.tweets[ids[0]]
    expected = (post.tweet_id, str(post.author), str(post.answers) if post.answers else None)
    if (ids[0], tweet["user_id"], tweet["in_reply_to"]) != expected:
        return f"{post.text!r} should be (id, author, replies to) {expected}, and is {tweet}"
    return ""


def _compare_counts(ledger: Ledger, served: Served, found: Found) -> None:
    """Compare likes, and the totals of profiles, with what is there."""
    least, most = Counter[int](), Counter[int]()
    for (_, tweet_id), register in ledger.likes.items():
        least[tweet_id] += register.possible == {True}
        most[tweet_id] += True in register.possible
    for tweet_id, tweet in served.tweets.items():
        likes = tweet["counts"]["likes"]
        if not least[tweet_id] <= likes <= most[tweet_id]:
            found.add([f"tweet {tweet_id} has {likes} likes, not {least[tweet_id]} to {most[tweet_id]}"])
    written = Counter(int(tweet["user_id"]) for tweet in served.tweets.values())
    for account, profile in served.profiles.items():
        there = (len(served.followers[account]), len(served.follows[account]), written[account])
        counts = profile["counts"]
        if (counts["followers"], counts["following"], counts["tweets"]) != there:
            found.add([f"the profile of {account} counts {counts}; there are (followers, following, tweets) {there}"])


def check_deleted(api: HttpApi, ledger: Ledger, found: Found) -> None:
    """Ask for every deleted tweet: it must not be there."""
    for post in ledger.by_id.values():
        if post.deleted is Outcome.ACKNOWLEDGED:
            try:
                api.request("GET", f"/api/v1/tweet/{post.tweet_id}")
            except InvalidError as error:
                if error.message.startswith("404 "):
                    continue
                raise
            found.add([f"tweet {post.tweet_id}, whose delete was acknowledged, is served"])


def facts_of(ledger: Ledger, served: Served) -> NetworkFacts:
    """Return what is served as the facts that the definition of a home timeline takes."""
    authors = {post.tweet_id: post.author for post in ledger.by_id.values()}
    facts = NetworkFacts(following={u: set(vs) for u, vs in served.follows.items()})
    for tweet_id, tweet in served.tweets.items():
        answered = int(tweet["in_reply_to"] or 0)
        flags, author = (REPLY, authors[answered]) if answered else (0, 0)
        facts.add_tweets([Fact(tweet_id, int(tweet["user_id"]), flags, author, tweet_id, 0)])
    return facts


async def check_timelines(url: str, facts: NetworkFacts, length: int, found: Found) -> None:
    """Compare every home timeline, read over HTTP, with its definition."""
    await check_homes(http_page(url, None), facts, length, found, lambda count: None)
