"""Media: what an account has uploaded, from the upload on until a tweet or its profile has it, or nobody wants it.

    media_begin --> a paper of the account: processing --media_done--> ready --post, edit, schedule--> a tweet has it
                                   |                     |     `--update_profile--> the avatar, or header
                                   |--media_fail, 1 h--> failed: why; its objects go (`blobs.py`)
                                   `---- media_drop, a day without a tweet, the account's end ----> its objects go

Rules of this file
- What is attached has no paper any more: the tweet says all (`attachments.py`), and the paper goes by the command that
  makes the tweet. So a medium is in one place at a time, and whatever ends that place ends the medium, or hands it on.
- Objects are in the store before `media_done`, and a tweet takes only what is done: none has a picture that is missing.
- Whoever works on a medium may die, and what he has written so far stays below the medium's id. So the objects of what
  was never done go no sooner than MEDIA_PROCESSING_MS after it was begun, unless it is said that the job has ended.
- Only its own account is told of an upload, by any operation.

Costs: 300 bytes each; 30 us to begin one; a tweet with four 40 us more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from actors.core import arguments, ids, limits
from actors.core.attachments import (
    FOCUS_MAX,
    KINDS,
    ORIGINAL,
    SMALL,
    STATIC,
    Attachment,
    attachments_of,
    check_mix,
    is_attachment,
)
from actors.core.entries import pack
from actors.core.errors import ConflictError, InvalidError, NotFoundError, TooLargeError
from actors.core.facts import ATTACHMENTS, read_facts
from actors.core.features.blobs import bury
from actors.core.media_names import PICTURE, media_id_of, picture_media_id, picture_of, prefix_of, rendition_of
from actors.core.renderers.media import media_attachment, unready_attachment
from actors.core.stores.papers import pack_document
from actors.core.terms import Feature, Owner, PaperKind, Prepared, Read, Write, nothing, same

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState
    from actors.core.stores.people import Account

FROM_LEVEL: Final = 3
PROCESSING, READY, FAILED = range(3)
PURPOSES: Final = ("attachment", "avatar", "header")  # by their numbers, for ever
PICTURE_FIELDS: Final = PURPOSES[1:]
_ENDED: Final = "it took too long"


class Medium(NamedTuple):
    """The document of an upload: its first facts in this order, for ever; later versions may add some at the end.

    attachment: as a tweet has it (`attachments.py`), once it is ready; reason: why it failed.
    """

    state: int
    purpose: int
    made_ms: int
    description: str
    focus_x: int
    focus_y: int
    attachment: Sequence[Any] = ()
    reason: str = ""


def read_medium(document: Any) -> Medium:
    """Return what a document says, whichever version wrote it."""
    return Medium(*document[: len(Medium._fields)])


def check_medium(document: Any) -> None:
    """Refuse what is no upload, or could not be shown. Raises RookeryError."""
    medium = read_medium(document)
    arguments.whole(medium.state, PROCESSING, FAILED, "state")
    arguments.whole(medium.purpose, 0, len(PURPOSES) - 1, "purpose")
    arguments.whole(medium.made_ms, 1, limits.SHOWN_MS_MAX, "made_ms")
    _described(medium.description, [medium.focus_x, medium.focus_y])
    arguments.text(medium.reason, limits.MEDIA_REASON_BYTES_MAX, "reason")
    if (medium.state == READY or medium.attachment) and not is_attachment(medium.attachment):
        raise InvalidError("a medium that is ready says what it is", "facts")


def due_ms_of(document: Any) -> int:
    """Return when an upload has taken too long, or waits for nothing any more, Unix ms."""
    medium = read_medium(document)
    return medium.made_ms + (limits.MEDIA_PROCESSING_MS if medium.state == PROCESSING else limits.MEDIA_WAITING_MS)


def _fall_due(state: ShardState, account_id: int, media_id: int, document: Any) -> None:
    """What was never done has failed; what nobody has taken goes."""
    medium, at_ms = read_medium(document), due_ms_of(document)
    if medium.state == PROCESSING:
        _put(state, account_id, media_id, medium._replace(state=FAILED, reason=_ENDED))
        bury(state, media_id, at_ms)
    elif medium.state == READY:
        bury(state, media_id, at_ms)


MEDIA: Final = PaperKind(
    80, "medium", Owner.ACCOUNT, limits.MEDIA_WAITING_COUNT_MAX, check_medium, due_ms_of, fall_due=_fall_due,
    from_level=FROM_LEVEL,
)  # fmt: skip


def attachment_of(medium: Medium) -> Attachment:
    """Return what a tweet would have of an upload that is ready."""
    return attachments_of([_unfrozen(medium.attachment)])[0]


def _put(state: ShardState, account_id: int, media_id: int, medium: Medium) -> bool:
    return state.papers.put(MEDIA, account_id, media_id, list(medium))


def _medium(state: ShardState, account_id: int, media_id: int) -> Medium | None:
    document = state.papers.get(MEDIA, account_id, media_id)
    return None if document is None else read_medium(document)


# ---- commands -------------------------------------------------------------------------------------------------------


def media_begin(state: ShardState, account_id: int, media_id: int, packed: bytes) -> bool:
    """Note that a medium is about to be processed."""
    state.clock.observe(media_id)
    return state.papers.put_packed(MEDIA, account_id, media_id, packed)


def media_put(state: ShardState, account_id: int, media_id: int, packed: bytes, is_gone: bool, at_ms: int) -> bool:
    """Note what has become of a medium, or what is said of it. is_gone: its job has ended; its objects are to go."""
    if is_gone:
        bury(state, media_id, at_ms)
    return state.papers.put_packed(MEDIA, account_id, media_id, packed)


def media_drop(state: ShardState, account_id: int, media_id: int, at_ms: int) -> bool:
    """Forget an upload, and have its objects removed; returns whether there was one."""
    medium = _medium(state, account_id, media_id)
    if medium is None:
        return False
    state.papers.drop(MEDIA, account_id, media_id)
    if medium.state != FAILED:  # of that they are to go already
        bury(state, media_id, at_ms, _may_write_ms(medium, at_ms))
    return True


def _may_write_ms(medium: Medium, at_ms: int) -> int:
    """Return for how long from a time on a job may still write objects of a medium."""
    return max(due_ms_of(list(medium)) - at_ms, 0) if medium.state == PROCESSING else 0


# ---- what other features do with media ------------------------------------------------------------------------------


def attach(state: ShardState, account_id: int, body: bytes) -> None:
    """Take over the media of a tweet that is published, or will be: they are uploads no more."""
    for medium in read_facts(body).attachments:
        state.papers.drop(MEDIA, account_id, medium.media_id)


def change_attachments(state: ShardState, account_id: int, before: bytes, now: bytes, at_ms: int) -> None:
    """Take over what a tweet's new body has, and have removed what it has no more."""
    kept = set(read_facts(now).media_ids_held)
    attach(state, account_id, now)
    for media_id in read_facts(before).media_ids_held:
        if media_id not in kept:
            bury(state, media_id, at_ms)


