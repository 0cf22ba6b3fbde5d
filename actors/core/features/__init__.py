"""The table of features, and every list that is made of it.

A new feature is a file in this folder and its name in FEATURES: its operations are then routed, checked against hostile
arguments, documented (`tests/test_docs.py` asks for a line each) and its commands and messages replayed.
Raises ValueError at import when two features claim one name, or an effect notifies of what it doesn't say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from actors.core.features import (
    accounts,
    activity,
    addresses,
    answers,
    app_tokens,
    approvals,
    apps,
    blobs,
    blocks,
    bookmarks,
    boosts,
    cards,
    codes,
    conversation_mutes,
    conversations,
    counts,
    deletion,
    directory,
    dismissals,
    dormancy,
    edits,
    falling_due,
    filters,
    follow_options,
    follow_requests,
    followee_options,
    follows,
    if_seen,
    indexing,
    likes,
    lists,
    logins,
    mail,
    mailboxes,
    markers,
    media,
    media_held,
    notes,
    notification_groups,
    notification_policies,
    notifications,
    operators,
    outbound,
    own_tags,
    pins,
    polls,
    previews,
    public_tweets,
    pull_authors,
    push,
    quotes,
    reactions,
    redeeming,
    relations,
    replies,
    reports,
    reposts,
    rising,
    scheduled,
    shelf_pages,
    status_sources,
    tag_readers,
    tweets,
    viewer_flags,
    webhooks,
)
from actors.core.notifying import require_notifiable
from actors.core.terms import Effect, Feature, Key, Kind, PaperKind, Read, Settles, Write

FEATURES: Final[tuple[Feature, ...]] = (
    accounts.FEATURE,
    logins.FEATURE,
    answers.FEATURE,
    apps.FEATURE,
    app_tokens.FEATURE,
    addresses.FEATURE,
    approvals.FEATURE,
    codes.FEATURE,
    redeeming.FEATURE,
    tweets.FEATURE,
    reposts.FEATURE,
    boosts.FEATURE,
    likes.FEATURE,
    bookmarks.FEATURE,
    if_seen.FEATURE,
    pins.FEATURE,
    conversation_mutes.FEATURE,
    conversations.FEATURE,
    shelf_pages.FEATURE,
    follows.FEATURE,
    blocks.FEATURE,
    followee_options.FEATURE,
    follow_options.FEATURE,
    follow_requests.FEATURE,
    notes.FEATURE,
    notification_policies.FEATURE,
    notifications.FEATURE,
    notification_groups.FEATURE,
    relations.FEATURE,
    dormancy.FEATURE,
    pull_authors.FEATURE,
    counts.FEATURE,
    replies.FEATURE,
    edits.FEATURE,
    scheduled.FEATURE,
    falling_due.FEATURE,
    polls.FEATURE,
    quotes.FEATURE,
    status_sources.FEATURE,
    deletion.FEATURE,
    operators.FEATURE,
    blobs.FEATURE,
    media.FEATURE,
    media_held.FEATURE,
    previews.FEATURE,
    outbound.FEATURE,
    webhooks.FEATURE,
    mail.FEATURE,
    mailboxes.FEATURE,
    push.FEATURE,
    viewer_flags.FEATURE,
    cards.FEATURE,
    rising.FEATURE,
    directory.FEATURE,
    indexing.FEATURE,
    dismissals.FEATURE,
    reports.FEATURE,
    markers.FEATURE,
    filters.FEATURE,
    lists.FEATURE,
    public_tweets.FEATURE,
    own_tags.FEATURE,
    reactions.FEATURE,
    activity.FEATURE,
    tag_readers.FEATURE,
)


N = TypeVar("N")
T = TypeVar("T")


def _by_name(pairs: Iterable[tuple[N, T]]) -> Mapping[N, T]:
    rows: dict[N, T] = {}
    for name, row in pairs:
        if name in rows:
            raise ValueError(f"two features claim {name!r}")
        rows[name] = row
    return rows


WRITES: Final[Mapping[str, Write]] = _by_name((write.name, write) for f in FEATURES for write in f.writes)
READS: Final[Mapping[str, Read]] = _by_name((read.name, read) for f in FEATURES for read in f.reads)
COMMANDS: Final[Mapping[str, Callable[..., Any]]] = _by_name(pair for f in FEATURES for pair in f.commands.items())
EFFECTS: Final[Mapping[str, Effect]] = _by_name((effect.name, effect) for f in FEATURES for effect in f.effects)
require_notifiable(EFFECTS)
SETTLES: Final = {name: row.settles for name, row in EFFECTS.items() if row.settles is not Settles.NEVER}
MESSAGES: Final[Mapping[str, Callable[..., None]]] = {name: effect.handle for name, effect in EFFECTS.items()}

KINDS: Final[Mapping[int, Kind]] = _by_name((kind.number, kind) for f in FEATURES for kind in f.kinds)
PAPER_KINDS: Final[Mapping[int, PaperKind]] = _by_name((kind.number, kind) for f in FEATURES for kind in f.papers)
_by_name((number, number) for kinds in (KINDS, PAPER_KINDS) for number in kinds)  # none is a mark's and a paper's

HIDING: Final = frozenset(write.name for write in WRITES.values() if write.hides)

ASKING: Final = frozenset(write.name for write in WRITES.values() if write.asks is not None)

FOLLOWER_READS: Final = frozenset(read.name for read in READS.values() if read.from_followers)
FRESH_READS: Final = frozenset(read.name for read in READS.values() if read.fresh)
SHAPED_READS: Final = frozenset(
    {"home", "list_timeline", *(read.name for read in READS.values() if read.shaped)}
)  # see shaped_reads.py
SHARD_WIDE: Final = frozenset(name for rows in (WRITES, READS) for name, row in rows.items() if row.key is Key.SHARD)


def hides(op: str, args: list[Any]) -> bool:
    """Whether less is shown, or something else, after a write that was carried out; also if it carried a key."""
    if op == "keyed":
        op, args = args[3:5] if len(args) > 4 else ("", [])  # refused, if there are less
    if type(op) is not str or op not in HIDING:
        return False
    said = WRITES[op].hides
    return said if isinstance(said, bool) else said(args)
