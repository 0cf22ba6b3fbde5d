"""Previews of links for tests of the core: tweets with links, what pages say, and arguments for hostile tests."""

from __future__ import annotations

from typing import Any

import msgpack
from hypothesis import strategies as st

from actors.core.media_names import prefix_of

URL = "https://example.com/a"


def links(*urls: str) -> bytes:
    """Return the packed entities of a tweet that says these links, one blank between."""
    rows, at = [], 0
    for url in urls:
        rows.append([url, at, at + len(url)])
        at += len(url) + 1
    return msgpack.packb({"mentions": [], "hashtags": [], "urls": rows})


def post_links(world: Any, author: int, *urls: str, facts: Any = None) -> int:
    """Post a tweet that says links; return its id."""
    world.now_ms += 1
    args = [author, " ".join(urls), 0, 0, 0, links(*urls), [], [], None]
    world.do("post", *args, *([] if facts is None else [facts]))
    state = world.state_of(author)
    return int(state.tweets.log.view(state.people.row_of[author])[-1])


def page(media_id: int = 0, title: str = "A title", description: str = "What it is about") -> list[Any]:
    """Return what a page says of itself. media_id: of its picture, 0 for none."""
    picture = f"{prefix_of(media_id)}0123456789abcdef-original.jpg" if media_id else ""
    return [title, description, "Site", "Ada", 1_700_000_000_000, "LEHV6nWB" if media_id else "", picture,
            [640, 360, 1234] if media_id else []]  # fmt: skip


def prepare(base: Any, author: int) -> tuple[int, int]:
    """Return a tweet with a link, and an upload for its picture."""
    return post_links(base, author, URL), base.do("media_begin", author, "attachment", "", 0, 0)


def fitting(tweet: Any, made: tuple[int, int]) -> dict[str, Any]:
    """Return arguments that fit, by operation. made: as `prepare` returned them."""
    media = st.sampled_from([0, made[1], 7])
    facts = st.sampled_from([page(), page(made[1]), page(7), page()[:5], []])
    return {"preview": st.tuples(tweet | st.just(made[0]), st.sampled_from([URL, "x", ""]), media, facts)}


def typical(made: tuple[int, int]) -> dict[str, list[Any]]:
    """Return arguments that are let through after `prepare`."""
    return {"preview": [made[0], URL, made[1], page(made[1])]}