def bury_attachments(state: ShardState, body: bytes, at_ms: int) -> None:
    """Have the media of a tweet removed that goes."""
    for media_id in read_facts(body).media_ids_held:
        bury(state, media_id, at_ms)


def detach(state: ShardState, account_id: int, body: bytes, at_ms: int) -> None:
    """Make uploads again of the media of a tweet that goes, for a day; without room for them they are removed.

    Its preview's picture goes: the tweet that is written anew gets another one.
    """
    facts = read_facts(body)
    if facts.preview is not None and facts.preview.media_id:
        bury(state, facts.preview.media_id, at_ms)
    for medium in facts.attachments:
        count = len(state.papers.keys(MEDIA, account_id))
        if at_ms and count < MEDIA.limit:
            described = medium.description, medium.focus_x, medium.focus_y
            _put(state, account_id, medium.media_id, Medium(READY, 0, at_ms, *described, list(medium)))
        else:
            bury(state, medium.media_id, at_ms)


def leave_media(state: ShardState, account_id: int, account: Account, at_ms: int) -> None:
    """Have all removed that an account has beside its tweets: it is deleted. Its papers go then."""
    for media_id in state.papers.keys(MEDIA, account_id):
        media_drop(state, account_id, media_id, at_ms)
    for name in PICTURE_FIELDS:
        change_picture(state, account_id, getattr(account, name), "", at_ms)


