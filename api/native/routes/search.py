"""Search: tweets, accounts, suggestions, hashtag timelines."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from actors.core.errors import InvalidError, MalformedError
from actors.text import text
from actors.text.costs import ACCOUNT_WORD_UNITS, TAG_UNITS, TERMS_MAX
from api.http.caching import Headers
from api.limits import TAGS_PER_REQUEST_MAX
from api.links import kept_in_links
from api.native.models import AccountsFound, Suggestions, Tweet, TweetsFound
from api.native.openapi import PAGE, PARTIAL_HEADER, errors, operation
from api.native.routes.answers import thin_answer
from api.native.viewer_flags import PARAMETER, for_viewer
from api.params import parse_count, parse_page, parse_query, shown, split_pairs
from api.search.hashtags import folded_tag
from api.search.reads import read_search, read_suggest, reader_of, required_text, search_headers
from api.services import Services

router = APIRouter(tags=["search"])
_QUERY: dict[str, Any] = {
    "name": "query", "in": "query", "required": True, "schema": {"type": "string", "minLength": 1},
    "description": "What to find; docs/search.md has the language", "example": "hello world",
}  # fmt: skip
_COUNT = PAGE[-1]


def _flag(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": {"type": "boolean", "default": False}, "description": description}


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
        PARAMETER,
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
    reader_id = await reader_of(services, query, scope["headers"])
    count = parse_count(query, services.settings.home_count_default, services.settings.home_count_max)
    asked = required_text(query)
    words = list(dict.fromkeys(word for part in asked.replace("@", " ").split() for word in text.words(part)))
    if not words:
        raise InvalidError(f"query has no word to search for: {shown(asked)}", "query")
    if len(words) > TERMS_MAX:
        raise MalformedError(f"query has {len(words)} words; at most {TERMS_MAX} are looked for", "query")
    services.limiter.check_search(scope, reader_id, ACCOUNT_WORD_UNITS * len(words))
    answer = await services.search.accounts(asked, words, count, reader_id)
    return search_headers(answer, services.origins.base(scope), kept_in_links(query)), answer.body


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
        PARAMETER,
        token="optional",
    ),
)  # fmt: skip
async def hashtag_timeline(request: Request) -> Response:
    """Public tweets with a hashtag, newest first."""
    services: Services = request.app.state.services
    query, groups = _split_tags(request.scope["query_string"])
    reader_id = await reader_of(services, query, request.scope["headers"])
    tags = [[folded_tag(request.path_params["hashtag"], "hashtag"), *groups["any"]], groups["all"], groups["none"]]
    if sum(map(len, tags)) > TAGS_PER_REQUEST_MAX:
        raise InvalidError(f"at most {TAGS_PER_REQUEST_MAX} hashtags can be combined", "any")
    page = parse_page(query, services.settings.home_count_default, services.settings.home_count_max)
    services.limiter.check_search(request.scope, reader_id, TAG_UNITS * sum(map(len, tags)))
    answer = await services.search.tagged(tags, page.max_id, page.since_id, page.min_id, page.count, reader_id)
    answer = answer._replace(body=await for_viewer(services, query, reader_id, answer.body))
    response = Response(answer.body)
    kept = {**query, **{f"{name}": ",".join(values) for name, values in groups.items() if values}}
    response.raw_headers = search_headers(answer, services.origins.base(request.scope), kept_in_links(kept))
    if answer.shards.answered < answer.shards.of:
        response.headers[PARTIAL_HEADER] = f"{answer.shards.answered}/{answer.shards.of}"
    return response


def _split_tags(raw: bytes) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return the plain parameters, and the hashtags of `any`, `all`, `none` (repeated, `any[]`, or with commas).

    Raises InvalidError, MalformedError.
    """
    groups: dict[str, list[str]] = {"any": [], "all": [], "none": []}
    rest = []
    for piece in raw.split(b"&"):
        name = piece.partition(b"=")[0].replace(b"%5B", b"[").replace(b"%5b", b"[").split(b"[")[0].decode("latin-1")
        if name in groups:
            for _, value in split_pairs(piece, "the query string"):
                tags = [tag for tag in value.split(",") if tag.strip()]
                if sum(map(len, (tags, *groups.values()))) > TAGS_PER_REQUEST_MAX:  # before each is folded
                    raise InvalidError(f"at most {TAGS_PER_REQUEST_MAX} hashtags can be combined", name)
                groups[name] += [folded_tag(tag, name) for tag in tags]
        else:
            rest.append(piece)
    return parse_query(b"&".join(rest)), groups
