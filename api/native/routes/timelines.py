"""Timelines: home (served by `hot.py`), why a tweet is or isn't in it, and one account's own."""

from __future__ import annotations

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from actors.core.terms import EXPLAIN_FROM_LEVEL
from actors.text.explanations import accounts_in, in_words
from api.inputs import Inputs
from api.levels import require_level
from api.links import timeline_links
from api.native.hot import read_home
from api.native.hydration import cards_by_id
from api.native.models import HomeExplanation, Tweet
from api.native.openapi import PAGE, errors, operation, query_id
from api.native.routes.answers import json_bytes, thin_answer
from api.native.viewer_flags import PARAMETER, for_viewer
from api.native.visible import ask_user_timeline, require_seen
from api.params import required_id

router = APIRouter(tags=["timelines"])
_HOME = operation(
    query_id("user_id", "Whose; must be the token's account", required=True), *PAGE, PARAMETER, token="required"
)


@router.get(
    "/api/v1/home_timeline",
    response_model=list[Tweet],
    summary="Home timeline",
    responses=errors(401, 403, 404, page=True),
    openapi_extra=_HOME,
)
@router.get(
    "/feed",
    response_model=list[Tweet],
    summary="Home timeline (short path)",
    name="feed",
    responses=errors(401, 403, 404, page=True),
    openapi_extra=_HOME,
)
async def home_timeline(request: Request) -> Response:
    """The newest tweets of yours and of those that you follow, newest first."""
    return await thin_answer(request, read_home)


@router.get(
    "/api/v1/home_timeline/explain",
    response_model=HomeExplanation,
    summary="Why a tweet is, or isn't, in your home timeline",
    responses=errors(401, 403, 404),
    openapi_extra=operation(
        query_id("user_id", "Whose; must be the token's account", required=True),
        query_id("tweet_id", "The tweet, which you may see", required=True), token="required",
    ),
)  # fmt: skip
async def explain_home(request: Request) -> Response:
    """The rules of a home timeline, one after the other, with what each of them saw, and where the tweet is now."""
    inputs = await Inputs.read(request)
    services = inputs.services
    user_id, tweet_id = required_id(inputs.query, "user_id"), required_id(inputs.query, "tweet_id")
    account_id = await inputs.actor(user_id)
    require_level(services, EXPLAIN_FROM_LEVEL)
    await require_seen(services, tweet_id, account_id)
    packed = await services.ask_account(account_id, "explain", tweet_id)
    cards = await cards_by_id(services, sorted(accounts_in(packed) | {account_id}), account_id)
    names = {each: f"@{orjson.loads(card)['username']}" for each, card in cards.items()}
    told = in_words(packed, names.get(account_id, "you"), lambda each: names.get(each, f"account {each}"))
    rules = [rule._asdict() for rule in told.rules]
    return json_bytes(orjson.dumps({"tweet_id": str(tweet_id), **told._asdict(), "rules": rules}))


@router.get(
    "/api/v1/user_timeline",
    response_model=list[Tweet],
    summary="An account's own tweets",
    responses=errors(401, 404, page=True),
    openapi_extra=operation(query_id("user_id", "Whose", required=True), *PAGE, PARAMETER, token="optional"),
)
async def user_timeline(request: Request) -> Response:
    """The tweets and reposts of one account that you may see, newest first."""
    inputs = await Inputs.read(request)
    viewer = await inputs.viewer()
    account_id, page = required_id(inputs.query, "user_id"), inputs.page()
    body, newest_id, oldest_id = await ask_user_timeline(
        inputs.services, account_id, viewer, page.max_id, page.since_id, page.min_id, page.count
    )
    body = await for_viewer(inputs.services, inputs.query, viewer, body)
    base = inputs.services.origins.base(request.scope)
    return json_bytes(body, link=timeline_links(base, inputs.query, newest_id, oldest_id))