def change_picture(state: ShardState, account_id: int, before: str, now: str, at_ms: int) -> None:
    """Take over an upload as a profile's picture, and have the one before removed."""
    if before == now:
        return
    if media_id := picture_media_id(now):
        state.papers.drop(MEDIA, account_id, media_id)
    if media_id := picture_media_id(before):
        bury(state, media_id, at_ms)


def take_wanted(more: Any) -> tuple[list[Any] | None, Any]:
    """Return (what is wanted of media, None if nothing is said; all other facts) of what a request says of a tweet."""
    if type(more) is not list:
        return None, more
    wanted = [row for row in more if type(row) is list and len(row) == 2 and row[0] == ATTACHMENTS]
    if not wanted:
        return None, more
    if len(wanted) > 1 or type(wanted[0][0]) is not int:
        raise InvalidError("a tweet says once which media it has", "media_ids")
    return wanted[0][1], [row for row in more if row is not wanted[0]]


def wanted_attachments(
    shard: Lookups, account_id: int, wanted: Any, used_bytes: int, before: Sequence[Attachment] = ()
) -> list[Any]:
    """Return fact 14 of a tweet that is to have some media: uploads of the account's, or what it has already.

    wanted: of each its id, or `[id, description, [focus_x, focus_y]]`, None for what stays as it is; in their order.
    used_bytes: of a tweet's room, by everything else. Raises InvalidError that names what can't be attached.
    """
    had = {medium.media_id: medium for medium in before}
    chosen: dict[int, Attachment] = {}
    for given in arguments.listed(wanted, limits.ATTACHMENTS_COUNT_MAX, "media_ids"):
        media_id, description, focus = _one_wanted(given)
        if media_id in chosen:
            raise InvalidError(f"medium {media_id} is named twice", "media_ids")
        medium = had.get(media_id) or _uploaded(shard, account_id, media_id)
        chosen[media_id] = _with_words(medium, description, focus)
    check_mix([medium.kind for medium in chosen.values()])
    fact = [list(medium) for medium in chosen.values()]
    size = used_bytes + len(pack(fact))
    if size > limits.TEXT_BYTES_MAX:
        raise TooLargeError(
            f"a tweet may take {limits.TEXT_BYTES_MAX} bytes with what it says of its media, not {size}", "media_ids"
        )
    return fact


def _one_wanted(given: Any) -> tuple[int, Any, Any]:
    """Return the id, description and focus of one that is wanted."""
    row = [given, None, None] if type(given) is int else arguments.listed(given, 3, "media_ids")
    if len(row) != 3:
        raise InvalidError(f"a medium is named by its id, or by 3 values, not {len(row)}", "media_ids")
    media_id, description, focus = row
    return arguments.an_id(media_id, "media_ids"), description, focus


def _uploaded(shard: Lookups, account_id: int, media_id: int, purpose: int = 0) -> Attachment:
    """Return an upload that is ready. Raises InvalidError that says why it can't be taken."""
    medium = _medium(shard.state, account_id, media_id)
    if medium is None or medium.purpose != purpose:
        what = f"{PURPOSES[purpose]} to use" if purpose else "medium to attach"
        raise InvalidError(f"there is no {what} with the id {media_id}: upload it first, and use it once", "media_ids")
    if medium.state == PROCESSING:
        raise InvalidError(f"medium {media_id} has not finished processing; try again in a moment", "media_ids")
    if medium.state == FAILED:
        raise InvalidError(f"medium {media_id} could not be processed: {medium.reason}", "media_ids")
    return attachment_of(medium)


