# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""The compiled loops of timelines: ring inserts, deliveries, pages, author logs. Those of arenas: `arena_kernels.py`.

Rules of this file
- Numba in nopython mode, `cache=True` (compiled once per machine), `nogil=True`; plain arrays and integers only.
- No allocation that depends on the input's honesty; callers have checked rows and bounds.
- A kernel that runs out of arena space returns how far it came; the caller grows the arena and calls again.
- Every kernel has a plain-Python twin in `tests/core/twins.py`, compared by Hypothesis.

Ring entries are arrival numbers n: the first ordered[row] ascending by tweet id, those behind as they came; whoever
reads a ring has it settled first. `n` is alive while `1 <= (next_n - n) mod 2**32 <= capacity`.
"""

from __future__ import annotations

import numpy as np

from actors.core.arrays.arena_kernels import grow_row, move, njit, njit_making_arrays, prefetch
from actors.core.flags import FLAG_DELETED, FLAG_DIRECT, FLAG_FOLLOWERS, FLAG_REPLY, FLAG_REPOST, FLAG_UNCOUNTED

__all__ = [  # for those who import kernels
    "FLAG_DELETED", "FLAG_DIRECT", "FLAG_FOLLOWERS", "FLAG_REPLY", "FLAG_REPOST", "FLAG_UNCOUNTED",
]  # fmt: skip

NO_BUDGET = 1 << 62

_U32 = 0xFFFFFFFF
_AHEAD_ROWS = 16  # followers whose row record is fetched ahead of its turn: 16 turns are about a memory access
_AHEAD_SLOTS = 8  # followers whose ring slot is fetched ahead; their record has come by then


@njit
def _place_in_ring(data, start, length, floor, col_id, next_n, capacity, lost_max, row, tweet_id):
    """Return where in a sorted ring a tweet belongs, -1 if it is there or not wanted. O(entries newer than it)."""
    s = start[row]
    p = length[row]
    while p > 0:
        m = np.int64(data[s + p - 1])
        age = (next_n - m) & _U32
        if age < 1 or age > capacity:
            # A lost entry: its id is unknown but at most lost_max. Everything at or below is given up.
            move(data, s, s + p, np.int64(length[row] - p))
            length[row] -= p
            if lost_max > floor[row]:
                floor[row] = lost_max
            return 0 if tweet_id > floor[row] else -1
        other = col_id[m & (capacity - 1)]
        if other == tweet_id:
            return -1
        if other < tweet_id:
            break
        p -= 1
    return p


@njit_making_arrays
def settle_ring(data, start, length, floor, ordered, col_id, next_n, capacity, lost_max, row) -> None:
    """Bring the entries behind ordered[row] to their places: each once, none that is lost or at or below the floor.

    They are sorted apart, by insertion since they nearly are, and merged with the entries that are newer than the
    oldest of them.
    """
    mask = capacity - 1
    s = start[row]
    first = ordered[row]
    late, late_ids = np.empty(length[row] - first, dtype=data.dtype), np.empty(length[row] - first, dtype=np.int64)
    count = 0
    for j in range(first, length[row]):
        n = data[s + j]
        age = (next_n - np.int64(n)) & _U32
        if age < 1 or age > capacity:
            if lost_max > floor[row]:
                floor[row] = lost_max
            continue
        tweet_id = col_id[np.int64(n) & mask]
        p = count
        while p > 0 and late_ids[p - 1] > tweet_id:
            late_ids[p], late[p] = late_ids[p - 1], late[p - 1]
            p -= 1
        late_ids[p], late[p] = tweet_id, n
        count += 1
    bottom = 0
    p = first
    while p > 0 and count > 0:
        m = np.int64(data[s + p - 1])
        age = (next_n - m) & _U32
        if age < 1 or age > capacity:  # lost: everything at or below is given up
            bottom = p
            if lost_max > floor[row]:
                floor[row] = lost_max
            break
        if col_id[m & mask] < late_ids[0]:
            break
        p -= 1
    newer = data[s + p : s + first].copy()
    end, i, previous = p, 0, floor[row]
    for j in range(count + 1):
        while i < newer.shape[0]:
            tweet_id = col_id[np.int64(newer[i]) & mask]
            if j < count and tweet_id > late_ids[j]:
                break
            data[s + end] = newer[i]
            end += 1
            i += 1
            previous = tweet_id
        if j < count and late_ids[j] > previous:
            data[s + end] = late[j]
            end += 1
            previous = late_ids[j]
    move(data, s, s + bottom, np.int64(end - bottom))
    length[row] = ordered[row] = end - bottom


@njit
def _ring_insert(
    data, start, length, klass, sizes, meta, floor, ordered, keep, col_id, next_n, capacity, lost_max,
    row, n, tweet_id, in_order,
) -> int:  # fmt: skip
    """Insert arrival n into one ring, ascending by tweet id. Return 1 inserted, 0 not wanted, -1 arena full.

    A ring at its largest class that is full keeps its newest `keep` entries and raises its floor to the highest id
    dropped. In-order arrivals (newer than all before them) are appended without looking at any other entry.
    """
    if ordered[row] < length[row]:
        settle_ring(data, start, length, floor, ordered, col_id, next_n, capacity, lost_max, row)
    if tweet_id <= floor[row]:
        return 0
    p = length[row]
    if not in_order and p > 0:
        p = _place_in_ring(data, start, length, floor, col_id, next_n, capacity, lost_max, row, tweet_id)
        if p < 0:
            ordered[row] = length[row]
            return 0
    k = klass[row]
    if k < 0 or length[row] == sizes[k]:
        if k + 1 < sizes.shape[0]:
            if not grow_row(data, start, length, klass, sizes, meta, row):
                ordered[row] = length[row]
                return -1
        else:
            s = start[row]
            drop = length[row] - keep
            m = np.int64(data[s + drop - 1])
            age = (next_n - m) & _U32
            dropped_id = col_id[m & (capacity - 1)] if 1 <= age <= capacity else lost_max
            if dropped_id > floor[row]:
                floor[row] = dropped_id
            move(data, s, s + drop, np.int64(keep))
            length[row] = ordered[row] = keep
            if tweet_id <= floor[row]:
                return 0
            p -= drop
    s = start[row]
    move(data, s + p + 1, s + p, np.int64(length[row] - p))
    data[s + p] = n
    length[row] += 1
    ordered[row] = length[row]
    return 1


@njit
def _fetch_first(data, start, length, f_data, first, end) -> None:
    """Ask for what the first followers' turns need."""
    for a in range(first, min(first + _AHEAD_ROWS, end)):
        prefetch(start, np.int64(f_data[a]))
    for a in range(first, min(first + _AHEAD_SLOTS, end)):
        row = np.int64(f_data[a])
        prefetch(data, start[row] + length[row])


