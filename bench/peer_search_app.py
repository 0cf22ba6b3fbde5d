"""The HTTP side that both peers of `search` share: FastAPI over a store that finds tweets.

Written as well as we can, on the server that Rookery's API workers have too (uvicorn, httptools, uvloop, one worker, no
access log): one SQL statement a search, one `orjson.dumps` an answer. Answers have the shape of Rookery's.

    GET  /api/v1/search?query=two+words&order=latest|top&count=20
    POST /api/v1/tweet  {"user_id": "1", "status": "..."}

It does less than Rookery: no operators, corrections, pages, visibility or blocks, no entities, no counts (they are
always 0), no accounts (the user name is made of the id, so there is no join), no tokens.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import orjson
import uvicorn
from fastapi import FastAPI, Query
from pydantic import BaseModel, Field
from starlette.responses import Response

from actors.core.ids import ms_of_tweet
from actors.core.render import created_at

COUNT_MAX = 200  # tweets of an answer, as Rookery's home_count_max
NO_ENTITIES: dict[str, list[Any]] = {"mentions": [], "hashtags": [], "urls": []}
NO_COUNTS = {"replies": 0, "reposts": 0, "likes": 0}
NO_MEDIA: list[Any] = []

Found = Sequence[Any]
"""(tweet id, author, text)"""


class NewTweet(BaseModel):
    """Body of a POST."""

    user_id: int = Field(ge=1)
    status: str = Field(min_length=1, max_length=280)


@dataclass(frozen=True, slots=True)
class SearchPeer:
    """A running peer of `search`. sizes: bytes on disk by what they hold; build_s: seconds until all could be found."""

    port: int
    build_s: float
    sizes: dict[str, int]


class SearchStore(Protocol):
    """What a peer keeps its tweets in."""

    async def open(self) -> None:
        """Get ready to be asked."""

    async def close(self) -> None:
        """Let go of everything."""

    async def search(self, query: str, newest_first: bool, count: int) -> Sequence[Found]:
        """Return up to `count` tweets that hold all words, the newest or the best first."""

    async def add(self, tweet_id: int, author: int, text: str) -> None:
        """Add a tweet. It is on the disk, and found, when this returns."""


def create_app(store: SearchStore) -> FastAPI:
    """Return the app over a store, which is open while the app runs."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await store.open()
        yield
        await store.close()

    app = FastAPI(lifespan=lifespan)
    numbers = itertools.count()

    @app.get("/api/v1/search")
    async def search(
        query: Annotated[str, Query(min_length=1, max_length=500)],
        order: Literal["latest", "top"] = "latest",
        count: Annotated[int, Query(ge=1, le=COUNT_MAX)] = 20,
    ) -> Response:
        found = await store.search(query, order == "latest", count)
        return Response(render_page(found), media_type="application/json")

    @app.post("/api/v1/tweet")
    async def tweet(tweet: NewTweet) -> Response:
        tweet_id = (time.time_ns() // 1_000_000 << 16) + next(numbers) % 65_536
        await store.add(tweet_id, tweet.user_id, tweet.status)
        return Response(orjson.dumps(to_json(tweet_id, tweet.user_id, tweet.status)), media_type="application/json")

    return app


def render_page(found: Sequence[Found]) -> bytes:
    """Return the answer to a search."""
    tweets = [to_json(tweet_id, author, text) for tweet_id, author, text in found]
    return orjson.dumps({"tweets": tweets, "next_cursor": None, "corrected": None, "partial": False})


def to_json(tweet_id: int, author: int, text: str) -> dict[str, Any]:
    """Return a tweet as Rookery shows it."""
    return {
        "created_at": created_at(ms_of_tweet(tweet_id)), "status": text, "tweet_id": str(tweet_id),
        "user_id": str(author), "username": f"user{author}", "in_reply_to": None, "media": NO_MEDIA,
        "visibility": "public", "entities": NO_ENTITIES, "counts": NO_COUNTS,
    }  # fmt: skip


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """Return the options that every peer has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True)
    return parser


def serve(store: SearchStore, port: int) -> None:
    """Serve a store until told to stop."""
    uvicorn.run(
        create_app(store), host="127.0.0.1", port=port, http="httptools", loop="uvloop", ws="none", access_log=False,
        server_header=False, log_level="warning", backlog=2048,
    )  # fmt: skip
