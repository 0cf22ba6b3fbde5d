"""From what happens to who is notified of it: notices are made, and taken back, where what they are about arrives.

    effect --apply.handle--> its handler, then `come`: what its row says (`Effect.notifies`)  --+
    an ended poll, an edit, a request to follow, a tweet of somebody with a bell: their features --+--> notify -->

Rules of this file
- A notice is a fact of the account that is notified, made by its own shard in the same command as what it tells of: so
  exactly once, whatever dies, comes again or is replayed.
- Nobody is notified of what he did himself; by somebody whom a block keeps apart from him, or whose notices he mutes;
  in a conversation that he has muted; of what his policy drops. What it filters is kept apart. All this is asked once,
  when it happens.
- Who answers a tweet that mentions its author as well notifies him once: of a reply.
- What came before the level of notices, in bulk, or by an old journal, notifies nobody.

Costs: 3 us a notice; 0.1 us an effect that notifies nobody; for who has muted conversations 20 us a thousand of lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from actors.core import limits
from actors.core.features.blocks import is_hushed
from actors.core.features.conversation_mutes import MUTED_CONVERSATION, is_muted
from actors.core.features.followee_options import BELL
from actors.core.features.notification_policies import ACCEPTED_SENDER, GROUPS, POLICY
from actors.core.features.outbound import queue_notice
from actors.core.features.replies import REPLY as REPLY_OF
from actors.core.flags import FLAG_DIRECT, FLAG_REPLY
from actors.core.heard import NOTICE
from actors.core.stores.notice_words import Notice
from actors.core.terms import NOTICES_FROM_LEVEL, NOTIFICATION_TYPE_OF, Effect, Notified

if TYPE_CHECKING:
    from collections.abc import Mapping

    from actors.core.entries import Entry, TweetBatch
    from actors.core.state import ShardState

ACCEPT, FILTER, DROP = range(3)  # verdicts, as `notification_policies.VERDICTS` has them
NEW_ACCOUNT_DAYS: Final = 30  # for so long an account is a new one, as Mastodon has it
MENTION, REPLY = NOTIFICATION_TYPE_OF["mention"], NOTIFICATION_TYPE_OF["reply"]
_OF_MENTIONS: Final = (MENTION, REPLY)
_UNFILTERED: Final = frozenset(NOTIFICATION_TYPE_OF[name] for name in ("poll", "update"))  # one's own tweets, or votes
(_NOT_FOLLOWING, _NOT_FOLLOWERS, _NEW_ACCOUNTS, _PRIVATE_MENTIONS, _) = range(len(GROUPS))


class Happened(NamedTuple):
    """What a notice is to tell of. type: one of NOTIFICATION_TYPES; tweet_id: what it is about, 0 for an account.

    born_day: on which the actor's account was made, 0 if nobody says; is_private: a direct tweet; answered: what the
    tweet answers, 0 for nothing, or if that isn't said.
    """

    type: str
    actor: int
    tweet_id: int
    at_ms: int
    born_day: int = 0
    is_private: bool = False
    answered: int = 0


def notify(state: ShardState, account_id: int, happened: Happened) -> None:
    """Notify an account of this shard, if it is to know of that."""
    row = state.people.row_of.get(account_id)
    if row is None or not happened.at_ms or state.level < NOTICES_FROM_LEVEL:
        return
    type_number, actor, tweet_id = NOTIFICATION_TYPE_OF[happened.type], happened.actor, happened.tweet_id
    is_own = actor == account_id
    if is_own and happened.type != "poll":
        return
    if not is_own and (is_hushed(state, account_id, row, actor) or _is_in_muted(state, account_id, happened)):
        return
    if type_number in _OF_MENTIONS:
        known = state.notices.find_about(account_id, actor, tweet_id, _OF_MENTIONS)
        if known is not None:
            if type_number == REPLY:
                state.notices.set_type(account_id, known.notice_id, REPLY)
            return
    verdict = ACCEPT if type_number in _UNFILTERED else _verdict(state, account_id, row, happened)
    if verdict != DROP:
        is_apart = verdict == FILTER
        notice_id = state.notices.add(account_id, type_number, actor, tweet_id, happened.at_ms, is_apart)
        if notice_id and not is_apart:
            queue_notice(state, account_id, Notice(notice_id, type_number, False, actor, tweet_id), happened.at_ms)
            if state.heard is not None:
                state.heard.note(state.position, NOTICE, notice_id, account_id)


def take_back(state: ShardState, account_id: int, type_: str, actor: int, tweet_id: int) -> None:
    """Take a notice back: what it told of is undone."""
    state.notices.drop(account_id, NOTIFICATION_TYPE_OF[type_], actor, tweet_id)


def _is_in_muted(state: ShardState, account_id: int, happened: Happened) -> bool:
    """Whether a tweet is of a conversation that an account has muted, as far as this shard knows."""
    if not happened.tweet_id or not state.shelves.count(MUTED_CONVERSATION, account_id):
        return False
    muted, answered = set(state.shelves.view(MUTED_CONVERSATION, account_id)[0].tolist()), happened.answered
    if is_muted(state, muted, happened.tweet_id, answered):
        return True
    own = (tweet_id for tweet_id in muted if tweet_id in state.tweets)  # whose answers stand on a shelf of theirs
    return bool(answered) and any(state.shelves.contains(REPLY_OF, tweet_id, answered) for tweet_id in own)


def _verdict(state: ShardState, account_id: int, row: int, happened: Happened) -> int:
    """Return what an account's policy says: the strictest of those that apply."""
    policy = state.papers.get(POLICY, account_id)
    actor, graph = happened.actor, state.graph
    if policy is None or state.shelves.contains(ACCEPTED_SENDER, account_id, actor):
        return ACCEPT
    is_followed = graph.following.contains(row, actor)
    age_days = happened.at_ms // limits.DAY_MS - happened.born_day
    applies = {
        _NOT_FOLLOWING: not is_followed,
        _NOT_FOLLOWERS: not graph.followers.contains(row, actor),
        _NEW_ACCOUNTS: bool(happened.born_day) and age_days < NEW_ACCOUNT_DAYS,
        _PRIVATE_MENTIONS: happened.is_private and not is_followed and not _answers_own(state, account_id, happened),
    }  # fmt: skip
    return max((int(policy[group]) for group, does in applies.items() if does), default=ACCEPT)


