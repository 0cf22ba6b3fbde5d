"""Uploads for tests of the core, and arguments for `test_hostile_arguments.py`: what fits, and what is typical."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from actors.core.facts import ATTACHMENTS
from actors.core.media_names import prefix_of

_HASH = "0123456789abcdef"


def facts_of(media_id: int, kind: str = "image", **more: Any) -> list[Any]:
    """Return what a job says of a medium. more: blurhash, duration_ms, frame_rate, bitrate, moves."""
    extension = {"image": "jpg", "gifv": "mp4", "video": "mp4", "audio": "mp3"}[kind]
    sides = (0, 0) if kind == "audio" else (1600, 1200)
    rows = [rendition(media_id, "original", extension, *sides)]
    if kind != "audio":
        rows.append(rendition(media_id, "small", "jpg", 400, 300))
    if more.get("moves"):
        rows.append(rendition(media_id, "static", "png", 400, 400))
    measures = (more.get("duration_ms", 0), more.get("frame_rate", 0), more.get("bitrate", 0))
    return [rows, more.get("blurhash", "LEHV6nWB2yk8pyo0adR*.7kCMdnj"), *measures]


def rendition(media_id: int, name: str, extension: str, width: int, height: int) -> list[Any]:
    """Return one rendition as a job says it."""
    return [name, f"{prefix_of(media_id)}{_HASH}-{name}.{extension}", width, height, 12_345, "image/jpeg"]


def upload(
    world: Any, account_id: int, kind: str = "image", purpose: str = "attachment", description: str = "", **more: Any
) -> int:
    """Have a medium of an account's be ready; return its id."""
    media_id = int(world.do("media_begin", account_id, purpose, description, 0, 0))
    world.do("media_done", account_id, media_id, kind, facts_of(media_id, kind, **more))
    return media_id


def prepare(base: Any, here: list[int]) -> tuple[int, int, int]:
    """Return uploads of the first account: one that is processed, a picture, an avatar. A tweet of it has another."""
    base.post(here[0], facts=[[ATTACHMENTS, [upload(base, here[0], description="a cat")]]])
    processing = base.do("media_begin", here[0], "attachment", "", 0, 0)
    return processing, upload(base, here[0]), upload(base, here[0], purpose="avatar", moves=True)


def fitting(account: Any, words: Any, media: tuple[int, int, int]) -> dict[str, Any]:
    """Return arguments that fit, by operation. media: as `prepare` returned them."""
    medium, focus = st.sampled_from([*media, 7]), st.integers(-1001, 1001)
    facts = st.sampled_from([facts_of(media_id) for media_id in media])
    return {
        "media_begin": st.tuples(account, st.sampled_from(["attachment", "avatar", "x"]), words, focus, focus),
        "media_done": st.tuples(account, medium, st.sampled_from(["image", "video", "x"]), facts),
        "media_fail": st.tuples(account, medium, words), "media_drop": st.tuples(account, medium),
        "media_describe": st.tuples(
            account, medium, st.none() | words, st.none() | st.lists(focus, min_size=2, max_size=2),
            st.none() | st.sampled_from([facts_of(media_id)[0][1] for media_id in media]),
        ),
        "media": st.tuples(account, medium), "media_many": st.tuples(account, st.lists(medium, max_size=3)),
        "media_held": st.tuples(st.integers(0, 1 << 63), st.integers(0, 9)),
    }  # fmt: skip


def typical(here: list[int], media: tuple[int, int, int]) -> dict[str, list[Any]]:
    """Return arguments that are let through after `prepare`, by write."""
    processing, ready, _ = media
    return {
        "media_begin": [here[0], "attachment", "a cat", 1, -1], "media_drop": [here[0], ready],
        "media_done": [here[0], processing, "image", facts_of(processing)], "media_fail": [here[0], processing, "why"],
        "media_describe": [here[0], ready, "a dog", [1, -1], rendition(ready, "small", "png", 40, 30)],
    }  # fmt: skip
