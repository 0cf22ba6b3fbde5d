"""What is written about more than usual: hashtags, links, and statuses with those hashtags.

Rules of this file
- Trends are those of the native API, over a day: how often, and by how many accounts. That day is all the `history`
  there is.
- Statuses are the best (`order=top`) with one of the hashtags that rise; without any, there are none.

Cost: trends are kept for a second, and so is the search.
"""

from __future__ import annotations

import time
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from actors.core.dates import DAY_S
from api.limits import TREND_COUNT_MAX
from api.mastodon.call import Answer, Call, answer
from api.mastodon.operations.search import tag
from api.mastodon.statuses import statuses_of
from api.mastodon.table import Operation
from api.search.pages import Question
from api.search.reads import parsed

_WINDOW: Final = "24h"
_TAGS_OF_STATUSES: Final = 8  # whose statuses are looked for: what a query may have without being dear


async def tags(call: Call) -> Answer:
    """Hashtags that rise."""
    found = await _rising(call, "hashtag", 10, 20)
    return answer([tag(call, trend["name"].removeprefix("#"), _history(trend)) for trend in found])


async def links(call: Call) -> Answer:
    """Links that rise. Nobody has looked at what is behind them."""
    return answer([_link(trend) for trend in await _rising(call, "link", 10, 20)])


async def statuses(call: Call) -> Answer:
    """Statuses with hashtags that rise, the best first."""
    limit, offset = call.params.whole("limit", 20, 1, 40), call.params.whole("offset", 0, 0, 160)
    rising = orjson.loads(await call.services.search.trends(_WINDOW, None, "hashtag", _TAGS_OF_STATUSES))["trends"]
    if not rising:
        return answer([])
    query = " OR ".join(trend["name"] for trend in rising)
    meaning, now_ms = parsed(query), int(time.time() * 1000)
    call.services.limiter.check_search(call.scope, call.viewer, meaning.cost("top"))
    asked = Question(query, "top", limit + offset, 0, 0, 0, now_ms - now_ms % 1000, b"", True, False, call.viewer)
    found = orjson.loads((await call.services.search.tweets(asked, meaning.tree)).body)["tweets"]
    ids = [int(tweet["tweet_id"]) for tweet in found[offset : offset + limit]]
    return Answer(b"[" + b",".join(await statuses_of(call.services, ids, call.viewer)) + b"]")


async def _rising(call: Call, kind: str, default: int, most: int) -> list[dict[str, Any]]:
    limit, offset = call.params.whole("limit", default, 1, most), call.params.whole("offset", 0, 0, TREND_COUNT_MAX)
    count = min(limit + offset, TREND_COUNT_MAX)
    found: list[dict[str, Any]] = orjson.loads(await call.services.search.trends(_WINDOW, None, kind, count))["trends"]
    return found[offset : offset + limit]


def _history(trend: dict[str, Any]) -> list[dict[str, str]]:
    day = int(time.time()) // DAY_S * DAY_S
    return [{"day": str(day), "uses": str(trend["tweets"]), "accounts": str(trend["authors"])}]


def _link(trend: dict[str, Any]) -> dict[str, Any]:
    url = trend["name"] if "://" in trend["name"] else f"https://{trend['name']}"
    host = urlsplit(url).hostname or ""
    return {
        "url": url, "title": trend["name"], "description": "", "type": "link", "author_name": "", "author_url": "",
        "authors": [], "provider_name": host, "provider_url": "", "html": "", "width": 0, "height": 0, "image": None,
        "embed_url": "", "blurhash": None, "published_at": None, "history": _history(trend),
    }  # fmt: skip


OPERATIONS: Final = (
    Operation("GET", "/api/v1/trends/tags", "", "Tag[]", tags),
    Operation("GET", "/api/v1/trends/links", "", "TrendsLink[]", links),
    Operation("GET", "/api/v1/trends/statuses", "", "Status[]", statuses),
)
