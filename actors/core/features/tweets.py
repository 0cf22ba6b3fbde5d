"""Tweets: posting and deleting, their way to other shards, and the reads of one tweet and of one author's.

    post --> own log and store --tweet / tweets--> shards that hold a follower --> rings, or the author's pull log
    delete --> gone --deleted--> all shards: hidden; reposts of it are deleted too

Rules of this file
- A post is absolute: its id, its time (in the id), its flags and its packed facts are in the command.
- A key that a post carried is remembered for a day: the same key answers the same tweet.
- Many plain tweets in one command go column by column, and leave as columns.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from actors.core import arguments, flags, ids, limits
from actors.core.entries import VISIBILITY_FLAGS, Entry, TweetBatch, pack, visibility_of
from actors.core.errors import ConflictError, ForbiddenError, InvalidError, MovedError, NotFoundError
from actors.core.facts import (
    ATTACHMENTS,
    CONVERSATION,
    MAP_FROM_LEVEL,
    MORE_FROM_LEVEL,
    POLL,
    RICH_FACTS,
    Facts,
    pack_facts,
    read_facts,
)
from actors.core.features.answers import remember_key, remember_keys
from actors.core.features.conversations import CONVERSATION_FACTS, DOCUMENT_BYTES_MAX, tell_mentioned
from actors.core.features.media import attach, bury_attachments, detach, take_wanted, wanted_attachments
from actors.core.features.pins import PIN
from actors.core.features.polls import open_poll, poll_from, tell_poll_ended
from actors.core.features.quotes import tell_quote
from actors.core.features.replies import tell_reply
from actors.core.features.reposts import REPOSTED, unlist_repost
from actors.core.noticing import ring_bells, ring_bells_of, take_back, unring_bells
from actors.core.render import render_tweet
from actors.core.terms import Effect, Feature, Key, Prepared, Read, To, Write, nothing
from actors.core.timelines.arriving import deliver, deliver_batch, learn_originals, publish, wanting
from actors.core.visibility import ReaderFacts, question, reader_facts

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState

BATCH_COUNT_MIN = 8  # tweets from which on columns are faster than one at a time
MESSAGE_COUNT_MAX = 256  # tweets in one message: 100 KB as a rule
_ONE_BY_ONE = flags.FLAG_DIRECT | flags.FLAG_RICH  # what isn't published in a batch of columns
ASKED_AGAIN = 8  # tweets that are looked at before the next question about blocks, for each account asked about so far


def post(state: ShardState, rows: list[list[Any]]) -> list[int]:
    """Publish tweets. Row: [tweet_id, author_id, flags, reply_author, in_reply_to, body, mention_ids, key | None].

    Returns the tweet ids.
    """
    if len(rows) >= BATCH_COUNT_MIN and not any(row[2] & _ONE_BY_ONE for row in rows):
        _publish_batch(state, rows)
        return [row[0] for row in rows]
    for tweet_id, author_id, bits, reply_author, in_reply_to, body, mention_ids, key in rows:
        entry = Entry(tweet_id, author_id, bits, reply_author, tweet_id, author_id, 0, 0, 0, body, mention_ids, None)
        publish(state, entry)
        if state.met_links is not None:
            state.met_links.met(tweet_id, body)
        if bits & flags.FLAG_RICH:
            open_poll(state, tweet_id, body)
            attach(state, author_id, body)
            tell_quote(state, tweet_id, author_id, body, True, ids.ms_of_tweet(tweet_id))
        ring_bells(state, entry)
        if mention_ids or bits & flags.FLAG_DIRECT:
            tell_mentioned(state, entry, True, ids.ms_of_tweet(tweet_id))
        if in_reply_to:
            tell_reply(state, in_reply_to, tweet_id, author_id, bits, True, ids.ms_of_tweet(tweet_id), reply_author)
        if key is not None:
            remember_key(state, author_id, key, tweet_id)
    return [row[0] for row in rows]


def _publish_batch(state: ShardState, rows: list[list[Any]]) -> None:
    """As `post` for many plain tweets at once, column by column: a third of the time."""
    tweet_ids, authors, bits, reply_authors, _, bodies, mentions, _ = zip(*rows, strict=True)
    batch = TweetBatch(
        np.array(tweet_ids, dtype=np.int64), np.array(authors, dtype=np.int64), np.array(bits, dtype=np.uint8),
        np.array(reply_authors, dtype=np.int64), list(bodies), {i: m for i, m in enumerate(mentions) if m},
    )  # fmt: skip
    row_of = state.people.row_of
    account_rows = np.array([row_of[a] for a in authors], dtype=np.int64)
    state.tweets.add_many(account_rows, batch)
    state.people.all_changed(batch.author_id)
    state.changes.tweets.update(batch.id_list)
    if state.news is not None:
        state.news.tweets(batch.id_list)
    if state.met_links is not None:
        for tweet_id, body in zip(tweet_ids, bodies, strict=True):
            state.met_links.met(tweet_id, body)
    state.clock.observe_many(batch.id_list)
    deliver_batch(state, batch, state.graph.author_rows(batch.author_id), account_rows)
    ring_bells_of(state, batch)
    wanted = state.graph.shard_followers[account_rows] > 0
    for i, (flag, body) in enumerate(zip(bits, bodies, strict=True)) if state.tag_shards else ():
        wanted[i, list(wanting(state, flag, body))] = True
    for shard in np.nonzero(wanted.any(axis=0))[0].tolist():
        if shard != state.shard:
            chosen = np.nonzero(wanted[:, shard])[0]
            for part in range(0, len(chosen), MESSAGE_COUNT_MAX):
                state.send(shard, ["tweets", *batch.take(chosen[part : part + MESSAGE_COUNT_MAX]).to_message()])
    for row in rows:
        if row[4]:
            tell_reply(state, row[4], row[0], row[1], row[2], True, ids.ms_of_tweet(row[0]), row[3])
    made = [(row[1], row[7], row[0]) for row in rows if row[7] is not None]
    if made:
        remember_keys(state, made)


def delete(state: ShardState, tweet_id: int, at_ms: int = 0, keeps_media: bool = False) -> bool:
    """Remove an own account's tweet or repost everywhere, and the reposts of it. keeps_media: as uploads, for a day."""
    entry = state.tweets.get(tweet_id)
    if entry is None:
        return False
    row = state.people.own(entry.author_id)
    assert row is not None, "a tweet that is deleted has its author here"
    if state.heard is not None:
        state.heard.leaves(entry)
    tell_poll_ended(state, entry, False, at_ms)
    state.shelves.clear_tweet(tweet_id)
    state.shelves.drop(PIN, entry.author_id, tweet_id)
    state.tweets.remove(row, tweet_id)
    if entry.is_repost:
        take_back(state, entry.author_id, "update", entry.orig_author, entry.orig_id)
    else:
        state.notices.drop(entry.author_id, tweet_id=tweet_id)
        if keeps_media:
            detach(state, entry.author_id, entry.body, at_ms)
        else:
            bury_attachments(state, entry.body, at_ms)
    state.people.changed(entry.author_id)
    state.note_tweet(tweet_id, False)
    state.dirty_counts.pop(tweet_id, None)
    if entry.is_repost:
        state.reposts.get(row, {}).pop(entry.orig_id, None)
        unlist_repost(state, entry.orig_id, tweet_id)
        state.tell(state.shard_of_tweet(entry.orig_id), REPOSTED, entry.orig_id, tweet_id, -1, entry.author_id, at_ms)
    elif entry.flags & flags.FLAG_REPLY:
        in_reply_to = read_facts(entry.body).in_reply_to
        told = (in_reply_to, tweet_id, entry.author_id, entry.flags, False, at_ms, entry.reply_author)
        tell_reply(state, *told)
    if entry.flags & flags.FLAG_RICH:
        tell_quote(state, tweet_id, entry.author_id, entry.body, False, at_ms)
    if entry.mention_ids or entry.flags & flags.FLAG_DIRECT:
        tell_mentioned(state, entry, False, at_ms)
    state.tell_all(list(range(state.shard_count)), DELETED, tweet_id, entry.author_id, at_ms)
    return True


