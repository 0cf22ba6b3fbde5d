"""Web push: notifications as encrypted messages to browsers' and phones' push services.

    POST endpoint   Content-Encoding: aes128gcm   TTL   Urgency   Topic: the notice, so that a repetition replaces it
                    Authorization: vapid t=..., k=...
    payload         {"access_token": "", "preferred_locale", "notification_id", "notification_type", "icon", "title",
                    "body"}

Rules of this file
- The payload is Mastodon's, so that its clients show it. They find `access_token` there, empty: of a token only the
  hash is known here, and a message has none.
- A mention that answers is a `mention`, as in that API.
- 2xx: done. 404, 410: nobody is there any more, the subscription ends. 429, 503: later, as it says. Another 4xx (413:
  too large; 400, 401, 403: refused): this message never, others do. 5xx, no answer: later, for an hour in all.
- What a notification is about is shown as its reader may see it when the message is sent.

Cost: 115 us to encrypt a message (a key that is fresh each time: RFC 8291, 3.1), beside the request (`posting.py`) and
what it shows: `bench outgoing`.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import orjson

from actors.core.errors import RookeryError
from actors.core.features.push import TEST
from actors.core.limits import PUSH_LIVES_MS
from actors.core.terms import NOTIFICATION_TYPES
from actors.outgoing.channel import OutgoingItem, SendOutcome, SendVerdict
from actors.outgoing.letters import ToldNotice, happened, on_one_line, told
from actors.outgoing.posting import Posting
from actors.outgoing.web_push import PAYLOAD_BYTES_MAX, encrypted, encrypted_by_draft
from api.native.notification_json import notifications_by_id
from api.ports import Asking
from api.vapid import Vapid, vapid_of
from configs.settings import Settings

TEXT_CHARS_MAX: Final = 140  # of a message's body, as Mastodon cuts it
REASONS_MAX: Final = 64
_URGENT: Final = frozenset(("mention", "reply", "follow_request", "poll"))
_SHOWN_AS: Final = {"reply": "mention"}
_NOBODY: Final = frozenset(("404", "410"))
_NOTHING: Final = SendOutcome(SendVerdict.DROPPED, "nothing to tell")
_SHARDS_AWAY: Final = SendOutcome(SendVerdict.LATER, "shards are away")
_NO_KEY: Final = SendOutcome(SendVerdict.LATER, "no key of the cluster's")


class PushChannel:
    """The channel of push messages (`channel.OutgoingChannel`)."""

    def __init__(self, shards: Asking, posting: Posting, contact: str) -> None:
        """contact: where push services reach who runs the server, mailto: or https:."""
        self._shards, self._posting, self._contact = shards, posting, contact
        self._reasons: Counter[str] = Counter()

    @classmethod
    def open(cls, settings: Settings, shards: Asking) -> PushChannel | None:
        """Return the channel if the settings have it."""
        ours = settings.outgoing
        if not ours.push:
            return None
        return cls(shards, Posting(ours.allow_networks, ours.host_requests_max, ours.timeout_s), ours.push_contact)

    async def send(self, items: Sequence[OutgoingItem]) -> list[SendOutcome]:
        """Try to bring some messages out; returns an outcome for each, in order."""
        pem = self._shards.outgoing_keys.vapid
        if not pem:  # from a router of an older version
            return [_NO_KEY] * len(items)
        by_account: dict[int, list[OutgoingItem]] = {}
        for item in items:
            by_account.setdefault(item.account_id, []).append(item)
        outcomes: dict[tuple[int, int], SendOutcome] = {}
        for part in await asyncio.gather(*(self._send_of(vapid_of(pem), *each) for each in by_account.items())):
            outcomes |= part
        in_order = [outcomes[item.account_id, item.item_id] for item in items]
        for outcome in in_order:
            if outcome.reason in self._reasons or len(self._reasons) < REASONS_MAX:
                self._reasons[outcome.reason] += 1
        return in_order

    async def _send_of(
        self, vapid: Vapid, account_id: int, items: list[OutgoingItem]
    ) -> dict[tuple[int, int], SendOutcome]:
        """Bring the messages of one account out."""
        rows = {item.facts[4]: [item.facts[4], item.facts[5], False, *item.facts[6:8]] for item in items}
        asked = [row for row in rows.values() if row[1] != TEST]
        found: dict[int, bytes] = {}
        try:
            if asked:
                found = await notifications_by_id(self._shards, account_id, asked)
        except (RookeryError, TimeoutError):
            return {(account_id, item.item_id): _SHARDS_AWAY for item in items}
        payloads = {notice_id: payload_of(notice_id, rows[notice_id][1], found.get(notice_id)) for notice_id in rows}
        sent = await asyncio.gather(*(self._post(vapid, item, payloads[item.facts[4]]) for item in items))
        return {(account_id, item.item_id): outcome for item, outcome in zip(items, sent, strict=True)}

    async def _post(self, vapid: Vapid, item: OutgoingItem, payload: bytes | None) -> SendOutcome:
        if payload is None:
            return _NOTHING
        endpoint, key, auth, is_standard, notice_id, type_number, *_, made_ms = item.facts
        now_s = time.time()
        ttl_s = int((made_ms + PUSH_LIVES_MS) / 1000 - now_s)
        if ttl_s <= 0:
            return SendOutcome(SendVerdict.DROPPED, "too old")
        is_urgent = type_number == TEST or NOTIFICATION_TYPES[type_number] in _URGENT
        common = {
            "Content-Type": "application/octet-stream", "TTL": str(ttl_s), "Topic": f"{notice_id:x}",
            "Urgency": "high" if is_urgent else "normal",
        }  # fmt: skip
        signed = (endpoint, self._contact, int(now_s))
        try:
            if is_standard:
                headers, body = {"Authorization": vapid.authorization(*signed)}, encrypted(payload, key, auth)
                headers["Content-Encoding"] = "aes128gcm"
            else:
                body, salt, public = encrypted_by_draft(payload, key, auth)
                headers = vapid.draft_headers(*signed, public, salt)
        except ValueError:  # a key that no client of ours could have subscribed with
            return SendOutcome(SendVerdict.GONE, "no key")
        return judged(await self._posting.post(endpoint, {**common, **headers}, body))

    def figures(self) -> dict[str, Any]:
        """Return why outcomes were as they were, and figures of hosts."""
        return {"reasons": dict(self._reasons), **self._posting.figures()}

    async def close(self) -> None:
        """Close all connections."""
        await self._posting.close()


def judged(outcome: SendOutcome) -> SendOutcome:
    """Return what an answer means for a push message. outcome: with the status as its reason, where there was one."""
    if outcome.reason in _NOBODY:
        return SendOutcome(SendVerdict.GONE, outcome.reason)
    is_refused = len(outcome.reason) == 3 and outcome.reason.startswith("4") and outcome.reason not in ("408", "429")
    return SendOutcome(SendVerdict.DROPPED, outcome.reason) if is_refused else outcome


def payload_of(notice_id: int, type_number: int, notification: bytes | None) -> bytes | None:
    """Return what a message says; None for a notification that is gone."""
    if type_number == TEST:
        return _payload(notice_id, "test", "", "A test", "Push messages come through.")
    if notification is None:
        return None
    value = orjson.loads(notification)
    notice: ToldNotice = told(value)
    name = NOTIFICATION_TYPES[type_number]
    text = on_one_line(notice.text, TEXT_CHARS_MAX)
    icon = value["user"].get("avatar") or ""
    return _payload(notice_id, _SHOWN_AS.get(name, name), icon, happened(notice), text)


def _payload(notice_id: int, type_: str, icon: str, title: str, body: str) -> bytes:
    said: dict[str, Any] = {
        "access_token": "", "preferred_locale": "en", "notification_id": str(notice_id), "notification_type": type_,
        "icon": icon, "title": title, "body": body,
    }  # fmt: skip
    payload = orjson.dumps(said)
    return payload if len(payload) <= PAYLOAD_BYTES_MAX else orjson.dumps({**said, "icon": ""})
