"""Filters: words and statuses that an account wants to be warned of, or doesn't want to see, in some places.

    change_filter, drop_filter --> a paper of the account, by a filter id     words and statuses are in it
                               `-> one mark, a stamp: another one after every change, none without filters
    API worker: a page --> `flags_and_filters` --> flags, and the stamp, by which it knows whether it has the filters

Rules of this file
- The shard keeps filters, and applies none: what is shown is matched where it is joined (`api/mastodon/filtering.py`).
- Ids of filters, words and statuses in them, and stamps, are drawn as tweets' are: none is ever another's.
- A filter that expires falls due, and is gone then, which changes the stamp as any other change does.
- For the account itself alone. From level 3 of the cluster on.

Costs: 100 bytes a filter, 30 a word; a reader without filters 0.5 us a page; a change 20 us.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from actors.core import arguments, ids, limits
from actors.core.errors import InvalidError, NotFoundError
from actors.core.features.viewer_flags import answer_viewer_flags
from actors.core.heard import FILTERS
from actors.core.stores.papers import pack_document
from actors.core.terms import Feature, Full, Kind, Owner, PaperKind, Prepared, Read, Write, nothing

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState

HOME, NOTIFICATIONS, PUBLIC, THREAD, ACCOUNT = (1 << bit for bit in range(5))  # where a filter acts
EVERYWHERE: Final = HOME | NOTIFICATIONS | PUBLIC | THREAD | ACCOUNT
ACTIONS: Final = ("warn", "hide", "blur")  # by number, for ever
_CHANGEABLE: Final = ("title", "contexts", "action", "expires_in_s", "words", "statuses", "drop")


class Filter(NamedTuple):
    """The document of a filter: its first facts in this order, for ever; later versions may add some at the end.

    contexts: a mask of HOME and so on; action: number in ACTIONS; expires_ms: 0 for never; words: [id, text, whether it
    has to stand alone]; statuses: [id, status id].
    """

    title: str
    contexts: int
    action: int
    expires_ms: int
    words: list[list[Any]]
    statuses: list[list[int]]


def read_filter(document: Any) -> Filter:
    """Return what a document says, whichever version wrote it."""
    title, contexts, action, expires_ms, words, statuses = document[: len(Filter._fields)]
    return Filter(title, contexts, action, expires_ms, [*map(list, words)], [*map(list, statuses)])


def expires_ms_of(document: Any) -> int:
    """Return when a filter ends, Unix ms; 0 for never."""
    return read_filter(document).expires_ms


def check_filter(document: Any) -> None:
    """Refuse what is no filter. Raises RookeryError."""
    if type(document[Filter._fields.index("words")]) not in (list, tuple):
        raise InvalidError("words are a list", "keywords_attributes")
    found = read_filter(document)
    if not arguments.text(found.title, limits.FILTER_TITLE_BYTES_MAX, "title").strip():
        raise InvalidError("a filter must have a title", "title")
    arguments.whole(found.contexts, 1, EVERYWHERE, "context")
    arguments.whole(found.action, 0, len(ACTIONS) - 1, "filter_action")
    arguments.whole(found.expires_ms, 0, ids.ID_MAX, "expires_in")
    arguments.listed(found.words, limits.FILTER_WORDS_COUNT_MAX, "keywords_attributes")
    arguments.listed(found.statuses, limits.FILTER_STATUSES_COUNT_MAX, "statuses")
    for word_id, word, stands_alone in found.words:
        arguments.an_id(word_id, "id")
        if not arguments.text(word, limits.FILTER_WORD_BYTES_MAX, "keyword").strip():
            raise InvalidError("a keyword must not be blank", "keyword")
        if type(stands_alone) is not bool:
            raise InvalidError(f"whole_word can't be {arguments.shown(stands_alone)}", "whole_word")
    for mark_id, status_id in found.statuses:
        arguments.an_id(mark_id, "id")
        arguments.an_id(status_id, "status_id")


def _prepare_expiry(shard: Lookups, now_ms: int, account_id: int, filter_id: int, document: Any) -> list[Any]:
    """Give the stamp of what is left."""
    return [shard.next_thing_id(account_id, now_ms)]


def _expire(state: ShardState, account_id: int, filter_id: int, document: Any, stamp: int) -> None:
    """Have a filter's end be seen."""
    _note_change(state, account_id, stamp)


