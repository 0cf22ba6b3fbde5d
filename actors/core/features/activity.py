"""Activity by weeks: how much was written, how many signed in and came, from what is there anyway.

Rules of this file
- Nothing is kept for it: tweets say when they were written (their ids), accounts when they came, tokens when they were
  given. So what was deleted since isn't counted, nor is a log-in that has ended, and the figures of a week may fall.
- An account counts once in each week in which it signed in, however often.
- It goes on by row number, and rows differ between replicas: the primary alone is asked.

Cost: 5 us an account, and 1 us more for each token; 500 accounts a request at most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from actors.core import arguments, ids, limits
from actors.core.terms import Feature, Key, Read

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.stores.people import Account

WEEKS_MAX: Final = 12  # three months, as Mastodon shows
WEEK_MS: Final = 7 * limits.DAY_MS
ROWS_MAX: Final = 500  # accounts of one answer: 3 ms


def answer_activity(shard: Lookups, first_row: int, begin_ms: int, weeks: int) -> list[Any]:
    """Figures of some of this shard's accounts: `[next row or 0, [tweets], [accounts that signed in], [that came]]`.

    begin_ms: when the first of the weeks began; each list has a number a week, the oldest week first. From level 3 on.
    """
    arguments.whole(first_row, 0, ids.ID_MAX, "first_row")
    arguments.whole(begin_ms, 0, limits.SHOWN_MS_MAX, "begin_ms")
    arguments.whole(weeks, 1, WEEKS_MAX, "weeks")
    state = shard.state
    people, log = state.people, state.tweets.log
    bounds = np.array([ids.make_tweet_id(begin_ms + week * WEEK_MS, 0, 0) for week in range(weeks + 1)], dtype=np.int64)
    written, signed_in, came = np.zeros(weeks, dtype=np.int64), [0] * weeks, [0] * weeks
    last = min(first_row + ROWS_MAX, people.row_count)
    for row in range(first_row, last):
        account = people.accounts[row]
        if people.row_of.get(account.account_id) != row:
            continue  # free, or another shard's
        if log.klass[row] >= 0:
            written += np.diff(np.searchsorted(log.view(row), bounds))
        for week in _weeks_of(account, begin_ms, weeks):
            signed_in[week] += 1
        if 0 <= account.created_ms - begin_ms < weeks * WEEK_MS:
            came[(account.created_ms - begin_ms) // WEEK_MS] += 1
    return [last if last < people.row_count else 0, written.tolist(), signed_in, came]


def _weeks_of(account: Account, begin_ms: int, weeks: int) -> set[int]:
    """Return the weeks in which an account has got a token that it still has."""
    since = (facts.made_ms - begin_ms for facts in account.token_facts.values())
    return {ms // WEEK_MS for ms in since if 0 <= ms < weeks * WEEK_MS}


FEATURE = Feature("activity", reads=(Read("activity", answer_activity, Key.SHARD, from_followers=False),))