@njit
def deliver(
    data,
    start,
    length,
    klass,
    sizes,
    meta,
    floor,
    ordered,
    awake,
    keep,
    col_id,
    next_n,
    capacity,
    lost_max,
    f_data,
    f_start,
    f_length,
    ns,
    ids,
    authors,
    own_rows,
    in_order,
    budget,
    progress,
) -> bool:
    """Insert each arrival into the ring of its author, and of its author's local followers.

    ns uint32[k], ids int64[k]; authors int64[k]: row of the author in the local-follower arena, -1 for none;
    own_rows int64[k]: ring row of the author if local, else -1; in_order bool[k]: newer than all arrivals before it.
    budget: followers to look at. progress int64[4] = (arrival, place in it (0 the author's own ring, 1 the first
    follower): where to go on; followers looked at; entries inserted).
    Returns True when done or out of budget, False when the ring arena must grow (call again).
    """
    i = progress[0]
    place = progress[1]
    while i < ns.shape[0] and progress[2] < budget:
        author = authors[i]
        n, tweet_id, newest = ns[i], ids[i], in_order[i]
        if place == 0:
            own = own_rows[i]
            if own >= 0 and awake[own]:
                got = _ring_insert(
                    data, start, length, klass, sizes, meta, floor, ordered, keep, col_id, next_n, capacity, lost_max,
                    own, n, tweet_id, newest,
                )  # fmt: skip
                if got < 0:
                    progress[0], progress[1] = i, 0
                    return False
                progress[3] += got
            place = 1
        j = place - 1
        count = np.int64(f_length[author]) if author >= 0 else np.int64(0)
        base = f_start[author] if author >= 0 else np.int64(0)
        _fetch_first(data, start, length, f_data, base + j, base + count)
        end = min(count, j + budget - progress[2])
        progress[2] += end - j
        while j < end:
            if j + _AHEAD_ROWS < count:
                prefetch(start, np.int64(f_data[base + j + _AHEAD_ROWS]))
            if j + _AHEAD_SLOTS < count:
                row = np.int64(f_data[base + j + _AHEAD_SLOTS])
                prefetch(data, start[row] + length[row])
            row = np.int64(f_data[base + j])
            if awake[row] and tweet_id > floor[row]:
                k = klass[row]
                room = length[row]
                if (k < 0 or room == sizes[k]) and k + 1 < sizes.shape[0]:
                    if not grow_row(data, start, length, klass, sizes, meta, row):
                        progress[0], progress[1] = i, j + 1
                        progress[2] -= end - j
                        return False
                    k += 1
                if room < sizes[k]:
                    data[start[row] + room] = n
                    length[row] = room + 1
                    if newest and ordered[row] == room:
                        ordered[row] = room + 1
                    progress[3] += 1
                else:  # full, and there is no larger block
                    progress[3] += _ring_insert(
                        data, start, length, klass, sizes, meta, floor, ordered, keep, col_id, next_n, capacity,
                        lost_max, row, n, tweet_id, newest,
                    )  # fmt: skip
            j += 1
        if j < count:
            progress[0], progress[1] = i, j + 1
            return True
        place = 0
        i += 1
    progress[0], progress[1] = i, 0
    return True


