"""Scheduled tweets: written now, published by the account's shard when their time has come.

    schedule --> a paper of the account, by a scheduled id --(due)--> a tweet with an id of that moment

Rules of this file
- A scheduled id is drawn as a tweet's is, so no tweet has it; the tweet gets another one, because ids are times.
- Everything is checked when it is scheduled, and stored as the facts of a post: nothing is looked up when it is
  published, and what was answered may be gone by then, as after any reply.
- Its media are its own from then on, and go with it.
- Nobody but its author is told of one, or shown it.
- It is published once: it is taken away by the command that publishes it (`falling_due.py`).

Costs: 300 bytes each; 20 us to list twenty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from actors.core import arguments, ids, limits
from actors.core.entries import Entry
from actors.core.errors import InvalidError, NotFoundError
from actors.core.features.media import attach, bury_attachments
from actors.core.features.polls import later_poll
from actors.core.features.tweets import post, tweet_row
from actors.core.flags import FLAG_RICH, FLAGS_STORED
from actors.core.render import created_at, render_scheduled, render_tweet
from actors.core.stores.papers import pack_document
from actors.core.terms import Feature, Owner, PaperKind, Prepared, Read, Write

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState

DUE_MS, FLAGS, REPLY_AUTHOR, IN_REPLY_TO, BODY, MENTION_IDS = range(6)  # of a document: for ever, never used otherwise


def due_ms_of(document: Any) -> int:
    """Return when a scheduled tweet is to be published, Unix ms."""
    due_ms: int = document[DUE_MS]
    return due_ms


def check_document(document: Any) -> None:
    """Refuse what is no scheduled tweet, or could not be published or shown. Raises RookeryError."""
    arguments.whole(document[DUE_MS], 1, ids.ID_MAX, "due_ms")
    arguments.whole(document[FLAGS], 0, FLAGS_STORED, "flags")
    arguments.an_id_or_zero(document[REPLY_AUTHOR], "reply_author")
    arguments.an_id_or_zero(document[IN_REPLY_TO], "in_reply_to")
    mentions = arguments.id_list(list(document[MENTION_IDS]), limits.MENTIONS_COUNT_MAX, "mention_ids")
    body = arguments.blob(document[BODY], 1, limits.PAPER_BYTES_MAX, "body")
    render_tweet(Entry(1, 1, document[FLAGS], 0, 1, 1, 0, 0, 0, body, mentions, None))


def prepare_publish(shard: Lookups, now_ms: int, account_id: int, scheduled_id: int, document: Any) -> list[Any]:
    """Give the tweet its id. Raises OverloadedError while the shard has no room for it."""
    shard.check_room()
    return [shard.next_tweet_id(account_id, now_ms)]


def publish_scheduled(state: ShardState, account_id: int, scheduled_id: int, document: Any, tweet_id: int) -> None:
    """Publish a scheduled tweet, as a post does."""
    if account_id in state.people.row_of:
        fields = (document[name] for name in (FLAGS, REPLY_AUTHOR, IN_REPLY_TO, BODY))
        post(state, [[tweet_id, account_id, *fields, list(document[MENTION_IDS]), None]])


SCHEDULED: Final = PaperKind(
    6, "scheduled tweet", Owner.ACCOUNT, limits.SCHEDULED_COUNT_MAX, check_document, due_ms_of, prepare_publish,
    publish_scheduled,
)  # fmt: skip


def schedule(state: ShardState, account_id: int, scheduled_id: int, packed: bytes) -> bool:
    """Keep a tweet for later, or change when that is."""
    state.clock.observe(scheduled_id)
    is_changed = state.papers.put_packed(SCHEDULED, account_id, scheduled_id, packed)
    document = state.papers.get(SCHEDULED, account_id, scheduled_id)
    if document is not None and document[FLAGS] & FLAG_RICH:
        attach(state, account_id, document[BODY])
    return is_changed


def unschedule(state: ShardState, account_id: int, scheduled_id: int, at_ms: int = 0) -> bool:
    """Forget a scheduled tweet, with its media; returns whether there was one."""
    document = state.papers.get(SCHEDULED, account_id, scheduled_id)
    if document is not None and document[FLAGS] & FLAG_RICH:
        bury_attachments(state, document[BODY], at_ms)
    return state.papers.drop(SCHEDULED, account_id, scheduled_id)


def leave_scheduled(state: ShardState, account_id: int, at_ms: int) -> None:
    """Forget all that an account has scheduled: it is deleted."""
    for scheduled_id in state.papers.keys(SCHEDULED, account_id):
        unschedule(state, account_id, scheduled_id, at_ms)


def prepare_schedule(
    shard: Lookups, now_ms: int, account_id: int, at_ms: int, text: str, visibility: int, in_reply_to: int,
    reply_author: int, entities: bytes, media_ids: list[int], mention_ids: list[int], more: Any = None,
) -> Prepared:  # fmt: skip
    """Schedule a tweet; the reply is its JSON. From text on: the arguments of a post but for its key.

    Raises InvalidError for a time that is too near or too far, or when the account has all that it may.
    """
    shard.require_level(SCHEDULED.from_level)
    row = shard.row(account_id)
    _check_time(at_ms, now_ms)
    _require_room(shard, account_id)
    scheduled_id, _, bits, _, _, body, mentions, _ = tweet_row(
        shard, now_ms, row, account_id, text, visibility, in_reply_to, reply_author, entities, media_ids, mention_ids,
        None, more, at_ms,
    )  # fmt: skip
    document = {
        DUE_MS: at_ms, FLAGS: bits, REPLY_AUTHOR: reply_author, IN_REPLY_TO: in_reply_to, BODY: body,
        MENTION_IDS: mentions,
    }  # fmt: skip
    packed = pack_document(document)
    _require_room(shard, account_id, len(packed))
    rendered = _render(shard, account_id, scheduled_id, document)
    return Prepared(["schedule", account_id, scheduled_id, packed], lambda _: rendered)


def prepare_reschedule(shard: Lookups, now_ms: int, account_id: int, scheduled_id: int, at_ms: int) -> Prepared:
    """Change when a scheduled tweet is to be published; the reply is its JSON."""
    before = find_scheduled(shard, account_id, scheduled_id)
    _check_time(at_ms, now_ms)
    body = later_poll(before[BODY], at_ms - before[DUE_MS]) if before[FLAGS] & FLAG_RICH else before[BODY]
    document = {**before, DUE_MS: at_ms, BODY: body}
    rendered, packed = _render(shard, account_id, scheduled_id, document), pack_document(document)
    return Prepared(["schedule", account_id, scheduled_id, packed], lambda _: rendered)


def prepare_unschedule(shard: Lookups, now_ms: int, account_id: int, scheduled_id: int) -> Prepared:
    """Cancel a scheduled tweet; the reply is the JSON of what it was. Raises NotFoundError."""
    document = find_scheduled(shard, account_id, scheduled_id)
    rendered = _render(shard, account_id, scheduled_id, document)
    at_ms = [now_ms] if document[FLAGS] & FLAG_RICH else []
    return Prepared(["unschedule", account_id, scheduled_id, *at_ms], lambda _: rendered)


def answer_scheduled(shard: Lookups, account_id: int, before: int, count: int) -> list[Any]:
    """A page of an account's scheduled tweets, the last written first: `[[json, ...], id to go on before, or 0]`.

    For the account itself alone.
    """
    shard.row(account_id)
    before, count = arguments.an_id_or_zero(before, "before") or ids.ID_MAX, arguments.page_count(count)
    keys = [key for key in shard.state.papers.keys(SCHEDULED, account_id) if key < before]
    page = keys[: -count - 1 : -1]
    shown = [_render(shard, account_id, key, shard.state.papers.get(SCHEDULED, account_id, key)) for key in page]
    return [shown, page[-1] if len(keys) > count else 0]


def answer_scheduled_one(shard: Lookups, account_id: int, scheduled_id: int) -> bytes:
    """One scheduled tweet of an account, for the account itself alone. Raises NotFoundError."""
    return _render(shard, account_id, scheduled_id, find_scheduled(shard, account_id, scheduled_id))


def find_scheduled(shard: Lookups, account_id: int, scheduled_id: int) -> Any:
    """Return the document of a scheduled tweet. Raises NotFoundError."""
    shard.row(account_id)
    arguments.an_id(scheduled_id, "scheduled_id")
    document = shard.state.papers.get(SCHEDULED, account_id, scheduled_id)
    if document is None:
        raise NotFoundError(f"scheduled tweet {scheduled_id} does not exist (any more)", "scheduled_id")
    return document


def _require_room(shard: Lookups, account_id: int, size: int = 0) -> None:
    shard.state.papers.require_room(SCHEDULED, account_id, size, True, "scheduled_at")


def _check_time(at_ms: Any, now_ms: int) -> None:
    arguments.whole(at_ms, 0, ids.ID_MAX, "scheduled_at")
    for ahead_ms, is_wrong, bound in (
        (limits.SCHEDULED_LEAD_MS, at_ms < now_ms + limits.SCHEDULED_LEAD_MS, "or later"),
        (limits.SCHEDULED_AHEAD_MS, at_ms > now_ms + limits.SCHEDULED_AHEAD_MS, "at the latest"),
    ):
        if is_wrong:
            right = f"{created_at(now_ms + ahead_ms)} {bound}"
            raise InvalidError(f"scheduled_at must be {right}, not {_shown_time(at_ms)}", "scheduled_at")


def _shown_time(at_ms: int) -> str:
    return created_at(at_ms) if at_ms < limits.SHOWN_MS_MAX else f"{at_ms} ms after 1970"


def _render(shard: Lookups, account_id: int, scheduled_id: int, document: Any) -> bytes:
    base = shard.state.tuning.media_base
    return render_scheduled(scheduled_id, account_id, document[DUE_MS], document[FLAGS], document[BODY], base)


FEATURE = Feature(
    "scheduled",
    papers=(SCHEDULED,),
    writes=(
        Write("schedule", prepare_schedule),
        Write("reschedule", prepare_reschedule),
        Write("unschedule", prepare_unschedule),
    ),
    reads=(Read("scheduled", answer_scheduled), Read("scheduled_one", answer_scheduled_one)),
    commands={"schedule": schedule, "unschedule": unschedule},
)
