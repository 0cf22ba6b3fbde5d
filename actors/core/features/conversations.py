"""Conversations: an account's direct tweets, those that it wrote and those that mention it, by what they began with.

    post of a direct tweet --> the author's own conversation, read
                           --mentioned--> that of each account it mentions, unread
    root: the fact `conversation` of a direct tweet: that of the direct tweet which it answers, else its own id

    CONVERSATION shelf of the account: roots, by when one was last heard of      CONVERSATION_FACTS: a paper by root

Rules of this file
- A root is an id and nothing more: the tweet may be gone, or never have been (of a scheduled one: the id until then).
- Who blocks the author, or is blocked by him, hears of none of his tweets.
- It shows the newest of its tweets. When that is deleted it shows the one before, of the newest
  CONVERSATION_TWEETS_MAX; when all of these are deleted it goes, whatever was said earlier.
- Accounts of an earlier tweet that mentioned more than the later ones stay in it.
- An account keeps the CONVERSATIONS_COUNT_MAX that were heard of last. One that was taken away comes back with the next
  tweet in it, alone.
- For the account itself alone. From level 3 of the cluster on: direct tweets of before have no root, and are in none.

Costs: 10 bytes of a direct tweet, and 60 or so of each conversation of each who is in it; a message each; 20 us.
Deliberately not here: what notifies of mentions, which tells of every tweet with one (`noticing.py`).
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from actors.core import arguments, ids, limits
from actors.core.entries import Entry
from actors.core.errors import InvalidError, NotFoundError
from actors.core.facts import MORE_FROM_LEVEL, read_facts
from actors.core.features.shelf_pages import shelf_page
from actors.core.flags import BLOCK, BLOCKED_BY, FLAG_DIRECT
from actors.core.heard import CONVERSATION as CONVERSATION_HEARD
from actors.core.terms import (
    NOTICES_FROM_LEVEL,
    Effect,
    Feature,
    Full,
    Key,
    Kind,
    Notified,
    Notifies,
    Owner,
    PaperKind,
    Prepared,
    Read,
    Settles,
    To,
    Write,
    nothing,
    same,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from actors.core.lookups import Lookups
    from actors.core.state import ShardState

DOCUMENT_BYTES_MAX: Final = 9 * (limits.CONVERSATION_TWEETS_MAX + limits.CONVERSATION_ACCOUNTS_MAX) + 16


class Conversation(NamedTuple):
    """The document of a conversation: its first facts in this order, for ever; later versions may add some at the end.

    tweet_ids: the newest, ascending; others: who is in it beside the account itself, ascending.
    """

    tweet_ids: tuple[int, ...] = ()
    is_unread: bool = False
    others: tuple[int, ...] = ()


def read_conversation(document: Any) -> Conversation:
    """Return what a document says, whichever version wrote it."""
    return Conversation(*document[: len(Conversation._fields)])


def check_conversation(document: Any) -> None:
    """Refuse what is no conversation. Raises RookeryError."""
    tweet_ids, is_unread, others = read_conversation(document)
    if not arguments.id_list(list(tweet_ids), limits.CONVERSATION_TWEETS_MAX, "tweet_ids"):
        raise InvalidError("a conversation that is kept has a tweet", "tweet_ids")
    arguments.a_bool(is_unread, "unread")
    arguments.id_list(list(others), limits.CONVERSATION_ACCOUNTS_MAX, "others")


CONVERSATION: Final = Kind(
    35, "conversation", Owner.ACCOUNT, Owner.TWEET, limits.CONVERSATIONS_COUNT_MAX, Full.OLDEST,
    from_level=MORE_FROM_LEVEL,
)  # fmt: skip
CONVERSATION_FACTS: Final = PaperKind(
    44, "conversation's facts", Owner.ACCOUNT, limits.CONVERSATIONS_COUNT_MAX, check_conversation,
    from_level=MORE_FROM_LEVEL,
)  # fmt: skip


def tell_mentioned(state: ShardState, entry: Entry, on: bool, at_ms: int, mention_ids: Iterable[int] = ()) -> None:
    """Have those whom a tweet mentions be told of it, and a direct one be in their conversations; or no longer.

    mention_ids: whom of them, where it isn't all.
    """
    facts, is_direct = read_facts(entry.body), bool(entry.flags & FLAG_DIRECT)
    root = facts.conversation if is_direct else 0
    if state.level < NOTICES_FROM_LEVEL or (is_direct and not root):
        return
    author_id, tweet_id = entry.author_id, entry.tweet_id
    everybody = sorted({author_id, *entry.mention_ids}) if root else []
    if root:
        _change(state, author_id, root, tweet_id, everybody, on, False)
    more = (tweet_id, everybody, on, at_ms, facts.in_reply_to, state.people.born_day(author_id))
    for account_id in sorted({*(mention_ids or entry.mention_ids)} - {author_id}):
        state.tell(state.shard_of_account(account_id), MENTIONED, account_id, author_id, root, *more)


def on_mentioned(
    state: ShardState, source: int, account_id: int, actor: int, root: int, tweet_id: int, everybody: list[int],
    on: bool, at_ms: int, answered: int, born_day: int,
) -> None:  # fmt: skip
    """Note a direct tweet that mentions an account of this shard, or that it is gone. everybody: who is in it.

    Of others (root 0) only notices are made: see `noticing.py`.
    """
    if not on and state.heard is not None:
        state.heard.unmentions(tweet_id, actor, account_id)
    if not root:
        return
    row = state.people.row_of.get(account_id)
    if row is None:
        return
    blocked = (state.graph.relations[relation].get(row, ()) for relation in (BLOCK, BLOCKED_BY))
    if not (on and any(actor in accounts for accounts in blocked)):
        _change(state, account_id, root, tweet_id, everybody, on, True)


def _change(
    state: ShardState, account_id: int, root: int, tweet_id: int, everybody: list[int], on: bool, is_unread: bool
) -> None:
    """Have a tweet in a conversation, once, or no longer."""
    document = state.papers.get(CONVERSATION_FACTS, account_id, root)
    known = Conversation() if document is None else read_conversation(document)
    if (tweet_id in known.tweet_ids) == on:
        return
    if on and state.heard is not None:
        state.heard.note(state.position, CONVERSATION_HEARD, root, account_id)
    if on:
        _put_first(state, account_id, root, ids.ms_of_tweet(tweet_id))
        tweet_ids = sorted((*known.tweet_ids, tweet_id))[-limits.CONVERSATION_TWEETS_MAX :]
        others = sorted({*known.others, *everybody} - {account_id})[: limits.CONVERSATION_ACCOUNTS_MAX]
        state.papers.put(CONVERSATION_FACTS, account_id, root, Conversation(tuple(tweet_ids), is_unread, tuple(others)))
        return
    left = tuple(each for each in known.tweet_ids if each != tweet_id)
    if left:
        state.papers.put(CONVERSATION_FACTS, account_id, root, known._replace(tweet_ids=left))
    else:
        drop_conversation(state, account_id, root)


def newest_of_conversation(state: ShardState, account_id: int, root: int) -> int:
    """Return the newest tweet of an account's conversation, 0 if there is none any more."""
    document = state.papers.get(CONVERSATION_FACTS, account_id, root)
    return 0 if document is None else read_conversation(document).tweet_ids[-1]


