"""Messages over TLS to real servers: whose certificate is believed, for which name, and what is said of others."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta

import pytest

from actors.core.outbound import SendVerdict
from actors.outgoing.posting import GuardedResolver, Posting
from tests.outgoing.certificates import Authority
from tests.outgoing.receivers import listening
from tests.outgoing.test_webhooks import LOOPBACK, brought

HOST = "hooks.example"
DONE, LATER = SendVerdict.DONE, SendVerdict.LATER


class OnLoopback(GuardedResolver):
    """A name server to which every name is on this machine."""

    def look_up(self, host, port, family):
        return [{**found, "hostname": host} for found in super().look_up("127.0.0.1", port, family)]


@pytest.fixture(scope="module")
def authority():
    return Authority.make()


@pytest.fixture
async def posting(authority):
    made = Posting(LOOPBACK, 8, 10.0, OnLoopback, authority.believed())
    yield made
    await made.close()


async def test_a_server_that_is_what_it_says_gets_its_messages_over_one_connection(authority, posting, tmp_path):
    context, named = authority.server(tmp_path, HOST), []
    context.sni_callback = lambda _, name, __: named.append(name)
    async with listening(tls=context) as receiver:
        for _ in range(3):
            outcome = await brought(posting, f"https://{HOST}:{receiver.port}/ok")
            assert (outcome.verdict, outcome.reason) == (DONE, "200")
        assert receiver.connections == 1
        assert receiver.received[0].headers["host"] == f"{HOST}:{receiver.port}"
    assert named == [HOST]  # by name, though the connection went to an address that was looked at


async def test_another_name_than_the_certificates_is_not_believed(authority, posting, tmp_path):
    async with listening(tls=authority.server(tmp_path, "other.example")) as receiver:
        for host in (HOST, "127.0.0.1"):
            outcome = await brought(posting, f"https://{host}:{receiver.port}/ok")
            assert (outcome.verdict, outcome.reason) == (LATER, "certificate")
        assert receiver.received == []


async def test_nor_is_one_that_has_ended_or_one_of_an_unknown_authority(authority, posting, tmp_path):
    ended = authority.server(tmp_path, HOST, datetime.now(UTC) - timedelta(days=1))
    for context in (ended, Authority.make().server(tmp_path, HOST)):
        async with listening(tls=context) as receiver:
            outcome = await brought(posting, f"https://{HOST}:{receiver.port}/ok")
            assert (outcome.verdict, outcome.reason) == (LATER, "certificate")
            assert receiver.received == []


async def test_who_speaks_no_tls_gets_nothing(posting):
    async with listening(says=b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n") as receiver:
        outcome = await brought(posting, f"https://{HOST}:{receiver.port}/ok")
        assert (outcome.verdict, outcome.reason) == (LATER, "no tls")


async def test_a_server_that_hangs_in_the_handshake_is_given_up(authority):
    posting = Posting(LOOPBACK, 8, 0.5, OnLoopback, authority.believed())
    async with listening(says=b"") as receiver:
        outcome = await brought(posting, f"https://{HOST}:{receiver.port}/ok")
        assert (outcome.verdict, outcome.reason) == (LATER, "timeout")
    await posting.close()


async def test_a_redirect_to_http_or_elsewhere_is_not_followed(authority, posting, tmp_path):
    async with listening(tls=authority.server(tmp_path, HOST)) as receiver:
        outcome = await brought(posting, f"https://{HOST}:{receiver.port}/redirect")
        assert (outcome.verdict, outcome.reason) == (LATER, "307")
        assert [request.path for request in receiver.received] == ["/redirect"]


async def test_by_default_what_the_system_believes_is_believed_and_no_old_version_spoken():
    posting = Posting((), 8, 1.0)
    (context,) = {session.connector._ssl for session in posting._sessions.values()}
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    await posting.close()
