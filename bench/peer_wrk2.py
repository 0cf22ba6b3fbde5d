"""The peer of `mixed`: DeathStarBench's read and write paths over Redis, with the means of `bench/peer_redis.py`.

    python -m bench.peer_wrk2 --port 8001 --redis /tmp/redis.sock --auth open

A post is stored as the JSON that is served, so a read is LRANGE of ten ids, MGET, and a join; a post is one pipeline
that resolves names and gets followers, and one of SET and LPUSH + LTRIM per follower.

Keys: those of peer_redis, with the benchmark's user ids, and `id:<user name>` the user's id. It does less than Rookery
in the same ways; mentions and links are found, and who isn't there can't post.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterable
from typing import Annotated, Any
from urllib.parse import parse_qsl

import orjson
import redis.asyncio
from fastapi import FastAPI, HTTPException, Query, Request
from starlette.responses import PlainTextResponse, Response

from bench.dataset import Ints
from bench.peer_redis import HOME_LENGTH, Batches, ClientPool, closing, fan_out, serve
from bench.social_network import COMPOSE_PATH, HOME_PATH, OWN_PATH

MENTION, URL = re.compile(r"@([A-Za-z0-9_]+)"), re.compile(r"https?://[a-zA-Z0-9_!~*'().&=+$%-]+")
Offset = Annotated[int, Query(ge=0)]


def create_app(socket_path: str, auth: bool) -> FastAPI:
    """Return the peer's ASGI app."""
    if auth:
        raise ValueError("these paths carry no token: --auth open")
    pool, numbers = ClientPool(socket_path), itertools.count()
    app = FastAPI(lifespan=closing(pool))

    @app.get(HOME_PATH)
    async def home_timeline(user_id: Offset, start: Offset, stop: Offset) -> Response:
        return await page(f"home:{user_id}", start, stop)

    @app.get(OWN_PATH)
    async def user_timeline(user_id: Offset, start: Offset, stop: Offset) -> Response:
        return await page(f"own:{user_id}", start, stop)

    async def page(key: str, start: int, stop: int) -> Response:
        with pool.client() as store:
            ids = await store.lrange(key, start, stop - 1) if start < stop else []
            bodies = await store.mget([b"tweet:" + i for i in ids]) if ids else []
        return Response(b"[" + b",".join([b for b in bodies if b is not None]) + b"]", media_type="application/json")

    @app.post(COMPOSE_PATH)
    async def compose(request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))
        if not all(form.get(name) for name in ("username", "user_id", "text", "post_type")):
            raise HTTPException(400, "Incomplete arguments")
        with pool.client() as store:
            await write(store, form)
        return PlainTextResponse("Successfully upload post\n")

    async def write(store: redis.asyncio.Redis, form: dict[str, str]) -> None:
        author, text = int(form["user_id"]), form["text"]
        mentioned = list(dict.fromkeys(MENTION.findall(text)))
        async with store.pipeline(transaction=False) as pipe:
            pipe.mget([f"id:{name}" for name in [form["username"], *mentioned]])
            pipe.smembers(f"followers:{author}")
            ids, followers = await pipe.execute()
        if ids[0] != b"%d" % author:
            raise HTTPException(404, "no such user")
        mentions = [(i.decode(), name) for i, name in zip(ids[1:], mentioned, strict=True) if i is not None]
        now_ms = time.time_ns() // 1_000_000
        post_id = b"%d" % ((now_ms << 16) + next(numbers) % 65_536)
        await fan_out(store, author, followers, post_id, render(post_id, author, form, mentions, now_ms))

    return app


def render(
    post_id: bytes, author: int, form: dict[str, str], mentions: Iterable[tuple[str, str]], now_ms: int
) -> bytes:
    """Return a post's JSON, of the same shape as Rookery's."""
    media = zip(orjson.loads(form["media_ids"]), orjson.loads(form["media_types"]), strict=True)
    return orjson.dumps(
        {
            "post_id": post_id.decode(), "creator": {"user_id": str(author), "username": form["username"]},
            "text": form["text"], "user_mentions": [{"user_id": i, "username": name} for i, name in mentions],
            "media": [{"media_id": media_id, "media_type": kind} for media_id, kind in media],
            "urls": [{"shortened_url": url, "expanded_url": url} for url in URL.findall(form["text"])],
            "timestamp": str(now_ms), "post_type": int(form["post_type"]),
        }
    )  # fmt: skip


def load_peer(store: Any, users: int, friends: tuple[Ints, Ints], posts: list[tuple[int, int, bytes]]) -> None:
    """Bring Redis into the state that fan-out on write of those posts leaves. posts: (id, author, JSON), by id."""
    batch = Batches(store)
    following: dict[int, set[int]] = {user: {user} for user in range(users)}
    for a, b in zip(*(side.tolist() for side in friends), strict=True):
        following[a].add(b)
        following[b].add(a)
    by_author: dict[int, list[int]] = {user: [] for user in range(users)}
    for post_id, author, body in posts:
        by_author[author].append(post_id)
        batch.add("SET", f"tweet:{post_id}", body)
    for user in range(users):
        batch.add("SET", f"id:username_{user}", user)
        batch.add("SADD", f"followers:{user}", *(following[user] - {user}))
        own = by_author[user]
        home = sorted(itertools.chain(*(by_author[followee] for followee in following[user])))
        for key, ids in ((f"own:{user}", own[-HOME_LENGTH:]), (f"home:{user}", home[-HOME_LENGTH:])):
            if ids:
                batch.add("LPUSH", key, *ids)
    batch.flush()


if __name__ == "__main__":
    serve(create_app, __doc__ or "")
