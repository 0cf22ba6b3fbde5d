"""The peer: what most would build instead. FastAPI and redis-py over Redis, fan-out on write into lists of ids.

    python -m bench.peer_redis --port 8001 --redis /tmp/redis.sock

Written as well as we can, on the same HTTP server (uvicorn, httptools, uvloop, one worker, no access log):
- redis-py's asyncio client with hiredis, a Unix socket, no decoding, and a pool of single-connection clients:
  a request takes one and keeps it, which costs a quarter less than redis-py's own pool, asked once a command;
- a tweet is stored as the JSON that is served, so a read joins bytes and parses nothing;
- a home read is LRANGE and MGET; a write is one SMEMBERS and one pipeline of SET and LPUSH + LTRIM per follower;
- tokens are checked as Rookery does: SHA-256 of the secret, looked up once and then believed for half a minute.

Keys: `home:<id>` list of tweet ids, newest first, at most HOME_LENGTH; `own:<id>` the same of one's own;
`tweet:<id>` JSON; `followers:<id>` set; `name:<id>` user name; `token:<sha256>` account id.

It does less than Rookery: no idempotency, no entities, no visibility, blocks or mutes, no backfill on follow, no purge
on unfollow; and with AOF everysec an acknowledged tweet may be lost.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import orjson
import redis
import redis.asyncio
import uvicorn
from fastapi import FastAPI, Header, HTTPException, Query
from pydantic import BaseModel, Field
from starlette.responses import Response

from bench.dataset import Network
from bench.processes import accepts, free_port, python_module, running

HOME_LENGTH = 800
TOKEN_CACHE_S = 30.0  # as ApiSettings.token_cache_s
POOL_CONNECTIONS = 64
START_TIMEOUT_S = 30.0
PIPELINE_COMMANDS = 2_000  # per round trip while loading


class NewTweet(BaseModel):
    """Body of a POST."""

    user_id: int = Field(ge=1)
    status: str = Field(min_length=1, max_length=280)


class ClientPool:
    """Clients of one connection each, made as they are needed; as many as there are requests at once."""

    def __init__(self, socket_path: str) -> None:
        self.path = socket_path
        self.idle: list[redis.asyncio.Redis] = []

    @contextmanager
    def client(self) -> Iterator[redis.asyncio.Redis]:
        """Lend a client; one that failed isn't used again."""
        lent = self.idle.pop() if self.idle else self.make()
        yield lent
        if len(self.idle) < POOL_CONNECTIONS:
            self.idle.append(lent)

    def make(self) -> redis.asyncio.Redis:
        """Return a client that will connect when it is first used."""
        return redis.asyncio.Redis(unix_socket_path=self.path, single_connection_client=True)

    async def close(self) -> None:
        """Close the idle clients."""
        for client in self.idle:
            await client.aclose()


def closing(pool: ClientPool) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Return the lifespan of an app that closes its pool at the end."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await pool.close()

    return lifespan


class Tokens:
    """Verified tokens, believed for a while."""

    def __init__(self) -> None:
        self.known: dict[str, tuple[int, float]] = {}

    async def check(self, store: redis.asyncio.Redis, authorization: str | None, user_id: int) -> None:
        """Raise HTTPException unless the header's token stands for the account."""
        if await self.account(store, authorization) != user_id:
            raise HTTPException(403, "token of another account")

    async def account(self, store: redis.asyncio.Redis, authorization: str | None) -> int:
        """Return the account that the header's token stands for. Raises HTTPException."""
        if authorization is None or not authorization.startswith("Bearer "):
            raise HTTPException(401, "no token")
        known = self.known.get(authorization)
        if known is None or known[1] < time.monotonic():
            found = await store.get(token_key(authorization[7:]))
            if found is None:
                raise HTTPException(401, "unknown token")
            known = self.known[authorization] = (int(found), time.monotonic() + TOKEN_CACHE_S)
        return known[0]


