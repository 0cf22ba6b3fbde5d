"""Mails, from the state of a shard through the channel to a real SMTP server."""

from __future__ import annotations

import asyncio
import logging
import ssl
from email.utils import parsedate_to_datetime

import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from actors.core.features.mail import CHANNEL
from actors.core.ids import bucket_of_account
from actors.core.outbound import SendVerdict, read_outbound
from actors.outgoing.channel import OutgoingItem
from actors.outgoing.letters import ToldNotice, letter_of_digest, letter_of_notice, message_of, on_one_line
from actors.outgoing.mail import MailChannel
from api.outgoing_keys import hash_of_code
from configs.sections import MailSection
from configs.settings import SettingsError, load_settings
from tests.actors.mail_server import mail_server
from tests.api.core_cluster import CoreCluster

ORIGIN = "https://rookery.example"
ADDRESS = "ada@mail.example"
NONCE = b"n" * 16


class Asked:
    """`api.ports.Asking` of shards in this process."""

    def __init__(self, cluster):
        self.cluster, self.outgoing_keys = cluster, cluster.outgoing_keys

    async def ask_bucket(self, bucket, op, args):
        return await self.cluster.call(bucket, op, args)

    async def ask_account(self, account_id, op, *args):
        return await self.ask_bucket(bucket_of_account(account_id), op, [account_id, *args])


class World:
    """Two accounts, the first one with a confirmed address."""

    def __init__(self):
        self.cluster = CoreCluster()
        self.asked = Asked(self.cluster)
        self.ada, self.bob = 5, 6

    async def begin(self):
        for account_id in (self.ada, self.bob):
            name = f"user{account_id}"
            bucket = self.bucket_of_name(name)
            row = [name, account_id, "Bob <b>\r\nBcc: x@y.example", "", "hash", []]
            await self.cluster.call(bucket, "register", row)
        await self.do("want_address", ADDRESS, hash_of_code(self.code("confirm")), NONCE)
        assert await self.do("confirm_address", hash_of_code(self.code("confirm")))
        await self.do("set_mail", 1023, False)
        self.forget()
        return self

    @staticmethod
    def bucket_of_name(name):
        from actors.core.ids import bucket_of_name

        return bucket_of_name(name)

    def code(self, what):
        return self.cluster.outgoing_keys.code(what, self.ada, NONCE)

    async def do(self, op, *args):
        return await self.asked.ask_account(self.ada, op, *args)

    def items(self):
        """Return what waits for ada, as a shard's leader gives it to a dispatcher."""
        shard = next(s for s in self.cluster.sim.shards if s.replica.state.people.own(self.ada) is not None)
        papers = shard.replica.state.papers
        made = []
        for key in papers.keys(CHANNEL.kind, self.ada):
            item = read_outbound(papers.get(CHANNEL.kind, self.ada, key))
            facts = CHANNEL.facts(shard.replica.lookups, item.made_ms, self.ada, key, item)
            made.append(OutgoingItem(self.ada, key, item.attempts, facts))
        return made

    def forget(self):
        """Take what waits away."""
        shard = next(s for s in self.cluster.sim.shards if s.replica.state.people.own(self.ada) is not None)
        papers = shard.replica.state.papers
        for key in papers.keys(CHANNEL.kind, self.ada):
            papers.drop(CHANNEL.kind, self.ada, key)

    async def mention(self, text="hello <ada> & all"):
        args = [self.bob, text, 0, 0, 0, b"", [], [self.ada], None]
        return await self.cluster.call(bucket_of_account(self.bob), "post", args)


def channel_to(world, boxes, **more):
    settings = MailSection(
        host="localhost", port=boxes.port, sender="rookery@rookery.example", tls=more.pop("tls", "off"), **more
    )
    return MailChannel(world.asked, settings, ORIGIN)


def run(test):
    async def whole():
        async with mail_server() as boxes:
            await test(await World().begin(), boxes)

    asyncio.run(whole())


