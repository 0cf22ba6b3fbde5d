"""The peer of `mastodon`: the same paths over Redis, with the means of `bench/peer_redis.py`.

    python -m bench.peer_mastodon --port 8001 --redis /tmp/redis.sock

Written as well as we can: one uvicorn worker, as many as Rookery has here.
- A status is stored as the JSON that is served, up to where its counts begin; an account as its JSON. Nothing is
  parsed: a page is joined of bytes.
- A timeline's entries are `status:author`, so a page is two rounds: LRANGE, then one pipeline with the statuses, their
  accounts and counts (three MGETs) and what the reader has done about them (three SMISMEMBERs).
- A favourite is two rounds: SADD with the author; INCR, if it is new, with all that is answered.

Keys: those of peer_redis, with entries as above in `home:<id>`; `status:<id>`, `author:<id>`; `account:<id>`;
`replies:<id>`, `reblogs:<id>`, `favourites:<id>` numbers, missing for none; `favourited:<account>`,
`reblogged:<account>`, `bookmarked:<account>` sets of status ids.

It does less than Rookery: no cursors and `Link`, no reblogs, polls, quotes, filters, mutes and visibility; nobody is
told of a favourite; counts in accounts are those of when it was loaded; and with AOF everysec an acknowledged favourite
may be lost.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Annotated, Any, Final

import orjson
import redis.asyncio
from fastapi import FastAPI, Header, HTTPException, Path, Query
from starlette.responses import Response

from bench.dataset import Network
from bench.peer_redis import Batches, ClientPool, Tokens, closing, homes_of, serve, token_key

MARKS: Final = ("favourited", "reblogged", "bookmarked")
COUNTS: Final = ("replies", "reblogs", "favourites")
_LEFT_OUT: Final = {*MARKS, *(f"{name}_count" for name in COUNTS), "account", "reblog", "muted", "pinned", "filtered"}
_COUNTS: Final = b',"replies_count":%d,"reblogs_count":%d,"favourites_count":%d,"account":'
Authorization = Annotated[str | None, Header()]
StatusId = Annotated[int, Path(ge=1)]


def _end(marks: Sequence[int], is_own: bool) -> bytes:
    """Return what a status ends with. marks: 0 or 1 for each of MARKS."""
    said = {name: bool(mark) for name, mark in zip(MARKS, marks, strict=True)}
    own = {"pinned": False} if is_own else {}
    return b"," + orjson.dumps({"reblog": None, "muted": False, **said, **own, "filtered": []})[1:]


ENDS: Final = {
    (marks, is_own): _end(marks, is_own) for marks in itertools.product((0, 1), repeat=3) for is_own in (False, True)
}


def create_app(socket_path: str, auth: bool) -> FastAPI:
    """Return the peer's ASGI app."""
    if not auth:
        raise ValueError("these paths say by their token who asks: --auth token")
    pool, tokens = ClientPool(socket_path), Tokens()
    app = FastAPI(lifespan=closing(pool))

    @app.get("/api/v1/timelines/home")
    async def home(
        limit: Annotated[int, Query(ge=1, le=40)] = 20, authorization: Authorization = None
    ) -> Response:  # fmt: skip
        with pool.client() as store:
            viewer = await tokens.account(store, authorization)
            entries = await store.lrange(f"home:{viewer}", 0, limit - 1)
            statuses = await read_statuses(store, entries, viewer) if entries else []
        return json_of(b"[" + b",".join(statuses) + b"]")

    @app.get("/api/v1/accounts/verify_credentials")
    async def verify_credentials(authorization: Authorization = None) -> Response:
        with pool.client() as store:
            viewer = await tokens.account(store, authorization)
            return json_of(await store.get(f"account:{viewer}"))

    @app.get("/api/v1/statuses/{status_id}")
    async def status(status_id: StatusId, authorization: Authorization = None) -> Response:
        with pool.client() as store:
            viewer = await tokens.account(store, authorization) if authorization else 0
            author = await store.get(f"author:{status_id}")
            if author is None:
                raise HTTPException(404, "Record not found")
            (body,) = await read_statuses(store, [b"%d:%b" % (status_id, author)], viewer)
        return json_of(body)

    @app.post("/api/v1/statuses/{status_id}/favourite")
    async def favourite(status_id: StatusId, authorization: Authorization = None) -> Response:
        with pool.client() as store:
            viewer = await tokens.account(store, authorization)
            return json_of(await mark(store, viewer, status_id))

    return app