def leave_tweets(state: ShardState, account_id: int, row: int, count: int) -> int:
    """Delete the newest `count` tweets and reposts of an account that is deleted; return how many there were."""
    log = state.tweets.log.view(row)
    newest_first: list[int] = log[: -count - 1 : -1].tolist()
    for tweet_id in newest_first:
        delete(state, tweet_id, state.people.accounts[row].left_ms)
    return len(newest_first)


def on_tweet(state: ShardState, source: int, *fields: Any) -> None:
    """Bring another shard's tweet to the followers that its author, or a hashtag of it, still has here."""
    entry = Entry(*fields)
    if state.graph.local_follower_count(entry.author_id) or state.tag_logs.wanted_of(entry.flags, entry.body):
        learn_originals(state, [entry])
        deliver(state, entry, -1)
        ring_bells(state, entry)


def on_tweets(state: ShardState, source: int, *columns: Any) -> None:
    """As `on_tweet` for a batch of columns."""
    batch = TweetBatch.from_message(*columns)
    rows = state.graph.author_rows(batch.author_id)
    is_wanted = (rows >= 0) & (state.graph.local_followers.length[rows] > 0)
    for i, (flag, body) in (
        enumerate(zip(batch.flags.tolist(), batch.bodies, strict=True)) if state.tag_logs.logs else ()
    ):
        is_wanted[i] = is_wanted[i] or bool(state.tag_logs.wanted_of(flag, body))
    wanted = np.nonzero(is_wanted)[0]
    if len(wanted):
        kept = batch if len(wanted) == len(batch) else batch.take(wanted)
        deliver_batch(state, kept, rows[wanted], np.full(len(kept), -1, dtype=np.int64))
        ring_bells_of(state, kept)