def token_key(token: str) -> bytes:
    """Return the key that a token is stored under."""
    return b"token:" + hashlib.sha256(token.encode()).digest()


def create_app(socket_path: str, auth: bool = True) -> FastAPI:
    """Return the peer's ASGI app."""
    pool = ClientPool(socket_path)
    tokens = Tokens()
    numbers = itertools.count()

    app = FastAPI(lifespan=closing(pool))

    @app.get("/api/v1/home_timeline")
    async def home_timeline(
        user_id: Annotated[int, Query(ge=1)],
        count: Annotated[int, Query(ge=1, le=200)] = 20,
        authorization: Annotated[str | None, Header()] = None,
    ) -> Response:
        with pool.client() as store:
            if auth:
                await tokens.check(store, authorization, user_id)
            ids = await store.lrange(f"home:{user_id}", 0, count - 1)
            bodies = await store.mget([b"tweet:" + i for i in ids]) if ids else []
        body = b"[" + b",".join([b for b in bodies if b is not None]) + b"]"
        return Response(body, media_type="application/json")

    @app.post("/api/v1/tweet")
    async def post_tweet(tweet: NewTweet, authorization: Annotated[str | None, Header()] = None) -> Response:
        with pool.client() as store:
            if auth:
                await tokens.check(store, authorization, tweet.user_id)
            body = await write(store, tweet)
        return Response(body, 201, media_type="application/json")

    async def write(store: redis.asyncio.Redis, tweet: NewTweet) -> bytes:
        author = tweet.user_id
        async with store.pipeline(transaction=False) as pipe:
            pipe.get(f"name:{author}")
            pipe.smembers(f"followers:{author}")
            name, followers = await pipe.execute()
        now_ms = time.time_ns() // 1_000_000
        tweet_id = b"%d" % ((now_ms << 16) + next(numbers) % 65_536)
        body = render(tweet_id, author, name, tweet.status, now_ms)
        await fan_out(store, author, followers, tweet_id, body)
        return body

    return app


async def fan_out(store: Any, author: int, followers: Iterable[bytes], tweet_id: bytes, body: bytes) -> None:
    """Store a tweet and put it into its author's lists and every follower's, in one pipeline."""
    async with store.pipeline(transaction=False) as pipe:
        pipe.set(b"tweet:" + tweet_id, body)
        push(pipe, b"own:%d" % author, tweet_id)
        push(pipe, b"home:%d" % author, tweet_id)
        for follower in followers:
            push(pipe, b"home:" + follower, tweet_id)
        await pipe.execute()


def push(pipe: Any, key: bytes, tweet_id: bytes) -> None:
    """Put a tweet at the head of a list of bounded length."""
    pipe.lpush(key, tweet_id)
    pipe.ltrim(key, 0, HOME_LENGTH - 1)


