"""What a reader's filters say of statuses that are about to be shown to him: the member `filtered`.

    a page, joined  +  the stamp of his filters --> known here? else `filters` is asked for --> `filtered` of each

Rules of this file
- Done here, at the API worker, for every page alike: all statuses pass through here on their way to a reader, and a
  shard that joins home timelines would have to open texts for it. A reader without filters has no stamp, and his bytes
  are passed on unread.
- Spoiler, text and poll of a status are compared, of a boost those of what it boosts, as `filtered` stands in both.
- A status is never left out: clients hide what a filter with `hide` names. Which of his filters count is said by the
  place where it is shown; where nobody says, all do.

- What is known of a status is put into its bytes (`status_bytes.py`); only one that isn't is parsed.

Costs, for a reader with filters: 8 us a page of 20 that is known, and 1 us for each status that meets one, 5 us where
it holds another one (in a worker that serves 17 us, five of 20 met; 45 by searching the page); else 12 us each.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import unescape
from typing import Any, cast

import orjson

from actors.core.features.filters import ACCOUNT, ACTIONS, EVERYWHERE, HOME, NOTIFICATIONS, PUBLIC, THREAD
from actors.core.renderers.timestamps import timestamp
from api.filter_sets import NOTHING, FilterSet, Met, StatusVerdict
from api.mastodon.status_bytes import AFTER_RESULTS, StatusPage, name_of, names_in, with_result, with_results
from api.services import Services

CONTEXTS = {"home": HOME, "notifications": NOTIFICATIONS, "public": PUBLIC, "thread": THREAD, "account": ACCOUNT}
_CONTEXTS = 2  # place of the mask in a row of the shard's answer


async def filters_of(services: Services, account_id: int, stamp: int) -> FilterSet:
    """Return an account's filters. stamp: as its shard has told it; 0 if it hasn't."""
    found = services.filter_sets.get(account_id, stamp) if stamp else None
    return found or known_filters(services, account_id, await services.ask_account(account_id, "filters"))


def known_filters(services: Services, account_id: int, told: FilterSet | list[Any]) -> FilterSet:
    """Return an account's filters. told: they, or what its shard answers to `filters`, which is remembered."""
    if isinstance(told, FilterSet):
        return told
    filters = FilterSet(*told)
    if filters.stamp:
        services.filter_sets.keep(account_id, filters)
    return filters


async def filtered(
    services: Services, statuses: list[bytes], viewer: int, stamp: int, place: int = EVERYWHERE
) -> list[bytes]:
    """Return statuses with what the viewer's filters say of them. place: where they are shown, of CONTEXTS."""
    if not stamp or not statuses:
        return statuses
    return marked(await filters_of(services, viewer, stamp), statuses, place)


def marked(filters: FilterSet, statuses: list[bytes], place: int) -> list[bytes]:
    """Return statuses with what filters say of them."""
    verdicts = map(filters.known, map(name_of, statuses))
    return [
        status if verdict is NOTHING else _marked(filters, status, verdict, place)
        for status, verdict in zip(statuses, verdicts, strict=True)
    ]


def marked_page(filters: FilterSet, page: StatusPage, place: int) -> bytes:
    """As `marked`, for a page."""
    body, places = page
    known, end = filters.known, len(body) - 1
    shown: bytearray | None = None
    for begin in reversed(places):  # what is put in moves what stands behind it, which is done
        verdict = known(name_of(body, begin))
        if verdict is not NOTHING:
            if shown is None:
                shown = bytearray(body)
            if verdict is not None and verdict.is_plain:
                at = end - AFTER_RESULTS
                shown[at:at] = _said_in(verdict, place)
            else:
                shown[begin:end] = _marked(filters, body[begin:end], verdict, place)
        end = begin - 1
    return body if shown is None else bytes(shown)


def _marked(filters: FilterSet, status: bytes, verdict: StatusVerdict | None, place: int) -> bytes:
    """Return a status with what filters say of it and of what it holds. verdict: what is known of it."""
    every = [verdict] if verdict is not None and verdict.is_plain else _judged(filters, status)
    results = {at: result for at, each in enumerate(every) if each.results and (result := _said_in(each, place))}
    if not results:
        return status
    return with_result(status, results[0]) if len(every) == 1 else with_results(status, results)


def _said_in(verdict: StatusVerdict, place: int) -> bytes:
    """Return the FilterResults of a place, without the brackets round them."""
    return b",".join([said for contexts, said in verdict.results if contexts & place])


def _judged(filters: FilterSet, status: bytes) -> list[StatusVerdict]:
    """Return what filters say of a status and of all that it holds, as they begin; it is known from now on."""
    names = names_in(status)
    known = [*map(filters.known, names)]
    if None not in known:
        return cast(list[StatusVerdict], known)
    return [
        _judge(filters, name, each) if verdict is None else verdict
        for name, each, verdict in zip(names, _with_inner(orjson.loads(status)), known, strict=True)
    ]


def _judge(filters: FilterSet, name: bytes, status: dict[str, Any]) -> StatusVerdict:
    """Return what filters say of a status, which is known from now on. A reblog says nothing itself."""
    is_reblog = status["reblog"] is not None
    mets = [] if is_reblog else filters.judge(int(status["id"]), _said(status))
    results = tuple((met.row[_CONTEXTS], orjson.dumps(result_of(met))) for met in mets)
    is_plain = not is_reblog and status["quote"] is None
    verdict = StatusVerdict(results, is_plain) if results or not is_plain else NOTHING
    filters.remember(name, verdict)
    return verdict


def _with_inner(status: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Return a status, the one that it quotes, and the one that it reblogs with the one that that quotes."""
    yield status
    for inner in ((status["quote"] or {}).get("quoted_status"), status["reblog"]):
        if inner is not None:
            yield from _with_inner(inner)


def _said(status: dict[str, Any]) -> str:
    """Return all that a status says: spoiler, text, options of its poll."""
    options = (option["title"] for option in (status["poll"] or {}).get("options", ()))
    return "\n".join((status["spoiler_text"], text_of(status["content"]), *options))


def text_of(content: str) -> str:
    """Return what a reader sees of HTML that our own renderer has made. O(its length)."""
    first, *rest = content.split("<")
    said = [first]
    for part in rest:
        tag, _, text = part.partition(">")
        said += ("\n", text) if tag.startswith(("br", "p", "/p")) else (text,)
    return unescape("".join(said))


def result_of(met: Met) -> dict[str, Any]:
    """Return a FilterResult."""
    return {
        "filter": facts_of(met.row),
        "keyword_matches": met.words or None,
        "status_matches": [*map(str, met.status_ids)] or None,
    }


def facts_of(row: list[Any]) -> dict[str, Any]:
    """Return a Filter without its words and statuses. row: as the shard answers it."""
    filter_id, title, contexts, action, expires_ms, *_ = row
    return {
        "id": str(filter_id), "title": title, "context": contexts_of(contexts),
        "expires_at": timestamp(expires_ms) if expires_ms else None, "filter_action": ACTIONS[action],
    }  # fmt: skip


def contexts_of(mask: int) -> list[str]:
    """Return the names of places."""
    return [name for name, bit in CONTEXTS.items() if mask & bit]