@njit
def insert_rows(
    data,
    start,
    length,
    klass,
    sizes,
    meta,
    floor,
    ordered,
    awake,
    keep,
    col_id,
    next_n,
    capacity,
    lost_max,
    rows,
    ns,
    ids,
    progress,
) -> bool:
    """Insert arrival ns[i] into ring rows[i], wherever its id belongs (backfills, rebuilds). As `deliver`."""
    for i in range(progress[0], rows.shape[0]):
        row = rows[i]
        if row >= 0 and awake[row]:
            got = _ring_insert(
                data, start, length, klass, sizes, meta, floor, ordered, keep, col_id, next_n, capacity, lost_max,
                row, ns[i], ids[i], False,
            )  # fmt: skip
            if got < 0:
                progress[0] = i
                return False
            progress[2] += got
    progress[0] = rows.shape[0]
    return True


@njit
def drop_lost(data, start, length, floor, ordered, col_id, next_n, capacity, lost_max) -> None:
    """Drop from every ring its newest lost entry and all below it; the floor rises to just below what remains."""
    mask = capacity - 1
    for row in range(length.shape[0]):
        if ordered[row] < length[row]:
            settle_ring(data, start, length, floor, ordered, col_id, next_n, capacity, lost_max, row)
        s = start[row]
        n = length[row]
        cut = n
        while cut > 0:
            age = (next_n - np.int64(data[s + cut - 1])) & _U32
            if age < 1 or age > capacity:
                break
            cut -= 1
        if cut == 0:
            continue
        edge = col_id[np.int64(data[s + cut]) & mask] - 1 if cut < n else lost_max
        if edge > floor[row]:
            floor[row] = edge
        move(data, s, s + cut, np.int64(n - cut))
        length[row] = ordered[row] = n - cut


