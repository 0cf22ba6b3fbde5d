"""The reads of searches: the steps from a request to a question, and from what was found to an answer.

Rules of this file
- There are two ways to search tweets, and both are made of these steps: `read_search` on a bare ASGI scope, and, for
  ordinary requests, `search/fast_read.py` inside the HTTP protocol.
- `routes/search.py` declares the paths, for the documentation. Rules are not repeated here: parameters, tokens, limits
  and links come from their modules.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, MutableMapping
from functools import lru_cache
from typing import Any, NamedTuple

from actors.core.errors import InvalidError, MalformedError
from actors.text import text
from actors.text.costs import SUGGEST_UNITS, TOP_TIMES, cost_of_tree
from actors.text.query import has_follows, names_of, parse, wants_reposts
from api.http.caching import PRIVATE, TOKEN_NAME, Headers
from api.http.edge import ThinRead
from api.limits import SEARCH_QUERY_CHARS_MAX
from api.links import kept_in_links, kept_with, page_links
from api.native.hot import JSON, parse_sender
from api.native.viewer_flags import for_viewer
from api.params import Page, parse_count, parse_flag, parse_id, parse_page, parse_query, shown
from api.search.cache import SearchAnswer
from api.search.cursor import parse_cursor_of_top
from api.search.pages import Question
from api.services import Services
from api.text.texts import is_blank

_PLAIN_WORDS = re.compile(rf"[a-z0-9]{{1,{text.WORD_CHARS_MAX}}}(?: [a-z0-9]{{1,{text.WORD_CHARS_MAX}}}){{1,7}}")


class Parsed(NamedTuple):
    """What a query means. asks_more: ids of names have to be found first, or whose reposts may be shown; of_reader: it
    asks for whom the reader follows; units: what it costs, newest first."""

    tree: list[Any]
    asks_more: bool
    of_reader: bool
    units: int

    def cost(self, order: str) -> int:
        """Return what a search for it costs: see `costs.py`."""
        return self.units * TOP_TIMES if order == "top" else self.units


@lru_cache(2_048)
def parsed(query: str) -> Parsed:
    """Return what a query means. Most are a few plain words, of which the tree is seen at once: 3 us, not 30.

    Raises QueryError.
    """
    if _PLAIN_WORDS.fullmatch(query):
        words = list(dict.fromkeys(query.split(" ")))
        if len(words) > 1:
            return Parsed(["and", *[["word", word] for word in words]], False, False, len(words))
    tree = parse(query).tree
    asks_more = bool(names_of(tree)) or wants_reposts(tree)
    return Parsed(tree, asks_more, has_follows(tree), cost_of_tree(tree, "latest"))


def required_text(query: dict[str, str]) -> str:
    """Return `query`. Raises InvalidError, MalformedError."""
    value = query.get("query", "")
    if is_blank(value):
        raise InvalidError("query is required: what to search for", "query")
    if len(value) > SEARCH_QUERY_CHARS_MAX:
        raise MalformedError(f"query has {len(value)} characters; at most {SEARCH_QUERY_CHARS_MAX} are read", "query")
    return value


def parse_question(query: dict[str, str], count_default: int, count_max: int, reader_id: int, now_ms: int) -> Question:
    """Read the parameters of a search for tweets. Raises InvalidError or MalformedError."""
    order = query.get("order", "latest") or "latest"
    if order not in ("latest", "top"):
        raise InvalidError(f'order must be "latest" or "top", not {shown(order)}', "order")
    page = parse_page(query, count_default, count_max)
    at_ms, shown_ids = now_ms, b""
    cursor = query.get("cursor")
    if order == "top":
        if page.max_id or page.since_id or page.min_id:
            raise InvalidError("order=top has no max_id, since_id or min_id; give `next_cursor` as cursor", "max_id")
        if cursor is not None:
            at_ms, shown_ids = parse_cursor_of_top(cursor)
        else:
            at_ms -= at_ms % 1000  # so that the answer can be repeated within the second
    elif cursor is not None:
        page = Page(parse_id(cursor, "cursor"), page.since_id, page.min_id, page.count)
        at_ms = 0
    else:
        at_ms = 0
    return Question(
        required_text(query), order, page.count, page.max_id, page.since_id, page.min_id, at_ms, shown_ids,
        parse_flag(query, "exact"), parse_flag(query, "highlights"), reader_id,
    )  # fmt: skip


class QueryShape(NamedTuple):
    """The parameters of a search for tweets but its words.

    asked: for other words, by nobody, at 0; before, after: what links repeat of what stands before and after the words.
    """

    asked: Question
    before: str
    after: str

    def question(self, text: str, reader_id: int, now_ms: int) -> Question:
        """Return the question with those words, as `parse_question` does."""
        asked = self.asked
        at_ms = now_ms - now_ms % 1000 if asked.order == "top" and not asked.at_ms else asked.at_ms
        return Question(
            text, asked.order, asked.count_max, asked.max_id, asked.since_id, asked.min_id, at_ms, asked.shown,
            asked.exact, asked.highlights, reader_id,
        )  # fmt: skip


@lru_cache(1_024)
def shape_of(before: bytes, after: bytes, count_default: int, count_max: int) -> QueryShape | None:
    """Return what the query string before `query=` and after its words says; None if there is a token, or more words.

    Clients ask for other words with the same parameters again and again: 0.5 us with `question`, not 5.
    Raises as `parse_question`.
    """
    first, last = parse_query(before), parse_query(after)
    if first.keys() & last.keys() or {"query", TOKEN_NAME} & (first.keys() | last.keys()):
        return None
    asked = parse_question({**first, "query": "words", **last}, count_default, count_max, 0, 0)
    return QueryShape(asked, kept_in_links(first), kept_in_links(last))


def require_reader(meaning: Parsed, reader_id: int) -> None:
    """Refuse filter:follows from nobody. Raises InvalidError."""
    if meaning.of_reader and not reader_id:
        raise InvalidError("filter:follows needs a token: whose follows are meant?", "query")


async def reader_of(services: Services, query: dict[str, str], headers: Iterable[tuple[bytes, bytes]]) -> int:
    """Return who reads, 0 for nobody. Raises UnauthorizedError, RateLimitedError."""
    token, _ = parse_sender(query, headers)
    reader_id = await services.auth.viewer(token)
    if reader_id:
        services.limiter.check_account(reader_id, False)
    return reader_id


def search_headers(answer: SearchAnswer, base: str, kept: str) -> Headers:
    """Return the headers of what was found. base: the address without its query; kept: see `kept_in_links`."""
    headers: Headers = [JSON, (b"content-length", b"%d" % len(answer.body)), PRIVATE]
    if answer.newest_id:
        if answer.corrected is not None:
            kept = kept_with(kept, "query", answer.corrected)
        link = page_links(base, kept, answer.newest_id, answer.oldest_id)
        headers.append((b"link", link.encode("latin-1")))
    return headers


async def read_search(services: Services, scope: MutableMapping[str, Any]) -> tuple[Headers, bytes]:
    """Return headers and JSON of a search for tweets. Raises a RookeryError for every refusal."""
    query = parse_query(scope["query_string"])
    reader_id = await reader_of(services, query, scope["headers"])
    settings = services.settings
    now_ms = int(time.time() * 1000)
    asked = parse_question(query, settings.home_count_default, settings.home_count_max, reader_id, now_ms)
    meaning = parsed(asked.text)
    require_reader(meaning, reader_id)
    services.limiter.check_search(scope, reader_id, meaning.cost(asked.order))
    answer = await services.search.tweets(asked, meaning.tree)
    answer = answer._replace(body=await for_viewer(services, query, reader_id, answer.body))
    return search_headers(answer, services.origins.base(scope), kept_in_links(query)), answer.body


async def read_suggest(services: Services, scope: MutableMapping[str, Any]) -> tuple[Headers, bytes]:
    """Return headers and JSON of suggestions. Raises a RookeryError for every refusal."""
    query = parse_query(scope["query_string"])
    reader_id = await reader_of(services, query, scope["headers"])
    count = parse_count(query, 10, services.settings.home_count_max)
    asked = required_text(query)
    services.limiter.check_search(scope, reader_id, SUGGEST_UNITS)
    answer = await services.search.suggest(asked, count, reader_id)
    return search_headers(answer, services.origins.base(scope), kept_in_links(query)), answer.body


SEARCH_PATH = "/api/v1/search"
SEARCH_READS: dict[str, ThinRead] = {SEARCH_PATH: read_search, "/api/v1/suggest": read_suggest}