async def mark(store: redis.asyncio.Redis, viewer: int, status_id: int) -> bytes:
    """Favourite a status; returns it as it is then. Raises HTTPException if there is none."""
    async with store.pipeline(transaction=False) as pipe:
        pipe.get(f"author:{status_id}")
        pipe.sadd(f"favourited:{viewer}", str(status_id))
        author, is_new = await pipe.execute()
    if author is None:
        await store.srem(f"favourited:{viewer}", str(status_id))
        raise HTTPException(404, "Record not found")
    (body,) = await read_statuses(store, [b"%d:%b" % (status_id, author)], viewer, status_id if is_new else 0)
    return body


async def read_statuses(
    store: redis.asyncio.Redis, entries: Sequence[bytes], viewer: int, favourited: int = 0
) -> list[bytes]:
    """Return the JSON of statuses as a viewer (0: nobody) sees them. entries: `status:author`.

    favourited: a status that has got one favourite more, which is counted first.
    """
    pairs = [entry.split(b":") for entry in entries]
    ids = [pair[0] for pair in pairs]
    async with store.pipeline(transaction=False) as pipe:
        if favourited:
            pipe.incr(f"favourites:{favourited}")
        pipe.mget([b"status:" + each for each in ids])
        pipe.mget([b"account:" + pair[1] for pair in pairs])
        pipe.mget([f"{name}:".encode() + each for each in ids for name in COUNTS])
        for name in MARKS:
            pipe.smismember(f"{name}:{viewer}", ids)
        heads, accounts, counts, *marks = (await pipe.execute())[bool(favourited) :]
    own, numbers = b"%d" % viewer, iter([int(count or 0) for count in counts])
    return [
        head + _COUNTS % (next(numbers), next(numbers), next(numbers)) + account + ENDS[done, pair[1] == own]
        for head, account, pair, done in zip(heads, accounts, pairs, zip(*marks, strict=True), strict=True)
    ]


def json_of(body: bytes) -> Response:
    """Answer bytes that are JSON."""
    return Response(body, media_type="application/json")


def load_peer(store: Any, network: Network, statuses: list[tuple[int, int, bytes]]) -> None:
    """Bring Redis into the state that fan-out on write leaves. statuses: (id, author, JSON as served), by id."""
    batch = Batches(store)
    authors = {status_id: author for status_id, author, _ in statuses}
    for status_id, author, body in statuses:
        status = orjson.loads(body)
        head = orjson.dumps({name: value for name, value in status.items() if name not in _LEFT_OUT})
        batch.add("SET", f"status:{status_id}", head[:-1])
        batch.add("SET", f"author:{status_id}", author)
        batch.add("SET", f"account:{author}", orjson.dumps(status["account"]))
    homes = homes_of(network, statuses)
    for account in network.accounts.tolist():
        batch.add("SET", token_key(network.tokens[account][0]), account)
        if homes[account]:
            batch.add("LPUSH", f"home:{account}", *(f"{each}:{authors[each]}" for each in homes[account]))
    batch.flush()


def load_favourites(store: Any, favourites: dict[int, list[int]]) -> None:
    """Add favourites: the statuses' ids by account."""
    batch = Batches(store)
    for account, status_ids in favourites.items():
        batch.add("SADD", f"favourited:{account}", *status_ids)
        for status_id in status_ids:
            batch.add("INCR", f"favourites:{status_id}")
    batch.flush()


if __name__ == "__main__":
    serve(create_app, __doc__ or "")
