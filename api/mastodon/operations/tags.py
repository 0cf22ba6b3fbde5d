"""Hashtags: what one is, which you follow, which your profile features.

Rules of this file
- A tag's name is read as the search index reads it (`folded_tag`); a tag that nobody has used is one, too.
- There is no `history` here: only what rises is counted by days (`trends.py`).
- Following a tag brings its public statuses into the home timeline (docs/architecture.md).
- What a profile says of a featured tag is counted among its account's newest 1,000 statuses that aren't private.

Cost: one lane request; of featured tags two.
"""

from __future__ import annotations

from typing import Any, Final

from actors.core import ids
from actors.core.errors import InvalidError, NotFoundError
from actors.core.features.own_tags import FOLLOWED_TAG
from actors.core.hashtags import tag_id_of
from actors.core.renderers.html import tag_url
from actors.core.renderers.timestamps import timestamp
from actors.core.shape_table import MASTODON_FROM_LEVEL
from actors.text import text
from api.levels import require_level
from api.mastodon.call import Answer, Call, answer
from api.mastodon.operations.search import tag
from api.mastodon.shelf_pages import shelf_of_account
from api.mastodon.table import Operation
from api.search.hashtags import bare_tag, folded_tag

FOLLOWED_DEFAULT, FOLLOWED_MAX = 100, 200
SUGGESTED_COUNT: Final = 10


async def one(call: Call) -> Answer:
    """A hashtag, and what you have of it."""
    folded, name = _named(call, "name")
    return answer(await _shown(call, folded, name))


async def follow(call: Call) -> Answer:
    """Follow a hashtag."""
    return await _set(call, "follow_tag", "name", True)


async def unfollow(call: Call) -> Answer:
    """Follow a hashtag no longer."""
    return await _set(call, "follow_tag", "name", False)


async def feature(call: Call) -> Answer:
    """Have your profile feature a hashtag."""
    return await _set(call, "feature_tag", "id", True)


async def unfeature(call: Call) -> Answer:
    """Have your profile feature a hashtag no longer."""
    return await _set(call, "feature_tag", "id", False)


async def _set(call: Call, op: str, part: str, on: bool) -> Answer:
    require_level(call.services, MASTODON_FROM_LEVEL)
    folded, name = _named(call, part)
    await call.settle(op, folded, name, on)
    return answer(await _shown(call, folded, name))


def _named(call: Call, part: str) -> tuple[str, str]:
    """Return (folded name, name as it is given) of the tag in the path. Raises NotFoundError for what can't be one."""
    given = call.name(part)
    try:
        return folded_tag(given, part), bare_tag(given)
    except InvalidError as error:
        raise NotFoundError(error.message, part) from error


async def _shown(call: Call, folded: str, name: str) -> dict[str, Any]:
    """Return a Tag, under the name that the viewer knows it by, with what he has of it."""
    if not call.viewer:
        return tag(call, name)
    require_level(call.services, MASTODON_FROM_LEVEL)
    ((known, followed, featured),) = await call.services.ask_account(call.viewer, "tags_of", [tag_id_of(folded)])
    return {**tag(call, known or name), "following": followed, "featuring": featured}


async def followed(call: Call) -> Answer:
    """The hashtags that you follow, the last followed first. Cursors are times: clients take them from the Link."""
    page = await shelf_of_account(call, FOLLOWED_TAG, call.viewer, call.window(FOLLOWED_DEFAULT, FOLLOWED_MAX))
    rows = await call.services.ask_account(call.viewer, "tags_of", page.keys) if page.keys else []
    shown = [
        answer({**tag(call, name), "following": is_followed, "featuring": is_featured}).body
        for name, is_followed, is_featured in rows if name is not None
    ]  # fmt: skip
    return call.page(shown, page.newest, page.oldest, page.has_more)


async def featured(call: Call) -> Answer:
    """The hashtags that your profile features."""
    return answer(await featured_tags_of(call, call.viewer))


async def featured_by(call: Call) -> Answer:
    """The hashtags that somebody's profile features."""
    return answer(await featured_tags_of(call, call.id()))