def body_of(message, kind="plain"):
    return message.get_body((kind,)).get_content()


class TestCodes:
    def test_a_mailed_code_is_the_one_that_is_known_by_its_hash(self):
        async def mailed(world, boxes):
            await world.do("forgot_password", ADDRESS, hash_of_code(world.code("reset")), NONCE)
            outcomes = await channel_to(world, boxes).send(world.items())
            assert [each.verdict for each in outcomes] == [SendVerdict.DONE]
            (message,) = boxes.messages()
            code = next(line for line in body_of(message).splitlines() if line.count("-") == 3 and len(line) == 19)
            assert await world.do("reset_password", ADDRESS, hash_of_code(code), "new hash") is True
            assert code in body_of(message, "html")
            assert message["List-Unsubscribe"] is None, "this one can't be ended"

        run(mailed)

    def test_each_sort_of_what_must_be_told_is_written(self):
        async def mailed(world, boxes):
            await world.do("want_address", "other@mail.example", hash_of_code(world.code("confirm") + "A"), NONCE)
            await world.do("test_mail")
            await channel_to(world, boxes).send(world.items())
            taken = zip(boxes.taken, boxes.messages(), strict=True)
            assert {(to, message["Subject"]) for (to, _), message in taken} == {
                ("other@mail.example", "Confirm your e-mail address"),
                (ADDRESS, "Your e-mail address is to be changed"), (ADDRESS, "A test"),
            }  # fmt: skip

        run(mailed)


class TestNotices:
    def test_a_notice_is_told_as_text_and_html_and_nothing_of_it_is_markup_or_a_header(self):
        async def mailed(world, boxes):
            await world.mention()
            (outcome,) = await channel_to(world, boxes).send(world.items())
            assert outcome.verdict == SendVerdict.DONE
            (message,) = boxes.messages()
            assert message["Subject"] == "Bob <b> Bcc: x@y.example mentioned you"
            assert (message["To"], message["Bcc"], message["In-Reply-To"]) == (ADDRESS, None, None)
            assert message["Auto-Submitted"] == "auto-generated"
            assert message.get_content_type() == "multipart/alternative"
            assert "hello <ada> & all" in body_of(message)
            assert "hello &lt;ada&gt; &amp; all" in body_of(message, "html")
            assert "<b>" not in body_of(message, "html")
            assert parsedate_to_datetime(message["Date"]).utcoffset().total_seconds() == 0

        run(mailed)

    def test_one_click_ends_them_by_a_link_that_is_signed(self):
        async def mailed(world, boxes):
            await world.mention()
            await channel_to(world, boxes).send(world.items())
            (message,) = boxes.messages()
            link = message["List-Unsubscribe"].strip("<>")
            assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
            assert link.startswith(f"{ORIGIN}/unsubscribe?token=")
            token = link.partition("token=")[2]
            assert world.cluster.outgoing_keys.is_link(token, "end mail", world.ada, ADDRESS)
            assert link in body_of(message)

        run(mailed)

    def test_a_mail_that_is_sent_again_is_the_same_to_the_byte(self):
        async def mailed(world, boxes):
            await world.mention()
            await world.do("test_mail")
            for _ in range(2):  # the dispatcher dies before it has said that it is done, and another one begins
                await channel_to(world, boxes).send(world.items())
            first, again = boxes.taken[:2], boxes.taken[2:]
            assert sorted(first) == sorted(again)
            ids = {message["Message-ID"] for message in boxes.messages()}
            assert ids == {f"<{world.ada}-{item.item_id}@rookery.example>" for item in world.items()}

        run(mailed)

    def test_a_digest_counts_all_and_shows_the_newest(self):
        notices = [ToldNotice("mention", "Bob", "bob", "", "7"), ToldNotice("follow", "Eve", "eve", "", "")]
        letter = letter_of_digest(5, notices, ORIGIN)
        assert letter.subject == "5 notifications for you"
        assert letter.paragraphs == (
            "While you were away:", "Bob (@bob) mentioned you.", "Eve (@eve) followed you.", "And 3 more.",
        )  # fmt: skip
        assert letter.ends

    def test_the_digest_of_a_day_is_mailed_with_what_is_unread(self):
        async def mailed(world, boxes):
            await world.do("set_mail", 0, True)
            await world.mention()
            await world.mention("again")
            (outcome,) = await channel_to(world, boxes).send(world.items())
            assert outcome.verdict == SendVerdict.DONE
            (message,) = boxes.messages()
            assert message["Subject"] == "2 notifications for you"
            assert body_of(message).count("mentioned you.") == 2

        run(mailed)

    def test_what_is_gone_meanwhile_isnt_mailed(self):
        async def mailed(world, boxes):
            await world.mention()
            items = world.items()
            for shard in world.cluster.sim.shards:
                assert shard.replica.state is not None
            await world.do("block", world.bob)
            (outcome,) = await channel_to(world, boxes).send(items)
            assert outcome.verdict == SendVerdict.DROPPED
            assert boxes.taken == []

        run(mailed)