def _put_first(state: ShardState, account_id: int, root: int, at_ms: int) -> None:
    """Make a conversation the one that was heard of last; of too many the first goes."""
    shelves = state.shelves
    was_there = shelves.drop(CONVERSATION, account_id, root)
    if not was_there and shelves.count(CONVERSATION, account_id) >= CONVERSATION.limit:
        drop_conversation(state, account_id, shelves.view(CONVERSATION, account_id)[0].item(0))
    shelves.put(CONVERSATION, account_id, root, at_ms)


def drop_conversation(state: ShardState, account_id: int, root: int) -> bool:
    """Forget a conversation of an account's; returns whether there was one."""
    state.shelves.drop(CONVERSATION, account_id, root)
    return state.papers.drop(CONVERSATION_FACTS, account_id, root)


def mark_read(state: ShardState, account_id: int, root: int) -> bool:
    """Note that an account has read a conversation; returns whether it hadn't, and there is one."""
    document = state.papers.get(CONVERSATION_FACTS, account_id, root)
    if document is None:
        return False
    known = read_conversation(document)
    return state.papers.put(CONVERSATION_FACTS, account_id, root, known._replace(is_unread=False))


def _row(root: int, known: Conversation) -> list[Any]:
    return [root, known.tweet_ids[-1], known.is_unread, list(known.others)]


def _known(shard: Lookups, account_id: int, root: int) -> Conversation:
    """Return a conversation of an account's. Raises NotFoundError."""
    shard.row(account_id)
    document = shard.state.papers.get(CONVERSATION_FACTS, account_id, arguments.an_id(root, "id"))
    if document is None:
        raise NotFoundError(f"conversation {root} does not exist (any more)", "id")
    return read_conversation(document)


