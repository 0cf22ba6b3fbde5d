"""Home and list timelines inside the HTTP protocol: rows of `api/fast_reads.py` for what Mastodon's clients ask most.

Rules of this file
- One lane request, `shaped` with `home` or `list_timeline`; its bytes are passed on unread (`http/fast_exchange.py`),
  unless there are polls or quotes among them: `statuses.completed` puts those of now there.
- Of a reader with filters the shard says so (the fourth of its answer; the fifth is where statuses begin): then the
  bytes are looked into, and his filters asked for where this worker doesn't know them (`filtering.py`). Nobody else
  pays for them.
- Ordinary requests only: a token in the header that this worker has verified, `limit` and cursors that are numbers.
  Everything else, each refusal too, goes the long way, `operations/timelines.py` and `lists.py`, whose answers these
  are to the byte.

Cost: as that of a native home read (`native/hot.py`), and 3 us for a page that is four times as long.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from functools import partial
from typing import Any, Final, NamedTuple

from actors.core.errors import RookeryError
from actors.core.features.filters import HOME
from actors.core.ids import bucket_of_account
from actors.core.renderers.mastodon_marks import has_marks
from actors.core.scopes import READ_LISTS, READ_STATUSES, covers
from actors.core.shape_table import MASTODON, MASTODON_FROM_LEVEL
from api.access.auth import bearer_of
from api.http.caching import PRIVATE, Headers
from api.http.fast_exchange import FastExchange, FastRead
from api.mastodon.errors import response_for
from api.mastodon.filtering import known_filters, marked_page
from api.mastodon.headers import EXPOSED, JSON, ORIGIN
from api.mastodon.inputs import Params, nested
from api.mastodon.pages import link_of, window_of
from api.mastodon.status_bytes import StatusPage
from api.mastodon.statuses import completed
from api.params import split_pairs
from api.ports import Done
from api.search.cache import tell
from api.services import Services

_under_way: Final[set[asyncio.Task[None]]] = set()  # held, or the loop might lose them
HOME_PATH: Final = "/api/v1/timelines/home"
LISTS_PATH: Final = "/api/v1/timelines/list/"
LIST_ROUTE: Final = LISTS_PATH + "{list_id}"
_LIST_ID: Final = re.compile(rb"[1-9][0-9]{0,17}")  # longer ones are another's to judge
_STAMP: Final = 3  # place of the filters' stamp in a reply, which has one for a reader with filters


class HomeAsked(NamedTuple):
    """A request for a timeline: whose, the parameters, the lane's operation and its arguments, the Host header."""

    account_id: int
    params: Params
    op: str
    arguments: list[int]
    host: bytes


def _parse(
    services: Services, query_string: bytes, headers: Iterable[tuple[bytes, bytes]], _: bytes
) -> tuple[int, HomeAsked] | None:
    found = _reader_of(services, headers, READ_STATUSES)
    if found is None:
        return None
    account_id, host = found
    params = _params_of(query_string)
    return account_id, HomeAsked(account_id, params, "home", [account_id, *window_of(params, 20, 40)], host)


def _parse_list(
    services: Services, query_string: bytes, headers: Iterable[tuple[bytes, bytes]], list_id: bytes
) -> tuple[int, HomeAsked] | None:
    found = _reader_of(services, headers, READ_LISTS)
    if found is None or not _LIST_ID.fullmatch(list_id):
        return None
    account_id, host = found
    params = _params_of(query_string)
    args = [account_id, int(list_id), *window_of(params, 20, 40)]
    return account_id, HomeAsked(account_id, params, "list_timeline", args, host)


def _params_of(query_string: bytes) -> Params:
    return Params(nested(split_pairs(query_string, "the query string")) if query_string else {})