def on_deleted(state: ShardState, source: int, tweet_id: int, actor: int = 0, at_ms: int = 0) -> None:
    """Hide a tweet that is gone, and delete the reposts of it by this shard's accounts."""
    if state.heard is not None:
        state.heard.gone(state.position, tweet_id, actor)
    state.arrivals.mark_deleted(tweet_id)
    unring_bells(state, tweet_id, actor)
    for repost_id in sorted(state.reposts_of.get(tweet_id, ())):
        delete(state, repost_id, at_ms)


def prepare_post(shard: Lookups, now_ms: int, *args: Any) -> Prepared:
    """Publish a tweet; the reply is its JSON. Arguments: those of `tweet_row` from author_id on.

    A key that is known answers the tweet that it made. Raises NotFoundError if that has been deleted.
    """
    author_id, key = args[0], args[8]
    row = shard.row(author_id)
    _check_key(key)
    if key is not None and (author_id, key) in shard.state.idempotency:
        tweet_id = _made_by_key(shard.state.idempotency[author_id, key])
        entry = shard.state.tweets.get(tweet_id)
        if entry is None:
            raise NotFoundError(f"tweet {tweet_id}, posted with this Idempotency-Key, has been deleted")
        return nothing(shard.render(entry))
    command_row = tweet_row(shard, now_ms, row, *args)
    tweet_id = command_row[0]

    def finish(_: Any) -> bytes:
        entry = shard.state.tweets.get(tweet_id)
        assert entry is not None, "a tweet is stored once its command is applied"
        return shard.render(entry)

    return Prepared(["post", [command_row]], finish)