def prepare_read_conversation(shard: Lookups, now_ms: int, account_id: int, root: int) -> Prepared:
    """Mark a conversation as read; the reply is its row, as in `conversations`. Raises NotFoundError."""
    shard.require_level(CONVERSATION.from_level)
    known = _known(shard, account_id, root)
    row = _row(root, known._replace(is_unread=False))
    return Prepared(["mark_read", account_id, root], lambda _: row) if known.is_unread else nothing(row)


def prepare_drop_conversation(shard: Lookups, now_ms: int, account_id: int, root: int) -> Prepared:
    """Forget a conversation, for the account itself alone; its tweets stay. Raises NotFoundError."""
    shard.require_level(CONVERSATION.from_level)
    _known(shard, account_id, root)
    return Prepared(["drop_conversation", account_id, root], same)


def answer_conversations(
    shard: Lookups, account_id: int, max_stamp: int, since_stamp: int, min_stamp: int, count: int
) -> list[Any]:
    """A page of an account's conversations, for itself alone, the one first that was heard of last.

    `[rows, newest stamp, oldest stamp, whether there is more]`, bounds as those of `shelf`. Row: [root, newest tweet
    id, whether it is unread, ids of the others who are in it].
    """
    shard.row(account_id)
    roots, newest, oldest, has_more = shelf_page(
        shard, CONVERSATION, account_id, max_stamp, since_stamp, min_stamp, count
    )
    get = shard.state.papers.get
    found = ((root, get(CONVERSATION_FACTS, account_id, root)) for root in roots)
    rows = [_row(root, read_conversation(document)) for root, document in found if document is not None]
    return [rows, newest, oldest, has_more]


def answer_direct_tweets(
    shard: Lookups, account_id: int, max_id: int, since_id: int, min_id: int, count: int
) -> list[Any]:  # fmt: skip
    """The direct tweets of an account's conversations, for itself alone: `[ids, newest first, whether there is more]`.

    Bounds as those of `shelf`, but tweet ids. Of each conversation the CONVERSATION_TWEETS_MAX newest. 2 us for each
    conversation that was heard of since the last id of the page.
    """
    shard.row(account_id)
    for field, value in (("max_id", max_id), ("since_id", since_id), ("min_id", min_id)):
        arguments.an_id_or_zero(value, field)
    arguments.page_count(count)
    above, below = max(since_id, min_id), max_id or ids.ID_MAX
    roots, stamps = shard.state.shelves.view(CONVERSATION, account_id)
    newest: list[int] = []  # a heap of the count + 1 newest within the bounds; of all where the oldest are wanted
    for root, stamp in zip(reversed(roots.tolist()), reversed(stamps.tolist()), strict=True):
        least = above if min_id or len(newest) <= count else newest[0]
        if stamp >> 16 < ids.ms_of_tweet(least):  # both are Unix ms
            break  # whatever is in it, and in those before, is older
        document = shard.state.papers.get(CONVERSATION_FACTS, account_id, root)
        for tweet_id in () if document is None else read_conversation(document).tweet_ids:
            if above < tweet_id < below:
                heapq.heappush(newest, tweet_id)
                if not min_id and len(newest) > count + 1:
                    heapq.heappop(newest)
    if min_id:
        return [sorted(newest)[:count][::-1], True]  # at min_id is one
    return [sorted(newest, reverse=True)[:count], len(newest) > count]


def answer_conversation_of(shard: Lookups, tweet_id: int, viewer: int, facts: Any = None) -> list[Any]:
    """What a direct answer to a tweet that `viewer` may see has to know: `[author id, root, 0 if it isn't direct]`.

    One from before there were roots is a root itself.
    """
    entry, asked = shard.entry(tweet_id, viewer, facts)
    if asked is not None:
        return asked
    root = (read_facts(entry.body).conversation or tweet_id) if entry.flags & FLAG_DIRECT else 0
    return [entry.author_id, root]


MENTIONED = Effect(
    "mentioned", on_mentioned, To.ACCOUNT,
    ("account", "actor", "conversation", "tweet", "account_list", "on", "at_ms", "answered", "born_day"),
    undone_by="mentioned", notifies=Notifies("mention", Notified.ACCOUNT, "tweet", "on"), settles=Settles.ARRIVED,
)  # fmt: skip

FEATURE = Feature(
    "conversations",
    kinds=(CONVERSATION,),
    papers=(CONVERSATION_FACTS,),
    writes=(
        Write("read_conversation", prepare_read_conversation),
        Write("drop_conversation", prepare_drop_conversation),
    ),
    reads=(
        Read("conversations", answer_conversations),
        Read("direct_tweets", answer_direct_tweets),
        Read("conversation_of", answer_conversation_of, Key.TWEET),
    ),
    commands={"mark_read": mark_read, "drop_conversation": drop_conversation},
    effects=(MENTIONED,),
)
