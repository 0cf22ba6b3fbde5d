"""Previews of links: the channel that fetches the first link of a tweet, which then shows what the page says of itself.

    [tweet, link] --one fetch a link, kept--> Fetching --page--> a cage: title, ... --picture--> a cage: small, stripped
                  --media_begin, objects into the store, preview--> the tweet's shard

Rules of this file
- Whatever a page does is its own fault, and ends in DROPPED: the tweet has no preview. LATER is for shards, a media
  actor or a store that are away, and for what is full.
- One fetch for one link, however many tweets name it within KEPT_S; what failed is kept for FAILED_S.
- Objects are in the store before the tweet is told of them. Each tweet has a picture of its own, so that it can go with
  the tweet; a tweet that doesn't want it any more has it dropped.
- Bounded: WORK_MAX links at once, KEPT_COUNT_MAX and KEPT_BYTES_MAX of what is kept.

Cost: 0.1 s of the processor for a page, 0.15 s for its picture, in cages; kept 100 KB a link.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import urljoin, urlsplit

import aiohttp
import structlog

from actors.core.errors import InvalidError, OverloadedError, RookeryError, TooLargeError
from actors.core.ids import bucket_of_tweet
from actors.core.media_names import prefix_of
from actors.media.page import ADDRESS_CHARS_MAX, NAME_CHARS_MAX, PageFacts
from actors.media.processed import CONTENT_TYPES
from actors.outgoing.channel import OutgoingItem, SendOutcome, SendVerdict
from actors.outgoing.fetching import Fetching
from actors.outgoing.hosts import HostBusyError
from api.ports import Asking
from configs.settings import Settings
from persistence.objects import ObjectStore, object_folder, open_store

NAME: Final = "previews"
WORK_MAX: Final = 8  # links that are fetched at once
KEPT_S: Final = 3_600.0
FAILED_S: Final = 600.0
KEPT_COUNT_MAX: Final = 512  # links
KEPT_BYTES_MAX: Final = 16 << 20  # of their pictures
PICTURE_S: Final = 12.0  # that a picture may take, fetched and made small; a preview without one is one, too
SHOWN_BYTES_MAX: Final = 1 << 20  # of a picture as it is shown
REASONS_MAX: Final = 64
_AWAY: Final = SendOutcome(SendVerdict.LATER, "shards are away", 5.0)
_FETCH_ERRORS: Final = (aiohttp.ClientError, OSError, ValueError, TimeoutError, HostBusyError)


class PageReading(Protocol):
    """The node's media actor, as this needs it. incoming: the folder from which it takes files."""

    @property
    def incoming(self) -> Path:
        """Where files lie that it reads."""
        ...

    async def look(self, what: str, source: Path, charset: str) -> list[Any]:
        """Read a page, or a picture of one (`MediaActor.look`). Raises InvalidError, TooLargeError, OverloadedError."""
        ...


class Picture(NamedTuple):
    """A page's picture as it is shown."""

    extension: str
    width: int
    height: int
    blurhash: str
    body: bytes


@dataclass(slots=True)
class LinkSeen:
    """What a link leads to. page: None if that is nothing to show, reason says why."""

    page: PageFacts | None
    picture: Picture | None
    reason: str


class _KeptLink(NamedTuple):
    task: asyncio.Task[LinkSeen]
    until_s: float