def _answers_own(state: ShardState, account_id: int, happened: Happened) -> bool:
    entry = state.tweets.get(happened.answered) if happened.answered else None
    return entry is not None and entry.author_id == account_id


# ---- what rows of the table of effects say ---------------------------------------------------------------------------


def plans(effects: Mapping[str, Effect]) -> Mapping[str, tuple[Effect, bool]]:
    """Return by name which effects notify, or take back: (the one whose row says of what, whether it is itself)."""
    found = {effect.name: (effect, True) for effect in effects.values() if effect.notifies is not None}
    undoing = {effect.undone_by: (effect, False) for effect, _ in found.values() if effect.undone_by}
    return {**undoing, **found}


def come(state: ShardState, plan: tuple[Effect, bool], carries: tuple[str, ...], facts: list[Any]) -> None:
    """Notify, or take back, as the row of an effect says that has just been handled. carries: names of the facts."""
    effect, is_doing = plan
    notifies = effect.notifies
    assert notifies is not None, "only rows that notify have a plan"
    said = dict(zip(carries, facts, strict=False))
    if len(facts) < len(carries) - effect.later or (is_doing and notifies.unless and not said.get(notifies.unless)):
        return
    if notifies.to is Notified.REPOSTERS:
        _tell_reposters(state, Happened(notifies.type, said["actor"], said[notifies.about], said["at_ms"]))
        return
    account_id, actor, about = (_one(said, name) for name in (notifies.to.value, "actor", notifies.about))
    if notifies.to is Notified.AUTHOR:
        entry = state.tweets.get(account_id)
        account_id = 0 if entry is None else entry.author_id
    tweet_id = 0 if notifies.about == "actor" else about
    if is_doing and (not notifies.step or said[notifies.step] > 0):
        if _stands(state, effect, account_id, actor):
            notify(state, account_id, _happened(notifies.type, actor, tweet_id, said))
    elif account_id:
        take_back(state, account_id, notifies.type, actor, tweet_id)


def _tell_reposters(state: ShardState, happened: Happened) -> None:
    """Notify this shard's accounts that repost a tweet; of what they know already, as the newest."""
    entries = (state.tweets.get(repost_id) for repost_id in sorted(state.reposts_of.get(happened.tweet_id, ())))
    for account_id in [entry.author_id for entry in entries if entry is not None]:
        take_back(state, account_id, happened.type, happened.actor, happened.tweet_id)
        notify(state, account_id, happened)


def _happened(type_: str, actor: int, tweet_id: int, said: dict[str, Any]) -> Happened:
    is_private, answered = bool(said.get("conversation")), said.get("answered", 0)
    if type_ == "reply":
        answered = said["tweet"]
    return Happened(type_, actor, tweet_id, said["at_ms"], said.get("born_day", 0), is_private, answered)


def _stands(state: ShardState, effect: Effect, account_id: int, actor: int) -> bool:
    """Whether what an effect says came to be: of a follow that was refused nobody is notified."""
    row = state.people.row_of.get(account_id)
    return row is not None and (effect.name != "gained" or state.graph.followers.contains(row, actor))


def _one(said: dict[str, Any], name: str) -> int:
    """Return a fact, the first one where an effect carries many."""
    value = said[name] if name in said else said[f"{name}s"]
    return int.from_bytes(value[:8], "little", signed=True) if isinstance(value, bytes) else int(value)


# ---- bells --------------------------------------------------------------------------------------------------------


def ring_bells(state: ShardState, entry: Entry) -> None:
    """Notify those accounts of this shard of a new tweet who want to know of its author's; of no answers to others."""
    listeners = state.shelves.holders(BELL, entry.author_id)
    if not listeners or entry.is_repost or entry.flags & FLAG_DIRECT:
        return
    if entry.flags & FLAG_REPLY and entry.reply_author != entry.author_id:
        return
    happened = Happened("status", entry.author_id, entry.tweet_id, entry.tweet_id >> 16)
    for account_id in sorted(listeners):
        notify(state, account_id, happened)


def ring_bells_of(state: ShardState, batch: TweetBatch) -> None:
    """As `ring_bells` for a batch; nothing but a look where nobody has a bell."""
    if not state.shelves.keys_held(BELL).isdisjoint(batch.author_id.tolist()):
        for entry in batch.entries():
            ring_bells(state, entry)


def unring_bells(state: ShardState, tweet_id: int, author_id: int) -> None:
    """Take back what `ring_bells` told of a tweet that is gone, at those who still want to know of its author's."""
    for account_id in sorted(state.shelves.holders(BELL, author_id)):
        take_back(state, account_id, "status", author_id, tweet_id)