class TestAnswers:
    @pytest.mark.parametrize(
        ("answer", "verdict"),
        [("550 5.1.1 no such user", SendVerdict.GONE), ("450 4.2.1 try later", SendVerdict.LATER)],
    )
    def test_what_an_address_is_refused_with_says_whether_it_is_for_good(self, answer, verdict):
        async def mailed(world, boxes):
            boxes.refuses[ADDRESS] = answer
            await world.mention()
            await world.do("test_mail")
            outcomes = await channel_to(world, boxes, connections=1).send(world.items())
            assert [(each.verdict, each.reason) for each in outcomes] == [(verdict, answer[:3])] * 2

        run(mailed)

    @pytest.mark.parametrize(
        ("answer", "verdict"), [("554 spam", SendVerdict.DROPPED), ("452 full", SendVerdict.LATER)]
    )
    def test_a_message_that_is_refused_for_good_is_dropped_alone(self, answer, verdict):
        async def mailed(world, boxes):
            boxes.says = answer
            await world.do("test_mail")
            (outcome,) = await channel_to(world, boxes).send(world.items())
            assert outcome.verdict == verdict

        run(mailed)

    def test_without_a_server_everything_comes_later(self):
        async def mailed(world, boxes):
            await world.do("test_mail")
            boxes.port = 1
            (outcome,) = await channel_to(world, boxes).send(world.items())
            assert (outcome.verdict, outcome.reason) == (SendVerdict.LATER, "no connection")

        run(mailed)

    def test_a_server_that_hangs_holds_nobody_for_longer_than_is_set(self):
        async def mailed(world, boxes):
            boxes.hangs = True
            await world.do("test_mail")
            (outcome,) = await channel_to(world, boxes, timeout_s=0.2).send(world.items())
            assert (outcome.verdict, outcome.reason) == (SendVerdict.LATER, "broken off")

        run(mailed)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for localhost and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    from datetime import UTC, datetime, timedelta

    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path = tmp_path_factory.mktemp("certificates") / "localhost.pem"
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(*form))
    return path


class TestTls:
    @pytest.mark.parametrize("tls", ["starttls", "implicit"])
    @pytest.mark.parametrize("believed", [True, False])
    def test_mail_goes_encrypted_to_a_server_whose_certificate_is_believed_alone(self, certificate, tls, believed):
        async def whole():
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            world = await World().begin()
            await world.do("test_mail")
            async with mail_server(**{tls: context}) as boxes:
                more = {"ca_file": str(certificate)} if believed else {}
                (outcome,) = await channel_to(world, boxes, tls=tls, **more).send(world.items())
            assert len(boxes.taken) == believed
            assert outcome.reason == ("handed over" if believed else "certificate")

        asyncio.run(whole())

    def test_a_server_that_offers_no_tls_gets_no_mail(self):
        async def mailed(world, boxes):
            await world.do("test_mail")
            (outcome,) = await channel_to(world, boxes, tls="starttls").send(world.items())
            assert (outcome.verdict, boxes.taken) == (SendVerdict.LATER, [])

        run(mailed)


