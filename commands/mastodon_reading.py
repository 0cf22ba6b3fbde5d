"""How `check --mastodon` asks, as a client does: with tokens, page by page, by Links alone; and how it reads HTML."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from actors.core.errors import InvalidError
from commands.http_api import HttpApi

CONNECTIONS: Final = (
    32  # requests at once: a home that is read for the first time takes a while, and little of anything
)
PAGES_MAX: Final = 1_000_000  # of one timeline: who sends clients round in circles is found out
_OF_VIEWER: Final = ("favourited", "reblogged", "muted", "bookmarked", "pinned", "filtered", "account", "reblog")
_TAG: Final = re.compile(r"<[^>]*>")

Read = Callable[[str, int], Awaitable[tuple[Any, dict[str, str]]]]
"""(path, account or 0 for nobody) -> (what is answered, the paths of its Links: next, prev)."""


def read_over_http(url: str, tokens: dict[int, str]) -> Read:
    """Return a reader with the accounts' tokens. It raises InvalidError for an account that has none."""
    api, threads = HttpApi(url), ThreadPoolExecutor(CONNECTIONS)

    def read(path: str, account_id: int) -> tuple[Any, dict[str, str]]:
        if account_id and account_id not in tokens:
            raise InvalidError(f"the file of tokens has none of account {account_id}: --mastodon reads as each account")
        return api.page(path, tokens.get(account_id, ""))

    return lambda path, account_id: asyncio.get_running_loop().run_in_executor(threads, read, path, account_id)


def text_of(content: str) -> str:
    """Return the text of a status's HTML, as who copies it gets it."""
    return html.unescape(_TAG.sub("", content.replace("</p><p>", "\n\n").replace("<br />", "\n")))


def common(status: dict[str, Any]) -> bytes:
    """Return what a status says to everybody, without its account and what it reblogs."""
    return orjson.dumps({name: value for name, value in status.items() if name not in _OF_VIEWER})


def iso(ms: int) -> str:
    """Return a time as the API writes it."""
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{ms % 1000:03}Z"


async def read_all(read: Read, path: str, viewer: int) -> list[dict[str, Any]]:
    """Return everything from a page on, by the Links to what comes next."""
    found: list[dict[str, Any]] = []
    for _ in range(PAGES_MAX):
        page, links = await read(path, viewer)
        found += page
        if "next" not in links:
            return found
        path = links["next"]
    raise InvalidError(f"{path} goes on for more than {PAGES_MAX} pages")