async def featured_tags_of(call: Call, account_id: int) -> list[dict[str, Any]]:
    """Return the hashtags that an account features, as FeaturedTag."""
    require_level(call.services, MASTODON_FROM_LEVEL)
    rows = await call.services.ask_account(account_id, "featured_tags", call.viewer)
    if not rows:
        return []
    uses = await uses_of(call, account_id)
    return [_featured_tag(call, tag_id, name, *uses.get(tag_id, (name, 0, 0))[1:]) for tag_id, name in rows]


async def uses_of(call: Call, account_id: int) -> dict[int, tuple[str, int, int]]:
    """Return how an account uses hashtags, by their ids: (name, statuses, newest status), the last used first."""
    uses: dict[int, tuple[str, int, int]] = {}
    for name, count, last_id in await call.services.ask_account(account_id, "used_tags", call.viewer):
        tag_id = tag_id_of(text.fold(name))
        known = uses.get(tag_id, (name, 0, last_id))
        uses[tag_id] = known[0], known[1] + count, known[2]
    return uses


def _featured_tag(call: Call, tag_id: int, name: str, count: int, last_id: int) -> dict[str, Any]:
    """Return a FeaturedTag. count, last_id: how often it was used, and in which status last, 0 for never."""
    return {
        "id": str(tag_id), "name": name, "url": tag_url(call.origin, name), "statuses_count": str(count),
        "last_status_at": timestamp(ids.ms_of_tweet(last_id))[:10] if last_id else None,
    }  # fmt: skip


async def add_featured(call: Call) -> Answer:
    """Have your profile feature a hashtag."""
    require_level(call.services, MASTODON_FROM_LEVEL)
    given = call.params.text("name")
    folded = folded_tag(given, "name")
    await call.settle("feature_tag", folded, bare_tag(given), True)
    tag_id = tag_id_of(folded)
    return answer(next(row for row in await featured_tags_of(call, call.viewer) if row["id"] == str(tag_id)))


async def remove_featured(call: Call) -> Answer:
    """Have your profile feature a hashtag no longer, by the id that it has there."""
    require_level(call.services, MASTODON_FROM_LEVEL)
    tag_id = call.id()
    ((name, _, is_featured),) = await call.services.ask_account(call.viewer, "tags_of", [tag_id])
    if not is_featured:
        raise NotFoundError(f"no hashtag {tag_id} is featured", "id")
    await call.settle("feature_tag", text.fold(name), name, False)
    return Answer(b"{}")


async def suggested(call: Call) -> Answer:
    """The hashtags that you use most, and don't feature."""
    require_level(call.services, MASTODON_FROM_LEVEL)
    rows = await call.services.ask_account(call.viewer, "featured_tags", call.viewer)
    features = {tag_id for tag_id, _ in rows}
    uses = [use for tag_id, use in (await uses_of(call, call.viewer)).items() if tag_id not in features]
    uses.sort(key=lambda use: (-use[1], -use[2]))
    names = [name for name, _, _ in uses[:SUGGESTED_COUNT]]
    tag_ids = [tag_id_of(text.fold(name)) for name in names]
    known = await call.services.ask_account(call.viewer, "tags_of", tag_ids) if names else []
    return answer([
        {**tag(call, name), "following": is_followed, "featuring": False}
        for name, (_, is_followed, _) in zip(names, known, strict=True)
    ])  # fmt: skip


OPERATIONS: Final = (
    Operation("GET", "/api/v1/tags/{name}", "", "Tag", one),
    Operation("POST", "/api/v1/tags/{name}/follow", "write:follows", "Tag", follow),
    Operation("POST", "/api/v1/tags/{name}/unfollow", "write:follows", "Tag", unfollow),
    Operation("POST", "/api/v1/tags/{id}/feature", "write:accounts", "Tag", feature),
    Operation("POST", "/api/v1/tags/{id}/unfeature", "write:accounts", "Tag", unfeature),
    Operation("GET", "/api/v1/followed_tags", "read:follows", "Tag[]", followed),
    Operation("GET", "/api/v1/featured_tags", "read:accounts", "FeaturedTag[]", featured),
    Operation("POST", "/api/v1/featured_tags", "write:accounts", "FeaturedTag", add_featured),
    Operation("DELETE", "/api/v1/featured_tags/{id}", "write:accounts", "", remove_featured),
    Operation("GET", "/api/v1/featured_tags/suggestions", "read:accounts", "Tag[]", suggested),
    Operation("GET", "/api/v1/accounts/{id}/featured_tags", "", "FeaturedTag[]", featured_by),
)