def _reader_of(services: Services, headers: Iterable[tuple[bytes, bytes]], scope: int) -> tuple[int, bytes] | None:
    """Return (who asks, the Host header), None where the long way is to say so."""
    if services.cluster.level < MASTODON_FROM_LEVEL:
        return None
    host = authorization = b""
    for name, value in headers:
        if name == b"authorization":
            authorization = value
        elif name == b"host":
            host = value
    grant = services.auth.known_grant(bearer_of(authorization.decode("latin-1"))) if authorization else None
    if grant is None or not grant.account_id or grant.is_session or not covers(grant.scopes, scope):
        return None
    return grant.account_id, host


def _ask(services: Services, asked: HomeAsked, exchange: FastExchange) -> None:
    services.search.queue.home_read(exchange.started_s)
    timeout_s = services.settings.request_timeout_s
    arguments = [MASTODON, asked.op, asked.arguments]
    deadline_s = asyncio.get_running_loop().time() + timeout_s
    done = _completing(services, asked.account_id, deadline_s, partial(_take, services, asked, exchange))
    services.cluster.send(bucket_of_account(asked.account_id), "shaped", arguments, timeout_s, done)


def _completing(services: Services, viewer: int, deadline_s: float, take: Done) -> Done:
    """Return what takes the page and passes it on to `take`, its polls and quotes as they are now.

    deadline_s: of the loop's clock, by which it is passed on. Most pages have none, and go on in the same turn.
    """

    def take_page(reply: Any, error: Exception | None) -> None:
        if error is not None or not has_marks(reply[0]):
            take(reply, error)
            return
        task = asyncio.get_running_loop().create_task(tell(_completed(services, reply, viewer, deadline_s), take))
        _under_way.add(task)
        task.add_done_callback(_under_way.discard)

    return take_page


async def _completed(services: Services, reply: list[Any], viewer: int, deadline_s: float) -> list[Any]:
    body, newest, oldest, *of_filters = reply
    async with asyncio.timeout_at(deadline_s):
        if not of_filters:
            return [*await completed(services, [body], viewer), newest, oldest]
        stamp, places = of_filters
        page = StatusPage.of(await completed(services, StatusPage(body, places).statuses, viewer))
        return [page.body, newest, oldest, stamp, page.places]


def _take(services: Services, asked: HomeAsked, exchange: FastExchange, reply: Any, error: Exception | None) -> None:
    """Take the page; of a reader with filters once they are known, in place of their stamp in the reply."""
    if error is not None or not isinstance(reply, list) or len(reply) <= _STAMP:
        exchange.take(reply, error)
        return
    filters = services.filter_sets.get(asked.account_id, reply[_STAMP])
    if filters is not None:
        reply[_STAMP] = filters
        exchange.take(reply, None)
        return

    def go_on(told: Any, failure: Exception | None) -> None:
        reply[_STAMP] = told
        exchange.take(reply, failure)

    timeout_s = services.settings.request_timeout_s
    try:
        services.cluster.send(bucket_of_account(asked.account_id), "filters", [asked.account_id], timeout_s, go_on)
    except RookeryError as failure:
        exchange.take(None, failure)


def _answer(services: Services, asked: HomeAsked, exchange: FastExchange, reply: Any) -> tuple[Headers, bytes]:
    body, newest, oldest, *of_filters = reply
    if of_filters:
        told, places = of_filters
        body = marked_page(known_filters(services, asked.account_id, told), StatusPage(body, places), HOME)
    headers: Headers = [JSON, (b"content-length", b"%d" % len(body)), ORIGIN, EXPOSED]
    link = link_of(exchange.origin(asked.host) + exchange.path, asked.params, newest, oldest, has_more=True)
    if link is not None:
        headers.append(link)
    headers.append(PRIVATE)
    return headers, body


FAST_HOME: Final = FastRead(re.compile(rb"[A-Za-z0-9_.~&=%+-]*"), _parse, _ask, _answer, response_for)
FAST_LIST: Final = FastRead(FAST_HOME.plain, _parse_list, _ask, _answer, response_for, LIST_ROUTE)
