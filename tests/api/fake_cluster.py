"""The real core behind the API, with faults: answers that are late, refused, or a test's own in place of the core's.

Rules of this file
- What shards answer is `CoreCluster`'s affair. Here it is noted what was asked, and told where faults are put.
- A request must arrive where its key lives, as it would be forwarded by nobody.
- `do_OPERATION`, set by a test or a subclass, answers in place of the core, and `search_OPERATION` in place of the
  engine (with the shard first); what the core itself says, `answer` tells.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgpack

from actors.core.errors import OverloadedError
from actors.core.features import READS, SHARD_WIDE, WRITES
from actors.core.ids import bucket_of_account, bucket_of_name, bucket_of_tweet
from actors.core.terms import Key, Read
from actors.shard.search_requests import OPERATIONS as SEARCHES
from tests.api.core_cluster import CoreCluster, all_served
from tests.api.listened import OPERATIONS as LISTENING

NO_KEY = Read("", len, Key.SHARD)


class FakeCluster(CoreCluster):
    """Two shards of the core, behind the shape of `api.ports.Cluster`.

    calls: operations that were asked for, in their order; delay_s: before each answer of a bucket's shard; down: shards
    that answer nothing but buckets' requests; is_ready, said: what the router knows.
    """

    do_home: Any
    do_profile: Any
    do_post: Any
    do_login_token: Any
    do_change_password: Any

    def __init__(self, shard_count: int = 2) -> None:
        super().__init__(shard_count)
        self.calls: list[str] = []
        self.is_ready = True
        self.said = all_served(shard_count)
        self.delay_s = 0.0

    def figures(self) -> dict[str, float]:
        return {"follower_reads": 3, "stalled_lanes": 1}

    async def readiness(self) -> dict[str, Any] | None:
        return self.said if self.is_ready else None

    async def call(self, bucket: int, op: str, args: list[Any], timeout_s: float | None = None) -> Any:
        self.calls.append(op)
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        self._check_routing(bucket, op, args)
        stub = getattr(self, f"do_{op}", None)
        if stub is not None:
            return stub(*msgpack.unpackb(msgpack.packb(args)))
        return await super().call(bucket, op, args, timeout_s)

    async def call_shard(self, shard: int, op: str, args: list[Any], timeout_s: float | None = None) -> Any:
        if shard in self.down:
            raise OverloadedError("the shard is down")
        if op in SEARCHES:
            self.calls.append(op)
            stub = getattr(self, f"search_{op}", None)
            if stub is not None:
                return stub(shard, *msgpack.unpackb(msgpack.packb(args)))
        elif op not in LISTENING and op not in ("token_owner", "usage", "directory", "activity", "indexed", "shaped"):
            return {"accounts": 1, "journal": {"position": 7, "name": "not a number"}}
        return await super().call_shard(shard, op, args, timeout_s)

    def _check_routing(self, bucket: int, op: str, args: list[Any]) -> None:
        """A request must arrive where its key lives; in a group, every key on the same shard."""
        if op == "shaped":
            _, op, args = args
        if WRITES.get(op, READS.get(op, NO_KEY)).key in (Key.TWEET, Key.THING):
            assert bucket == bucket_of_tweet(args[0])
        elif op in ("tweets", "children", "polls"):
            assert 1 <= len(args[0]) <= 200
            assert {self.shard_of(bucket_of_tweet(t)) for t in args[0]} == {self.shard_of(bucket)}
        elif op == "names":
            assert 1 <= len(args[0]) <= 64
            assert {self.shard_of(bucket_of_name(n)) for n in args[0]} == {self.shard_of(bucket)}
        elif op in ("cards", "accounts"):
            assert 1 <= len(args[0]) <= 200
            assert {self.shard_of(bucket_of_account(a)) for a in args[0]} == {self.shard_of(bucket)}
        elif op in SHARD_WIDE:
            pass  # whoever asks says which shard
        elif op == "register":
            assert bucket == bucket_of_name(args[0])
        else:
            assert bucket == bucket_of_account(args[0])

    # ---- behind the API's back ------------------------------------------------------------------------------------

    def answer_of(self, op: str, account_id: int, *args: Any) -> Any:
        """Return the core's own answer to a request that an account's shard gets. Raises what it raises."""
        return self.answer(bucket_of_account(account_id), op, [account_id, *args])

    def add_account(self, account_id: int, name: str, *tokens: bytes) -> None:
        """Make an account with this id, without a password. tokens: hashes of their secrets."""
        self.answer(bucket_of_name(name), "register", [name, account_id, "", "", None, list(tokens)])

    def password_hash(self, account_id: int) -> str:
        """Return what an account's password is checked by."""
        (encoded,) = self.answer_of("credentials", account_id)
        return str(encoded)

    def set_password_hash(self, account_id: int, encoded: str) -> str:
        """Have an account's password checked by something else, which is returned; nobody is logged out."""
        (seen,) = self.answer_of("credentials", account_id)
        self.answer_of("change_password", account_id, seen, encoded, None, None)
        return encoded
