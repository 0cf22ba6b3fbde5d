"""`notify`: one test out of the cluster the way that everything takes, and what the other side has said.

    mail ADDRESS     handed to the first dispatcher, as a shard would
    push ACCOUNT     put into the account's queue, for all its subscriptions; then what dispatchers say is watched
    webhooks ACCOUNT     likewise, for all its webhooks

Rules of this file
- What a channel says is a word, as it counts them: never what a server has said in its own.
- Nothing is kept: of mail no account is needed, of push the items go as any.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

from actors.core.errors import InvalidError, NotFoundError
from actors.core.features.mail import TEST
from actors.core.outbound import SendVerdict
from api.access.mail_addresses import is_address
from cluster.client.connect import NamedActors, dispatch_names, open_client
from commands.deleting import find_account

SAID_WITHIN_S: Final = 40.0  # a channel's patience, and a look of the shard's
_LOOK_S: Final = 0.2
_NOBODY: Final = "operator"
_RECEIVER: Final = {"push": "push subscription", "webhooks": "webhook"}

CallDispatcher = Callable[..., Awaitable[Any]]
"""Calls a method of a dispatcher: (its name, the method, arguments)."""


class NotifyTest(NamedTuple):
    """What came of a test. sent: messages; said: of each word that was the reason, how many."""

    channel: str
    sent: int
    said: dict[str, int]

    @property
    def is_done(self) -> bool:
        """Whether the other side has taken all of it: by the words with which channels say so."""
        done = sum(count for word, count in self.said.items() if word == "handed over" or word[:1] == "2")
        return 0 < self.sent <= done


async def notify_test(namespace: str, channel: str, who: str) -> NotifyTest:
    """Send a test in the running cluster. channel: mail, push or webhooks; who: of the head of this file."""
    names, call = await asyncio.to_thread(dispatch_names, namespace), NamedActors(namespace).call
    if channel == "mail":
        return await try_mail(call, names, who)
    client = await open_client(namespace)
    try:
        account_id, _ = await find_account(client, who)

        async def put() -> int:
            if channel == "push":
                return int(await client.account(account_id, "test_push"))
            webhooks = await client.account(account_id, "webhooks")
            for webhook_id, *_ in webhooks:
                await client.account(account_id, "test_webhook", webhook_id)
            return len(webhooks)

        return await try_push(call, names, put, channel)
    finally:
        client.close()


async def try_mail(call: CallDispatcher, names: list[str], address: str) -> NotifyTest:
    """Mail a test to an address. Raises InvalidError for what is none, NotFoundError where nothing is mailed."""
    if not is_address(address):
        raise InvalidError(f"{address!r} is no e-mail address", "who")
    before = await _reasons(call, names[:1], "mail")
    now_ms = int(time.time() * 1000)
    facts = [TEST, address, _NOBODY, now_ms, b"", ""]
    (outcome,) = await call(names[0], "dispatch", [["mail", 1, now_ms, 0, facts]])
    said = await _reasons(call, names[:1], "mail") - before
    return NotifyTest("mail", 1, dict(said) or {SendVerdict(outcome[0]).name.lower(): 1})


async def try_push(
    call: CallDispatcher, names: list[str], put: Callable[[], Awaitable[int]], channel: str = "push"
) -> NotifyTest:
    """Push a test. put: puts it into the account's queue, and returns to how many subscriptions, or webhooks.

    Raises NotFoundError where the channel isn't configured, or for an account without a subscription.
    """
    before = await _reasons(call, names, channel)
    count = await put()
    if not count:
        raise NotFoundError(f"this account has no {_RECEIVER[channel]}", "who")
    until_s = time.monotonic() + SAID_WITHIN_S
    while True:
        said = await _reasons(call, names, channel) - before
        if said.total() >= count or time.monotonic() >= until_s:
            return NotifyTest(channel, count, dict(said))
        await asyncio.sleep(_LOOK_S)


async def _reasons(call: CallDispatcher, names: list[str], channel: str) -> Counter[str]:
    """Return the words of a channel on all dispatchers. Raises NotFoundError where it isn't configured."""
    found: Counter[str] = Counter()
    if not names:
        raise NotFoundError(f"{channel} isn't configured: no dispatcher runs", "channel")
    for name in names:
        figures = await call(name, "ping")
        if channel not in figures.get("channels", {}):
            raise NotFoundError(f"{channel} isn't configured here, or {name} has still to begin", "channel")
        found.update(figures["channels"][channel]["reasons"])
    return found