class Previews:
    """The channel of previews (`channel.OutgoingChannel`); its items' ids are tweets', their facts the link."""

    def __init__(
        self, shards: Asking, fetching: Fetching, reading: PageReading, store: ObjectStore,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._shards, self._fetching, self._reading, self._store = shards, fetching, reading, store
        self._clock = clock
        self._kept: OrderedDict[str, _KeptLink] = OrderedDict()
        self._places = asyncio.Semaphore(WORK_MAX)
        self._reasons: Counter[str] = Counter()
        self.fetched_count = 0
        self._log = structlog.get_logger()

    @classmethod
    def open(cls, settings: Settings, shards: Asking, reading: PageReading) -> Previews | None:
        """Return the channel if the settings have it."""
        media, ours = settings.media, settings.outgoing
        if not settings.previews:
            return None
        fetching = Fetching(ours.allow_networks, ours.host_requests_max, ours.timeout_s, settings.server.address)
        store = open_store(media.store_url, object_folder(media.folder, settings.storage.data_dir))
        return cls(shards, fetching, reading, store)

    async def send(self, items: Sequence[OutgoingItem]) -> list[SendOutcome]:
        """Have some tweets show their links; returns an outcome for each, in order."""
        outcomes = await asyncio.gather(*(self._send(item) for item in items))
        for outcome in outcomes:
            if outcome.reason in self._reasons or len(self._reasons) < REASONS_MAX:
                self._reasons[outcome.reason] += 1
        return outcomes

    async def _send(self, item: OutgoingItem) -> SendOutcome:
        url = str(item.facts)
        try:
            seen = await asyncio.shield(self._seen(url))
            if seen.page is None:
                return SendOutcome(SendVerdict.DROPPED, seen.reason)
            return await self._show(item.account_id, item.item_id, url, seen.page, seen.picture)
        except (OverloadedError, TimeoutError):
            return _AWAY
        except RookeryError as error:
            return SendOutcome(SendVerdict.DROPPED, error.code)

    # ---- what a link leads to -----------------------------------------------------------------------------------

    def _seen(self, url: str) -> asyncio.Task[LinkSeen]:
        """Return what looks at a link, or has."""
        kept, now_s = self._kept.pop(url, None), self._clock()
        if kept is not None and now_s >= kept.until_s:
            kept = None
        if kept is None:
            task = asyncio.get_running_loop().create_task(self._look(url))
            task.add_done_callback(lambda done: self._looked(url, done))
            kept = _KeptLink(task, now_s + KEPT_S)
        self._kept[url] = kept
        self._make_room()
        return kept.task

    def _looked(self, url: str, task: asyncio.Task[LinkSeen]) -> None:
        kept = self._kept.get(url)
        if kept is None or kept.task is not task:
            return
        if task.cancelled() or task.exception() is not None:  # nobody's word on the page: look again
            del self._kept[url]
        elif task.result().page is None:
            self._kept[url] = _KeptLink(task, self._clock() + FAILED_S)
        self._make_room()

    def _make_room(self) -> None:
        size = sum(_size_of(kept.task) for kept in self._kept.values())
        for url in list(self._kept):
            if len(self._kept) <= KEPT_COUNT_MAX and size <= KEPT_BYTES_MAX:
                return
            if self._kept[url].task.done():
                size -= _size_of(self._kept.pop(url).task)

    async def _look(self, url: str) -> LinkSeen:
        async with self._places:
            self.fetched_count += 1
            try:
                fetched = await self._fetching.page(url)
                page = PageFacts(*await self._read("page", fetched.body, fetched.charset))
            except (InvalidError, TooLargeError) as error:
                self._log.debug("a link has no preview", reason=error.message)
                return LinkSeen(None, None, "no page")
            except _FETCH_ERRORS as error:
                self._log.debug("a link can't be fetched", error=type(error).__name__)
                return LinkSeen(None, None, "no answer")
            if not page.site:
                page = page._replace(site=(urlsplit(fetched.url).hostname or "")[:NAME_CHARS_MAX])
            return LinkSeen(page, await self._picture(fetched.url, page.picture), "")

    async def _picture(self, page_url: str, address: str) -> Picture | None:
        """Return a page's picture, None for one that isn't to be had."""
        if not address:
            return None
        try:
            url = urljoin(page_url, address)
            if len(url) > ADDRESS_CHARS_MAX:
                return None
            async with asyncio.timeout(PICTURE_S):
                found = Picture(*await self._read("picture", await self._fetching.picture(url), ""))
        except (RookeryError, *_FETCH_ERRORS) as error:
            self._log.debug("a link's picture can't be had", error=type(error).__name__)
            return None
        return found if len(found.body) <= SHOWN_BYTES_MAX and found.extension in CONTENT_TYPES else None

    async def _read(self, what: str, body: bytes, charset: str) -> list[Any]:
        """Have the media actor read what was fetched. Raises what `PageReading.look` does."""
        path = self._reading.incoming / f"preview-{secrets.token_hex(16)}"
        try:
            await asyncio.to_thread(_write, path, body)
            return await self._reading.look(what, path, charset)
        finally:
            path.unlink(missing_ok=True)

    # ---- what a tweet shows -------------------------------------------------------------------------------------

    async def _show(
        self, author_id: int, tweet_id: int, url: str, page: PageFacts, picture: Picture | None
    ) -> SendOutcome:  # fmt: skip
        media_id, name = (0, "") if picture is None else await self._kept_picture(author_id, picture)
        said = [page.title, page.description, page.site, page.author, page.published_ms]
        shown: list[Any] = ["", "", []]
        if picture is not None and name:
            shown = [picture.blurhash, name, [picture.width, picture.height, len(picture.body)]]
        args = [tweet_id, url, media_id, [*said, *shown]]
        is_shown = await self._shards.ask_bucket(bucket_of_tweet(tweet_id), "preview", args)
        if not is_shown and media_id:
            await self._shards.ask_account(author_id, "media_drop", media_id)
        return SendOutcome(SendVerdict.DONE, "shown" if is_shown else "not wanted any more")

    async def _kept_picture(self, author_id: int, picture: Picture) -> tuple[int, str]:
        """Put a picture into the store, as an upload of the author's; returns (medium, object), (0, "") for none."""
        try:
            begun = await self._shards.ask_account(author_id, "media_begin", "attachment", "", 0, 0)
        except InvalidError:  # he has as many uploads as he may
            return 0, ""
        media_id = int(begun)
        hashed = hashlib.blake2b(picture.body, digest_size=8).hexdigest()
        name = f"{prefix_of(media_id)}{hashed}-original.{picture.extension}"
        await self._store.put_new(name, picture.body, CONTENT_TYPES[picture.extension])
        return media_id, name

    def figures(self) -> dict[str, Any]:
        """Return why outcomes were as they were, how many links were fetched and are kept, and figures of hosts."""
        return {
            "reasons": dict(self._reasons), "fetched": self.fetched_count, "kept": len(self._kept),
            **self._fetching.figures(),
        }  # fmt: skip

    async def close(self) -> None:
        """Close all connections."""
        tasks = [kept.task for kept in self._kept.values() if not kept.task.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._fetching.close()


def _size_of(task: asyncio.Task[LinkSeen]) -> int:
    if not task.done() or task.cancelled() or task.exception() is not None:
        return 0
    picture = task.result().picture
    return 0 if picture is None else len(picture.body)


def _write(path: Path, body: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(body)
