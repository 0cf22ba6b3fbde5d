"""Mastodon's entities round a status: StatusSource, StatusEdit, ScheduledStatus.

Rules of this file
- Names and forms are those of docs.joinmastodon.org; a StatusEdit is open at its end, where its account comes.
- A scheduled status shows what it will be posted with, in the words of `POST /api/v1/statuses`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from actors.core.entries import unpack, visibility_of
from actors.core.facts import Facts, read_facts
from actors.core.renderers.html import html_of
from actors.core.renderers.mastodon import VISIBILITIES, beside_text
from actors.core.renderers.media import media_attachments
from actors.core.renderers.timestamps import timestamp


def render_source(tweet_id: int, facts: Facts) -> bytes:
    """Return a status as its author wrote it."""
    return orjson.dumps({"id": str(tweet_id), "text": facts.text, "spoiler_text": facts.spoiler})


def render_edit(version: Sequence[Any], base: str, media_base: str) -> bytes:
    """Return what a status said, without the account and the brace behind it. version: as `edits.HISTORY` has it.

    base: the public address; media_base: what addresses of media begin with.
    """
    at_ms, text, packed, *more = version
    facts = Facts(text, "", more=more[0] if more else {})
    beside, asked = beside_text(facts), facts.poll
    shown = {
        "content": html_of(text, unpack(packed) if packed else {}, base), "spoiler_text": beside["spoiler_text"],
        "sensitive": beside["sensitive"], "created_at": timestamp(at_ms), "emojis": [],
        "media_attachments": media_attachments(facts.attachments, media_base),
    }  # fmt: skip
    if asked is not None:
        shown["poll"] = {"options": [{"title": title} for title in asked.options]}
    return orjson.dumps(shown)[:-1] + b',"account":'


def render_scheduled_status(scheduled_id: int, due_ms: int, flags: int, body: bytes, media_base: str) -> bytes:
    """Return a status that is still to be published. media_base: what addresses of media begin with."""
    facts = read_facts(body)
    asked = facts.poll
    poll = None if asked is None else {
        "options": list(asked.options), "expires_in": (asked.ends_ms - due_ms) // 1000, "multiple": asked.multiple,
        "hide_totals": asked.hide_totals,
    }  # fmt: skip
    media_ids = [str(medium.media_id) for medium in facts.attachments]
    params = {
        "text": facts.text, "visibility": VISIBILITIES[visibility_of(flags)], "sensitive": facts.sensitive,
        "spoiler_text": facts.spoiler or None, "language": facts.language or None,
        "in_reply_to_id": facts.in_reply_to or None, "media_ids": media_ids or None, "poll": poll, "scheduled_at": None,
        "idempotency": None, "application_id": 0, "with_rate_limit": False,
    }  # fmt: skip
    shown = media_attachments(facts.attachments, media_base)
    return orjson.dumps(
        {"id": str(scheduled_id), "scheduled_at": timestamp(due_ms), "params": params, "media_attachments": shown}
    )
