"""A medium as clients are shown it: Mastodon's entity MediaAttachment, and the member `media` of the native tweet; and
what a tweet shows of the page of its first link, Mastodon's PreviewCard and the native member `preview`.

Rules of this file
- Addresses are made of one base (`Tuning.media_base`), the same on every shard and worker, and of an object's name.
- What isn't known is null; nothing is left out, since clients decode into types.

Cost: 4 us a medium, once per tweet and shard.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from actors.core.attachments import AUDIO, KINDS, ORIGINAL, SMALL, Attachment, Rendition
from actors.core.link_previews import LinkPreview
from actors.core.renderers.timestamps import timestamp

_UNKNOWN: Final = "unknown"  # Mastodon's type of what isn't processed yet


def media_attachment(medium: Attachment, base: str) -> dict[str, Any]:
    """Return a MediaAttachment."""
    small = medium.url(base, SMALL)
    url = medium.url(base, ORIGINAL)
    return {
        "id": str(medium.media_id), "type": KINDS[medium.kind], "url": url,
        "preview_url": small or (None if medium.kind == AUDIO else url), "remote_url": None,
        "preview_remote_url": None, "text_url": None, "meta": _meta(medium),
        "description": medium.description or None, "blurhash": medium.blurhash or None,
    }  # fmt: skip


def media_attachments(media: Iterable[Attachment], base: str) -> list[dict[str, Any]]:
    """Return the member `media_attachments` of a status."""
    return [media_attachment(medium, base) for medium in media]


def unready_attachment(media_id: int, kind: str, description: str, focus: tuple[int, int]) -> dict[str, Any]:
    """Return the MediaAttachment of what is still being processed: without an address. kind: "" if it isn't known."""
    return {
        "id": str(media_id), "type": kind or _UNKNOWN, "url": None, "preview_url": None, "remote_url": None,
        "preview_remote_url": None, "text_url": None, "meta": {"focus": _focus(*focus)},
        "description": description or None, "blurhash": None,
    }  # fmt: skip


def preview_card(preview: LinkPreview, base: str) -> dict[str, Any]:
    """Return a PreviewCard: never with HTML of the page's."""
    width, height = preview.picture[1:3] if preview.picture else (0, 0)
    authors = [{"name": preview.author, "url": "", "account": None}] if preview.author else []
    return {
        "url": preview.url, "title": preview.title, "description": preview.description, "type": "link",
        "author_name": preview.author, "author_url": "", "authors": authors, "provider_name": preview.site,
        "provider_url": "", "html": "", "width": width, "height": height, "image": preview.picture_url(base),
        "embed_url": "", "blurhash": preview.blurhash or None,
        "published_at": timestamp(preview.published_ms) if preview.published_ms else None,
    }  # fmt: skip


def native_preview(preview: LinkPreview, base: str) -> dict[str, Any]:
    """Return the member `preview` of a tweet, as docs/api.md has it."""
    width, height = preview.picture[1:3] if preview.picture else (None, None)
    return {
        "url": preview.url, "title": preview.title, "description": preview.description or None,
        "site": preview.site or None, "picture_url": preview.picture_url(base), "width": width, "height": height,
        "blurhash": preview.blurhash or None,
    }  # fmt: skip


def native_media(media: Iterable[Attachment], base: str) -> list[dict[str, Any]]:
    """Return the member `media` of a tweet, as docs/api.md has it."""
    return [_native(medium, base) for medium in media]


def _native(medium: Attachment, base: str) -> dict[str, Any]:
    original = medium.rendition(ORIGINAL) or Rendition("", 0, 0, 0)
    url = medium.url(base, ORIGINAL)
    return {
        "media_id": str(medium.media_id), "type": KINDS[medium.kind], "url": url,
        "preview_url": medium.url(base, SMALL) or (None if medium.kind == AUDIO else url),
        "description": medium.description or None, "width": original.width or None,
        "height": original.height or None, "blurhash": medium.blurhash or None,
        "focus": _focus(medium.focus_x, medium.focus_y), "duration_ms": medium.duration_ms or None,
    }  # fmt: skip


def _focus(x: int, y: int) -> dict[str, float]:
    return {"x": x / 1000, "y": y / 1000}


def _meta(medium: Attachment) -> dict[str, Any]:
    found: dict[str, Any] = {"focus": _focus(medium.focus_x, medium.focus_y)}
    for name in (ORIGINAL, SMALL):
        rendition = medium.rendition(name)
        sides = {} if rendition is None or not rendition.height else _sides(rendition)
        if sides:
            found[name] = sides
    if medium.duration_ms:
        original = {name: found.get(ORIGINAL, {})[name] for name in ("width", "height") if ORIGINAL in found}
        if medium.frame_rate:
            original["frame_rate"] = _rate(medium.frame_rate)
        found[ORIGINAL] = original | {"duration": medium.duration_ms / 1000, "bitrate": medium.bitrate}
    return found


def _sides(rendition: Rendition) -> dict[str, Any]:
    width, height = rendition.width, rendition.height
    return {"width": width, "height": height, "size": f"{width}x{height}", "aspect": width / height}


def _rate(thousandths: int) -> str:
    """Return frames a second as a fraction, as Mastodon says it."""
    whole, part = divmod(thousandths, 1000)
    return f"{thousandths}/1000" if part else f"{whole}/1"
