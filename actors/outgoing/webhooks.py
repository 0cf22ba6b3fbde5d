"""Webhooks: notifications as signed requests to an account's own addresses, by the Standard Webhooks specification.

    POST url    webhook-id: ACCOUNT-ITEM        the same for each attempt: by it a receiver tells a repetition
                webhook-timestamp: Unix s       of the attempt
                webhook-signature: v1,BASE64 [v1,BASE64]       HMAC-SHA256 of "id.timestamp.body", by each secret
                {"notification_id": ...}        the native JSON (docs/api.md), or of a test the same without contents

Rules of this file
- What a notification is about is shown as the account may see it when it is sent; what is gone by then isn't sent.
- 2xx: done; 410: the webhook ends; 429 and 503 with Retry-After: heeded; whatever else: later, after a pause.

Costs: `bench outgoing`.
Source: https://github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from actors.core.errors import RookeryError
from actors.core.features.webhooks import TEST
from actors.outgoing.channel import OutgoingItem, SendOutcome, SendVerdict
from actors.outgoing.posting import Posting
from api.native.notification_json import notification_json, notifications_by_id
from api.ports import Asking
from configs.settings import Settings

REASONS_MAX: Final = 64  # words that are counted: statuses and those of posting.py
_GONE: Final = SendOutcome(SendVerdict.DROPPED, "nothing to tell")


def signature_headers(message_id: str, at_s: int, body: bytes, secrets: Sequence[bytes]) -> dict[str, str]:
    """Return the three headers of a message. secrets: raw keys, each of which signs."""
    signed = b"%b.%d.%b" % (message_id.encode(), at_s, body)
    signatures = (hmac.new(secret, signed, hashlib.sha256).digest() for secret in secrets)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join("v1," + base64.b64encode(each).decode() for each in signatures),
    }


class Webhooks:
    """The channel of webhooks (`channel.OutgoingChannel`)."""

    def __init__(self, shards: Asking, posting: Posting) -> None:
        self._shards, self._posting = shards, posting
        self._reasons: Counter[str] = Counter()

    @classmethod
    def open(cls, settings: Settings, shards: Asking) -> Webhooks | None:
        """Return the channel if the settings have it."""
        ours = settings.outgoing
        if not ours.webhooks:
            return None
        return cls(shards, Posting(ours.allow_networks, ours.host_requests_max, ours.timeout_s))

    async def send(self, items: Sequence[OutgoingItem]) -> list[SendOutcome]:
        """Try to bring some messages out; returns an outcome for each, in order."""
        by_account: dict[int, list[OutgoingItem]] = {}
        for item in items:
            by_account.setdefault(item.account_id, []).append(item)
        told: dict[tuple[int, int], SendOutcome] = {}
        for part in await asyncio.gather(*(self._send_of(*each) for each in by_account.items())):
            told |= part
        outcomes = [told[item.account_id, item.item_id] for item in items]
        self._count(outcomes)
        return outcomes

    async def _send_of(self, account_id: int, items: list[OutgoingItem]) -> dict[tuple[int, int], SendOutcome]:
        """Bring the messages of one account out."""
        rows = [[item.facts[2], item.facts[3], False, *item.facts[4:6]] for item in items if item.facts[3] != TEST]
        bodies: dict[int, bytes] = {}
        try:
            if rows:
                bodies = await notifications_by_id(self._shards, account_id, rows)
        except (RookeryError, TimeoutError):
            later = SendOutcome(SendVerdict.LATER, "shards are away")
            return {(account_id, item.item_id): later for item in items}
        outcomes = await asyncio.gather(*(self._post(item, body_of(item.facts, bodies)) for item in items))
        return {(account_id, item.item_id): outcome for item, outcome in zip(items, outcomes, strict=True)}

    async def _post(self, item: OutgoingItem, body: bytes | None) -> SendOutcome:
        if body is None:
            return _GONE
        url, secrets = item.facts[:2]
        headers = signature_headers(f"{item.account_id}-{item.item_id}", int(time.time()), body, secrets)
        return await self._posting.post(url, {**headers, "Content-Type": "application/json"}, body)

    def _count(self, outcomes: list[SendOutcome]) -> None:
        for outcome in outcomes:
            if outcome.reason in self._reasons or len(self._reasons) < REASONS_MAX:
                self._reasons[outcome.reason] += 1

    def figures(self) -> dict[str, Any]:
        """Return why outcomes were as they were, and figures of hosts."""
        return {"reasons": dict(self._reasons), **self._posting.figures()}

    async def close(self) -> None:
        """Close all connections."""
        await self._posting.close()


def body_of(facts: Sequence[Any], bodies: dict[int, bytes]) -> bytes | None:
    """Return the body of a message; None if there is nothing to tell any more. bodies: by the notice's id."""
    notice_id, type_number = facts[2:4]
    if type_number == TEST:
        return notification_json(notice_id, "test", b"null", b"null")
    return bodies.get(notice_id)