def _unfrozen(attachment: Sequence[Any]) -> list[Any]:
    """Return an attachment of lists, as one that comes out of a tweet has them."""
    *values, renditions = attachment
    return [*values, [list(row) for row in renditions]]


def _described(description: Any, focus: Any) -> None:
    arguments.text(description, limits.MEDIA_DESCRIPTION_BYTES_MAX, "description")
    for part in arguments.pair(focus, "focus"):
        arguments.whole(part, -FOCUS_MAX, FOCUS_MAX, "focus")


def _with_words(medium: Attachment, description: Any, focus: Any) -> Attachment:
    """Return a medium with another description and focus; None: as it is."""
    words = medium.description if description is None else description
    at = [medium.focus_x, medium.focus_y] if focus is None else focus
    _described(words, at)
    return medium._replace(description=words, focus_x=at[0], focus_y=at[1])


def picture_from(shard: Lookups, account_id: int, name: str, value: str, now: str) -> str:
    """Return an avatar or header as it is to be kept. value: `media:<id>` of an upload; anything else as it is.

    now: as it is kept now. Raises InvalidError for an upload that there isn't, or that is for something else.
    """
    if not value.startswith(PICTURE) or value == now:
        return value
    shard.require_level(FROM_LEVEL)
    digits = value[len(PICTURE) :]
    if not digits.isascii() or not digits.isdecimal() or not 0 < len(digits) < 20 or int(digits) > ids.ID_MAX:
        raise InvalidError(f"{name} must be an address, or an upload such as media:12345, not {value[:40]!r}", name)
    medium = _uploaded(shard, account_id, int(digits), PURPOSES.index(name))
    names = {rendition_of(row[0]): prefix_of(medium.media_id) + row[0] for row in medium.renditions}
    return picture_of(names[ORIGINAL], names.get(STATIC, ""))


# ---- operations -----------------------------------------------------------------------------------------------------


def prepare_media_begin(
    shard: Lookups, now_ms: int, account_id: int, purpose: str, description: str, focus_x: int, focus_y: int
) -> Prepared:
    """Begin an upload that is about to be processed, for a tweet or a picture of the profile; the reply is its id.

    Raises InvalidError for an account that has MEDIA_WAITING_COUNT_MAX already which no tweet has.
    """
    shard.require_level(FROM_LEVEL)
    shard.row(account_id)
    if purpose not in PURPOSES:
        raise InvalidError(f"purpose must be one of {', '.join(PURPOSES)}, not {arguments.shown(purpose)}", "purpose")
    _described(description, [focus_x, focus_y])
    medium = Medium(PROCESSING, PURPOSES.index(purpose), max(now_ms, 1), description, focus_x, focus_y)
    packed = pack_document(list(medium))
    shard.state.papers.require_room(MEDIA, account_id, len(packed), True, "file")
    media_id = shard.next_thing_id(account_id, now_ms)
    return Prepared(["media_begin", account_id, media_id, packed], lambda _: media_id)


def prepare_media_done(shard: Lookups, now_ms: int, account_id: int, media_id: int, kind: str, facts: Any) -> Prepared:
    """Say that a medium's objects are in the store, and what they are; the reply is as of `media`.

    facts: `[[[rendition, object, width, height, bytes, content type], ...], blurhash, duration_ms, frame_rate,
    bitrate]`, frame_rate in frames a second. Raises ConflictError for one that is ready with other facts, or has failed
    by now; NotFoundError.
    """
    medium = _own_medium(shard, account_id, media_id)
    if kind not in KINDS:
        raise InvalidError(f"kind must be one of {', '.join(KINDS)}, not {arguments.shown(kind)}", "kind")
    attachment = _attachment_from(media_id, KINDS.index(kind), medium, facts)
    if medium.state == READY and _same_objects(medium, attachment):
        return nothing(_shown(shard, media_id, medium))
    if medium.state != PROCESSING:
        raise ConflictError(f"medium {media_id} is {('being processed', 'ready', 'given up')[medium.state]} already")
    return _changed(shard, account_id, media_id, medium._replace(state=READY, attachment=list(attachment)), now_ms)


