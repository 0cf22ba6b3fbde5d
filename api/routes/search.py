"""Search: tweets, accounts, suggestions, hashtag timelines."""

from __future__ import annotations

import re
import time
from collections.abc import MutableMapping
from functools import lru_cache
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from actors.core.errors import InvalidError, MalformedError
from actors.core.ids import ID_MAX
from actors.search import text
from actors.search.query import TERMS_MAX, parse
from actors.search.text import is_word
from api.auth import bearer_of
from api.hot import Headers, ThinRead
from api.limits import QUERY_BYTES_MAX, SEARCH_QUERY_CHARS_MAX, TAG_CHARS_MAX, TAGS_PER_REQUEST_MAX
from api.links import base_of, timeline_links
from api.models import AccountsFound, Suggestions, Tweet, TweetsFound
from api.openapi import PAGE, PARTIAL_HEADER, errors, operation
from api.params import Page, parse_count, parse_id, parse_page, parse_query, shown, split_pairs
from api.routes.answers import thin_answer
from api.search import Answer, Question, parse_cursor_of_top, require_reader
from api.services import Services

router = APIRouter(tags=["search"])
_JSON = (b"content-type", b"application/json")
_QUERY: dict[str, Any] = {
    "name": "query", "in": "query", "required": True, "schema": {"type": "string", "minLength": 1},
    "description": "What to find; docs/search.md has the language", "example": "hello world",
}  # fmt: skip
_COUNT = PAGE[-1]
_FLAGS = {"true": True, "1": True, "false": False, "0": False, "": False}

_FITS_TAG = re.compile(r"(?:\w|[^\x00-\x7f])+")  # more than a hashtag may be made of, but no ASCII that it can't

_PLAIN_WORDS = re.compile(rf"[a-z0-9]{{1,{text.WORD_CHARS_MAX}}}(?: [a-z0-9]{{1,{text.WORD_CHARS_MAX}}}){{1,7}}")


@lru_cache(2_048)
def parsed(query: str) -> list[Any]:
    """Return the tree of a query. Most are a few plain words, of which the tree is seen at once: 3 us, not 30."""
    if _PLAIN_WORDS.fullmatch(query):
        words = list(dict.fromkeys(query.split(" ")))
        if len(words) > 1:
            return ["and", *(["word", word] for word in words)]
    return parse(query).tree


