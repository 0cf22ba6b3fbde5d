"""How much leaves one dispatcher? Webhooks, signed, and push messages, encrypted, to loopback, in batches as of shards.

    python -m bench.outgoing [--seconds 3] [--hosts 4] [--at-once 8] [--channels webhooks,push]

Receivers are bare sockets in another process, so what is measured is the dispatcher: its class on uvloop, without Ray.
Each message is of an account and a subscription of its own, and shows a mention, whose contents shards that are none
give at once: two asks a message, as in a cluster, without the wire. Prints messages/s, and the processor's time a
message.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import time
from contextlib import suppress
from typing import Any, Final

import uvloop
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from actors.core.outbound import SendVerdict
from actors.core.terms import NOTIFICATION_TYPE_OF
from actors.outgoing.channel import OutgoingChannel
from actors.outgoing.dispatcher import Dispatcher
from actors.outgoing.posting import Posting
from actors.outgoing.push import PushChannel
from actors.outgoing.webhooks import Webhooks
from api.outgoing_keys import OutgoingKeys
from api.vapid import raw_public_key

BATCH: Final = 256  # as actors/shard/outgoing.py
CALLS: Final = 4  # under way, of one shard
WARM_UP_S: Final = 0.5
ANSWER: Final = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
CARD: Final = b'{"user_id":"7","username":"bob","display_name":"Bob","avatar":null,"followers_count":12}'
TWEET: Final = b'{"tweet_id":"9","user_id":"7","status":"hello @ada, have you seen this?","likes_count":3}'


class Taking(asyncio.Protocol):
    """Answers every request that has come whole; requests here are one write each, head and body."""

    def connection_made(self, transport: Any) -> None:
        self.transport, self.held = transport, b""

    def data_received(self, data: bytes) -> None:
        self.held += data
        while (end := self.held.find(b"\r\n\r\n")) >= 0:
            head = self.held[:end].lower()
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            if len(self.held) < end + 4 + length:
                return
            self.held = self.held[end + 4 + length :]
            self.transport.write(ANSWER)


def receive(hosts: int, ports: Any) -> None:
    """Listen at so many ports, for ever. For a process of its own."""

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        servers = [await loop.create_server(Taking, "127.0.0.1", 0) for _ in range(hosts)]
        ports.send([server.sockets[0].getsockname()[1] for server in servers])
        await asyncio.Event().wait()

    uvloop.run(serve())


def a_key() -> ec.EllipticCurvePrivateKey:
    """Return a fresh key: of a browser, or the cluster's."""
    return ec.generate_private_key(ec.SECP256R1())


class Ready:
    """Shards that have the answer ready: one account and one tweet, whoever asks."""

    def __init__(self) -> None:
        pem = a_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self.cluster, self.outgoing_keys = self, OutgoingKeys(b"c" * 32, b"l" * 32, b"s" * 32, pem)

    def shard_of(self, bucket: int) -> int:
        """Return where a bucket is."""
        return bucket % 2

    async def ask_bucket(self, bucket: int, op: str, args: list[Any]) -> Any:
        """Answer with an account for each that is asked for, or with tweets."""
        return [CARD] * len(args[0]) if op == "cards" else [[TWEET] * len(args[0])]

    async def ask_account(self, account_id: int, op: str, *args: Any) -> Any:
        """Whoever asks hides nothing by filters."""
        return b""


def rows_of(channel: str, urls: list[str]) -> list[list[Any]]:
    """Return a batch of items as a shard gives them: each of another account, with a browser or a secret of its own."""
    now_ms, mention, rows = int(time.time() * 1000), NOTIFICATION_TYPE_OF["mention"], []
    for n in range(1, BATCH + 1):
        url, shown = urls[n % len(urls)], [now_ms << 16 | n << 5, mention, 7, 9, now_ms]
        to = [url, [b"s" * 32]] if channel == "webhooks" else [url, raw_public_key(a_key().public_key()), b"a" * 16, 1]
        rows.append([channel, n, n << 16, 0, [*to, *shown]])
    return rows


def opened(channel: str, at_once: int) -> OutgoingChannel:
    """Return a channel that reaches loopback."""
    posting, shards = Posting(("127.0.0.0/8",), at_once, 10.0), Ready()
    if channel == "webhooks":
        return Webhooks(shards, posting)  # type: ignore[arg-type]
    return PushChannel(shards, posting, "mailto:nobody@example.org")  # type: ignore[arg-type]


async def send(channel: str, ports: list[int], seconds: float, at_once: int) -> tuple[float, float]:
    """Return (messages/s, processor's seconds a message) of one dispatcher."""
    dispatcher = Dispatcher({channel: opened(channel, at_once)})
    rows = rows_of(channel, [f"http://127.0.0.1:{port}/hook" for port in ports])
    done = 0

    async def shard(until_s: float) -> None:
        nonlocal done
        while time.perf_counter() < until_s:
            outcomes = await dispatcher.dispatch(rows)
            done += sum(verdict == SendVerdict.DONE for verdict, _ in outcomes)

    await asyncio.gather(*(shard(time.perf_counter() + WARM_UP_S) for _ in range(CALLS)))
    done, begin_s, begin_cpu_s = 0, time.perf_counter(), time.process_time()
    await asyncio.gather(*(shard(begin_s + seconds) for _ in range(CALLS)))
    spent_s, cpu_s = time.perf_counter() - begin_s, time.process_time() - begin_cpu_s
    await dispatcher.close()
    return done / spent_s, cpu_s / max(done, 1)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--hosts", type=int, default=4)
    parser.add_argument("--at-once", type=int, default=8)
    parser.add_argument("--channels", default="webhooks,push")
    given = parser.parse_args()
    ours, theirs = multiprocessing.Pipe()
    receiver = multiprocessing.get_context("spawn").Process(target=receive, args=(given.hosts, theirs), daemon=True)
    receiver.start()
    try:
        ports = ours.recv()
        for channel in given.channels.split(","):
            per_second, cpu_s = uvloop.run(send(channel, ports, given.seconds, given.at_once))
            print(f"{channel}: {per_second:,.0f} messages/s, {cpu_s * 1e6:,.0f} us of the processor a message")
    finally:
        receiver.kill()
        with suppress(ValueError):
            receiver.join()


if __name__ == "__main__":
    main()
