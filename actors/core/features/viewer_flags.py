"""What a reader has done about some tweets: liked, reposted, bookmarked, pinned them, muted their authors.

    API worker: (tweet, original, author) of each tweet of a page --> the reader's shard --> a byte of flags for each

Rules of this file
- Asked of the reader's own shard, by the reader alone; nothing of it is anybody else's to know.
- A like, a bookmark, a pin are of the tweet that they name; a repost is of the original, whichever repost is shown.

- Bits are for ever. The sixth is kept for "could be pinned", which Mastodon's clients are told of own tweets.

Cost: 1 us for 20 tweets of a reader without marks; 2 us, and 1 us for every 1,000 of his likes and bookmarks.
"""

from __future__ import annotations

from collections.abc import Set
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from actors.core import arguments, limits
from actors.core.errors import InvalidError
from actors.core.features.bookmarks import BOOKMARK
from actors.core.features.likes import LIKE
from actors.core.features.pins import PIN
from actors.core.flags import MUTE
from actors.core.terms import Feature, Read

if TYPE_CHECKING:
    from actors.core.lookups import Lookups

LIKED, REPOSTED, BOOKMARKED, MUTED, PINNED = (1 << bit for bit in range(5))
Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
_SHELVES: Final = ((LIKE, LIKED), (BOOKMARK, BOOKMARKED))
FLAG_NAMES: Final = {"liked": LIKED, "reposted": REPOSTED, "bookmarked": BOOKMARKED, "muted": MUTED, "pinned": PINNED}


def answer_viewer_flags(shard: Lookups, account_id: int, tweets: bytes, originals: bytes, authors: bytes) -> bytes:
    """What an account has done about some tweets: a byte for each, of LIKED, REPOSTED, BOOKMARKED, MUTED, PINNED.

    tweets, originals, authors: ids as int64 bytes, as many of each; an original is the tweet itself, or what it
    reposts. For the account itself alone.
    """
    columns = {"tweets": tweets, "originals": originals, "authors": authors}
    ids, orig_ids, author_ids = (
        arguments.packed_ids(packed, limits.FLAGGED_COUNT_MAX, field) for field, packed in columns.items()
    )
    if not len(ids) == len(orig_ids) == len(author_ids):
        counts = ", ".join(str(len(each)) for each in (ids, orig_ids, author_ids))
        raise InvalidError(f"tweets, originals and authors must be as many of each, not {counts}", "tweets")
    return flags_of(shard, account_id, np.array(ids, dtype=np.int64), orig_ids, author_ids) or bytes(len(ids))


def flags_of(
    shard: Lookups, account_id: int, tweet_ids: Ints, orig_ids: list[int], author_ids: list[int]
) -> bytes | None:
    """As `answer_viewer_flags`, for ids that needn't be checked; None if nothing is set for any of them.

    tweet_ids: a whole array, no part of one. Raises NotFoundError, MovedError.
    """
    state = shard.state
    row = state.people.row_of.get(account_id)
    if row is None:
        row = shard.row(account_id)  # says why not
    flags = state.shelves.flags(_SHELVES, account_id, row, tweet_ids)
    pinned = state.shelves.view(PIN, account_id)[0]
    if len(pinned):
        flags = _set(flags, tweet_ids.tolist(), set(pinned.tolist()), PINNED)
    reposts, muted = state.reposts.get(row), state.graph.relations[MUTE].get(row)
    if reposts:
        flags = _set(flags, orig_ids, reposts.keys(), REPOSTED)
    if muted:
        flags = _set(flags, author_ids, muted, MUTED)
    return None if flags is None else flags.tobytes()


def _set(flags: Bytes | None, keys: list[int], among: Set[int], flag: int) -> Bytes | None:
    """Set a flag where the key is among some others."""
    if among.isdisjoint(keys):  # as a rule: a third of the time
        return flags
    here = np.array([key in among for key in keys], dtype=np.uint8) * np.uint8(flag)
    return here if flags is None else flags | here


FEATURE = Feature("viewer_flags", reads=(Read("viewer_flags", answer_viewer_flags),))