def render(tweet_id: bytes, author: int, name: bytes, status: str, now_ms: int) -> bytes:
    """Return a tweet's JSON, of the same shape as Rookery's."""
    return orjson.dumps(
        {
            "created_at": time.strftime("%a %b %d %H:%M:%S +0000 %Y", time.gmtime(now_ms // 1000)),
            "status": status, "tweet_id": tweet_id.decode(), "user_id": str(author), "username": name.decode(),
            "in_reply_to": None, "media": [], "visibility": "public",
            "entities": {"mentions": [], "hashtags": [], "urls": []},
            "counts": {"replies": 0, "reposts": 0, "likes": 0},
        }
    )  # fmt: skip


# ---- as a contestant --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RedisPeer:
    """A running peer: its HTTP port, and a plain client of its Redis."""

    port: int
    store: Any
    pid: int  # of its HTTP server

    def set_fsync(self, policy: str) -> None:
        """Choose when the append-only file reaches the disk: "always", "everysec" or "no"."""
        self.store.config_set("appendfsync", policy)


@contextmanager
def redis_server(folder: Path, *options: str) -> Iterator[tuple[str, Any]]:
    """Run a Redis without snapshots in a folder; yields (socket path, client). options: of redis-server."""
    folder.mkdir(parents=True, exist_ok=True)
    path = str(folder / "redis.sock")
    command = ["redis-server", "--port", "0", "--unixsocket", path, "--dir", str(folder), "--save", "", *options]
    with running(command, folder / "redis.log", lambda: accepts(path), START_TIMEOUT_S):
        store = redis.Redis(unix_socket_path=path)
        try:
            yield path, store
        finally:
            store.close()


@contextmanager
def redis_peer(folder: Path, auth: str = "token", module: str = "bench.peer_redis") -> Iterator[RedisPeer]:
    """Run the peer over a Redis of its own, with an append-only file (everysec) as a store of record needs.

    module: whose `serve` to run.
    """
    with redis_server(folder / "redis", "--appendonly", "yes", "--appendfsync", "everysec") as (path, store):
        port = free_port()
        command = python_module(module, "--port", port, "--redis", path, "--auth", auth)
        with running(command, folder / "peer.log", lambda: accepts(("127.0.0.1", port)), START_TIMEOUT_S) as process:
            yield RedisPeer(port, store, process.pid)


def ids_by_author(tweets: list[tuple[int, int, bytes]]) -> dict[int, list[int]]:
    """Return the ids of each author's tweets, in the order given."""
    found: dict[int, list[int]] = {}
    for tweet_id, author, _ in tweets:
        found.setdefault(author, []).append(tweet_id)
    return found


def homes_of(network: Network, tweets: list[tuple[int, int, bytes]]) -> dict[int, list[int]]:
    """Return the newest ids of each account's home timeline, ascending: its own and its followees'."""
    by_author, followees = ids_by_author(tweets), network.followees_of()
    return {
        account: sorted(
            itertools.chain(*(by_author.get(author, []) for author in [account, *followees.get(account, [])]))
        )[-HOME_LENGTH:]
        for account in network.accounts.tolist()
    }


def load_peer(store: Any, network: Network, tweets: list[tuple[int, int, bytes]]) -> None:
    """Bring Redis into the state that fan-out on write of those tweets leaves. tweets: (id, author, JSON), by id."""
    batch = Batches(store)
    for tweet_id, _, body in tweets:
        batch.add("SET", f"tweet:{tweet_id}", body)
    followers, by_author, homes = network.followers_of(), ids_by_author(tweets), homes_of(network, tweets)
    for account in network.accounts.tolist():
        batch.add("SET", f"name:{account}", f"user{account}")
        batch.add("SET", token_key(network.tokens[account][0]), account)
        if account in followers:
            batch.add("SADD", f"followers:{account}", *followers[account])
        own = by_author.get(account, [])[-HOME_LENGTH:]
        for key, ids in ((f"own:{account}", own), (f"home:{account}", homes[account])):
            if ids:
                batch.add("LPUSH", key, *ids)
    batch.flush()


class Batches:
    """Commands in pipelines of bounded size."""

    def __init__(self, store: Any) -> None:
        self.pipe = store.pipeline(transaction=False)

    def add(self, *command: Any) -> None:
        self.pipe.execute_command(*command)
        if len(self.pipe) >= PIPELINE_COMMANDS:
            self.flush()

    def flush(self) -> None:
        self.pipe.execute()


def serve(create: Callable[[str, bool], FastAPI], description: str) -> None:
    """Serve the app that `create` makes of a socket path and whether tokens are checked, until told to stop."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--redis", required=True, metavar="SOCKET")
    parser.add_argument("--auth", choices=("token", "open"), default="token")
    options = parser.parse_args()
    app = create(options.redis, options.auth == "token")
    uvicorn.run(
        app, host="127.0.0.1", port=options.port, http="httptools", loop="uvloop", ws="none", access_log=False,
        server_header=False, log_level="warning", backlog=2048,
    )  # fmt: skip


if __name__ == "__main__":
    serve(create_app, __doc__ or "")
