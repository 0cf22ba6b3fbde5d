"""Push messages: encrypted, signed, sent to a real receiver on loopback that decrypts them by others' code."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from actors.core.limits import PUSH_LIVES_MS
from actors.core.outbound import SendVerdict
from actors.core.terms import NOTIFICATION_TYPE_OF
from actors.outgoing.channel import OutgoingItem
from actors.outgoing.posting import Posting
from actors.outgoing.push import PushChannel
from actors.outgoing.web_push import PAYLOAD_BYTES_MAX, encrypted
from api.vapid import EXPIRES_S, Vapid, raw_public_key, vapid_of
from configs.settings import load_settings
from tests.actors.push_decryption import decrypted, needs_http_ece
from tests.actors.test_mail import World

CONTACT = "mailto:ops@rookery.example"
MENTION, TEST = NOTIFICATION_TYPE_OF["mention"], -1


class Receiver:
    """A push service, and the browser behind it. answers: what is answered, in order; then 201."""

    def __init__(self):
        self.key, self.auth = ec.generate_private_key(ec.SECP256R1()), b"0123456789abcdef"
        self.taken, self.answers, self.port = [], [], 0

    @property
    def public(self):
        return raw_public_key(self.key.public_key())

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}/push/1"

    async def take(self, request):
        self.taken.append((dict(request.headers), await request.read()))
        status, headers = self.answers.pop(0) if self.answers else (201, {})
        return web.Response(status=status, headers=headers)

    def decrypted(self, place=-1):
        _, body = self.taken[place]
        return json.loads(decrypted(body, self.key, self.auth))


@asynccontextmanager
async def receiving():
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/push/{id}", receiver.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.port = site._server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        await runner.cleanup()


def run(test, networks=("127.0.0.0/8",)):
    async def whole():
        world = await World().begin()
        async with receiving() as receiver:
            channel = PushChannel(world.asked, Posting(networks, 8, 10.0), CONTACT)
            try:
                await test(world, channel, receiver)
            finally:
                await channel.close()

    asyncio.run(whole())


def item_of(world, receiver, type_number=TEST, notice=(7 << 5, 0, 0), made_ms=None, item_id=1, is_standard=True):
    made_ms = made_ms or int(time.time() * 1000)
    sent = [receiver.endpoint, receiver.public, receiver.auth, is_standard]
    return OutgoingItem(world.ada, item_id, 0, [*sent, notice[0], type_number, *notice[1:], made_ms])


class TestMessages:
    @needs_http_ece
    def test_a_notification_arrives_as_mastodons_clients_read_it_and_without_a_token(self):
        async def sent(world, channel, receiver):
            tweet_id = int(json.loads(await world.mention("hello & all"))["tweet_id"])
            (outcome,) = await channel.send([item_of(world, receiver, MENTION, (7 << 5, world.bob, tweet_id))])
            assert (outcome.verdict, outcome.reason) == (SendVerdict.DONE, "201")
            said = receiver.decrypted()
            assert set(said) == {
                "access_token", "preferred_locale", "notification_id", "notification_type", "icon", "title", "body",
            }  # fmt: skip
            assert said["access_token"] == ""
            assert (said["notification_id"], said["notification_type"]) == (str(7 << 5), "mention")
            assert said["title"].endswith("mentioned you")
            assert "\n" not in said["title"]
            assert said["body"] == "hello & all"

        run(sent)

    @needs_http_ece
    def test_a_client_that_doesnt_ask_for_the_standard_gets_the_draft(self):
        async def sent(world, channel, receiver):
            (outcome,) = await channel.send([item_of(world, receiver, is_standard=False)])
            assert outcome.verdict == SendVerdict.DONE
            head, body = receiver.taken[0]
            said = dict(each.split("=", 1) for each in (*head["Crypto-Key"].split(";"), head["Encryption"]))
            text = decrypted(body, receiver.key, receiver.auth, salt=said["salt"], dh=said["dh"])
            assert json.loads(text)["notification_type"] == "test"
            assert said["p256ecdsa"] == vapid_of(world.cluster.outgoing_keys.vapid).public_key
            assert (head["Content-Encoding"], head["Authorization"].split()[0]) == ("aesgcm", "WebPush")

        run(sent)

    def test_its_head_says_for_how_long_how_urgent_and_what_it_replaces(self):
        async def sent(world, channel, receiver):
            await channel.send([item_of(world, receiver, made_ms=int(time.time() * 1000) - PUSH_LIVES_MS // 2)])
            head, body = receiver.taken[0]
            assert head["Content-Encoding"] == "aes128gcm"
            assert 0 < int(head["TTL"]) <= PUSH_LIVES_MS // 2000
            assert (head["Urgency"], head["Topic"]) == ("high", f"{7 << 5:x}")
            assert int.from_bytes(body[16:20], "big") == 4096

        run(sent)

    def test_who_sends_it_is_signed_for_that_service_alone(self):
        async def sent(world, channel, receiver):
            await channel.send([item_of(world, receiver)])
            scheme, _, said = receiver.taken[0][0]["Authorization"].partition(" ")
            fields = dict(each.strip().split("=", 1) for each in said.split(","))
            head, claims, signature = fields["t"].split(".")
            key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), read(fields["k"]))
            assert fields["k"] == vapid_of(world.cluster.outgoing_keys.vapid).public_key
            numbers = (int.from_bytes(read(signature)[at : at + 32], "big") for at in (0, 32))
            key.verify(encode_dss_signature(*numbers), f"{head}.{claims}".encode(), ec.ECDSA(SHA256()))
            told = json.loads(read(claims))
            assert scheme == "vapid"
            assert (told["aud"], told["sub"]) == (f"http://127.0.0.1:{receiver.port}", CONTACT)
            assert time.time() < told["exp"] <= time.time() + 24 * 3600

        run(sent)

    @needs_http_ece
    def test_the_same_text_twice_is_two_different_messages(self):
        key = ec.generate_private_key(ec.SECP256R1())
        bodies = [encrypted(b"hello", raw_public_key(key.public_key()), b"a" * 16) for _ in range(2)]
        assert bodies[0] != bodies[1]
        texts = {decrypted(each, key, b"a" * 16) for each in bodies}
        assert texts == {b"hello"}

    @needs_http_ece
    @pytest.mark.parametrize("size", [0, 1, PAYLOAD_BYTES_MAX])
    def test_a_message_of_every_size_fits_into_what_services_take(self, size):
        key = ec.generate_private_key(ec.SECP256R1())
        body = encrypted(b"x" * size, raw_public_key(key.public_key()), b"a" * 16)
        assert len(body) <= 4096
        assert decrypted(body, key, b"a" * 16) == b"x" * size

    def test_what_is_too_large_or_no_key_is_refused(self):
        with pytest.raises(ValueError, match="may have"):
            encrypted(b"x" * (PAYLOAD_BYTES_MAX + 1), b"\x04" * 65, b"a" * 16)
        with pytest.raises(ValueError):
            encrypted(b"x", b"\x04" * 65, b"a" * 16)


class TestTokensOfServices:
    def vapid(self):
        key = ec.generate_private_key(ec.SECP256R1())
        return Vapid(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    def test_one_is_used_again_for_its_service_until_half_of_its_time_is_over(self):
        vapid = self.vapid()
        first = vapid.token("https://push.example/a", CONTACT, 1_000)
        assert vapid.token("https://push.example/b", CONTACT, 1_000 + EXPIRES_S // 2) == first
        assert vapid.token("https://push.example/b", CONTACT, 1_001 + EXPIRES_S // 2) != first

    def test_a_clock_that_was_put_back_gets_no_token_of_the_future(self):
        vapid = self.vapid()
        ahead = vapid.token("https://push.example/a", CONTACT, 10 * EXPIRES_S)
        assert vapid.token("https://push.example/a", CONTACT, 1_000) != ahead

    def test_another_service_port_or_contact_has_one_of_its_own(self):
        vapid = self.vapid()
        places = ("https://a.example/", "https://b.example/", "https://a.example:444/", "http://a.example/")
        tokens = {vapid.token(each, contact, 1_000) for each in places for contact in (CONTACT, "https://ops.example")}
        assert len(tokens) == 8

    def test_no_more_are_kept_than_so_many(self, monkeypatch):
        monkeypatch.setattr("api.vapid.AUDIENCES_MAX", 2)
        vapid = self.vapid()
        for host in "abca":
            vapid.token(f"https://{host}.example/", CONTACT, 1_000)
        assert [audience for audience, _ in vapid._tokens] == ["https://c.example", "https://a.example"]


def read(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class TestAnswers:
    @pytest.mark.parametrize(
        ("status", "headers", "verdict", "after_s"),
        [
            (404, {}, SendVerdict.GONE, 0), (410, {}, SendVerdict.GONE, 0), (413, {}, SendVerdict.DROPPED, 0),
            (403, {}, SendVerdict.DROPPED, 0), (429, {"Retry-After": "120"}, SendVerdict.LATER, 120),
            (503, {}, SendVerdict.LATER, 0), (302, {"Location": "http://127.0.0.1:1/"}, SendVerdict.LATER, 0),
        ],
    )  # fmt: skip
    def test_what_a_service_answers_decides(self, status, headers, verdict, after_s):
        async def sent(world, channel, receiver):
            receiver.answers = [(status, headers)]
            (outcome,) = await channel.send([item_of(world, receiver)])
            assert (outcome.verdict, outcome.reason, outcome.after_s) == (verdict, str(status), after_s)
            assert len(receiver.taken) == 1

        run(sent)

    def test_outcomes_are_of_their_items_in_order(self):
        async def sent(world, channel, receiver):
            old = item_of(world, receiver, made_ms=1, item_id=1)
            gone = item_of(world, receiver, MENTION, (7 << 5, world.bob, 12345), item_id=2)
            good = item_of(world, receiver, notice=(8 << 5, 0, 0), item_id=3)
            outcomes = await channel.send([old, gone, good])
            verdicts = [SendVerdict.DROPPED, SendVerdict.DROPPED, SendVerdict.DONE]
            assert [each.verdict for each in outcomes] == verdicts

        run(sent)

    def test_no_message_goes_to_a_private_address(self):
        async def sent(world, channel, receiver):
            (outcome,) = await channel.send([item_of(world, receiver)])
            assert (outcome.verdict, receiver.taken) == (SendVerdict.LATER, [])

        run(sent, networks=())


def test_it_is_off_until_it_is_configured():
    sets = ["outgoing.push=true", f"outgoing.push_contact={CONTACT}"]
    assert PushChannel.open(load_settings("test", environ={}), None) is None
    assert load_settings("test", sets, environ={}).channels == {"push"}
