"""From a client's request to a command: everything that is checked before the state may change.

Rules of this file
- A method takes the arguments of one lane operation, raises a RookeryError or returns a `Prepared`: the command, and
  how its result becomes the reply. It changes nothing (but hands out tweet ids, which only grow).
- A command that was let through can't fail any more: by then the state has changed, and a shard whose memory is ahead
  of its journal must end. So every argument is checked here, types included (`arguments.py`).
- A command holds absolute facts: the time and the ids are in it.
- `command=None` means that there is nothing to do; the reply still waits until all before it is durable.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from actors.core import arguments, ids, kernels, limits
from actors.core.entries import VISIBILITY_FLAGS, pack_body
from actors.core.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    MalformedError,
    MovedError,
    NotFoundError,
    OverloadedError,
    TooLargeError,
)
from actors.core.graph import BLOCK, BLOCKED_BY, MUTE
from actors.core.reads import Reads
from actors.core.render import render_tweet
from actors.core.visibility import ReaderFacts

if TYPE_CHECKING:
    from actors.core.state import ShardState


class Prepared(NamedTuple):
    """A validated request. finish: makes the reply's body from the command's result."""

    command: list[Any] | None
    finish: Callable[[Any], Any]


def same(result: Any) -> Any:
    """Make the command's result the reply's body."""
    return result


def nothing(body: Any) -> Prepared:
    """Prepare an answer that changes nothing."""
    return Prepared(None, lambda _: body)


class Requests:
    """The write operations of a primary."""

    def __init__(self, state: ShardState, reads: Reads) -> None:
        self.state = state
        self.reads = reads

    def prepare(self, op: str, args: list[Any], now_ms: int) -> Prepared:
        """Check one write request. now_ms: wall clock in Unix ms, the only time that enters a command."""
        for shard, outbox in self.state.outboxes.items():
            tuning, waiting = self.state.tuning, len(outbox.waiting)
            if waiting >= tuning.outbox_messages_max or outbox.bytes_waiting >= tuning.outbox_bytes_max:
                raise OverloadedError(
                    f"{waiting} messages of shard {self.state.shard} wait for shard {shard}; try again",
                    retry_after_s=1.0,
                )
        try:
            return OPERATIONS[op](self, now_ms, *args)
        except (TypeError, ValueError, AttributeError, LookupError, OverflowError) as error:
            raise MalformedError(f"arguments of {str(op)[:40]} don't fit: {str(error)[:200]}") from error

    # ---- accounts ---------------------------------------------------------------------------------------------

    def register(self, now_ms: int, *row: Any) -> Prepared:
        fields = self._check_registration(list(row))
        username, account_id = fields[:2]
        held = self.state.people.names.get(username.lower())
        if held is not None and held[0] != account_id:
            raise ConflictError(f"the user name {username[:30]!r} is taken; choose another", "username")
        if held is None and account_id in self.state.people.row_of:
            raise ConflictError(f"the account id {account_id} is taken", "user_id")
        return Prepared(["register", [fields], now_ms], lambda result: result[0])

    def register_many(self, now_ms: int, rows: list[list[Any]]) -> Prepared:
        fields = [self._check_registration(row) for row in arguments.listed(rows, limits.REGISTER_COUNT_MAX, "rows")]
        return Prepared(["register", fields, now_ms], same)

    def _check_registration(self, row: list[Any]) -> list[Any]:
        fields = arguments.registration(row)
        if self.state.owner[ids.bucket_of_name(fields[0])] != self.state.shard:
            raise MovedError(f"the name {fields[0][:30]!r} is not on shard {self.state.shard}")
        if len(self.state.people.names) >= self.state.tuning.accounts_max:
            raise OverloadedError(
                f"shard {self.state.shard} holds {self.state.tuning.accounts_max} accounts, its limit"
            )
        return fields

    def login_token(self, now_ms: int, account_id: int, secret_hash: bytes, *seen: Any) -> Prepared:
        """seen: the password hash that the caller has compared with, if it was one."""
        row = self.reads.row(account_id)
        if len(seen) > 1:
            raise MalformedError("login_token takes an account, a token and perhaps a password hash")
        if seen:
            self._check_password(row, seen[0])
        return Prepared(["login_token", account_id, arguments.secret(secret_hash)], same)

    def revoke_token(self, now_ms: int, account_id: int, secret_hash: bytes) -> Prepared:
        self.reads.row(account_id)
        return Prepared(["revoke_token", account_id, arguments.secret(secret_hash)], same)

    def revoke_tokens(self, now_ms: int, account_id: int, kept: list[bytes]) -> Prepared:
        tokens = self.state.people.accounts[self.reads.row(account_id)].tokens
        kept = arguments.secrets(kept)
        if all(token in kept for token in tokens):
            return nothing(0)
        return Prepared(["revoke_tokens", account_id, kept], same)

    def change_password(
        self, now_ms: int, account_id: int, seen: str, password_hash: str, kept: list[bytes] | None, fresh: bytes | None
    ) -> Prepared:
        """seen: the password hash that the caller has compared with.

        Raises ConflictError when it is none of the account's any more: an older password must not come back because
        somebody, who still knew it, was slow.
        """
        row = self.reads.row(account_id)
        arguments.password_hash(password_hash)
        if kept is not None:
            kept = arguments.secrets(kept)
        if fresh is not None:
            arguments.secret(fresh)
        if self.state.people.accounts[row].password_hash == password_hash:
            return nothing(0)  # the same request again, whose first answer was lost
        self._check_password(row, seen)
        return Prepared(["change_password", account_id, password_hash, kept, fresh], same)

    def _check_password(self, row: int, seen: Any) -> None:
        """Refuse what was decided by a password that has been changed meanwhile."""
        account, seen = self.state.people.accounts[row], arguments.password_hash(seen)
        if account.password_hash != seen:
            raise ConflictError(f"account {account.account_id} has another password meanwhile", "password")

    def update_profile(self, now_ms: int, account_id: int, values: dict[str, Any]) -> Prepared:
        self.reads.row(account_id)
        changes = arguments.profile(values)
        return Prepared(["update_profile", account_id, changes], lambda _: self.reads.profile(account_id, account_id))

    # ---- tweets -----------------------------------------------------------------------------------------------

    def post(self, now_ms: int, *args: Any) -> Prepared:
        author_id, key = args[0], args[8]
        row = self.reads.row(author_id)
        self._check_key(key)
        if key is not None and (author_id, key) in self.state.idempotency:
            tweet_id = self.state.idempotency[author_id, key]
            entry = self.state.tweets.get(tweet_id)
            if entry is None:
                raise NotFoundError(f"tweet {tweet_id}, posted with this Idempotency-Key, has been deleted")
            return nothing(self.reads.render(entry))
        command_row = self._tweet_row(now_ms, row, *args)
        tweet_id = command_row[0]

        def finish(_: Any) -> bytes:
            entry = self.state.tweets.get(tweet_id)
            assert entry is not None, "a tweet is stored once its command is applied"
            return self.reads.render(entry)

        return Prepared(["post", [command_row]], finish)

    def post_many(self, now_ms: int, rows: list[list[Any]]) -> Prepared:
        """As post for many; a row whose key is known, or was met further up, answers the tweet that it made."""
        made: list[list[Any]] = []
        results: list[int] = []
        met: dict[tuple[int, bytes], int] = {}
        for args in arguments.listed(rows, limits.POST_COUNT_MAX, "rows"):
            author_id, key = args[0], args[8]
            row = self.reads.row(author_id)
            self._check_key(key)
            known = met.get((author_id, key)) or self.state.idempotency.get((author_id, key))
            if known is None:
                made.append(self._tweet_row(now_ms, row, *args))
                known = made[-1][0]
                if key is not None:
                    met[author_id, key] = known
            results.append(known)
        return Prepared(["post", made], lambda _: results) if made else nothing(results)

    @staticmethod
    def _check_key(key: Any) -> None:
        if key is not None:
            arguments.blob(key, 1, limits.KEY_BYTES_MAX, "idempotency_key")

    def _tweet_row(
        self, now_ms: int, row: int, author_id: int, text: str, visibility: int, in_reply_to: int, reply_author: int,
        entities: bytes, media_ids: list[int], mention_ids: list[int], key: bytes | None,
    ) -> list[Any]:  # fmt: skip
        self._check_room()
        arguments.text(text, limits.TEXT_BYTES_MAX, "status")
        room = limits.TEXT_BYTES_MAX - len(arguments.entities(entities))
        if len(text) > room // arguments.UTF8_BYTES_MAX and len(text.encode()) > room:
            raise TooLargeError(f"a tweet may take {limits.TEXT_BYTES_MAX} bytes", "status")
        arguments.whole(visibility, 0, len(VISIBILITY_FLAGS) - 1, "visibility")
        arguments.an_id_or_zero(in_reply_to, "in_reply_to")
        arguments.an_id_or_zero(reply_author, "reply_author")
        mentions = arguments.id_list(mention_ids, limits.MENTIONS_COUNT_MAX, "mention_ids")
        media = arguments.id_list(media_ids, limits.MEDIA_COUNT_MAX, "media_ids")
        flags = VISIBILITY_FLAGS[visibility]
        if in_reply_to:
            flags |= kernels.FLAG_REPLY | (kernels.FLAG_UNCOUNTED if flags else 0)
        tweet_id = self._next_tweet_id(author_id, now_ms)
        body = pack_body(text, self.state.people.accounts[row].username, in_reply_to, media, entities)
        return [tweet_id, author_id, flags, reply_author, in_reply_to, body, mentions, key]

    def _check_room(self) -> None:
        if len(self.state.tweets) >= self.state.tuning.tweets_max:
            raise OverloadedError(f"shard {self.state.shard} holds {self.state.tuning.tweets_max} tweets, its limit")

    def _next_tweet_id(self, account_id: int, now_ms: int) -> int:
        tweet_id = self.state.clock.next_id(ids.bucket_of_account(account_id), now_ms)
        self.state.clock.observe(tweet_id)
        return tweet_id

    def delete(self, now_ms: int, tweet_id: int, actor: int, facts: Any = None) -> Prepared:
        """Delete an own tweet. The answer is what it was, without an original that the actor may no longer see."""
        entry = self.reads.stored(tweet_id)
        if entry.author_id != arguments.an_id(actor, "actor"):
            _, asked = self.reads.entry(tweet_id, actor, facts)
            if asked is not None:
                return nothing(asked)
            raise ForbiddenError(f"tweet {tweet_id} is not yours to delete", "tweet_id")
        seen = self.reads.may_see(ReaderFacts(actor), entry)
        rendered = self.reads.render(entry) if seen else render_tweet(entry)
        return Prepared(["delete", tweet_id], lambda _: rendered)

    def like(self, now_ms: int, account_id: int, tweet_id: int) -> Prepared:
        return self._like(account_id, tweet_id, True)

    def unlike(self, now_ms: int, account_id: int, tweet_id: int) -> Prepared:
        return self._like(account_id, tweet_id, False)

    def _like(self, account_id: int, tweet_id: int, on: bool) -> Prepared:
        row = self.reads.row(account_id)
        arguments.an_id(tweet_id, "tweet_id")
        likes = self.state.likes.get(row, {})
        if (tweet_id in likes) == on:
            return nothing(False)
        if on and len(likes) >= limits.LIKES_COUNT_MAX:
            raise InvalidError(f"an account may like {limits.LIKES_COUNT_MAX} tweets; take some back", "tweet_id")
        return Prepared(["like", account_id, tweet_id, on], same)

    def repost(self, now_ms: int, account_id: int, packed: bytes) -> Prepared:
        row = self.reads.row(account_id)
        orig = arguments.original(packed)
        if self.reads.visibility.is_hidden(ReaderFacts(account_id), orig.author_id):
            raise NotFoundError(f"tweet {orig.tweet_id} does not exist", "tweet_id")
        repost_id = self.state.reposts.get(row, {}).get(orig.tweet_id)

        def finish(made: int) -> bytes:
            entry = self.state.tweets.get(made)
            if entry is None:  # the original lives here too, and had just been deleted
                raise NotFoundError(f"tweet {orig.tweet_id} does not exist", "tweet_id")
            return self.reads.render(entry)

        if repost_id is not None:
            return nothing(finish(repost_id))
        # Deleted since the caller looked: elsewhere its shard says so later; here the repost would be gone at once.
        if self.state.shard_of_tweet(orig.tweet_id) == self.state.shard and orig.tweet_id not in self.state.tweets:
            raise NotFoundError(f"tweet {orig.tweet_id} does not exist", "tweet_id")
        self._check_room()
        return Prepared(["repost", account_id, self._next_tweet_id(account_id, now_ms), packed], finish)

    def unrepost(self, now_ms: int, account_id: int, tweet_id: int) -> Prepared:
        row = self.reads.row(account_id)
        repost_id = self.state.reposts.get(row, {}).get(arguments.an_id(tweet_id, "tweet_id"))
        return nothing(False) if repost_id is None else Prepared(["delete", repost_id], same)

    # ---- follow edges, blocks and mutes -----------------------------------------------------------------------

    def follow(self, now_ms: int, account_id: int, target: int) -> Prepared:
        row = self.reads.row(account_id)
        arguments.an_id(target, "id")
        graph = self.state.graph
        if graph.related(row, BLOCKED_BY, target):
            raise ForbiddenError(f"account {target} has blocked account {account_id}", "id")
        if graph.related(row, BLOCK, target):
            raise ForbiddenError(f"account {account_id} blocks account {target}; unblock it first", "id")
        if graph.following.contains(row, target):
            return nothing(False)
        if graph.following.length[row] >= limits.FOLLOWING_COUNT_MAX:
            raise InvalidError(f"an account may follow {limits.FOLLOWING_COUNT_MAX} others", "id")
        edge = (np.array([account_id], "<i8").tobytes(), np.array([target], "<i8").tobytes())
        return Prepared(["follow", *edge], lambda added: added > 0)

    def follow_many(self, now_ms: int, followers: bytes, followees: bytes) -> Prepared:
        for side in (followers, followees):
            arguments.blob(side, 0, 8 * limits.FOLLOW_COUNT_MAX, "follows")
        if len(followers) != len(followees) or len(followers) % 8:
            raise InvalidError(f"follow_many takes two equal int64 arrays of at most {limits.FOLLOW_COUNT_MAX}")
        us = np.frombuffer(followers, dtype="<i8")
        vs = np.frombuffer(followees, dtype="<i8")
        if len(vs) and int(vs.min()) < 1:
            raise InvalidError(f"account id {int(vs.min())} is not within 1 to {ids.ID_MAX}", "id")
        for account_id, count in zip(*(a.tolist() for a in np.unique(us, return_counts=True)), strict=True):
            row = self.reads.row(account_id)
            if self.state.graph.following.length[row] + count > limits.FOLLOWING_COUNT_MAX:
                raise InvalidError(f"an account may follow {limits.FOLLOWING_COUNT_MAX}; {account_id} would more", "id")
            if any(row in self.state.graph.relations[kind] for kind in (BLOCK, BLOCKED_BY)):
                raise InvalidError(f"account {account_id} has blocks; follow one by one", "user_id")
        return Prepared(["follow", followers, followees], same)

    def unfollow(self, now_ms: int, account_id: int, target: int) -> Prepared:
        row = self.reads.row(account_id)
        if not self.state.graph.following.contains(row, arguments.an_id(target, "id")):
            return nothing(False)
        return Prepared(["unfollow", account_id, target], same)

    def _relate(self, account_id: int, kind: str, target: int, on: bool) -> Prepared:
        row = self.reads.row(account_id)
        arguments.an_id(target, "id")
        if account_id == target:
            raise InvalidError(f"account {account_id} can't {kind} itself", "id")
        which = BLOCK if kind == "block" else MUTE
        if self.state.graph.related(row, which, target) == on:
            return nothing(False)
        if on and len(self.state.graph.relations[which].get(row, ())) >= limits.RELATED_COUNT_MAX:
            raise InvalidError(f"an account may {kind} {limits.RELATED_COUNT_MAX} others", "id")
        return Prepared(["relate", account_id, kind, target, on], same)

    def block(self, now_ms: int, account_id: int, target: int) -> Prepared:
        return self._relate(account_id, "block", target, True)

    def unblock(self, now_ms: int, account_id: int, target: int) -> Prepared:
        return self._relate(account_id, "block", target, False)

    def mute(self, now_ms: int, account_id: int, target: int) -> Prepared:
        return self._relate(account_id, "mute", target, True)

    def unmute(self, now_ms: int, account_id: int, target: int) -> Prepared:
        return self._relate(account_id, "mute", target, False)


OPERATIONS: dict[str, Callable[..., Prepared]] = {
    name: method for name, method in vars(Requests).items() if not name.startswith("_") and name != "prepare"
}
