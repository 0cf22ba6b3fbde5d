"""What a reader has done about some tweets: liked, reposted, bookmarked, pinned, muted them, or their authors.

    API worker: (tweet, original, author) of each tweet of a page --> the reader's shard --> a byte of flags for each

Rules of this file
- Asked of the reader's own shard, by the reader alone; nothing of it is anybody else's to know.
- A like, a bookmark, a pin are of the tweet that they name; a repost is of the original, whichever repost is shown.

- Bits are for ever. PINNABLE: an own tweet that may be pinned, which Mastodon's clients are told of those alone.
- Whether a tweet's conversation is muted is looked up by what it answers: `parents` says that of tweets which the
  reader's shard may not know.

Cost: 1 us for 20 tweets of a reader without marks; 2 us, and 1 us for every 1,000 of his likes and bookmarks.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from actors.core import arguments, limits
from actors.core.errors import InvalidError
from actors.core.features.bookmarks import BOOKMARK
from actors.core.features.conversation_mutes import MUTED_CONVERSATION, is_muted
from actors.core.features.likes import LIKE
from actors.core.features.pins import PIN
from actors.core.flags import FLAG_DIRECT, FLAG_REPOST, MUTE
from actors.core.terms import Feature, Read

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState

LIKED, REPOSTED, BOOKMARKED, MUTED, PINNED, PINNABLE, CONVERSATION_MUTED = (1 << bit for bit in range(7))
Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
_SHELVES: Final = ((LIKE, LIKED), (BOOKMARK, BOOKMARKED))
FLAG_NAMES: Final = {"liked": LIKED, "reposted": REPOSTED, "bookmarked": BOOKMARKED, "muted": MUTED, "pinned": PINNED}


def answer_viewer_flags(
    shard: Lookups, account_id: int, tweets: bytes, originals: bytes, authors: bytes, parents: bytes = b""
) -> bytes:
    """What an account has done about some tweets: a byte for each, of the bits above.

    tweets, originals, authors: ids as int64 bytes, as many of each; an original is the tweet itself, or what it
    reposts. parents: nothing, or what each original answers, 0 for nothing. For the account itself alone.
    """
    columns = {"tweets": tweets, "originals": originals, "authors": authors, "parents": parents}
    ids, orig_ids, author_ids, parent_ids = (
        arguments.packed_ids(packed, limits.FLAGGED_COUNT_MAX, field) for field, packed in columns.items()
    )
    if len(parent_ids) not in (0, len(ids)):
        raise InvalidError(f"parents must be none or {len(ids)}, as many as tweets, not {len(parent_ids)}", "parents")
    if not len(ids) == len(orig_ids) == len(author_ids):
        counts = ", ".join(str(len(each)) for each in (ids, orig_ids, author_ids))
        raise InvalidError(f"tweets, originals and authors must be as many of each, not {counts}", "tweets")
    made = flags_of(shard, account_id, np.array(ids, dtype=np.int64), orig_ids, author_ids, parent_ids)
    return made or bytes(len(ids))


def flags_of(
    shard: Lookups, account_id: int, tweet_ids: Ints, orig_ids: list[int], author_ids: list[int],
    parent_ids: Sequence[int] = (),
) -> bytes | None:  # fmt: skip
    """As `answer_viewer_flags`, for ids that needn't be checked; None if nothing is set for any of them.

    tweet_ids: a whole array, no part of one. Raises NotFoundError, MovedError.
    """
    state = shard.state
    row = state.people.row_of.get(account_id)
    if row is None:
        row = shard.row(account_id)  # says why not
    flags = state.shelves.flags(_SHELVES, account_id, row, tweet_ids)
    if state.shelves.count(PIN, account_id):
        pinned = state.shelves.view(PIN, account_id)[0]
        flags = _set(flags, tweet_ids.tolist(), set(pinned.tolist()), PINNED)
    reposts, muted = state.reposts.get(row), state.graph.relations[MUTE].get(row)
    if reposts:
        flags = _set(flags, orig_ids, reposts.keys(), REPOSTED)
    if muted:
        flags = _set(flags, author_ids, muted, MUTED)
    if account_id in author_ids:
        pinnable = _pinnable(state, account_id, tweet_ids.tolist(), author_ids)
        flags = _set(flags, tweet_ids.tolist(), pinnable, PINNABLE)
    if state.shelves.count(MUTED_CONVERSATION, account_id):
        muted_ids = set(state.shelves.view(MUTED_CONVERSATION, account_id)[0].tolist())
        parents = parent_ids or [0] * len(orig_ids)
        found = {i for i, parent in zip(orig_ids, parents, strict=True) if is_muted(state, muted_ids, i, parent)}
        flags = _set(flags, orig_ids, found, CONVERSATION_MUTED)
    return None if flags is None else flags.tobytes()


def _pinnable(state: ShardState, account_id: int, tweet_ids: list[int], author_ids: list[int]) -> set[int]:
    """Return which of some tweets are the account's own words, and not direct: `features/pins.py` takes those."""
    stored = state.tweets.columns["flags"]
    found = set()
    for tweet_id, author_id in zip(tweet_ids, author_ids, strict=True):
        slot = state.tweets.find(tweet_id) if author_id == account_id else None
        if slot is not None and not stored.item(slot) & (FLAG_DIRECT | FLAG_REPOST):
            found.add(tweet_id)
    return found


def _set(flags: Bytes | None, keys: list[int], among: Set[int], flag: int) -> Bytes | None:
    """Set a flag where the key is among some others."""
    if among.isdisjoint(keys):  # as a rule: a third of the time
        return flags
    here = np.array([key in among for key in keys], dtype=np.uint8) * np.uint8(flag)
    return here if flags is None else flags | here


FEATURE = Feature("viewer_flags", reads=(Read("viewer_flags", answer_viewer_flags),))