@njit
def purge_author(data, start, length, ordered, col_author, next_n, capacity, row, author_id):
    """Remove an author's entries from one settled ring; order and floor stay. Return how many went."""
    mask = capacity - 1
    s = start[row]
    kept = 0
    n = length[row]
    for j in range(n):
        m = np.int64(data[s + j])
        age = (next_n - m) & _U32
        if 1 <= age <= capacity and col_author[m & mask] == author_id:
            continue
        data[s + kept] = data[s + j]
        kept += 1
    length[row] = ordered[row] = kept
    return n - kept


@njit
def _contains(values, value) -> bool:
    for v in values:
        if v == value:
            return True
    return False


@njit
def _place_of(values, value) -> int:
    """Return where a value is among ascending ones, -1 if it isn't there."""
    low, high = 0, values.shape[0]
    while low < high:
        middle = (low + high) // 2
        if values[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low if low < values.shape[0] and values[low] == value else -1


@njit
def note_followed(keys, following, me, is_followed) -> None:
    """Note which of `keys`, which ascend, are followed, or me: O(following * log(keys))."""
    for account in following:
        at = _place_of(keys, account)
        if at >= 0:
            is_followed[at] = True
    at = _place_of(keys, me)
    if at >= 0:
        is_followed[at] = True


@njit
def entries_of_authors(ns, col_id, col_author, next_n, capacity, lost_max, floor, authors, out):
    """Write those of the entries that are some authors' to the end of `out`, as long as `ns`, in their order.

    ns: uint32[], ascending by tweet id; authors: int64[], ascending. Returns (how many; floor: it rises to just below
    what follows the newest lost entry). O(entries * log(authors)).
    """
    found, mask = 0, np.uint32(capacity - 1)
    for i in range(ns.shape[0] - 1, -1, -1):
        age = np.int64(np.uint32(np.uint32(next_n & 0xFFFFFFFF) - ns[i]))
        if age < 1 or age > capacity:
            edge = col_id[ns[i + 1] & mask] - 1 if i + 1 < ns.shape[0] else lost_max
            return found, max(floor, edge)
        if _place_of(authors, col_author[ns[i] & mask]) >= 0:
            found += 1
            out[ns.shape[0] - found] = ns[i]
    return found, floor


@njit
def is_candidate(author, flags, reply_author, orig_author, me, following, hidden):
    """Whether a tweet that is in reach may be in the home timeline of `me`: not deleted, not hidden, reply rule.

    hidden int64[]: accounts whose tweets aren't shown, and as -id those whose reposts aren't.
    The reply rule: a reply shows if it is one's own, an answer to me or to its own author, or to somebody I follow.
    """
    if flags & FLAG_DELETED:
        return False
    if hidden.shape[0] and author != me and _contains(hidden, author):
        return False
    if hidden.shape[0] and flags & FLAG_REPOST:
        if _contains(hidden, orig_author) or (author != me and _contains(hidden, -author)):
            return False
    if flags & FLAG_REPLY and author != me and reply_author != me and reply_author != author:
        return _contains(following, reply_author)
    return True


@njit
def page(
    ns,
    col_id,
    col_author,
    col_flags,
    col_reply_author,
    col_orig,
    col_orig_author,
    next_n,
    capacity,
    floor,
    me,
    following,
    hidden,
    max_id,
    since_id,
    window,
    out,
):
    """Walk entries from the newest and collect one page.

    ns uint32[]: entries ascending by tweet id; floor: below or at it nothing is known (0: there is nothing below);
    max_id, since_id exclusive; window: REPOST_WINDOW_COUNT; out uint32[count]: filled newest first.
    Returns (count found, below): below = -1 when the page is decided; else the page goes on with tweets of an id
    lower than `below`, which these entries don't decide.
    """
    mask = capacity - 1
    found = 0
    below = max_id
    i = ns.shape[0] - 1
    while i >= 0 and found < out.shape[0]:
        n = np.int64(ns[i])
        age = (next_n - n) & _U32
        if age < 1 or age > capacity:
            return found, below
        m = n & mask
        tweet_id = col_id[m]
        if tweet_id <= floor:
            break
        if tweet_id <= since_id:
            return found, np.int64(-1)
        i -= 1
        if tweet_id >= max_id:
            continue
        if not is_candidate(
            col_author[m], col_flags[m], col_reply_author[m], col_orig_author[m], me, following, hidden
        ):
            below = tweet_id
            continue
        if col_flags[m] & FLAG_REPOST:
            verdict = _older_has(
                ns, i, col_id, col_author, col_flags, col_reply_author, col_orig, col_orig_author,
                next_n, capacity, floor, me, following, hidden, window, col_orig[m],
            )  # fmt: skip
            if verdict < 0:
                return found, tweet_id + 1
            if verdict > 0:
                below = tweet_id
                continue
        out[found] = ns[i + 1]
        found += 1
        below = tweet_id
    if found == out.shape[0] or floor == 0 or since_id >= floor:
        return found, np.int64(-1)
    if floor + 1 < below:
        below = floor + 1
    return found, below


@njit
def page_of_row(
    data, start, length, floor, ordered, f_data, f_start, f_length,
    col_id, col_author, col_flags, col_reply_author, col_orig, col_orig_author,
    next_n, capacity, lost_max, row, me, hidden, max_id, since_id, window, out,
):  # fmt: skip
    """As `page` of one ring, which it finds and settles itself, and its owner's followees: 1 us less than slices.

    out: filled with the slots of the arrivals rather than with their numbers.
    """
    if ordered[row] < length[row]:
        settle_ring(data, start, length, floor, ordered, col_id, next_n, capacity, lost_max, row)
    found, below = page(
        data[start[row] : start[row] + length[row]],
        col_id, col_author, col_flags, col_reply_author, col_orig, col_orig_author, next_n, capacity,
        floor[row], me, f_data[f_start[row] : f_start[row] + f_length[row]], hidden, max_id, since_id, window, out,
    )  # fmt: skip
    for i in range(found):
        out[i] &= capacity - 1
    return found, below


@njit
def _older_has(
    ns,
    i,
    col_id,
    col_author,
    col_flags,
    col_reply_author,
    col_orig,
    col_orig_author,
    next_n,
    capacity,
    floor,
    me,
    following,
    hidden,
    window,
    orig,
) -> int:
    """Whether `orig` or a repost of it is among the `window` candidates from ns[i] down: 1, 0, or -1 for unknown."""
    mask = capacity - 1
    seen = 0
    while seen < window:
        if i < 0:
            return 0 if floor == 0 else -1
        n = np.int64(ns[i])
        age = (next_n - n) & _U32
        if age < 1 or age > capacity:
            return -1
        m = n & mask
        if col_id[m] <= floor:
            return -1
        i -= 1
        if is_candidate(col_author[m], col_flags[m], col_reply_author[m], col_orig_author[m], me, following, hidden):
            seen += 1
            if col_orig[m] == orig:
                return 1
    return 0


@njit
def newest_of_logs(data, start, length, rows, max_id, since_id, count, out):
    """Collect, per author log (ascending ids), its newest `count` ids within (since_id, max_id) into out.

    Returns how many were written; out must hold rows * count. The caller sorts and cuts.
    """
    k = 0
    for r in rows:
        s = start[r]
        hi = s + length[r]
        lo = s
        while lo < hi:
            mid = (lo + hi) // 2
            if data[mid] < max_id:
                lo = mid + 1
            else:
                hi = mid
        j = lo - 1
        taken = 0
        while j >= s and taken < count and data[j] > since_id:
            out[k] = data[j]
            k += 1
            taken += 1
            j -= 1
    return k


@njit
def oldest_of_logs(data, start, length, rows, min_id, count, out):
    """As newest_of_logs, but the `count` ids just above min_id of each log."""
    k = 0
    for r in rows:
        s = start[r]
        end = s + length[r]
        lo = s
        hi = end
        while lo < hi:
            mid = (lo + hi) // 2
            if data[mid] <= min_id:
                lo = mid + 1
            else:
                hi = mid
        taken = 0
        while lo < end and taken < count:
            out[k] = data[lo]
            k += 1
            taken += 1
            lo += 1
    return k
