"""What a reader has done about some tweets: liked, reposted, bookmarked, pinned them, muted their authors.

    API worker: (tweet, original, author) of each tweet of a page --> the reader's shard --> a byte of flags for each

Rules of this file
- Asked of the reader's own shard, by the reader alone; nothing of it is anybody else's to know.
- A like, a bookmark, a pin are of the tweet that they name; a repost is of the original, whichever repost is shown.

Cost: 5 us for 20 tweets, and 1 us for each kind of mark of which the reader has 1,000.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

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
    return flags_of(shard, account_id, ids, orig_ids, author_ids)


def flags_of(
    shard: Lookups, account_id: int, tweet_ids: list[int], orig_ids: list[int], author_ids: list[int]
) -> bytes:
    """As `answer_viewer_flags`, for ids that needn't be checked. Raises NotFoundError, MovedError."""
    row, state = shard.row(account_id), shard.state
    wanted = np.array(tweet_ids, dtype=np.int64)
    flags = np.zeros(len(wanted), dtype=np.uint8)
    for kind, flag in ((LIKE, LIKED), (BOOKMARK, BOOKMARKED), (PIN, PINNED)):
        flags[state.shelves.among(kind, account_id, wanted)] |= flag
    reposts, muted = state.reposts.get(row, {}), state.graph.relations[MUTE].get(row, ())
    for i, (orig_id, author_id) in enumerate(zip(orig_ids, author_ids, strict=True)):
        flags[i] |= (orig_id in reposts) * REPOSTED | (author_id in muted) * MUTED
    return flags.tobytes()


FEATURE = Feature("viewer_flags", reads=(Read("viewer_flags", answer_viewer_flags),))