FILTER: Final = PaperKind(
    36, "filter", Owner.ACCOUNT, limits.FILTERS_COUNT_MAX, check_filter, expires_ms_of, _prepare_expiry, _expire,
    from_level=3,
)  # fmt: skip
STAMP: Final = Kind(
    37, "change of filters", Owner.ACCOUNT, Owner.THING, 1, Full.OLDEST, from_level=3
)  # the last one alone: whether an account has one is asked on the way of every page


def put_filter(state: ShardState, account_id: int, filter_id: int, packed: bytes, stamp: int) -> None:
    """Keep a filter. stamp: the last id that was drawn for it."""
    state.papers.put_packed(FILTER, account_id, filter_id, packed)
    _note_change(state, account_id, stamp)


def drop_filter(state: ShardState, account_id: int, filter_id: int, stamp: int) -> bool:
    """Forget a filter; returns whether there was one."""
    was_there = state.papers.drop(FILTER, account_id, filter_id)
    _note_change(state, account_id, stamp)
    return was_there


def _note_change(state: ShardState, account_id: int, stamp: int) -> None:
    state.clock.observe(stamp)
    if state.heard is not None:
        state.heard.note(state.position, FILTERS, stamp, account_id)
    if state.papers.keys(FILTER, account_id):
        state.shelves.put(STAMP, account_id, stamp, ids.ms_of_tweet(stamp))
    else:
        state.shelves.drop(STAMP, account_id, stamp_of(state, account_id))


def prepare_change_filter(
    shard: Lookups, now_ms: int, account_id: int, filter_id: int, changes: dict[str, Any]
) -> Prepared:
    """Make a filter (filter_id 0) or change one; the reply is the filter, as in `filters`.

    changes: any of title, contexts, action, expires_in_s (0: never), words ([[id or 0, text or nil, stands alone or
    nil]]: new ones, or changes), statuses ([status id]: more of them), drop ([ids of words and statuses in it]).
    Raises InvalidError, TooLargeError; NotFoundError for a filter or a word that isn't there; OverloadedError.
    """
    shard.require_level(FILTER.from_level)
    shard.row(account_id)
    if type(changes) is not dict or not all(name in _CHANGEABLE for name in changes):
        raise InvalidError(f"changes of a filter are some of {', '.join(_CHANGEABLE)}", "changes")
    known = _new() if arguments.an_id_or_zero(filter_id, "id") == 0 else _find(shard, account_id, filter_id)
    changed = _changed(shard, account_id, known, changes, now_ms)
    if filter_id and changed == known:
        return nothing([filter_id, *known])
    stamp = shard.next_thing_id(account_id, now_ms)
    changed_id = filter_id or stamp
    check_filter(list(changed))
    _require_words(shard, account_id, filter_id, len(changed.words))
    packed = pack_document(list(changed))
    shard.state.papers.require_room(FILTER, account_id, len(packed), not filter_id, "filters")
    return Prepared(["put_filter", account_id, changed_id, packed, stamp], lambda _: [changed_id, *changed])


def _new() -> Filter:
    return Filter("", 0, 0, 0, [], [])


