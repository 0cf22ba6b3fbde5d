"""Reports to the server's operator."""

from __future__ import annotations

from typing import Final

import orjson

from actors.core.errors import InvalidError, NotFoundError
from actors.core.features.dismissals import READ
from actors.core.features.reports import CATEGORIES
from actors.core.ids import ms_of_tweet
from actors.core.renderers.timestamps import timestamp
from api.fields import clean_text
from api.levels import require_level
from api.mastodon.accounts import account_of
from api.mastodon.call import Answer, Call, answer
from api.mastodon.table import Operation

COMMENT_CHARS_MAX: Final = 1_000
_REPORTED_MAX: Final = 100


async def report(call: Call) -> Answer:
    """Tell the operator of an account."""
    require_level(call.services, READ.from_level)
    params, target = call.params, call.params.id("account_id")
    shown = orjson.loads(await account_of(call.services, target, call.viewer)) if target else None
    if shown is None:
        raise NotFoundError("account_id is required: whom the report is of", "account_id")
    category = params.text("category") or ("violation" if "rule_ids" in params else "other")
    if category not in CATEGORIES:
        raise InvalidError(f"category must be one of {', '.join(CATEGORIES)}, not {category[:30]!r}", "category")
    comment = clean_text(params.text("comment"), "comment", COMMENT_CHARS_MAX, lines=True)
    tweet_ids, rule_ids = params.ids("status_ids", _REPORTED_MAX), params.ids("rule_ids", _REPORTED_MAX)
    args = [target, category, comment, tweet_ids, rule_ids]
    report_id = await call.settle("report", *args)
    return answer({
        "id": str(report_id), "action_taken": False, "action_taken_at": None, "category": category, "comment": comment,
        "forwarded": False, "created_at": timestamp(ms_of_tweet(report_id)), "target_account": shown,
        "status_ids": list(map(str, tweet_ids)), "rule_ids": list(map(str, rule_ids)), "collection_ids": None,
    })  # fmt: skip


OPERATIONS: Final = (Operation("POST", "/api/v1/reports", "write:reports", "Report", report),)