def _attachment_from(media_id: int, kind: int, medium: Medium, facts: Any) -> Attachment:
    """Return what a job says of a medium. Raises InvalidError."""
    renditions, blurhash, duration_ms, frame_rate, bitrate = arguments.listed(facts, 5, "facts")
    rows = [
        _rendition_from(media_id, row) for row in arguments.listed(renditions, limits.RENDITIONS_COUNT_MAX, "facts")
    ]
    if type(frame_rate) not in (int, float) or not 0 <= frame_rate <= 1000:
        raise InvalidError(f"frame_rate must be 0 to 1000, not {arguments.shown(frame_rate)}", "facts")
    attachment = Attachment(
        media_id, kind, medium.description, medium.focus_x, medium.focus_y, blurhash, duration_ms,
        round(frame_rate * 1000), bitrate, rows,
    )  # fmt: skip
    if not is_attachment(list(attachment)):
        raise InvalidError("these are no facts of a medium: see docs/lane.md", "facts")
    return attachment


def _rendition_from(media_id: int, row: Any) -> list[Any]:
    """Return a rendition as a tweet has it. Raises InvalidError for an object that isn't of this medium."""
    rendition, name, width, height, size, content_type = arguments.listed(row, 6, "facts")
    arguments.text(content_type, limits.LANGUAGE_BYTES_MAX * 8, "facts")
    if type(name) is not str or media_id_of(name) != media_id:
        raise InvalidError(f"{arguments.shown(name)} is no object of medium {media_id}", "facts")
    tail = name[len(prefix_of(media_id)) :]
    if rendition_of(tail) != rendition:
        raise InvalidError(f"{name} is not the rendition {arguments.shown(rendition)}", "facts")
    return [tail, width, height, size]


def _same_objects(medium: Medium, attachment: Attachment) -> bool:
    known = attachment_of(medium)
    return known._replace(description="", focus_x=0, focus_y=0) == attachment._replace(
        description="", focus_x=0, focus_y=0
    )


def prepare_media_fail(shard: Lookups, now_ms: int, account_id: int, media_id: int, reason: str) -> Prepared:
    """Say that a medium can't be processed, and that its job has ended; the reply is as of `media`."""
    medium = _own_medium(shard, account_id, media_id)
    arguments.text(reason, limits.MEDIA_REASON_BYTES_MAX, "reason")
    if medium.state != PROCESSING:
        return nothing(_shown(shard, media_id, medium))
    return _changed(shard, account_id, media_id, medium._replace(state=FAILED, reason=reason), now_ms, is_gone=True)


def prepare_media_describe(
    shard: Lookups, now_ms: int, account_id: int, media_id: int, description: str | None, focus: list[int] | None,
    thumbnail: list[Any] | None = None,
) -> Prepared:  # fmt: skip
    """Change what is said of an upload; None: as it is. The reply is as of `media`.

    thumbnail: `["small", object, width, height, bytes, content type]`, in place of the one that was made, or of none.
    Raises InvalidError for a thumbnail of what isn't ready.
    """
    medium = _own_medium(shard, account_id, media_id)
    words = medium.description if description is None else description
    at = [medium.focus_x, medium.focus_y] if focus is None else focus
    _described(words, at)
    changed = medium._replace(description=words, focus_x=at[0], focus_y=at[1])
    if medium.attachment:
        changed = changed._replace(attachment=_described_attachment(media_id, changed, thumbnail))
    elif thumbnail is not None:
        raise InvalidError(f"medium {media_id} can have a thumbnail once it is processed", "thumbnail")
    return _changed(shard, account_id, media_id, changed, now_ms)


