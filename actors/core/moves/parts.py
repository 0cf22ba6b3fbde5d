"""Is a part of a move what `moving.take_part` can apply? Checked whole before it becomes a command.

Rules of this file
- As in `arguments.py`: what passes can't make `apply`, a seal or a rendering fail later.
- A part is trusted in what it says (it comes from the other shard's state), not in its types and bounds, and not to be
  of the buckets that are expected.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from actors.core import arguments, flags, ids, limits
from actors.core.arrays import kernels
from actors.core.entries import Entry, unpack
from actors.core.errors import InvalidError
from actors.core.features import KINDS, PAPER_KINDS
from actors.core.render import render_tweet
from actors.core.stores.notice_words import WIDTH, notice_of
from actors.core.stores.papers import unpack_frozen
from actors.core.stores.people import NO_LONGER, PROFILE_FIELDS, SETTING_FIELDS, Account
from actors.core.terms import NOTIFICATION_TYPES, Owner

PART_BYTES_MAX = 4 << 20  # of a lane's request, less than its frame
NUMBER_BYTES = 8
COUNTS_MAX = 1 << 20  # things of one kind in a part


def _distinct(account_ids: Any, field: str) -> None:
    """Check keys of a shelf that come without stamps."""
    if len(set(arguments.id_list(account_ids, COUNTS_MAX, field))) < len(account_ids):
        raise InvalidError(f"{field} must be ids, each of them once", "part")


class PartCheck:
    """Checks the items of one part in order. away: accounts that are on their way here already."""

    def __init__(self, away: dict[int, int], buckets: frozenset[int]) -> None:
        self._known = away
        self._new: set[int] = set()
        self._buckets = buckets
        self._checks: dict[str, Callable[..., None]] = {
            "account": self._account, "following": self._edges, "followers": self._edges, "tweets": self._tweets,
            "marks": self._marks, "papers": self._papers, "notices": self._notices,
            "names": self._names, "keys": self._keys, "clock": self._clock, "gone": self._gone,
        }  # fmt: skip

    def check(self, part: Any) -> bytes:
        """Take a packed part. Raises InvalidError, or what a malformed value raises."""
        packed = arguments.blob(part, 1, PART_BYTES_MAX, "part")
        for name, *fields in arguments.listed(unpack(packed), COUNTS_MAX, "part"):
            self._checks[name](*fields)
        return packed

    def _expected(self, account_id: Any) -> int:
        if ids.bucket_of_account(arguments.an_id(account_id, "account_id")) not in self._buckets:
            raise InvalidError(f"account {account_id} is in no bucket that is expected", "part")
        found: int = account_id
        return found

    def _arriving(self, account_id: Any) -> int:
        if self._expected(account_id) not in self._known and account_id not in self._new:
            raise InvalidError(f"account {account_id} has not been given yet", "part")
        found: int = account_id
        return found

    def _account(self, fields: Any, day: Any, pulled: Any, relations: Any, likes: Any) -> None:
        account = Account.from_row(arguments.listed(fields, len(Account.__slots__), "account"))
        self._new.add(self._expected(account.account_id))
        tokens = list(account.tokens)
        arguments.registration([account.username, account.account_id, "", "", account.password_hash, tokens])
        for facts in account.token_facts.values():
            arguments.token_name(facts.name)
            for at_ms in (facts.made_ms, facts.used_ms):
                arguments.whole(at_ms, 0, ids.ID_MAX, "token")
            arguments.scope_mask(facts.scopes)
            arguments.an_id_or_zero(facts.app_id, "app_id")
        arguments.whole(account.left_ms, 0, ids.ID_MAX, "left_ms")
        if account.left_ms and tokens:
            raise InvalidError(f"account {account.account_id} was deleted and has tokens", "part")
        arguments.whole(account.created_ms, 0, ids.ID_MAX, "created_ms")
        arguments.profile({name: getattr(account, name) for name in PROFILE_FIELDS})
        arguments.settings({name: getattr(account, name) for name in SETTING_FIELDS})
        arguments.whole(day, 0, ids.ID_MAX, "day")
        if pulled is not None:
            for shard in arguments.listed(pulled, COUNTS_MAX, "pulled"):
                arguments.whole(shard, 0, COUNTS_MAX, "pulled")
        if relations is not None:
            for kind in arguments.listed(relations, len(flags.KINDS), "relations"):
                _distinct(kind, "relations")
            if len(relations) != len(flags.KINDS):
                raise InvalidError("relations are of three kinds", "part")
        if likes is not None:
            _distinct(likes, "likes")

    def _edges(self, account_id: Any, begin: Any, total: Any, packed: Any) -> None:
        self._arriving(account_id)
        arguments.blob(packed, 0, PART_BYTES_MAX, "edges")
        arguments.whole(total, 0, ids.ID_MAX, "total")
        if len(packed) % NUMBER_BYTES or arguments.whole(begin, 0, ids.ID_MAX, "begin") > total:
            raise InvalidError(f"the edges of {account_id} are no whole numbers within {total}", "part")

    def _tweets(self, entries: Any, gone: Any) -> None:
        for fields in arguments.listed(entries, COUNTS_MAX, "tweets"):
            entry = Entry(*fields)
            self._arriving(entry.author_id)
            for value in (entry.tweet_id, entry.orig_id, entry.orig_author):
                arguments.an_id(value, "tweet_id")
            if ids.bucket_of_tweet(entry.tweet_id) != ids.bucket_of_account(entry.author_id):
                raise InvalidError(f"tweet {entry.tweet_id} is not of account {entry.author_id}", "part")
            arguments.an_id_or_zero(entry.reply_author, "reply_author")
            if arguments.whole(entry.flags, 0, flags.FLAGS_STORED, "flags") & ~flags.FLAGS_STORED:
                raise InvalidError(f"tweet {entry.tweet_id} has flags {entry.flags}, which no tweet has", "flags")
            for count in (entry.replies, entry.reposts, entry.likes):
                arguments.whole(count, 0, arguments.COUNT_MAX, "counts")
            arguments.id_list(entry.mention_ids, limits.MENTIONS_COUNT_MAX, "mention_ids")
            original = render_tweet(Entry(*unpack(entry.orig or b""))) if entry.flags & kernels.FLAG_REPOST else None
            render_tweet(entry, original)
        arguments.id_list(gone, COUNTS_MAX, "gone")

    def _owner(self, sort: Owner, owner: Any) -> None:
        if sort is Owner.ACCOUNT:
            self._arriving(owner)
        elif sort.bucket_of(arguments.an_id(owner, "owner")) not in self._buckets:
            raise InvalidError(f"{sort.value} {owner} is in no bucket that is expected", "part")

    def _papers(self, kind: Any, owner: Any, is_first: Any, rows: Any) -> None:
        known = PAPER_KINDS.get(kind) if type(kind) is int else None
        if known is None:
            raise InvalidError(f"papers are of no kind {arguments.shown(kind)}", "part")
        self._owner(known.owner, owner)
        if type(is_first) is not bool:
            raise InvalidError(f"papers are the first of their owner or not, not {arguments.shown(is_first)}", "part")
        for row in arguments.listed(rows, COUNTS_MAX, "papers"):
            key, packed = arguments.pair(row, "papers")
            arguments.whole(key, 0, 0 if known.founds else ids.ID_MAX, "key")
            known.check(unpack_frozen(arguments.blob(packed, 1, limits.PAPER_BYTES_MAX, "document")))

    def _marks(self, kind: Any, owner: Any, begin: Any, keys: Any, stamps: Any) -> None:
        known = KINDS.get(kind) if type(kind) is int else None
        if known is None:
            raise InvalidError(f"marks are of no kind {arguments.shown(kind)}", "part")
        self._owner(known.owner, owner)
        arguments.whole(begin, 0, ids.ID_MAX, "begin")
        given, order = (arguments.packed_ids(side, PART_BYTES_MAX // NUMBER_BYTES, "marks") for side in (keys, stamps))
        rises = all(a < b for a, b in itertools.pairwise([0, *order]))
        if len(given) != len(order) or len(set(given)) != len(given) or not rises:
            raise InvalidError(f"the marks of {owner} are no distinct keys with stamps that rise", "part")
        for key in given:
            arguments.an_id(key, "key")

    def _notices(self, account_id: Any, packed: Any) -> None:
        self._arriving(account_id)
        words = arguments.packed_ids(packed, WIDTH * limits.NOTICES_COUNT_MAX, "notices")
        made = [notice_of(*words[place : place + WIDTH]) for place in range(0, len(words) // WIDTH * WIDTH, WIDTH)]
        rises = all(a.notice_id < b.notice_id for a, b in itertools.pairwise(made))
        if len(words) % WIDTH or not rises or any(notice.type_number >= len(NOTIFICATION_TYPES) for notice in made):
            raise InvalidError(f"the notices of {account_id} are none, or their ids don't rise", "part")
        for notice in made:
            arguments.an_id(notice.notice_id, "id")
            arguments.an_id(notice.actor, "actor")
            arguments.an_id_or_zero(notice.tweet_id, "tweet_id")

    def _names(self, rows: Any) -> None:
        for name, account_id, confirmed in arguments.listed(rows, COUNTS_MAX, "names"):
            arguments.text(name, limits.PROFILE_BYTES_MAX, "name")
            arguments.whole(account_id, NO_LONGER, ids.ID_MAX, "account_id")
            if type(confirmed) is not bool or ids.bucket_of_name(name) not in self._buckets:
                raise InvalidError(f"the name {name[:30]!r} is in no bucket that is expected", "part")

    def _keys(self, rows: Any) -> None:
        for account_id, key, made in arguments.listed(rows, COUNTS_MAX, "keys"):
            self._expected(account_id)
            arguments.blob(key, 1, limits.KEY_BYTES_MAX, "key")
            if type(made) is not bytes:
                arguments.an_id_or_zero(made, "tweet_id")
                continue
            at_ms, fingerprint, _ = arguments.listed(
                unpack(arguments.blob(made, 1, limits.ANSWER_BYTES_MAX, "answer")), 3, "answer"
            )
            arguments.whole(at_ms, 0, ids.ID_MAX, "at_ms")
            arguments.blob(fingerprint, 1, limits.KEY_BYTES_MAX, "fingerprint")

    def _gone(self, account_id: Any) -> None:
        self._new.discard(self._expected(account_id))

    def _clock(self, last: Any, counts: Any) -> None:
        for bucket, tweet_id in arguments.listed(last, ids.BUCKET_COUNT, "clock"):
            arguments.whole(bucket, 0, ids.BUCKET_COUNT - 1, "bucket")
            arguments.an_id(tweet_id, "tweet_id")
        arguments.id_list(counts, COUNTS_MAX, "counts")