def prepare_post_many(shard: Lookups, now_ms: int, rows: list[list[Any]]) -> Prepared:
    """As post for many; a row whose key is known, or was met further up, answers the tweet that it made."""
    made: list[list[Any]] = []
    results: list[int] = []
    met: dict[tuple[int, bytes], int] = {}
    taken: set[int] = set()
    kept = shard.state.idempotency
    for args in arguments.listed(rows, limits.POST_COUNT_MAX, "rows"):
        author_id, key = args[0], args[8]
        row = shard.row(author_id)
        known, pair = 0, (author_id, key)
        if key is not None:
            _check_key(key)
            known = met.get(pair) or _made_by_key(kept.get(pair, 0))
        if not known:
            made.append(tweet_row(shard, now_ms, row, *args))
            _check_taken(taken, made[-1])
            known = made[-1][0]
            if key is not None:
                met[pair] = known
        results.append(known)
    return Prepared(["post", made], lambda _: results) if made else nothing(results)


def _check_taken(taken: set[int], row: list[Any]) -> None:
    """Refuse a tweet with a medium that another one of the same request has. taken: those so far."""
    if row[2] & flags.FLAG_RICH:
        for medium in read_facts(row[5]).attachments:
            if medium.media_id in taken:
                raise InvalidError(f"medium {medium.media_id} is in two tweets", "media_ids")
            taken.add(medium.media_id)


def _made_by_key(made: int | bytes) -> int:
    """Return the tweet that a known key made. Raises ConflictError if it belongs to another request."""
    if isinstance(made, bytes):
        raise ConflictError("this Idempotency-Key was used for another request; take a new one", "Idempotency-Key")
    return made


def _check_key(key: Any) -> None:
    """Refuse what is no idempotency key; None is none."""
    if key is not None:
        arguments.blob(key, 1, limits.KEY_BYTES_MAX, "idempotency_key")


def tweet_row(
    shard: Lookups, now_ms: int, row: int, author_id: int, text: str, visibility: int, in_reply_to: int,
    reply_author: int, entities: bytes, media_ids: list[int], mention_ids: list[int], key: bytes | None,
    more: Any = None, begins_ms: int = 0,
) -> list[Any]:  # fmt: skip
    """Check the facts of a new tweet; returns its row of the command `post`. row: its author's.

    more: what else it says, [[number, value], ...] by the numbers of `facts.py`, of a poll how long it is open, of
    media as `wanted_attachments` takes them; media_ids: what bulk loads and older clients call media, which is shown as
    it is and nothing else; begins_ms: when it is published, 0 for now.
    """
    shard.check_room()
    arguments.said(text, entities)
    arguments.whole(visibility, 0, len(VISIBILITY_FLAGS) - 1, "visibility")
    arguments.an_id_or_zero(in_reply_to, "in_reply_to")
    arguments.an_id_or_zero(reply_author, "reply_author")
    mentions = arguments.id_list(mention_ids, limits.MENTIONS_COUNT_MAX, "mention_ids")
    media = arguments.id_list(media_ids, limits.MEDIA_COUNT_MAX, "media_ids")
    bits = VISIBILITY_FLAGS[visibility]
    if in_reply_to:
        bits |= flags.FLAG_REPLY | (flags.FLAG_UNCOUNTED if bits & flags.FLAGS_PRIVATE else 0)
    further: dict[int, Any] = {}
    if more is not None:
        wanted, more = take_wanted(more)
        used_bytes = len(text.encode()) + len(entities)
        further = arguments.more(more, used_bytes)
        if wanted:
            used_bytes += len(pack(further))
            further[ATTACHMENTS] = wanted_attachments(shard, author_id, wanted, used_bytes)
        if not bits & flags.FLAG_DIRECT:
            further.pop(CONVERSATION, None)
        if POLL in further:
            further[POLL] = poll_from(further[POLL], begins_ms or now_ms)
        if further.keys() & RICH_FACTS:
            bits |= flags.FLAG_RICH
    if further or bits & flags.FLAG_UNLISTED:
        shard.require_level(MORE_FROM_LEVEL)
    tweet_id = shard.next_tweet_id(author_id, now_ms)
    if bits & flags.FLAG_DIRECT and shard.state.level >= MORE_FROM_LEVEL:
        shard.state.papers.require_room(CONVERSATION_FACTS, author_id, DOCUMENT_BYTES_MAX, False, "status")
        further.setdefault(CONVERSATION, tweet_id)
    facts = Facts(text, shard.state.people.accounts[row].username, in_reply_to, media, entities, 0, further)
    body = pack_facts(facts, shard.state.level >= MAP_FROM_LEVEL)
    return [tweet_id, author_id, bits, reply_author, in_reply_to, body, mentions, key]