def _changed(shard: Lookups, account_id: int, known: Filter, changes: dict[str, Any], now_ms: int) -> Filter:
    """Return a filter with changes, of which only what must be known to make them is checked."""
    named: dict[str, Any] = {name: changes[name] for name in ("title", "contexts", "action") if name in changes}
    if "expires_in_s" in changes:
        ahead_s = arguments.whole(changes["expires_in_s"], 0, limits.FILTER_AHEAD_S_MAX, "expires_in")
        named["expires_ms"] = now_ms + 1_000 * ahead_s if ahead_s else 0

    def draw() -> int:
        return shard.next_thing_id(account_id, now_ms)

    dropped = set(arguments.id_list(changes.get("drop", []), limits.FILTER_DROPS_COUNT_MAX, "drop"))
    here = {each[0] for each in chain(known.words, known.statuses)}
    if not dropped <= here:
        raise NotFoundError(f"{min(dropped - here)} is nothing of this filter", "id")
    words = {word[0]: word for word in known.words if word[0] not in dropped}
    for word_id, text, stands_alone in arguments.listed(
        changes.get("words", []), limits.FILTER_WORDS_COUNT_MAX, "keywords_attributes"
    ):
        if arguments.an_id_or_zero(word_id, "id") and word_id not in words:
            raise NotFoundError(f"keyword {word_id} does not exist", "id")
        before = words.get(word_id, [word_id or draw(), "", False])
        words[before[0]] = [before[0], *_first_given((text, stands_alone), before[1:])]
    statuses = {each[1]: each for each in known.statuses if each[0] not in dropped}
    for status_id in arguments.id_list(changes.get("statuses", []), limits.FILTER_STATUSES_COUNT_MAX, "statuses"):
        statuses.setdefault(status_id, [draw(), status_id])
    return known._replace(**named, words=[*words.values()], statuses=[*statuses.values()])


def _first_given(given: tuple[Any, ...], before: list[Any]) -> list[Any]:
    return [old if new is None else new for new, old in zip(given, before, strict=True)]


def _require_words(shard: Lookups, account_id: int, filter_id: int, count: int) -> None:
    """Refuse more words of one account than a page is compared with."""
    papers = shard.state.papers
    others = (
        len(read_filter(papers.get(FILTER, account_id, key)).words)
        for key in papers.keys(FILTER, account_id) if key != filter_id
    )  # fmt: skip
    if sum(others) + count > limits.FILTER_WORDS_PER_ACCOUNT_MAX:
        raise InvalidError(
            f"all filters of an account may have {limits.FILTER_WORDS_PER_ACCOUNT_MAX} keywords together", "keyword"
        )


def prepare_drop_filter(shard: Lookups, now_ms: int, account_id: int, filter_id: int) -> Prepared:
    """Forget a filter; the reply is whether there was one. Raises NotFoundError."""
    shard.require_level(FILTER.from_level)
    shard.row(account_id)
    _find(shard, account_id, filter_id)
    stamp = shard.next_thing_id(account_id, now_ms)
    return Prepared(["drop_filter", account_id, filter_id, stamp], lambda _: True)


def _find(shard: Lookups, account_id: int, filter_id: int) -> Filter:
    document = shard.state.papers.get(FILTER, account_id, arguments.an_id(filter_id, "id"))
    if document is None:
        raise NotFoundError(f"filter {filter_id} does not exist (any more)", "id")
    return read_filter(document)


def stamp_of(state: ShardState, account_id: int) -> int:
    """Return the stamp of an account's filters, 0 for none. 0.2 us for those without."""
    if not state.shelves.marks.row_of(STAMP.number, account_id):
        return 0
    stamps = state.shelves.view(STAMP, account_id)[0]
    return stamps.item(0) if len(stamps) else 0


def answer_filters(shard: Lookups, account_id: int) -> list[Any]:
    """All filters of an account, for the account itself alone, the oldest first: `[stamp, [[id, *facts], ...]]`."""
    shard.row(account_id)
    papers = shard.state.papers
    found = [
        [filter_id, *read_filter(papers.get(FILTER, account_id, filter_id))]
        for filter_id in papers.keys(FILTER, account_id)
    ]
    return [stamp_of(shard.state, account_id), found]


def answer_flags_and_filters(
    shard: Lookups, account_id: int, tweets: bytes, originals: bytes, authors: bytes, parents: bytes = b""
) -> list[Any]:
    """What an account has done about some tweets, and whether it filters any: `[flags, stamp of its filters, or 0]`.

    As `viewer_flags`; for the account itself alone.
    """
    flags = answer_viewer_flags(shard, account_id, tweets, originals, authors, parents)
    return [flags, stamp_of(shard.state, account_id)]


FEATURE = Feature(
    "filters",
    kinds=(STAMP,),
    papers=(FILTER,),
    writes=(Write("change_filter", prepare_change_filter), Write("drop_filter", prepare_drop_filter)),
    reads=(Read("filters", answer_filters), Read("flags_and_filters", answer_flags_and_filters)),
    commands={"put_filter": put_filter, "drop_filter": drop_filter},
)
