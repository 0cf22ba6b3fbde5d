"""Webhooks against receivers that do what receivers do, with nothing but a socket between."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import socket
import tracemalloc

import pytest

from actors.core.errors import OverloadedError
from actors.core.features.webhooks import TEST
from actors.core.outbound import SendVerdict
from actors.core.terms import NOTIFICATION_TYPE_OF
from actors.outgoing.channel import OutgoingItem
from actors.outgoing.dispatcher import Dispatcher
from actors.outgoing.posting import GuardedResolver, Posting, retry_after_s
from actors.outgoing.webhooks import Webhooks, signature_headers
from tests.outgoing.receivers import ENDLESS, HUGE, bomb, listening

LOOPBACK = ("127.0.0.0/8", "::1/128")
DONE, LATER, GONE, DROPPED = SendVerdict
SECRET = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
NOTICE = 1_700_000_000_000 << 16


class OneShard:
    """The way to shards that show one account and one tweet."""

    def __init__(self) -> None:
        self.cluster, self.is_away = self, False
        self.hidden: set[int] = set()

    def shard_of(self, bucket: int) -> int:
        return 0

    async def ask_bucket(self, bucket, op, args):
        if self.is_away:
            raise OverloadedError("away")
        if op == "cards":
            return [None if each in self.hidden else b'{"user_id":"%d"}' % each for each in args[0]]
        return [[None if each in self.hidden else b'{"tweet_id":"%d"}' % each for each in args[0]]]

    async def ask_account(self, account_id, op, *args):
        return b""


@pytest.fixture
async def receiver():
    async with listening() as made:
        yield made


@pytest.fixture
async def posting():
    made = Posting(LOOPBACK, 8, 60.0)  # patient: this process may stand still meanwhile
    yield made
    await made.close()


@pytest.fixture
async def hasty():
    made = Posting(LOOPBACK, 8, 0.5)
    yield made
    await made.close()


def item(url: str, item_id: int = NOTICE, type_number: int = TEST, actor: int = 0, tweet_id: int = 0) -> OutgoingItem:
    return OutgoingItem(42, item_id, 0, [url, [SECRET], NOTICE, type_number, actor, tweet_id, NOTICE >> 16])


async def brought(posting: Posting, url: str):
    (outcome,) = await Webhooks(OneShard(), posting).send([item(url)])
    return outcome


# ---- what is sent ---------------------------------------------------------------------------------------------------


def test_the_signature_is_that_of_the_specifications_example():
    headers = signature_headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', [SECRET])
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_a_message_is_the_native_notification_signed_by_each_secret(receiver, posting):
    favourite = NOTIFICATION_TYPE_OF["favourite"]
    sent = item(receiver.url("/ok?x=1"), NOTICE + 1, favourite, 7, 9)
    sent.facts[1] = [SECRET, b"old"]
    assert [outcome.verdict for outcome in await Webhooks(OneShard(), posting).send([sent])] == [DONE]
    (request,) = receiver.received
    assert request.path == "/ok?x=1"
    assert json.loads(request.body) == {
        "notification_id": str(NOTICE), "type": "like", "created_at": "Tue Nov 14 22:13:20 +0000 2023",
        "user": {"user_id": "7"}, "tweet": {"tweet_id": "9"},
    }  # fmt: skip
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"] == f"42-{NOTICE + 1}"
    signed = b"%b.%b.%b" % (
        request.headers["webhook-id"].encode(), request.headers["webhook-timestamp"].encode(), request.body
    )  # fmt: skip
    expected = [base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode() for key in (SECRET, b"old")]
    assert request.headers["webhook-signature"] == " ".join(f"v1,{each}" for each in expected)


async def test_what_is_gone_or_hidden_by_now_is_not_sent(receiver, posting):
    shards = OneShard()
    shards.hidden = {9}
    reply = NOTIFICATION_TYPE_OF["reply"]
    items = [item(receiver.url("/ok"), NOTICE, reply, 7, 9), item(receiver.url("/ok"), NOTICE + 32)]
    assert [each.verdict for each in await Webhooks(shards, posting).send(items)] == [DROPPED, DONE]
    assert [request.headers["webhook-id"] for request in receiver.received] == [f"42-{NOTICE + 32}"]


async def test_while_shards_are_away_what_would_show_something_of_them_waits(receiver, posting):
    shards = OneShard()
    shards.is_away = True
    sent = item(receiver.url("/ok"), NOTICE, NOTIFICATION_TYPE_OF["follow"], 7)
    assert [each.verdict for each in await Webhooks(shards, posting).send([sent])] == [LATER]
    assert receiver.received == []


# ---- what receivers do ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "verdict", "after_s"),
    [
        ("/ok", DONE, 0), ("/accepted", DONE, 0), ("/gone", GONE, 0), ("/broken", LATER, 0), ("/missing", LATER, 0),
        ("/slower", LATER, 120), ("/away", LATER, 12 * 3600), ("/redirect", LATER, 0), ("/reset", LATER, 0),
        ("/nonsense", LATER, 0), ("/switch", LATER, 0),
    ],
)  # fmt: skip
async def test_what_a_receiver_does_decides_what_becomes_of_a_message(receiver, posting, path, verdict, after_s):
    outcome = await brought(posting, receiver.url(path))
    assert (outcome.verdict, outcome.after_s) == (verdict, after_s)
    assert [request.path for request in receiver.received] == [path]  # once, and nowhere else


@pytest.mark.parametrize("path", ["/hang", "/drip"])
async def test_who_takes_too_long_is_given_up(receiver, hasty, path):
    outcome = await brought(hasty, receiver.url(path))
    assert (outcome.verdict, outcome.reason) == (LATER, "timeout")


async def test_of_a_huge_answer_little_is_read(receiver, posting):
    outcome = await brought(posting, receiver.url("/huge"))
    assert outcome.verdict is DONE
    assert receiver.read_bytes < len(HUGE) - 65_536


@pytest.mark.parametrize("path", sorted(ENDLESS))
async def test_a_head_without_end_is_given_up(receiver, posting, path):
    outcome = await brought(posting, receiver.url(path))
    assert outcome.verdict is LATER
    assert receiver.read_bytes < 64 << 20


async def test_nothing_is_unpacked(receiver, posting):
    bomb()
    tracemalloc.start()
    try:
        outcome = await brought(posting, receiver.url("/bomb"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert outcome.verdict is DONE
    assert peak < 5 << 20


async def test_nobody_who_listens_is_later(posting):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        outcome = await brought(posting, f"http://127.0.0.1:{unused.getsockname()[1]}/")
    assert (outcome.verdict, outcome.reason) == (LATER, "no connection")


async def test_one_host_has_eight_requests_at_once_and_connections_are_used_again(receiver):
    posting = Posting(LOOPBACK, 8, 10.0)
    items = [item(receiver.url("/slowly"), NOTICE + 32 * n) for n in range(40)]
    outcomes = await Webhooks(OneShard(), posting).send(items)
    assert {outcome.verdict for outcome in outcomes} == {DONE}
    assert (receiver.at_once_max, receiver.connections) == (8, 8)
    await posting.close()


async def test_a_host_that_hangs_holds_nobody_else_back(receiver, hasty):
    webhooks = Webhooks(OneShard(), hasty)
    async with listening() as other:
        hanging = asyncio.create_task(webhooks.send([item(other.url("/hang"), NOTICE + 32 * n) for n in range(50)]))
        while (await webhooks.send([item(receiver.url("/ok"))]))[0].verdict is not DONE:  # this process stood still
            pass
        outcomes = await hanging
    assert {outcome.verdict for outcome in outcomes} == {LATER}
    assert len(other.received) <= 16  # after that the breaker is open
    assert {outcome.reason for outcome in outcomes} >= {"timeout", "breaker"}


# ---- where nothing goes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["http://127.0.0.1:{}/ok", "https://127.0.0.1:{}/ok", "http://localhost:{}/ok",
                                 "https://localhost:{}/ok", "http://[::ffff:127.0.0.1]:{}/ok", "http://127.1:{}/ok",
                                 "http://2130706433:{}/ok", "http://0177.0.0.1:{}/ok", "http://0x7f.0.0.1:{}/ok",
                                 "https://8.8.8.8@127.0.0.1:{}/ok", "https://[::ffff:7f00:1]:{}/ok",
                                 "https://[64:ff9b::7f00:1]:{}/ok", "https://0:{}/ok"])  # fmt: skip
async def test_nothing_goes_to_addresses_of_ones_own(receiver, url):
    posting = Posting((), 8, 5.0)
    outcome = await brought(posting, url.format(receiver.port))
    assert outcome.verdict is LATER
    assert outcome.reason in ("forbidden address", "no connection")
    assert receiver.connections == 0
    await posting.close()


class Rebinding(GuardedResolver):
    """A name server that says another address each time: a public one, then loopback."""

    answers = iter(())

    def look_up(self, host, port, family):
        address = next(type(self).answers)
        return [{"hostname": host, "host": address, "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}]


async def test_a_name_that_means_another_address_the_next_time_is_looked_up_once_a_connection(receiver):
    """127.0.0.2 stands for a public address: what was checked is connected to, and nothing asks in between."""
    asked: list[str] = []

    def answers():
        for address in ("127.0.0.2", "127.0.0.1"):
            asked.append(address)
            yield address

    Rebinding.answers = answers()
    async with listening("127.0.0.2", receiver.port) as allowed:
        for outcomes, connections in ((DONE, 1), (LATER, 1)):
            posting = Posting(("127.0.0.2/32",), 8, 5.0, Rebinding)
            outcome = await brought(posting, f"http://rebinding.example:{receiver.port}/ok")
            assert (outcome.verdict, allowed.connections, receiver.connections) == (outcomes, connections, 0)
            await posting.close()
    assert outcome.reason == "forbidden address"
    assert asked == ["127.0.0.2", "127.0.0.1"]


async def test_a_socket_is_made_for_no_forbidden_address_even_if_a_resolver_lets_it_through(receiver, monkeypatch):
    async def resolve(self, host, port=0, family=socket.AF_INET):
        return self.look_up(host, port, family)

    Rebinding.answers = iter(["127.0.0.1"])
    monkeypatch.setattr(Rebinding, "resolve", resolve)
    posting = Posting((), 8, 5.0, Rebinding)
    outcome = await brought(posting, f"https://rebinding.example:{receiver.port}/ok")
    assert outcome.reason == "forbidden address"
    assert receiver.connections == 0
    await posting.close()


async def test_no_proxy_of_the_environment_is_asked(receiver, posting, monkeypatch):
    async with listening() as proxy:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url(""))
        assert (await brought(posting, receiver.url("/ok"))).verdict is DONE
        assert proxy.connections == 0


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1/", "file:///etc/passwd", "http://", "", "http://[::1", "https://\x00/"]
)
async def test_what_is_no_address_is_later_and_no_error(posting, url):
    assert (await brought(posting, url)).verdict is LATER


# ---- Retry-After, and the dispatcher --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("0", 0), ("17", 17), (" 17 ", 17), ("99999999999", 12 * 3600), ("-5", 0), ("1.5", 0), ("soon", 0), ("", 0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 60), ("Thu, 01 Jan 1970 00:00:00 GMT", 0), ("١٧", 0),
    ],
)  # fmt: skip
def test_a_pause_is_read_as_seconds_or_as_a_date_and_bounded(said, expected):
    assert retry_after_s(said, 40.0) == expected


class Faulty:
    """A channel with a fault."""

    async def send(self, items):
        raise RuntimeError("a fault of ours")

    def figures(self):
        return {}

    async def close(self):
        pass


async def test_a_channel_with_a_fault_and_one_that_is_not_there_keep_nobody_elses_messages(receiver, posting):
    dispatcher = Dispatcher({"webhooks": Webhooks(OneShard(), posting), "faulty": Faulty()})
    sent = item(receiver.url("/ok"))
    rows = [["faulty", *sent], ["webhooks", *sent], ["unknown", *sent]]
    assert await dispatcher.dispatch(rows) == [[LATER, 0], [DONE, 0], [LATER, 0]]
    assert dispatcher.figures()["channels"]["webhooks"]["done"] == 1
    assert dispatcher.figures()["channels"]["faulty"]["later"] == 1
