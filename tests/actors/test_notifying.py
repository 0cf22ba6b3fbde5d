"""`notify`: through the real channels to real receivers; what it says is what they have said."""

from __future__ import annotations

import asyncio

import pytest

from actors.core.errors import InvalidError, NotFoundError
from actors.outgoing.dispatcher import Dispatcher
from actors.outgoing.posting import Posting
from actors.outgoing.push import PushChannel
from commands import notifying
from tests.actors.mail_server import mail_server
from tests.actors.test_mail import ADDRESS, World, channel_to
from tests.actors.test_push import CONTACT, item_of, receiving

NAMES = ["rookery:dispatch-0"]


def caller(dispatcher):
    async def call(name, method, *args):
        assert name in NAMES
        return dispatcher.figures() if method == "ping" else await dispatcher.dispatch(*args)

    return call


@pytest.mark.parametrize(
    ("answer", "said", "is_done"), [("", {"handed over": 1}, True), ("554 spam", {"554": 1}, False)]
)
def test_a_mail_is_handed_over_and_what_was_said_is_told(answer, said, is_done):
    async def whole():
        world = World()
        async with mail_server() as boxes:
            boxes.says = answer
            call = caller(Dispatcher({"mail": channel_to(world, boxes)}))
            for _ in range(2):  # what was counted before isn't said again
                outcome = await notifying.try_mail(call, NAMES, ADDRESS)
                assert (outcome.sent, outcome.said, outcome.is_done) == (1, said, is_done)
            assert [to for to, _ in boxes.taken] == [ADDRESS] * (2 if is_done else 0)

    asyncio.run(whole())


def test_a_push_is_told_to_every_subscription():
    async def whole():
        world = await World().begin()
        async with receiving() as receiver:
            receiver.answers = [(201, {}), (410, {})]
            channel = PushChannel(world.asked, Posting(("127.0.0.0/8",), 8, 10.0), CONTACT)
            dispatcher = Dispatcher({"push": channel})
            sending = []

            async def put():
                items = [item_of(world, receiver, item_id=number) for number in (1, 2)]
                rows = [["push", each.account_id, each.item_id, 0, each.facts] for each in items]
                sending.append(asyncio.create_task(dispatcher.dispatch(rows)))
                return len(items)

            outcome = await notifying.try_push(caller(dispatcher), NAMES, put)
            assert (outcome.sent, outcome.said, outcome.is_done) == (2, {"201": 1, "410": 1}, False)
            await channel.close()

    asyncio.run(whole())


def test_what_isnt_configured_and_what_is_no_address_is_said():
    async def whole():
        call = caller(Dispatcher({}))
        with pytest.raises(InvalidError, match="no e-mail address"):
            await notifying.try_mail(call, NAMES, "nobody")
        for names in (NAMES, []):
            with pytest.raises(NotFoundError, match="isn't configured"):
                await notifying.try_mail(call, names, ADDRESS)

    asyncio.run(whole())
