"""A search for tweets answered inside the HTTP protocol: no task, no ASGI messages, a callback a shard and one write.

Rules of this file
- Beside the rules of `api/http/fast_exchange.py`: only searches come here whose parameters and query can be read and
  name nobody (`from:`, `to:`: their ids would have to be found first) and ask for no reposts, and whose token is known,
  if there is one.
- The steps and their rules are those of `search/reads.py`: `parse_question`, `parsed`, `search_headers`; and
  `Search.ask_tweets`, with the cache that both ways share.

How it works
See `fast_exchange.py` and `scatter.py`. An answer that is repeated is written before this worker reads on. A search
that finds too little goes on in a task, which looks for what may have been meant: that is rare.

Cost, system calls included: some 60 us of this worker's time a search of 20 tweets from one shard, 90 from two
(bench/NOTES.md). Through uvicorn's cycle, tasks and ASGI it was 145 from two.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from functools import partial
from typing import Any, Final, NamedTuple

from actors.text.costs import KINDS_MAX
from api.http.caching import Headers
from api.http.fast_exchange import FastExchange, FastRead
from api.links import kept_in_links
from api.native.hot import parse_sender
from api.native.viewer_flags import NAME as FLAGS_NAME
from api.params import parse_query
from api.search.pages import Question
from api.search.reads import parse_question, parsed, search_headers, shape_of
from api.services import Services

_FLAGS = FLAGS_NAME.encode()  # asked for, or a word of the query: it may go the long way
STARS_MAX = KINDS_MAX["prefix"]  # in words: where there are more the query is refused, unless they stand in phrases
GONE_STATUS = 499  # in metrics and logs, as other servers have it: nobody is there to be told
SHAPE_BYTES_MAX = 256  # of parameters beside the words that are remembered
Read = tuple[Question, str, dict[str, str]]  # what is asked, what links repeat, and parameters with the token
_NO_TOKEN: dict[str, str] = {}
_PLAIN_WORDS = re.compile(rb"[A-Za-z0-9][A-Za-z0-9+]{,199}")


class SearchAsked(NamedTuple):
    """What a search asks. kept: what links repeat; units: what it costs."""

    asked: Question
    tree: list[Any]
    units: int
    kept: str
    host: bytes


def _parse(
    services: Services, query_string: bytes, headers: Iterable[tuple[bytes, bytes]], _: bytes
) -> tuple[int, SearchAsked] | None:
    if query_string.count(b"*") > STARS_MAX or _FLAGS in query_string:
        return None  # so many stars are refused, most likely: that needn't be found out twice
    asked, kept, query_token = _read_words(services, query_string) or _read(services, query_string)
    token, host = parse_sender(query_token, headers)
    meaning = parsed(asked.text)
    if meaning.asks_more or (meaning.of_reader and token is None):
        return None
    reader_id = services.auth.known_viewer(token)
    if reader_id is None:
        return None
    if reader_id:
        asked = asked._replace(reader=reader_id)
    return reader_id, SearchAsked(asked, meaning.tree, meaning.cost(asked.order), kept, host)


def _ask(services: Services, search: SearchAsked, exchange: FastExchange) -> None:
    """Ask the shards when it is this search's turn, unless the answer is known."""
    services.limiter.check_search(exchange.scope, search.asked.reader, search.units)
    services.search.turns.put(partial(_begin, services, search, exchange))


def _begin(services: Services, search: SearchAsked, exchange: FastExchange) -> None:
    """Ask the shards, unless whoever wants to know has gone."""
    if exchange.disconnected:
        exchange.end(GONE_STATUS, [], b"")
        return
    try:
        services.search.ask_tweets(search.asked, search.tree, exchange.take)
    except Exception as error:  # noqa: BLE001 - the last line, as in edge.py
        exchange.take(None, error)


def _answer(services: Services, search: SearchAsked, exchange: FastExchange, reply: Any) -> tuple[Headers, bytes]:
    return search_headers(reply, exchange.origin(search.host) + exchange.path, search.kept), reply.body


def _read_words(services: Services, raw: bytes) -> Read | None:
    """Read a query string whose words are plain ones; None for others. Raises RookeryError."""
    before, _, rest = raw.partition(b"query=")
    words, _, after = rest.partition(b"&")
    if (
        not _PLAIN_WORDS.fullmatch(words)
        or len(before) + len(after) > SHAPE_BYTES_MAX
        or before[-1:] not in (b"", b"&")
    ):
        return None
    settings = services.settings
    shape = shape_of(before, after, settings.home_count_default, settings.home_count_max)
    if shape is None:
        return None
    plus = words.decode()
    asked = shape.question(plus.replace("+", " "), 0, int(time.time() * 1000))
    return asked, f"{shape.before}query={plus}&{shape.after}", _NO_TOKEN


def _read(services: Services, raw: bytes) -> Read:
    """Read any query string. Raises RookeryError."""
    query, settings = parse_query(raw), services.settings
    now_ms = int(time.time() * 1000)
    asked = parse_question(query, settings.home_count_default, settings.home_count_max, 0, now_ms)
    return asked, kept_in_links(query), query


# Whoever sends other characters in a query gets the long way.
FAST_SEARCH: Final = FastRead(re.compile(rb"[A-Za-z0-9_.~&=%+:*,()'!@$/;-]*"), _parse, _ask, _answer)