def _described_attachment(media_id: int, medium: Medium, thumbnail: Any) -> list[Any]:
    known = attachment_of(medium)
    renditions = list(known.renditions)
    if thumbnail is not None:
        row = _rendition_from(media_id, thumbnail)
        if rendition_of(row[0]) != SMALL:
            raise InvalidError(f"a thumbnail is a rendition {SMALL!r}, not {rendition_of(row[0])!r}", "thumbnail")
        renditions = [*(kept for kept in renditions if rendition_of(kept[0]) != SMALL), row]
    described = known._replace(
        description=medium.description, focus_x=medium.focus_x, focus_y=medium.focus_y, renditions=renditions
    )
    if not is_attachment(list(described)):
        raise InvalidError("these are no facts of a thumbnail: see docs/lane.md", "thumbnail")
    return list(described)


def _changed(
    shard: Lookups, account_id: int, media_id: int, medium: Medium, now_ms: int, is_gone: bool = False
) -> Prepared:
    """Return the command by which an upload is from now on as given. Raises OverloadedError without room."""
    packed = pack_document(list(medium))
    shard.state.papers.require_room(MEDIA, account_id, len(packed), False, "file")
    shown = _shown(shard, media_id, medium)
    return Prepared(["media_put", account_id, media_id, packed, is_gone, max(now_ms, 1)], lambda _: shown)


def prepare_media_drop(shard: Lookups, now_ms: int, account_id: int, media_id: int) -> Prepared:
    """Forget an upload that no tweet has; its objects are removed. Raises NotFoundError."""
    _own_medium(shard, account_id, media_id)
    return Prepared(["media_drop", account_id, media_id, max(now_ms, 1)], same)


def _own_medium(shard: Lookups, account_id: int, media_id: int) -> Medium:
    shard.row(account_id)
    found = _medium(shard.state, account_id, arguments.an_id(media_id, "media_id"))
    if found is None:
        raise NotFoundError(f"there is no upload {media_id} of yours that no post has", "media_id")
    return found


def answer_medium(shard: Lookups, account_id: int, media_id: int) -> list[Any]:
    """An upload of an account's: `[state, purpose, reason, json]`, for the account itself alone.

    state: "processing", "ready" or "failed"; json: a MediaAttachment with `media_id` beside `id`. Raises NotFoundError.
    """
    return _shown(shard, media_id, _own_medium(shard, account_id, media_id))


def answer_media(shard: Lookups, account_id: int, media_ids: list[int]) -> list[Any]:
    """Many uploads of an account's, each as of `media`, None in place of one that there isn't."""
    shard.row(account_id)
    wanted = arguments.id_list(media_ids, limits.MEDIA_WAITING_COUNT_MAX, "media_ids")
    found = [(media_id, _medium(shard.state, account_id, media_id)) for media_id in wanted]
    return [None if medium is None else _shown(shard, media_id, medium) for media_id, medium in found]


STATES: Final = ("processing", "ready", "failed")


def _shown(shard: Lookups, media_id: int, medium: Medium) -> list[Any]:
    if medium.attachment:
        shown = media_attachment(attachment_of(medium), shard.state.tuning.media_base)
    else:
        shown = unready_attachment(media_id, "", medium.description, (medium.focus_x, medium.focus_y))
    named: Mapping[str, Any] = {"id": shown["id"], "media_id": shown["id"], **shown}
    return [STATES[medium.state], PURPOSES[medium.purpose], medium.reason, orjson.dumps(named)]


FEATURE = Feature(
    "media",
    papers=(MEDIA,),
    writes=(
        Write("media_begin", prepare_media_begin),
        Write("media_done", prepare_media_done),
        Write("media_fail", prepare_media_fail),
        Write("media_describe", prepare_media_describe),
        Write("media_drop", prepare_media_drop),
    ),
    reads=(Read("media", answer_medium, fresh=True), Read("media_many", answer_media, fresh=True)),
    commands={"media_begin": media_begin, "media_put": media_put, "media_drop": media_drop},
)
