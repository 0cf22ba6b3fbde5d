"""The peer of `stream`: what most would build for live updates. uvicorn's WebSocket, and Redis pub/sub between workers.

    python -m bench.peer_streaming --port 8001 --redis /tmp/redis.sock        one worker; several share the port

Written as well as we can:
- one subscription a worker, not one a connection: who follows whom is looked up when a client connects, and each
  message goes to those of its author's followers who are connected to this worker, in one loop;
- the status is rendered once, by who posts it, as the text that is sent: no worker parses or renders it again;
- plain ASGI without a framework's route and message objects on the way of an event; `websockets-sansio`, the leanest of
  uvicorn's implementations; no compression; uvloop;
- tokens are checked as in bench/peer_redis.py.

A post is one pipeline of `SET`, `LPUSH` + `LTRIM` of the author's own list, and `PUBLISH`; a favourite `SADD` and
`PUBLISH` to the author's streams.

It does less than Rookery: no home timelines (nothing is fanned out at all but to connected clients), no filters, blocks
and mutes, no cursors: what is published while a client or a worker is away, it never gets. A slow reader isn't cut off.

Keys: `template` a status as Rookery serves it; `status:<id>`, `author:<id>`; `own:<id>`; `followees:<id>` set;
`token:<sha256>` account id. Channel `events`: `kind author text`, where text is the whole frame's payload.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any, Final
from urllib.parse import parse_qs

import orjson
import redis.asyncio
import uvicorn
from fastapi import HTTPException

from bench.peer_redis import ClientPool, Tokens, push, token_key

CHANNEL: Final = "events"
STREAMING, STATUSES = "/api/v1/streaming", "/api/v1/statuses"
BODY_BYTES_MAX: Final = 65_536
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Streaming:
    """One worker. listeners: the `send` of each connected client, by whom it follows (and itself)."""

    def __init__(self, socket_path: str) -> None:
        self._pool, self._tokens = ClientPool(socket_path), Tokens()
        self._listeners: dict[int, dict[int, Send]] = {}
        self._numbers = itertools.count()
        self._connections = itertools.count()
        self._subscription: asyncio.Task[None] | None = None
        self._template: dict[str, Any] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, connection or the process's life."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "websocket":
            await self._stream(scope, receive, send)
        else:
            await self._answer(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        store = self._pool.make()
        channel = store.pubsub(ignore_subscribe_messages=True)
        await channel.subscribe(CHANNEL)
        self._subscription = asyncio.create_task(self._deliver(channel))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._subscription.cancel()
        with suppress(asyncio.CancelledError):
            await self._subscription
        await channel.aclose()
        await store.aclose()
        await self._pool.close()
        await send({"type": "lifespan.shutdown.complete"})

    # ---- streams ----------------------------------------------------------------------------------------------------

    async def _deliver(self, channel: redis.asyncio.client.PubSub) -> None:
        """Send what is published to those who follow its author and are connected here."""
        async for message in channel.listen():
            kind, author, text = message["data"].split(b" ", 2)
            event = {"type": "websocket.send", "text": text.decode()}
            # A favourite is the author's alone: kept under 0 minus the account.
            listeners = self._listeners.get(int(author) if kind == b"update" else -int(author), {})
            for send in list(listeners.values()):
                with suppress(Exception):  # it has gone; its own task says so
                    await send(event)

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        await receive()
        try:
            with self._pool.client() as store:
                viewer = await self._tokens.account(store, headers.get(b"authorization", b"").decode())
                followees = await store.smembers(f"followees:{viewer}")
        except HTTPException:
            await send({"type": "websocket.close", "code": 4401})
            return
        if parse_qs(scope["query_string"].decode()).get("stream") != ["user"]:
            await send({"type": "websocket.close", "code": 4400})
            return
        await send({"type": "websocket.accept"})
        number = next(self._connections)
        heard = [viewer, -viewer, *map(int, followees)]
        for author in heard:
            self._listeners.setdefault(author, {})[number] = send
        try:
            while (await receive())["type"] != "websocket.disconnect":
                pass
        finally:
            for author in heard:
                del self._listeners[author][number]

    # ---- requests ---------------------------------------------------------------------------------------------------

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["method"] != "POST" or not scope["path"].startswith(STATUSES):
                raise HTTPException(404, "there is no such path")
            body = await self._post(scope, await whole_body(receive))
            status = 200
        except HTTPException as error:
            status, body = error.status_code, orjson.dumps({"error": error.detail})
        head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": body})

    async def _post(self, scope: Scope, body: bytes) -> bytes:
        with self._pool.client() as store:
            headers = dict(scope["headers"])
            account = await self._tokens.account(store, headers.get(b"authorization", b"").decode())
            path = scope["path"].removeprefix(STATUSES)
            if not path:
                return await self._publish(store, account, body)
            return await self._favourite(store, account, path.removeprefix("/").removesuffix("/favourite"))

    async def _publish(self, store: redis.asyncio.Redis, author: int, body: bytes) -> bytes:
        try:
            said = orjson.loads(body)["status"]
        except (ValueError, KeyError, TypeError):
            raise HTTPException(422, 'a body {"status": TEXT} was expected') from None
        if not self._template:
            self._template = orjson.loads(await store.get("template"))
        now_ms = time.time_ns() // 1_000_000
        status_id = b"%d" % ((now_ms << 16) + next(self._numbers) % 65_536)
        status = orjson.dumps({**self._template, "id": status_id.decode(), "content": f"<p>{said}</p>"})
        async with store.pipeline(transaction=False) as pipe:
            pipe.set(b"status:" + status_id, status)
            pipe.set(b"author:" + status_id, author)
            push(pipe, b"own:%d" % author, status_id)
            pipe.publish(CHANNEL, b"update %d %b" % (author, frame_of("update", status)))
            await pipe.execute()
        return status

    async def _favourite(self, store: redis.asyncio.Redis, account: int, status_id: str) -> bytes:
        async with store.pipeline(transaction=False) as pipe:
            pipe.get(f"author:{status_id}")
            pipe.get(f"status:{status_id}")
            pipe.sadd(f"favourited:{account}", status_id)
            author, status, is_new = await pipe.execute()
        if author is None:
            raise HTTPException(404, "Record not found")
        if is_new:
            who = {"id": str(account), "acct": f"user{account}"}
            told = orjson.dumps({"type": "favourite", "account": who, "status": orjson.loads(status)})
            await store.publish(CHANNEL, b"notification %b %b" % (author, frame_of("notification", told)))
        return bytes(status)


def frame_of(event: str, payload: bytes) -> bytes:
    """Return an event as clients of Mastodon's streams expect it: JSON, with the payload as a string."""
    return orjson.dumps({"stream": ["user"], "event": event, "payload": payload.decode()})


async def whole_body(receive: Receive) -> bytes:
    """Return a request's body. Raises HTTPException if it is too large."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > BODY_BYTES_MAX:
            raise HTTPException(413, "the body is too large")
        if not message.get("more_body"):
            return body


def load_streaming(
    store: Any, template: dict[str, Any], follows: Iterable[tuple[int, int]], tokens: dict[int, str]
) -> None:
    """Fill Redis. template: a status as Rookery serves it; follows: (follower, followee); tokens: by account."""
    pipe = store.pipeline(transaction=False)
    pipe.set("template", orjson.dumps(template))
    for follower, followee in follows:
        pipe.sadd(f"followees:{follower}", followee)
    for account, token in tokens.items():
        pipe.set(token_key(token), account)
    pipe.execute()


def main() -> None:
    """Serve one worker until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--redis", required=True, metavar="SOCKET")
    options = parser.parse_args()
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # the kernel spreads connections over workers
    listener.bind(("127.0.0.1", options.port))
    config = uvicorn.Config(
        Streaming(options.redis), http="httptools", loop="uvloop", ws="websockets-sansio", ws_per_message_deflate=False,
        access_log=False, server_header=False, log_level="warning", backlog=4096, timeout_graceful_shutdown=1,
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
