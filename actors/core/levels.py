"""Levels: from when on what is new may be used, while processes of several versions work together (`roll`).

A level is a number that only grows. LEVEL says what this code *knows*: it reads and applies everything up to there, at
any time. What it may *use* (journal, send, ask for) says the cluster: a shard's own `state.level` for its commands
and messages, the map's `level` for whoever asks shards.

Rules of this file
- What is new is *read* as soon as the code is there, and *written* only from its level on: `if state.level >= 2`.
- A level is taken by one command, `level [n]`, journaled, so that a replica and a replay write what the leader wrote.
  Levels of two shards differ for a moment: what a shard sends is of its own level, and all processes know it by then.
- Whoever meets a level that it doesn't know stops, and says that it is too old. Levels never fall: a cluster that has
  risen is not rolled back.
- A row of BRINGS is for ever. To add a level: raise LEVEL by one, add its row.

Who raises them, and when, is cluster/router/level_rise.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from actors.core.errors import ConflictError

if TYPE_CHECKING:
    from actors.core.state import ShardState

VERSION: Final = "0.1.0"  # of Rookery, for people; what processes go by is the level
LEVEL: Final = 4
BRINGS: Final[dict[int, str]] = {
    0: "what processes know that report no level, and journals, maps and checkpoints hold that name none",
    1: "the command `level`, maps that carry levels; facts as maps; who and when in commands and effects; shelves",
    2: "the lane's `settled`, `if_seen` and `shaped`; what is told of a batch of messages besides its acknowledgement"
    " (`deliver_told`); between shards `accounts` and `profile_card`; pins; things (`Owner.THING`), with their shelves"
    " and papers; apps; tokens with scopes, and codes",
    3: "the shape of Mastodon's API; counts in cards; settings of accounts (header, flags, privacy, language);"
    " dismissals; reports; `usage` and `directory`; tokens of apps alone, e-mail addresses, accounts that wait;"
    " muted conversations; pages of shelves by stamps; reposts for followers alone; options of follows and mutes,"
    " `follower_removed`, endorsements, notes on accounts, requests to follow;"
    " unlisted tweets, spoilers, languages and what else a tweet says beside its text; polls and quotes;"
    " markers, filters, lists and their timelines, `public_tweets`, followed and featured tags; policies of"
    " notifications; conversations; notices (`mentioned`, `poll_ended`, `born_day` in effects);"
    " reactions to announcements, `activity`, `direct_tweets`, `schedule_status`;"
    " `tag_wanted`, `tag_filled`, tags of `pull`, `pull_after`, more of `export`;"
    " exclusive lists, languages of a follow applied;"
    " polls that an edit changes, `indexed`, `keep_answer`; `outcome`, webhooks; mailboxes, push subscriptions;"
    " the lane's `listen`, `unlisten` and `missed`; media: uploads, what tweets and profiles have of them",
    4: "previews of links: the write `preview`, its command, `previewed` between shards; the lane's `explain` and"
    " `tweet_facts`",
}


def require_known(level: int, what: str) -> None:
    """Raise ConflictError if this code is too old for what has that level."""
    if level > LEVEL:
        raise ConflictError(
            f"{what} is at level {level}, and this code knows levels up to {LEVEL} only: it is older than the cluster, "
            "which can't be rolled back. Run the newer version"
        )


def raise_level(state: ShardState, level: int) -> bool:
    """Use what is new up to a level from the next command on. False: that was so already.

    Raises ConflictError if this code doesn't know that level; the state is as before but for its position.
    """
    require_known(level, f"the journal of shard {state.shard}")
    if level <= state.level:
        return False
    state.level = level
    return True
