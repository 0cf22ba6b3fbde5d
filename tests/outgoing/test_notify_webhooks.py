"""`notify webhooks`: through the real channel to real receivers; what it says is what they have said."""

from __future__ import annotations

import asyncio

import pytest

from actors.core.errors import NotFoundError
from actors.outgoing.dispatcher import Dispatcher
from actors.outgoing.posting import Posting
from actors.outgoing.webhooks import Webhooks
from commands import notifying
from tests.outgoing.receivers import listening
from tests.outgoing.test_webhooks import LOOPBACK, OneShard, item

NAMES = ["rookery:dispatch-0"]


def caller(dispatcher):
    async def call(name, method, *args):
        assert name in NAMES
        return dispatcher.figures() if method == "ping" else await dispatcher.dispatch(*args)

    return call


@pytest.fixture
async def dispatcher():
    made = Dispatcher({"webhooks": Webhooks(OneShard(), Posting(LOOPBACK, 8, 10.0))})
    yield made
    await made.close()


async def test_a_test_goes_to_each_webhook_and_what_they_say_is_told(dispatcher):
    sending = []
    async with listening() as receiver:

        async def put():
            paths = ((32, "/ok"), (64, "/gone"))
            rows = [["webhooks", *item(receiver.url(path), item_id)] for item_id, path in paths]
            sending.append(asyncio.create_task(dispatcher.dispatch(rows)))
            return len(rows)

        outcome = await notifying.try_push(caller(dispatcher), NAMES, put, "webhooks")
        assert (outcome.sent, outcome.said, outcome.is_done) == (2, {"200": 1, "410": 1}, False)


async def test_who_has_no_webhook_is_told_so(dispatcher):
    async def put():
        return 0

    with pytest.raises(NotFoundError, match="no webhook"):
        await notifying.try_push(caller(dispatcher), NAMES, put, "webhooks")


async def test_where_they_are_not_configured_that_is_said():
    with pytest.raises(NotFoundError, match="isn't configured"):
        await notifying.try_push(caller(Dispatcher({})), NAMES, None, "webhooks")
