"""Mail: items as messages, handed to the operator's mail server.

    items --shards: what notifications show--> letters.py --message--> a connection to the server --answer--> outcome

Rules of this file
- TLS as the settings say, with the certificate checked; the password is read from the settings or their file when a
  connection is made, and stands in no log, no error and no figure. What the server says isn't logged, either.
- 2xx: done. 4xx, no connection, a refused sign-in: later. 5xx for an address: no notifications go there any more, and
  a code or a test is dropped; 5xx for a message: it is dropped.
- A connection is used for one batch of items, one after the other, and closed; a batch is shared out among several.
  What isn't begun after HAND_OVER_S comes later: an outcome that comes too late is none, and its mail comes twice.
- A mail that was handed over when this process dies is handed over again, with the same Message-ID.

Cost: 2 ms a mail (`letters.py`) beside what the server takes.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiosmtplib
import orjson

from actors.core.errors import RookeryError
from actors.core.features.mail import CODE_FOR_ADDRESS, CODE_FOR_PASSWORD
from actors.core.terms import NOTIFICATION_TYPE_OF
from actors.outgoing.channel import OutgoingItem, SendOutcome, SendVerdict
from actors.outgoing.letters import (
    Letter,
    letter_of_change,
    letter_of_digest,
    letter_of_notice,
    letter_with_code,
    message_of,
    told,
)
from api.native.notification_json import notifications_by_id
from api.oauth.mail_paths import END_MAIL
from api.ports import Asking
from configs.sections import MailSection
from configs.settings import Settings

REASONS_MAX: Final = 64  # words that are counted: our own, and codes of refusals
HAND_OVER_S: Final = 15.0  # of a dispatcher's patience (`channel.SEND_S`); one more mail may take timeout_s
_NOTHING: Final = SendOutcome(SendVerdict.DROPPED, "nothing to tell")
_NO_ADDRESS: Final = SendOutcome(SendVerdict.GONE, "no address")
_SHARDS_AWAY: Final = SendOutcome(SendVerdict.LATER, "shards are away")
_ENCODED: Final = frozenset(("SMTPUTF8",))


class MailChannel:
    """The channel of mails (`channel.OutgoingChannel`)."""

    def __init__(self, shards: Asking, settings: MailSection, origin: str) -> None:
        """origin: what links begin with, without a slash at its end."""
        self._shards, self._settings, self._origin = shards, settings, origin
        self._host = urlsplit(origin).hostname or "localhost"
        self._places = asyncio.Semaphore(settings.connections)
        self._reasons: Counter[str] = Counter()

    @classmethod
    def open(cls, settings: Settings, shards: Asking) -> MailChannel | None:
        """Return the channel if the settings have it."""
        return cls(shards, settings.mail, settings.server.address) if settings.mail.host else None

    async def send(self, items: Sequence[OutgoingItem]) -> list[SendOutcome]:
        """Try to bring some mails out; returns an outcome for each, in order."""
        written = await asyncio.gather(*(self._write(item) for item in items))
        outcomes: list[SendOutcome] = [each if isinstance(each, SendOutcome) else _NOTHING for each in written]
        due = [place for place, each in enumerate(written) if not isinstance(each, SendOutcome)]
        shares = [due[first :: self._settings.connections] for first in range(self._settings.connections)]

        async def bring(places: list[int]) -> None:
            mails = [(items[place].facts[1], written[place]) for place in places]
            for place, outcome in zip(places, await self._hand_over(mails), strict=True):
                outcomes[place] = outcome

        await asyncio.gather(*(bring(places) for places in shares if places))
        for outcome in outcomes:
            if outcome.reason in self._reasons or len(self._reasons) < REASONS_MAX:
                self._reasons[outcome.reason] += 1
        return outcomes

    async def _write(self, item: OutgoingItem) -> bytes | SendOutcome:
        """Return the message of an item, or what comes of one that can't be written."""
        try:
            letter = await self._letter(item)
        except (RookeryError, TimeoutError):
            return _SHARDS_AWAY
        if letter is None:
            return _NOTHING
        address, made_ms = item.facts[1], item.facts[3]
        link = self._shards.outgoing_keys.link(END_MAIL, item.account_id, address)
        message = message_of(letter, address, self._settings.sender, self.message_id(item), made_ms, self._origin, link)
        return _NO_ADDRESS if message is None else message

    def message_id(self, item: OutgoingItem) -> str:
        """Return by what a repetition is told: the same for one item, whenever and by whom it is sent."""
        return f"<{item.account_id}-{item.item_id}@{self._host}>"

    async def _letter(self, item: OutgoingItem) -> Letter | None:
        what, _, username, _, *more = item.facts
        if what in (CODE_FOR_ADDRESS, CODE_FOR_PASSWORD):
            code = self._shards.outgoing_keys.code(what, item.account_id, more[0])
            return letter_with_code(what, username, code, self._origin)
        if what not in ("notice", "digest"):
            return letter_of_change(what, username, more[1], self._origin)
        shown = [more[0]] if what == "notice" else more[1]
        rows = [
            [notice_id, NOTIFICATION_TYPE_OF[name], False, actor, tweet_id]
            for notice_id, name, actor, tweet_id in shown
        ]
        found = await notifications_by_id(self._shards, item.account_id, rows)
        notices = [told(orjson.loads(found[row[0]])) for row in rows if row[0] in found]
        if not notices:
            return None
        if what == "notice":
            return letter_of_notice(notices[0], self._origin)
        return letter_of_digest(more[0] - len(rows) + len(notices), notices, self._origin)

    async def _hand_over(self, mails: Sequence[tuple[str, Any]]) -> list[SendOutcome]:
        """Hand mails over on one connection; returns an outcome for each. mails: (address, message)."""
        outcomes: list[SendOutcome] = []
        loop = asyncio.get_running_loop()
        until_s = loop.time() + HAND_OVER_S
        async with self._places:
            try:
                client = await self._connected()
            except (aiosmtplib.SMTPException, OSError, ssl.SSLError, TimeoutError, UnicodeError) as error:
                return [_without_a_connection(error)] * len(mails)
            try:
                for address, message in mails:
                    outcomes.append(await self._hand_one(client, address, message))
                    if not client.is_connected or loop.time() >= until_s:
                        break
            finally:
                with contextlib.suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
                    await client.quit()
                client.close()
        left = SendOutcome(SendVerdict.LATER, "broken off")
        return outcomes + [left] * (len(mails) - len(outcomes))

    async def _hand_one(self, client: aiosmtplib.SMTP, address: str, message: bytes) -> SendOutcome:
        options = [] if address.isascii() else sorted(_ENCODED)
        try:
            await client.sendmail(self._settings.sender, [address], message, mail_options=options)
        except aiosmtplib.SMTPRecipientsRefused as error:
            return _refused(error.recipients[0].code, SendVerdict.GONE)
        except aiosmtplib.SMTPResponseException as error:
            return _refused(error.code, SendVerdict.DROPPED)
        except aiosmtplib.SMTPNotSupported:
            return SendOutcome(SendVerdict.GONE, "the server takes no such address")
        except (aiosmtplib.SMTPException, OSError, TimeoutError):
            client.close()
            return SendOutcome(SendVerdict.LATER, "broken off")
        return SendOutcome(SendVerdict.DONE, "handed over")

    async def _connected(self) -> aiosmtplib.SMTP:
        ours = self._settings
        context = ssl.create_default_context(cafile=ours.ca_file or None) if ours.tls != "off" else None
        password = ours.password
        if ours.password_file:
            password = (await asyncio.to_thread(Path(ours.password_file).read_text, encoding="utf-8")).strip()
        client = aiosmtplib.SMTP(
            hostname=ours.host, port=ours.port, use_tls=ours.tls == "implicit", start_tls=ours.tls == "starttls",
            tls_context=context, timeout=ours.timeout_s, local_hostname=self._host,
            username=ours.username or None, password=password or None,
        )  # fmt: skip
        await client.connect()
        return client

    def figures(self) -> dict[str, Any]:
        """Return why outcomes were as they were."""
        return {"reasons": dict(self._reasons)}

    async def close(self) -> None:
        """Nothing stays open."""


def _without_a_connection(error: BaseException) -> SendOutcome:
    """Return what comes of mails for which there was no connection: a word that never holds what was said."""
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        return SendOutcome(SendVerdict.LATER, "sign-in refused")
    if isinstance(error, ssl.SSLError) or isinstance(error.__cause__, ssl.SSLError):
        return SendOutcome(SendVerdict.LATER, "certificate")
    if isinstance(error, TimeoutError):
        return SendOutcome(SendVerdict.LATER, "timeout")
    return SendOutcome(SendVerdict.LATER, "no connection")


def _refused(code: int, for_good: SendVerdict) -> SendOutcome:
    """Return what a server's refusal means: 4xx is for now, 5xx for good."""
    return SendOutcome(for_good if code >= 500 else SendVerdict.LATER, str(code))