def prepare_delete(
    shard: Lookups, now_ms: int, tweet_id: int, actor: int, facts: Any = None, keeps_media: bool = False
) -> Prepared:
    """Delete an own tweet. The answer is what it was, without an original that the actor may no longer see.

    keeps_media: its media are uploads again for a day, for a tweet that is written anew.
    """
    entry = shard.stored(tweet_id)
    if entry.author_id != arguments.an_id(actor, "actor"):
        _, asked = shard.entry(tweet_id, actor, facts)
        if asked is not None:
            return nothing(asked)
        raise ForbiddenError(f"tweet {tweet_id} is not yours to delete", "tweet_id")
    seen = shard.may_see(ReaderFacts(actor), entry)
    rendered = shard.render(entry) if seen else render_tweet(entry)
    command = shard.timed(["delete", tweet_id], now_ms)
    if arguments.a_bool(keeps_media, "keeps_media"):
        shard.require_level(MORE_FROM_LEVEL)
        command.append(True)
    return Prepared(command, lambda _: rendered)


def answer_tweet(shard: Lookups, tweet_id: int, viewer: int, facts: Any = None) -> Any:
    """One tweet."""
    entry, asked = shard.entry(tweet_id, viewer, facts)
    return shard.shown(entry) if asked is None else asked


def answer_tweets(shard: Lookups, tweet_ids: list[int], viewer: int, facts: Any = None) -> list[Any]:
    """Many tweets: `[[json object, ...]]`, None in place of one that `viewer` may not see, False of another shard's.

    They are in a list of their own, so that no first None can be taken for a question.
    Raises MovedError if the first is another shard's.
    """
    wanted, known = arguments.id_list(tweet_ids, limits.TWEETS_COUNT_MAX, "tweet_ids"), reader_facts(viewer, facts)
    own = [shard.state.shard_of_tweet(tweet_id) == shard.state.shard for tweet_id in wanted]
    if wanted and not own[0]:
        raise MovedError(f"tweet {wanted[0]} is not on shard {shard.state.shard}")
    answer: list[Any] = []
    unknown: set[int] = set()
    for tweet_id, mine in zip(wanted, own, strict=True):
        entry = shard.state.tweets.get(tweet_id) if mine else None
        seen = entry is not None and shard.may_see(known, entry)
        if seen is None and entry is not None:
            unknown.add(entry.orig_author)
        answer.append(False if not mine else shard.shown(entry) if seen and entry is not None else None)
    return question(unknown) if unknown and facts is not None else [answer]


def answer_seen(shard: Lookups, tweet_id: int, viewer: int, facts: Any = None) -> int | list[Any]:
    """Who wrote a tweet, if there is such a one and `viewer` may see it: all that a like has to know."""
    entry, asked = shard.entry(tweet_id, viewer, facts)
    return entry.author_id if asked is None else asked


def answer_tweet_ref(shard: Lookups, tweet_id: int, viewer: int, facts: Any = None) -> list[Any]:
    """What a repost needs to know of a tweet. A repost refers to its original's entry.

    With facts, the id of the original as well: its own shard knows best whether it may be reposted.
    """
    entry, asked = shard.entry(tweet_id, viewer, facts)
    if asked is not None:
        return asked
    author = shard.state.people.accounts[shard.state.people.row_of[entry.author_id]]
    packed = entry.orig if entry.orig is not None else pack(list(entry))
    found = [entry.author_id, author.username, visibility_of(entry.flags), packed]
    return found if facts is None else [*found, entry.orig_id]


