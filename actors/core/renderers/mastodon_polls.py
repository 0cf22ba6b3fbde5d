"""Mastodon's entity Poll, with the tallies and the reader's votes of now, or as it was when it was asked.

Rules of this file
- Of a poll that hides its totals until its end, nobody is told them before, its author no more than others.

Cost: 3 us a poll.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from actors.core.facts import Poll
from actors.core.renderers.timestamps import timestamp


def poll_of(
    tweet_id: int, asked: Poll, is_over: bool = False, tallies: Sequence[int] = (), voters: int = 0,
    own_choices: int | None = None, is_own: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Return a Poll. tallies: by option; own_choices: the reader's, a bit an option, None if nobody reads.

    is_own: whether the reader asks himself, who counts as one that has voted: his client shows the tallies then.
    """
    counts: Sequence[int | None] = tallies or [0] * len(asked.options)
    shown: Sequence[int | None] = [None] * len(asked.options) if asked.hide_totals and not is_over else counts
    found: dict[str, Any] = {
        "id": str(tweet_id), "expires_at": timestamp(asked.ends_ms), "expired": is_over, "multiple": asked.multiple,
        "votes_count": sum(tallies), "voters_count": voters,
        "options": [
            {"title": title, "votes_count": count} for title, count in zip(asked.options, shown, strict=True)
        ],
    }  # fmt: skip
    if own_choices is not None:
        found["voted"] = bool(own_choices) or is_own
        found["own_votes"] = [option for option in range(len(asked.options)) if own_choices >> option & 1]
    return {**found, "emojis": []}
