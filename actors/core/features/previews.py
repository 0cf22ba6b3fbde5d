"""Previews of links: a tweet gets what the page of its first link says of itself, once that has been fetched.

    post, edit --> met_links.py --(leader, after commit)--> dispatcher: fetched, its picture in the store
        --preview--> the tweet's facts --previewed--> all shards: every copy of the tweet (`edited_copies.py`)

Rules of this file
- It is no edit: nobody is notified, no version is kept, `edited_at` stays.
- A preview is of the link that the tweet has now. One that comes too late, or the second one, changes nothing, and
  whoever brought it takes its picture back (`media_drop`).
- The picture is an upload of the author's until the tweet has it (`media.py`): if whoever processes it dies, it goes.

Cost: 10 us, and what `edited_copies.py` costs on each shard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from actors.core import arguments, limits
from actors.core.attachments import ORIGINAL
from actors.core.entries import Entry, pack
from actors.core.errors import InvalidError, NotFoundError
from actors.core.facts import ATTACHMENTS, PREVIEW, Facts, pack_facts, read_facts
from actors.core.features.blobs import bury
from actors.core.features.edited_copies import PREVIEWED
from actors.core.features.media import MEDIA, PROCESSING, read_medium
from actors.core.link_previews import FROM_LEVEL, LinkPreview, first_link, is_preview
from actors.core.media_names import media_id_of, prefix_of, rendition_of
from actors.core.terms import Feature, Key, Prepared, Write, nothing

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState

FACTS_COUNT: Final = 8


def preview(state: ShardState, tweet_id: int, media_id: int, body: bytes, at_ms: int) -> bool:
    """Give a tweet its preview. media_id: of its picture, 0 for none. False: the tweet is gone, and so is the picture.

    body: the tweet's as it was, with the preview.
    """
    entry = state.tweets.get(tweet_id)
    if entry is None:
        if media_id:
            bury(state, media_id, at_ms)
        return False
    if media_id:
        state.papers.drop(MEDIA, entry.author_id, media_id)
    state.tweets.set_contents(tweet_id, body, entry.mention_ids)
    state.note_edit(tweet_id)
    state.tell_all(list(range(state.shard_count)), PREVIEWED, tweet_id, entry.author_id, at_ms, body)
    return True


def wanted_link(entry: Entry | None) -> str:
    """Return the address that a tweet is to show a preview of and doesn't yet, "" for none."""
    if entry is None or entry.is_repost:
        return ""
    facts = read_facts(entry.body)
    url = first_link(facts.entities, facts.more, ATTACHMENTS)
    return "" if facts.preview is not None and facts.preview.url == url else url


def prepare_preview(shard: Lookups, now_ms: int, tweet_id: int, url: str, media_id: int, facts: list[Any]) -> Prepared:
    """Give a tweet the preview of its first link; the reply is whether it has it now, by this request.

    media_id: of an upload of the author's that is being processed, 0 without a picture; facts: `[title, description,
    site, author, published_ms, blurhash, object, [width, height, bytes]]`, the picture's object "" for none.
    """
    shard.require_level(FROM_LEVEL)
    arguments.text(url, limits.PREVIEW_URL_BYTES_MAX, "url")
    arguments.an_id_or_zero(media_id, "media_id")
    found = _preview_from(url, media_id, facts)
    try:
        entry = shard.stored(tweet_id)
    except NotFoundError:
        return nothing(False)
    said = read_facts(entry.body)
    if wanted_link(entry) != url or said.preview is not None or not _may_take(shard, entry.author_id, media_id):
        return nothing(False)
    more = {**said.more, PREVIEW: list(found)}
    if len(said.text.encode()) + len(said.entities) + len(pack(more)) > limits.TEXT_BYTES_MAX:
        return nothing(False)
    body = pack_facts(said._replace(more=more))
    return Prepared(["preview", tweet_id, media_id, body, max(now_ms, 1)], lambda done: done)


def _may_take(shard: Lookups, author_id: int, media_id: int) -> bool:
    """Whether a picture may become a tweet's: its objects won't go meanwhile."""
    if not media_id:
        return True
    document = shard.state.papers.get(MEDIA, author_id, media_id)
    return document is not None and read_medium(document).state == PROCESSING


def _preview_from(url: str, media_id: int, facts: Any) -> LinkPreview:
    """Return what a page says of itself. Raises InvalidError."""
    rows = arguments.listed(facts, FACTS_COUNT, "facts")
    if len(rows) != FACTS_COUNT:
        raise InvalidError(f"facts of a page are {FACTS_COUNT}, not {len(rows)}", "facts")
    title, description, site, author, published_ms, blurhash, name, sizes = rows
    picture: list[Any] = []
    if name != "":
        if type(name) is not str or media_id_of(name) != media_id or not media_id:
            raise InvalidError(f"{arguments.shown(name)} is no object of medium {media_id}", "facts")
        tail = name[len(prefix_of(media_id)) :]
        if rendition_of(tail) != ORIGINAL:
            raise InvalidError(f"a preview shows a rendition {ORIGINAL!r}, not {name}", "facts")
        picture = [tail, *arguments.listed(sizes, 3, "facts")]
    with_picture = (media_id if picture else 0, blurhash, picture)
    found = LinkPreview(url, title, description, site, author, published_ms, *with_picture)
    if not is_preview(list(found)):
        raise InvalidError("these are no facts of a page: see docs/lane.md", "facts")
    return found


def without_preview(facts: Facts) -> dict[int, Any]:
    """Return what a tweet says beside its text, without a preview of a link that it doesn't begin with any more."""
    known = facts.preview
    if known is None or known.url == first_link(facts.entities, facts.more, ATTACHMENTS):
        return facts.more
    return {number: value for number, value in facts.more.items() if number != PREVIEW}


FEATURE = Feature(
    "previews",
    writes=(Write("preview", prepare_preview, Key.TWEET),),
    commands={"preview": preview},
    effects=(PREVIEWED,),
)