def answer_user_timeline(
    shard: Lookups, account_id: int, viewer: int, max_id: int, since_id: int, min_id: int, count: int, skip: int = 0,
    facts: Any = None,
) -> list[Any]:  # fmt: skip
    """A page of one account's tweets that `viewer` may see: `[json array, newest_id, oldest_id]`.

    skip: of the count tweets the newest so many are left out.
    """
    row, count = shard.row(account_id), arguments.page_count(count)
    known = reader_facts(viewer, facts)
    arguments.an_id_or_zero(skip, "skip")
    for value, field in ((max_id, "max_id"), (since_id, "since_id"), (min_id, "min_id")):
        arguments.an_id_or_zero(value, field)
    if shard.state.tweets.log.klass[row] < 0 or shard.visibility.is_hidden(known, account_id):
        return [shard.home.shape.listed([]), 0, 0]
    log = shard.state.tweets.log.view(row)
    hi = int(np.searchsorted(log, max_id or ids.ID_MAX, side="left"))
    lo = int(np.searchsorted(log, max(since_id, min_id), side="right"))
    order = range(lo, hi) if min_id else range(hi - 1, lo - 1, -1)
    unsure_max = max(count, ASKED_AGAIN * len(known.asked or ())) if facts is not None else len(log) + 1
    found, unknown = _seen_of_log(shard, (int(log[i]) for i in order), known, count, unsure_max)
    if unknown and facts is not None:
        return question(unknown)
    if min_id:
        found.reverse()
    found = found[skip:]
    if not found:
        return [shard.home.shape.listed([]), 0, 0]
    return [shard.home.shape.listed(found), found[0].tweet_id, found[-1].tweet_id]


def _seen_of_log(
    shard: Lookups, tweet_ids: Iterable[int], facts: ReaderFacts, count: int, unsure_max: int
) -> tuple[list[Entry], set[int]]:
    """Return the first `count` tweets that a reader may see, and of which accounts his shard has to be asked first.

    unsure_max: tweets after which that is asked; more with each question, so that there are few of them even where
    hardly anything is shown.
    """
    found: list[Entry] = []
    unknown: set[int] = set()
    unsure = 0
    for tweet_id in tweet_ids:
        entry = shard.state.tweets.get(tweet_id)
        seen = entry is not None and shard.may_see(facts, entry)
        if seen and entry is not None:
            found.append(entry)
        elif seen is None and entry is not None:
            unknown.add(entry.orig_author)
            unsure += 1
        if len(found) == count or unsure == unsure_max:
            break
    return found, unknown


TWEET = Effect("tweet", on_tweet, To.FOLLOWERS, ("entry",), undone_by="deleted")
TWEETS = Effect("tweets", on_tweets, To.FOLLOWERS, ("tweet_columns",), undone_by="deleted")
DELETED = Effect("deleted", on_deleted, To.ALL, ("tweet", "actor", "at_ms"), short=1)

FEATURE = Feature(
    "tweets",
    writes=(
        Write("post", prepare_post, keyed=False),
        Write("post_many", prepare_post_many, Key.SHARD, keyed=False),
        Write("delete", prepare_delete, Key.TWEET, hides=True),
    ),
    reads=(
        Read("tweet", answer_tweet, Key.TWEET, shaped=True),
        Read("tweets", answer_tweets, Key.SHARD, shaped=True),
        Read("seen", answer_seen, Key.TWEET),
        Read("tweet_ref", answer_tweet_ref, Key.TWEET),
        Read("user_timeline", answer_user_timeline, shaped=True),
    ),
    commands={"post": post, "delete": delete},
    effects=(TWEET, TWEETS, DELETED),
    leave=leave_tweets,
)
