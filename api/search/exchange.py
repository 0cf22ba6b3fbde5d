"""A search for tweets answered inside the HTTP protocol: no task, no ASGI messages, a callback a shard and one write.

Rules of this file
- Only ordinary requests come here: a complete `GET` of HTTP/1.1 without a body, alone on its connection, whose
  parameters and query can be read and name nobody (`from:`, `to:`: their ids would have to be found first), and whose
  token is known, if there is one. Everything else, refusals of those included, goes through `edge.py`. Nothing has been
  counted or changed by then, so that a client can't tell which way its request went.
- The steps and their rules are those of `edge.py` and `search/reads.py`: `Services.admit`, `parse_question`, `parsed`,
  `search_headers`, `response_for`, `RequestLog`; and `Search.ask_tweets`, with the cache that both ways share.
- One answer in every case: every shard calls back exactly once, by its deadline, and so does the search.

How it works
See `direct_exchange.py` and `search.py`. An answer that is repeated is written before this worker reads on. A search
that finds too little goes on in a task, which looks for what may have been meant: that is rare.

Cost, system calls included: some 60 us of this worker's time a search of 20 tweets from one shard, 90 from two
(bench/NOTES.md). Through uvicorn's cycle, tasks and ASGI it was 145 from two.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from actors.core.errors import RookeryError
from actors.text.costs import KINDS_MAX
from api.http.caching import Headers
from api.http.direct_exchange import ReadExchange, is_plain_read
from api.links import kept_in_links
from api.native.hot import parse_sender
from api.native.viewer_flags import NAME as FLAGS_NAME
from api.params import parse_query
from api.search.pages import Question
from api.search.reads import SEARCH_PATH, parse_question, parsed, search_headers, shape_of
from api.services import Services

if TYPE_CHECKING:
    from api.http.protocol import BoundedHttpProtocol

# Whoever sends other characters in a query, or a body, gets the long way.
_FLAGS = FLAGS_NAME.encode()  # asked for, or a word of the query: it may go the long way
STARS_MAX = KINDS_MAX["prefix"]  # in words: where there are more the query is refused, unless they stand in phrases
GONE_STATUS = 499  # in metrics and logs, as other servers have it: nobody is there to be told
SHAPE_BYTES_MAX = 256  # of parameters beside the words that are remembered
Read = tuple[Question, str, dict[str, str]]  # what is asked, what links repeat, and parameters with the token
_NO_TOKEN: dict[str, str] = {}
_PLAIN_WORDS = re.compile(rb"[A-Za-z0-9][A-Za-z0-9+]{,199}")
_PLAIN_URL = re.compile(rb"%b\?([A-Za-z0-9_.~&=%%+:*,()'!@$/;-]*)" % re.escape(SEARCH_PATH.encode()))


class SearchExchange(ReadExchange):
    """One search for tweets and its answer."""

    __slots__ = ("_asked", "_host", "_kept", "_tree", "_units")

    def __init__(
        self, protocol: BoundedHttpProtocol, services: Services, kept: str, host: bytes, asked: Question,
        tree: list[Any], units: int,
    ) -> None:  # fmt: skip
        """kept: what links repeat; units: what the search costs."""
        super().__init__(protocol, services, SEARCH_PATH)
        self._kept, self._host, self._asked, self._tree, self._units = kept, host, asked, tree, units

    @classmethod
    def of(
        cls, protocol: BoundedHttpProtocol, services: Services, head_is_known: bool = False
    ) -> SearchExchange | None:
        """Return the exchange for the request whose head is complete, or None if it must go the long way.

        head_is_known: all but the URL is that of a request that didn't have to.
        """
        url = _PLAIN_URL.fullmatch(protocol.url)
        if url is None or not (head_is_known or is_plain_read(protocol)) or url[1].count(b"*") > STARS_MAX:
            return None  # so many stars are refused, most likely: that needn't be found out twice
        if _FLAGS in url[1]:
            return None
        try:
            found = _read_words(services, url[1]) or _read(services, url[1])
            asked, kept, query_token = found
            token, host = parse_sender(query_token, protocol.headers)
            meaning = parsed(asked.text)
        except RookeryError:
            return None
        if meaning.has_names or (meaning.of_reader and token is None):
            return None
        reader_id = services.auth.known_viewer(token)
        if reader_id is None:
            return None
        if reader_id:
            asked = asked._replace(reader=reader_id)
        return cls(protocol, services, kept, host, asked, meaning.tree, meaning.cost(asked.order))

    def start(self) -> None:
        """Count the request and ask the shards, unless the answer is known."""
        reader = self._asked.reader
        if not self._admit(reader):
            return
        try:
            scope: Any = self._protocol.scope
            self._services.limiter.check_search(scope, reader, self._units)
        except RookeryError as error:
            self._end(*self.fail(error))
        else:
            self._services.search.turns.put(self._begin)

    def _begin(self) -> None:
        """Ask the shards, when it is this search's turn, unless whoever wants to know has gone."""
        if self.disconnected:
            self._end(GONE_STATUS, [], b"")
            return
        try:
            self._services.search.ask_tweets(self._asked, self._tree, self._take)
        except Exception as error:  # noqa: BLE001 - the last line, as in edge.py
            self._take(None, error)

    def _answer_with(self, reply: Any) -> tuple[Headers, bytes]:
        headers = search_headers(reply, self._origin(self._host) + self._path, self._kept)
        return headers, reply.body


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
