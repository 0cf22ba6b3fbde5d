"""A cluster of dicts: every lane operation that the API uses, in the most naive way.

It stands in for the shards, so that the API is tested alone, and doubles as an oracle: a home timeline here is computed
from its definition (architecture.md, section 2) on every read. It checks nothing about callers, as the lane doesn't.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgpack
import orjson

from actors.core.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    OverloadedError,
    UnauthorizedError,
)
from actors.core.features import READS, WRITES
from actors.core.ids import bucket_of_account, bucket_of_name, bucket_of_tweet, make_tweet_id, ms_of_tweet
from actors.core.levels import LEVEL
from actors.core.stores.people import token_id
from actors.core.terms import Key, Read
from actors.core.visibility import is_question
from tests.api.fake_marks import FakeMarks
from tests.api.fake_search import FakeSearches

PUBLIC, FOLLOWERS, DIRECT = 0, 1, 2
SEARCHES = ("search", "tagged", "search_accounts", "suggest", "corrections")
NO_KEY = Read("", len, Key.SHARD)
FIRST_MS = 1_790_000_000_000


@dataclass
class FakeAccount:
    account_id: int
    username: str
    display_name: str
    bio: str
    password_hash: str | None
    tokens: set[bytes]
    token_facts: dict[bytes, tuple[str, int]] = field(default_factory=dict)
    location: str = ""
    url: str = ""
    avatar: str = ""
    fields: list[list[str]] = field(default_factory=list)


@dataclass
class FakeTweet:
    tweet_id: int
    author_id: int
    text: str
    visibility: int
    in_reply_to: int
    entities: dict[str, Any]
    media_ids: list[int]
    mention_ids: list[int]
    repost_of: int = 0
    versions: list[tuple[int, str, dict[str, Any]]] = field(default_factory=list)  # before: (since when in ms, what)
    edited_ms: int = 0


def shown_time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%a %b %d %H:%M:%S +0000 %Y")


def all_served(shard_count: int) -> dict[str, Any]:
    """Return what `Cluster.readiness` tells of a cluster that lacks nothing."""
    search = {"state": "ready", "left": 0, "serves": True, "has_served": True}
    replicas = [
        {"shard": shard, "replica": 0, "live": True, "in_sync": True, "search": search} for shard in range(shard_count)
    ]
    return {"unserved_shards": [], "replicas": replicas, "trends": True}


def tell_when_called(call: Any, done: Any) -> None:
    """Make `Cluster.send` of a call: its outcome goes to `done`."""

    def settled(task: Any) -> None:
        if task.exception() is None:
            done(task.result(), None)
        else:
            done(None, task.exception())

    asyncio.get_running_loop().create_task(call).add_done_callback(settled)


class TrendsAndSends:
    """What both clusters of these tests do in the same way."""

    call_shard: Any

    def share_places(self, reads: Any, writes: Any) -> None:
        """It never hangs."""

    def send_shard(self, shard: int, op: str, args: list[Any], timeout_s: float, done: Any) -> None:
        tell_when_called(self.call_shard(shard, op, args, timeout_s), done)

    async def trends(self, window: str, lang: str | None, kind: str | None, count: int) -> bytes:
        trend = {"name": "#hello", "kind": "hashtag", "score": 2.5, "tweets": 7, "authors": 5, "usual": 1.0,
                 "history": [0] * 24, "query": "#hello"}  # fmt: skip
        return orjson.dumps(
            {
                "window": window,
                "lang": lang,
                "as_of": "Wed Sep 05 00:37:15 +0000 2012",
                "trends": [trend][:count],
                "partial": False,
                "shards": {"answered": 2, "of": 2},
            }
        )


class FakeCluster(TrendsAndSends, FakeSearches, FakeMarks):
    """Two shards' worth of dicts behind the shape of `api.ports.Cluster`."""

    level = LEVEL

    def __init__(self, shard_count: int = 2) -> None:
        self._shard_count = shard_count
        self.accounts: dict[int, FakeAccount] = {}
        self.names: dict[str, int] = {}
        self.tweets: dict[int, FakeTweet] = {}
        self.follows: dict[tuple[int, int], int] = {}  # (who, whom) -> order
        self.blocks: set[tuple[int, int]] = set()
        self.mutes: set[tuple[int, int]] = set()
        self.likes: dict[tuple[int, int], int] = {}  # (who, tweet) -> order
        self.bookmarks: dict[tuple[int, int], int] = {}
        self.pins: dict[tuple[int, int], int] = {}
        self.scheduled: dict[tuple[int, int], tuple[int, FakeTweet]] = {}  # (who, scheduled id) -> (when in ms, what)
        self.keys: dict[tuple[int, bytes], int] = {}
        self.answers: dict[tuple[int, bytes], tuple[Any, ...]] = {}  # (who, key) -> (fingerprint, what was answered)
        self.calls: list[str] = []
        self.is_ready = True
        self.said = all_served(shard_count)
        self.down: set[int] = set()
        self.delay_s = 0.0
        self.on_revoked: Any = None
        self._sequence = itertools.count(1)
        self._ms = itertools.count(FIRST_MS)

    @property
    def shard_count(self) -> int:
        return self._shard_count

    def shard_of(self, bucket: int) -> int:
        return bucket % self._shard_count

    def hangs(self) -> dict[str, int]:
        return {"rookery:router": 1}

    def figures(self) -> dict[str, float]:
        return {"follower_reads": 3, "stalled_lanes": 1}

    async def readiness(self) -> dict[str, Any] | None:
        return self.said if self.is_ready else None

    async def call(self, bucket: int, op: str, args: list[Any], timeout_s: float | None = None) -> Any:
        self.calls.append(op)
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        self._check_routing(bucket, op, args)
        args = msgpack.unpackb(msgpack.packb(args))  # as if it had crossed the lane
        return getattr(self, f"do_{op}")(*args)

    def send(self, bucket: int, op: str, args: list[Any], timeout_s: float, done: Any) -> None:
        tell_when_called(self.call(bucket, op, args, timeout_s), done)

    async def call_shard(self, shard: int, op: str, args: list[Any], timeout_s: float | None = None) -> Any:
        if shard in self.down:
            raise OverloadedError("the shard is down")
        if op in SEARCHES:
            self.calls.append(op)
            return getattr(self, f"search_{op}")(shard, *msgpack.unpackb(msgpack.packb(args)))
        if op == "token_owner":
            here = (a for a in self.accounts.values() if self.shard_of(bucket_of_account(a.account_id)) == shard)
            return next((a.account_id for a in here if args[0] in a.tokens), 0)
        return {"accounts": len(self.accounts), "journal": {"position": 7, "name": "not a number"}}

    def _check_routing(self, bucket: int, op: str, args: list[Any]) -> None:
        """A request must arrive where its key lives; in a group, every key on the same shard."""
        if WRITES.get(op, READS.get(op, NO_KEY)).key in (Key.TWEET, Key.THING):
            assert bucket == bucket_of_tweet(args[0])
        elif op == "tweets":
            assert 1 <= len(args[0]) <= 200
            assert {self.shard_of(bucket_of_tweet(t)) for t in args[0]} == {self.shard_of(bucket)}
        elif op == "names":
            assert 1 <= len(args[0]) <= 64
            assert {self.shard_of(bucket_of_name(n)) for n in args[0]} == {self.shard_of(bucket)}
        elif op == "cards":
            assert 1 <= len(args[0]) <= 200
            assert {self.shard_of(bucket_of_account(a)) for a in args[0]} == {self.shard_of(bucket)}
        elif op == "register":
            assert bucket == bucket_of_name(args[0])
        else:
            assert bucket == bucket_of_account(args[0])

    # accounts
    def _account(self, account_id: int) -> FakeAccount:
        if account_id not in self.accounts:
            raise NotFoundError(f"account {account_id} does not exist", "user_id")
        return self.accounts[account_id]

    def do_register(
        self, name: str, account_id: int, display: str, bio: str, hashed: str, tokens: list[bytes], *token_name: str
    ) -> int:
        if name.lower() in self.names:
            raise ConflictError(f"the user name {name} is taken", "username")
        self.names[name.lower()] = account_id
        self.accounts[account_id] = FakeAccount(account_id, name, display, bio, hashed, set(tokens))
        for secret_hash in tokens:
            self._note_token(account_id, secret_hash, *token_name)
        return account_id

    def do_names(self, names: list[str]) -> list[int]:
        return [self.names.get(name.lower(), 0) for name in names]

    def do_credentials(self, account_id: int) -> list[str | None]:
        return [self._account(account_id).password_hash]

    def do_token(self, account_id: int, secret_hash: bytes) -> bool:
        if account_id not in self.accounts or secret_hash not in self.accounts[account_id].tokens:
            raise UnauthorizedError("unknown token")
        return True

    def _note_token(self, account_id: int, secret_hash: bytes, name: str = "") -> None:
        self._account(account_id).token_facts[secret_hash] = (name, next(self._ms))

    def do_tokens(self, account_id: int) -> list[list[Any]]:
        account = self._account(account_id)
        newest_first = reversed(account.token_facts.items())
        return [[token_id(token), *known, 0] for token, known in newest_first if token in account.tokens]

    def do_end_token(self, account_id: int, named: str) -> bytes:
        for secret_hash in self._account(account_id).tokens:
            if token_id(secret_hash) == named:
                self.do_revoke_token(account_id, secret_hash)
                return secret_hash
        raise NotFoundError(f"no token {named}", "token_id")

    def do_login_token(self, account_id: int, secret_hash: bytes, seen: str | None = None, name: str = "") -> bool:
        if seen is not None and seen != self._account(account_id).password_hash:
            raise ConflictError("another password meanwhile")
        self._account(account_id).tokens.add(secret_hash)
        self._note_token(account_id, secret_hash, name)
        return True

    def do_delete_account(self, account_id: int, seen: str | None = None) -> bool:
        if seen != self._account(account_id).password_hash:
            raise ConflictError("another password meanwhile")
        for tweet_id in [t.tweet_id for t in self.tweets.values() if t.author_id == account_id]:
            self.tweets.pop(tweet_id)
        for edges in (self.follows, self.blocks, self.mutes, self.likes, self.bookmarks, self.pins):
            for pair in [pair for pair in edges if account_id in pair]:
                edges.pop(pair) if isinstance(edges, dict) else edges.discard(pair)
        self.names[self.accounts.pop(account_id).username.lower()] = 0
        if self.on_revoked is not None:
            self.on_revoked(account_id, None)
        return True

    def do_revoke_tokens(self, account_id: int, kept: list[bytes]) -> int:
        tokens = self._account(account_id).tokens
        count = len(tokens - set(kept))
        tokens.intersection_update(kept)
        if self.on_revoked is not None:
            self.on_revoked(account_id, None)
        return count

    def do_change_password(
        self, account_id: int, seen: str, hashed: str, kept: list[bytes] | None, fresh: bytes | None, name: str = ""
    ) -> int:
        if self._account(account_id).password_hash != seen:
            raise ConflictError("another password meanwhile")
        self._account(account_id).password_hash = hashed
        count = 0 if kept is None else self.do_revoke_tokens(account_id, kept)
        if fresh is not None:
            self._account(account_id).tokens.add(fresh)
            self._note_token(account_id, fresh, name)
        return count

    def do_revoke_token(self, account_id: int, secret_hash: bytes) -> bool:
        self._account(account_id).tokens.discard(secret_hash)
        if self.on_revoked is not None:
            self.on_revoked(account_id, secret_hash)
        return True

    def do_reader(self, account_id: int) -> list[bytes]:
        self._account(account_id)
        related = self.blocks | self.mutes | {(who, whom) for whom, who in self.blocks}
        lists = ({whom for who, whom in edges if who == account_id} for edges in (self.follows, related))
        return [b"".join(a.to_bytes(8, "little") for a in sorted(accounts)) for accounts in lists]

    def do_account(self, account_id: int) -> list[Any]:
        account = self._account(account_id)
        return [account_id, account.username, account.display_name]

    def _card(self, account: FakeAccount) -> dict[str, Any]:
        user_id = str(account.account_id)
        return {"user_id": user_id, "username": account.username, "display_name": account.display_name}

    def do_cards(self, account_ids: list[int], viewer: int = 0) -> list[bytes | None]:
        shown = [a in self.accounts and not self._blocked(a, viewer) for a in account_ids]
        return [
            orjson.dumps(self._card(self.accounts[a])) if is_shown else None
            for a, is_shown in zip(account_ids, shown, strict=True)
        ]

    def do_profile(self, account_id: int, viewer: int) -> bytes:
        account = self._unhidden(account_id, viewer)
        return orjson.dumps(
            self._card(account)
            | {"bio": account.bio, "location": account.location, "url": account.url, "avatar": account.avatar}
            | {"fields": [{"name": n, "value": v} for n, v in account.fields]}
            | {"counts": self._totals(account_id, viewer)}
        )

    def do_update_profile(self, account_id: int, changes: dict[str, Any]) -> bytes:
        for name, value in changes.items():
            setattr(self._account(account_id), name, value)
        return self.do_profile(account_id, account_id)

    def _totals(self, account_id: int, viewer: int) -> dict[str, int]:
        told = {PUBLIC} | ({FOLLOWERS} if (viewer, account_id) in self.follows else set())
        told |= {FOLLOWERS, DIRECT} if viewer == account_id else set()
        return {
            "followers": sum(1 for _, v in self.follows if v == account_id),
            "following": sum(1 for u, _ in self.follows if u == account_id),
            "tweets": sum(t.author_id == account_id and t.visibility in told for t in self.tweets.values()),
        }

    # edges
    def _blocked(self, one: int, other: int) -> bool:
        return bool({(one, other), (other, one)} & self.blocks)

    def _unhidden(self, account_id: int, viewer: int) -> FakeAccount:
        if self._blocked(account_id, viewer):
            raise NotFoundError(f"account {account_id} does not exist", "user_id")
        return self._account(account_id)

    def do_blocked_among(self, account_id: int, others: bytes) -> bytes:
        asked = [others[at : at + 8] for at in range(0, len(others), 8)]
        return b"".join(packed for packed in asked if self._blocked(account_id, int.from_bytes(packed, "little")))

    def _change(self, edges: set[tuple[int, int]], who: int, whom: int, holds: bool) -> bool:
        self._account(who)
        before = (who, whom) in edges
        (edges.add if holds else edges.discard)((who, whom))
        return before != holds

    def do_follow(self, who: int, whom: int) -> bool:
        self._account(who)
        if (whom, who) in self.blocks:
            raise ForbiddenError("you can't follow this account", "id")
        return self.follows.setdefault((who, whom), number := next(self._sequence)) == number

    def do_unfollow(self, who: int, whom: int) -> bool:
        self._account(who)
        return self.follows.pop((who, whom), None) is not None

    def do_block(self, who: int, whom: int) -> bool:
        self.follows.pop((who, whom), None)
        self.follows.pop((whom, who), None)
        return self._change(self.blocks, who, whom, True)

    def do_unblock(self, who: int, whom: int) -> bool:
        return self._change(self.blocks, who, whom, False)

    def do_mute(self, who: int, whom: int) -> bool:
        return self._change(self.mutes, who, whom, True)

    def do_unmute(self, who: int, whom: int) -> bool:
        return self._change(self.mutes, who, whom, False)

    def do_followers(self, account_id: int, viewer: int, cursor: int, count: int) -> list[Any]:
        self._unhidden(account_id, viewer)
        return self._listed([(o, who) for (who, whom), o in self.follows.items() if whom == account_id], cursor, count)

    def do_following(self, account_id: int, viewer: int, cursor: int, count: int) -> list[Any]:
        self._unhidden(account_id, viewer)
        return self._listed([(o, whom) for (who, whom), o in self.follows.items() if who == account_id], cursor, count)

    # tweets
    def _visible(self, tweet: FakeTweet, viewer: int) -> bool:
        if self._blocked(viewer, tweet.author_id):
            return False
        if tweet.repost_of and not self._visible(self.tweets[tweet.repost_of], viewer):
            return False
        if tweet.author_id == viewer or viewer in tweet.mention_ids or tweet.visibility == PUBLIC:
            return True
        return tweet.visibility == FOLLOWERS and (viewer, tweet.author_id) in self.follows

    def _tweet(self, tweet_id: int, viewer: int) -> FakeTweet:
        tweet = self.tweets.get(tweet_id)
        if tweet is None or not self._visible(tweet, viewer):
            raise NotFoundError(f"tweet {tweet_id} does not exist", "tweet_id")
        return tweet

    def _render(self, tweet: FakeTweet) -> dict[str, Any]:
        at = datetime.fromtimestamp(ms_of_tweet(tweet.tweet_id) / 1000, UTC)
        counts = {
            "replies": sum(t.in_reply_to == tweet.tweet_id and t.visibility == PUBLIC for t in self.tweets.values()),
            "reposts": sum(t.repost_of == tweet.tweet_id for t in self.tweets.values()),
            "likes": sum(t == tweet.tweet_id for _, t in self.likes),
        }
        value = {
            "created_at": at.strftime("%a %b %d %H:%M:%S +0000 %Y"),
            "status": tweet.text,
            "tweet_id": str(tweet.tweet_id),
            "user_id": str(tweet.author_id),
            "username": self.accounts[tweet.author_id].username,
            "in_reply_to": str(tweet.in_reply_to) if tweet.in_reply_to else None,
            "media": [{"media_id": str(m)} for m in tweet.media_ids],
            "entities": tweet.entities,
            "counts": counts,
        }
        if tweet.edited_ms:
            value["edited_at"] = shown_time(tweet.edited_ms)
        return value | ({"repost_of": self._render(self.tweets[tweet.repost_of])} if tweet.repost_of else {})

    def _next_id(self, author_id: int) -> int:
        return make_tweet_id(next(self._ms), bucket_of_account(author_id), 0)

    def do_post(self, author: int, text: str, visibility: int, reply: int, reply_author: int, *rest: Any) -> bytes:
        entities, media_ids, mention_ids, key = rest
        assert isinstance(key, bytes)
        assert len(key) == 16
        self._account(author)
        tweet_id = self.keys.get((author, key))
        if tweet_id is None:
            tweet_id = self.keys[author, key] = self._next_id(author)
            facts = msgpack.unpackb(entities)
            self.tweets[tweet_id] = FakeTweet(tweet_id, author, text, visibility, reply, facts, media_ids, mention_ids)
        return orjson.dumps(self._render(self.tweets[tweet_id]))

    def do_schedule(self, author: int, at_ms: int, text: str, visibility: int, reply: int, *rest: Any) -> bytes:
        _, entities, media_ids, mention_ids = rest
        self._account(author)
        made = self._next_id(author)
        tweet = FakeTweet(made, author, text, visibility, reply, msgpack.unpackb(entities), media_ids, mention_ids)
        self.scheduled[author, made] = at_ms, tweet
        return self.do_scheduled_one(author, made)

    def do_reschedule(self, author: int, scheduled_id: int, at_ms: int) -> bytes:
        self.do_scheduled_one(author, scheduled_id)
        self.scheduled[author, scheduled_id] = at_ms, self.scheduled[author, scheduled_id][1]
        return self.do_scheduled_one(author, scheduled_id)

    def do_unschedule(self, author: int, scheduled_id: int) -> bytes:
        was = self.do_scheduled_one(author, scheduled_id)
        del self.scheduled[author, scheduled_id]
        return was

    def do_scheduled(self, who: int, before: int, count: int) -> list[Any]:
        ids = sorted((i for w, i in self.scheduled if w == who and (not before or i < before)), reverse=True)
        return [[self.do_scheduled_one(who, i) for i in ids[:count]], ids[count - 1] if len(ids) > count else 0]

    def do_scheduled_one(self, who: int, scheduled_id: int) -> bytes:
        if (who, scheduled_id) not in self.scheduled:
            raise NotFoundError(f"scheduled tweet {scheduled_id} does not exist", "scheduled_id")
        at_ms, tweet = self.scheduled[who, scheduled_id]
        shown = self._render(tweet)
        del shown["created_at"], shown["tweet_id"], shown["counts"]
        at = datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%a %b %d %H:%M:%S +0000 %Y")
        visibility = ("public", "followers", "direct")[tweet.visibility]
        return orjson.dumps({"scheduled_id": str(scheduled_id), "scheduled_at": at, **shown, "visibility": visibility})

    def do_tweet(self, tweet_id: int, viewer: int, facts: Any = None) -> bytes:
        return orjson.dumps(self._render(self._tweet(tweet_id, viewer)))

    def do_tweet_ref(self, tweet_id: int, viewer: int, facts: Any = None) -> list[Any]:
        tweet = self._tweet(tweet_id, viewer)
        orig_id = tweet.repost_of or tweet_id
        found = [tweet.author_id, self.accounts[tweet.author_id].username, tweet.visibility, msgpack.packb(orig_id)]
        return found if facts is None else [*found, orig_id]

    def do_edit(
        self, tweet_id: int, actor: int, text: str, entities: bytes, mention_ids: list[int], facts: Any = None
    ) -> bytes:
        tweet = self._tweet(tweet_id, actor)
        if tweet.author_id != actor or tweet.repost_of:
            raise ForbiddenError(f"tweet {tweet_id} is not yours to edit", "tweet_id")
        if tweet.text != text:
            tweet.versions.append((tweet.edited_ms or ms_of_tweet(tweet_id), tweet.text, tweet.entities))
            tweet.text, tweet.entities, tweet.edited_ms = text, msgpack.unpackb(entities), next(self._ms)
        return orjson.dumps(self._render(tweet))

    def do_history(self, tweet_id: int, viewer: int, facts: Any = None) -> bytes:
        tweet = self._tweet(tweet_id, viewer)
        now = (tweet.edited_ms or ms_of_tweet(tweet_id), tweet.text, tweet.entities)
        versions = [
            {"created_at": shown_time(at_ms), "status": text, "entities": entities}
            for at_ms, text, entities in [*tweet.versions, now]
        ]
        return orjson.dumps({"tweet_id": str(tweet_id), "versions": versions})

    def do_delete(self, tweet_id: int, actor: int, facts: Any = None) -> bytes:
        tweet = self.tweets.get(tweet_id)
        if tweet is None or tweet.author_id != actor:
            self._tweet(tweet_id, actor)
            raise ForbiddenError(f"tweet {tweet_id} is not yours", "tweet_id")
        rendered = self._render(tweet)
        if not self._visible(tweet, actor):
            del rendered["repost_of"]
        body = orjson.dumps(rendered)
        for other in [t for t in self.tweets.values() if t.repost_of == tweet_id]:
            del self.tweets[other.tweet_id]
        del self.tweets[tweet_id]
        return body

    def do_seen(self, tweet_id: int, viewer: int, facts: Any = None) -> int:
        return self._tweet(tweet_id, viewer).author_id

    def do_tweets(self, tweet_ids: list[int], viewer: int, facts: Any = None) -> list[Any]:
        found = [self.tweets.get(tweet_id) for tweet_id in tweet_ids]
        return [[orjson.dumps(self._render(t)) if t and self._visible(t, viewer) else None for t in found]]

    def do_lineage(self, tweet_id: int, viewer: int, count: int, facts: Any = None) -> list[Any]:
        tweet = self._tweet(tweet_id, viewer)
        return [[orjson.dumps(self._render(tweet))], tweet.in_reply_to]  # the rest is asked for one by one

    def do_answered(self, who: int, key: bytes, fingerprint: bytes) -> list[Any]:
        known, *answer = self.answers.get((who, key), (fingerprint,))
        if known != fingerprint:
            raise ConflictError("this key was used for another request", "Idempotency-Key")
        return answer

    def do_keyed(self, who: int, key: bytes, fingerprint: bytes, op: str, args: list[Any]) -> Any:
        if not self.do_answered(who, key, fingerprint):
            answer = getattr(self, f"do_{op}")(*args)
            if is_question(answer):
                return answer
            self.answers[who, key] = (fingerprint, answer)
        return self.answers[who, key][1]

    def do_repost(self, who: int, entry: bytes) -> bytes:
        original = msgpack.unpackb(entry)
        self._account(who)
        self._tweet(original, who)
        for tweet in self.tweets.values():
            if tweet.author_id == who and tweet.repost_of == original:
                return orjson.dumps(self._render(tweet))
        tweet_id = self._next_id(who)
        self.tweets[tweet_id] = FakeTweet(tweet_id, who, "", PUBLIC, 0, {}, [], [], repost_of=original)
        return orjson.dumps(self._render(self.tweets[tweet_id]))

    def do_unrepost(self, who: int, original: int) -> bool:
        self._account(who)
        mine = [t.tweet_id for t in self.tweets.values() if t.author_id == who and t.repost_of == original]
        for tweet_id in mine:
            del self.tweets[tweet_id]
        return bool(mine)

    # timelines
    def _page(
        self, tweets: list[FakeTweet], max_id: int, since_id: int, min_id: int, count: int, skip: int = 0
    ) -> list[Any]:
        if count < 1:
            raise InvalidError("count", "count")
        inside = [t for t in tweets if (not max_id or t.tweet_id < max_id) and t.tweet_id > max(since_id, min_id)]
        inside.sort(key=lambda t: t.tweet_id)
        page = (inside[:count] if min_id else inside[-count:])[::-1][skip:]
        body = orjson.dumps([self._render(t) for t in page])
        return [body, page[0].tweet_id if page else 0, page[-1].tweet_id if page else 0]

    def do_home(self, account_id: int, *window: Any) -> list[Any]:
        if len(window) == 6:
            self.do_token(account_id, window[5])
            window = window[:5]
        self._account(account_id)
        shown = [
            t
            for t in self.tweets.values()
            if (t.author_id == account_id or (account_id, t.author_id) in self.follows)
            and self._visible(t, account_id)
            and (account_id, t.author_id) not in self.mutes
            and (not t.repost_of or (account_id, self.tweets[t.repost_of].author_id) not in self.mutes)
        ]
        return self._page(shown, *window)

    def do_user_timeline(self, account_id: int, viewer: int, *window: Any) -> list[Any]:
        self._account(account_id)
        shown = [t for t in self.tweets.values() if t.author_id == account_id and self._visible(t, viewer)]
        return self._page(shown, *window[:5])