class TestSigningIn:
    @pytest.mark.parametrize("password", ["right", "wrong"])
    def test_the_password_comes_from_a_file_and_is_said_nowhere(self, certificate, tmp_path, password, caplog):
        path = tmp_path / "password"
        path.write_text(f"{password}\n", encoding="utf-8")

        async def whole():
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            world = await World().begin()
            await world.do("test_mail")
            async with mail_server(implicit=context, asks_who=True) as boxes:
                channel = channel_to(
                    world, boxes, tls="implicit", ca_file=str(certificate), username="rookery", password_file=str(path)
                )
                (outcome,) = await channel.send(world.items())
            assert set(boxes.signed_in) == {(b"rookery", password.encode())}
            assert outcome.reason == ("handed over" if password == "right" else "sign-in refused")
            assert password not in repr([outcome, channel.figures()]).replace("'right", "")

        caplog.set_level(logging.DEBUG, "aiosmtplib")
        with structlog.testing.capture_logs() as logged:
            asyncio.run(whole())
        assert password not in repr(logged)


class TestLetters:
    @pytest.mark.parametrize("name", ["a\r\nBcc: x@y.example", "a\x00b", "‮evil", "x" * 999, "é\u2028x", "\ud800"])
    def test_no_name_makes_a_header_or_a_long_one(self, name):
        letter = letter_of_notice(ToldNotice("like", on_one_line(name), "eve", "", "7"), ORIGIN)
        message = message_of(letter, ADDRESS, "rookery@rookery.example", "<1-2@x>", 0, ORIGIN, "token")
        head = message.partition(b"\r\n\r\n")[0]
        assert b"\r\nBcc:" not in head
        assert all(len(line) < 998 for line in head.split(b"\r\n"))
        assert all(byte < 127 for byte in head)

    @pytest.mark.parametrize("address", ["a@b.example\r\nBcc: x@y.example", "@", "a", "a@b@c", "a b@c.example"])
    def test_an_address_that_is_none_is_in_no_mail(self, address):
        letter = letter_of_notice(ToldNotice("like", "Eve", "eve", "", "7"), ORIGIN)
        assert message_of(letter, address, "rookery@rookery.example", "<1-2@x>", 0, ORIGIN, "token") is None

    def test_an_address_beyond_ascii_is_written_in_utf8(self):
        letter = letter_of_notice(ToldNotice("like", "Eve", "eve", "", "7"), ORIGIN)
        message = message_of(letter, "añna@mail.example", "rookery@rookery.example", "<1-2@x>", 0, ORIGIN, "token")
        assert "añna@mail.example".encode() in message


class TestSettings:
    @pytest.mark.parametrize(
        ("sets", "field"),
        [
            (["mail.host=mail.example"], "mail.sender"),
            (["mail.host=mail.example", "mail.sender=a@b.example", "mail.tls=off"], "mail.tls"),
            (["mail.username=x"], "mail.username"), (["mail.password=x"], "mail.username"),
            (["mail.username=x", "mail.password=x", "mail.password_file=y"], "mail.password_file"),
            (["mail.sender=nobody"], "mail.sender"), (["outgoing.push=true"], "outgoing.push_contact"),
        ],
    )  # fmt: skip
    def test_what_cant_work_is_refused_by_name(self, sets, field):
        with pytest.raises(SettingsError) as refused:
            load_settings("test", sets, environ={})
        assert [problem.field for problem in refused.value.problems] == [field]

    def test_a_password_is_shown_nowhere(self):
        sets = ["mail.host=mail.example", "mail.sender=a@b.example", "mail.username=u", "mail.password=secret-one"]
        settings = load_settings("test", sets, environ={})
        assert "secret-one" not in settings.describe()
        assert settings.dispatched == {"mail"}

    def test_it_is_off_by_default(self):
        assert "mail" not in load_settings("test", environ={}).channels