def _flag(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": {"type": "boolean", "default": False}, "description": description}


def parse_flag(query: dict[str, str], name: str) -> bool:
    """Return a switch. Raises MalformedError."""
    value = query.get(name, "").lower()
    if value not in _FLAGS:
        raise MalformedError(f'{name} must be "true" or "false", not {shown(value)}', name)
    return _FLAGS[value]


def required_text(query: dict[str, str]) -> str:
    """Return `query`. Raises InvalidError, MalformedError."""
    value = query.get("query", "")
    if not value.strip():
        raise InvalidError("query is required: what to search for", "query")
    if len(value) > SEARCH_QUERY_CHARS_MAX:
        raise MalformedError(f"query has {len(value)} characters; at most {SEARCH_QUERY_CHARS_MAX} are read", "query")
    return value


def parse_question(services: Services, query: dict[str, str], reader_id: int, now_ms: int) -> Question:
    """Read the parameters of a search for tweets. Raises InvalidError or MalformedError."""
    settings = services.settings
    order = query.get("order", "latest") or "latest"
    if order not in ("latest", "top"):
        raise InvalidError(f'order must be "latest" or "top", not {shown(order)}', "order")
    page = parse_page(query, settings.home_count_default, settings.home_count_max)
    at_ms, below = now_ms, (0.0, 0)
    cursor = query.get("cursor", "")
    if order == "top":
        if page.max_id or page.since_id or page.min_id:
            raise InvalidError("order=top has no max_id, since_id or min_id; give `next_cursor` as cursor", "max_id")
        if cursor:
            at_ms, score, tweet_id = parse_cursor_of_top(cursor)
            if not (0 < at_ms <= ID_MAX and 0 < tweet_id <= ID_MAX and score == score):
                raise MalformedError("cursor must be a `next_cursor` of a page of order=top", "cursor")
            below = (score, tweet_id)
        else:
            at_ms -= at_ms % 1000  # so that the answer can be repeated within the second
    elif cursor:
        page = Page(parse_id(cursor, "cursor"), page.since_id, page.min_id, page.count)
        at_ms = 0
    else:
        at_ms = 0
    return Question(
        required_text(query), order, page.count, page.max_id, page.since_id, page.min_id, at_ms, below,
        parse_flag(query, "exact"), parse_flag(query, "highlights"), reader_id,
    )  # fmt: skip


async def _reader(services: Services, query: dict[str, str], scope: MutableMapping[str, Any]) -> tuple[int, bytes]:
    """Return (who reads, 0 for nobody; the Host header). Raises UnauthorizedError, RateLimitedError."""
    authorization, host = None, b""
    for name, value in scope["headers"]:
        if name == b"authorization":
            authorization = value
        elif name == b"host":
            host = value
    token = bearer_of(authorization.decode("latin-1")) if authorization is not None else query.get("auth_token") or None
    reader_id = await services.auth.viewer(token)
    if reader_id:
        services.limiter.check_account(reader_id, False)
    return reader_id, host


def _headers(answer: Answer, scope: MutableMapping[str, Any], query: dict[str, str], host: bytes) -> Headers:
    headers: Headers = [_JSON, (b"content-length", b"%d" % len(answer.body)), (b"cache-control", b"private, no-store")]
    base = base_of(scope["scheme"], host.decode("latin-1"), scope["path"])
    link = timeline_links(base, query, answer.newest_id, answer.oldest_id)
    if link is not None:
        headers.append((b"link", link.encode("latin-1")))
    return headers


async def read_search(services: Services, scope: MutableMapping[str, Any]) -> tuple[Headers, bytes]:
    """Return headers and JSON of a search for tweets. Raises a RookeryError for every refusal."""
    query = parse_query(scope["query_string"])
    reader_id, host = await _reader(services, query, scope)
    asked = parse_question(services, query, reader_id, int(time.time() * 1000))
    tree = parsed(asked.text)
    require_reader(tree, reader_id)
    answer = await services.search.tweets(asked, tree)
    return _headers(answer, scope, query, host), answer.body


async def read_suggest(services: Services, scope: MutableMapping[str, Any]) -> tuple[Headers, bytes]:
    """Return headers and JSON of suggestions. Raises a RookeryError for every refusal."""
    query = parse_query(scope["query_string"])
    reader_id, host = await _reader(services, query, scope)
    count = parse_count(query, 10, services.settings.home_count_max)
    answer = await services.search.suggest(required_text(query), count, reader_id)
    return _headers(answer, scope, query, host), answer.body


SEARCH_READS: dict[str, ThinRead] = {"/api/v1/search": read_search, "/api/v1/suggest": read_suggest}


@router.get(
    "/api/v1/search",
    response_model=TweetsFound,
    summary="Search tweets",
    responses=errors(401, 404, page=True),
    openapi_extra=operation(
        _QUERY,
        {
            "name": "order", "in": "query", "schema": {"enum": ["latest", "top"], "default": "latest"},
            "description": "Newest first, or best first",
        },
        *PAGE,
        {
            "name": "cursor", "in": "query", "schema": {"type": "string"},
            "description": "`next_cursor` of the page before",
        },
        _flag("exact", "Don't correct typos"),
        _flag("highlights", "Tell where in each text the query's words stand"),
        token="optional",
    ),
)  # fmt: skip
async def search_tweets(request: Request) -> Response:
    """Public tweets that match. The language of queries stands in docs/search.md; `order=top` weighs words, age,
    counts, and whom you follow."""
    return await thin_answer(request, read_search)


@router.get(
    "/api/v1/suggest",
    response_model=Suggestions,
    summary="Complete what is being typed",
    responses=errors(401, 404),
    openapi_extra=operation(_QUERY, _COUNT, token="optional"),
)
async def suggest(request: Request) -> Response:
    """Accounts and hashtags that begin so, the popular first. `@` or `#` at the beginning asks for one kind only."""
    return await thin_answer(request, read_suggest)


@router.get(
    "/api/v1/search/accounts",
    response_model=AccountsFound,
    summary="Search accounts",
    responses=errors(401, 404),
    openapi_extra=operation(_QUERY, _COUNT, token="optional"),
)
async def search_accounts(request: Request) -> Response:
    """Accounts by handle, name and bio, the popular first; mistyped words find too."""
    return await thin_answer(request, _read_accounts)


async def _read_accounts(services: Services, scope: MutableMapping[str, Any]) -> tuple[Headers, bytes]:
    query = parse_query(scope["query_string"])
    reader_id, host = await _reader(services, query, scope)
    count = parse_count(query, services.settings.home_count_default, services.settings.home_count_max)
    asked = required_text(query)
    words = list(dict.fromkeys(word for part in asked.replace("@", " ").split() for word in text.words(part)))
    if not words:
        raise InvalidError(f"query has no word to search for: {shown(asked)}", "query")
    if len(words) > TERMS_MAX:
        raise MalformedError(f"query has {len(words)} words; at most {TERMS_MAX} are looked for", "query")
    answer = await services.search.accounts(asked, words, count, reader_id)
    return _headers(answer, scope, query, host), answer.body


@router.get(
    "/search/tags/{hashtag}",
    response_model=list[Tweet],
    summary="Hashtag timeline",
    responses=errors(401, 404, page=True, partial=True),
    openapi_extra=operation(
        {
            "name": "hashtag", "in": "path", "required": True, "schema": {"type": "string"}, "example": "hello",
            "description": "With or without %23",
        },
        *(
            {
                "name": name, "in": "query", "schema": {"type": "array", "items": {"type": "string"}},
                "style": "form", "explode": True, "description": description,
            }
            for name, description in (
                ("any", "Tweets with one of these as well"), ("all", "Only tweets with each of these, too"),
                ("none", "No tweets with one of these"),
            )
        ),
        *PAGE,
        token="optional",
    ),
)  # fmt: skip
async def hashtag_timeline(request: Request) -> Response:
    """Public tweets with a hashtag, newest first."""
    services: Services = request.app.state.services
    query, groups = _split_tags(request.scope["query_string"])
    reader_id, host = await _reader(services, query, request.scope)
    tags = [[_tag(request.path_params["hashtag"], "hashtag"), *groups["any"]], groups["all"], groups["none"]]
    if sum(map(len, tags)) > TAGS_PER_REQUEST_MAX:
        raise InvalidError(f"at most {TAGS_PER_REQUEST_MAX} hashtags can be combined", "any")
    page = parse_page(query, services.settings.home_count_default, services.settings.home_count_max)
    answer = await services.search.tagged(tags, page.max_id, page.since_id, page.min_id, page.count, reader_id)
    response = Response(answer.body)
    kept = {**query, **{f"{name}": ",".join(values) for name, values in groups.items() if values}}
    response.raw_headers = _headers(answer, request.scope, kept, host)
    if answer.shards.answered < answer.shards.of:
        response.headers[PARTIAL_HEADER] = f"{answer.shards.answered}/{answer.shards.of}"
    return response


def _split_tags(raw: bytes) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return the plain parameters, and the hashtags of `any`, `all`, `none` (repeated, `any[]`, or with commas).

    Raises InvalidError, MalformedError.
    """
    if len(raw) > QUERY_BYTES_MAX:
        raise MalformedError(f"the query string has {len(raw)} bytes; at most {QUERY_BYTES_MAX} are read")
    groups: dict[str, list[str]] = {"any": [], "all": [], "none": []}
    rest = []
    for piece in raw.split(b"&"):
        name = piece.partition(b"=")[0].replace(b"%5B", b"[").replace(b"%5b", b"[").split(b"[")[0].decode("latin-1")
        if name in groups:
            for _, value in split_pairs(piece, "the query string"):
                groups[name] += [_tag(tag, name) for tag in value.split(",") if tag.strip()]
        else:
            rest.append(piece)
    return parse_query(b"&".join(rest)), groups


def _tag(given: str, field: str) -> str:
    """Return a hashtag as the index has it. Raises InvalidError."""
    bare = given.strip().lstrip("#\uff03")
    tag = text.fold(bare)  # which would leave blanks out
    if not is_word(bare, SEARCH_QUERY_CHARS_MAX) or not is_word(tag, TAG_CHARS_MAX) or not _FITS_TAG.fullmatch(tag):
        raise InvalidError(f"{shown(given)} is no hashtag: letters, digits and _, at most {TAG_CHARS_MAX}", field)
    return tag
