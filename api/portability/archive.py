"""All that an account has said, as a zip file in the forms of Mastodon's archive, sent as it is read.

    actor.json        who it is             outbox.json      its statuses and reblogs, the oldest first
    likes.json        URIs                  bookmarks.json   URIs

Rules of this file
- For the account itself alone: whoever calls has made sure of that. So what is for followers, and direct, is in it.
- One page of statuses is in memory at a time, and what the zip has made of it; `totalItems` follows the items, as it is
  known only then. Statuses that come while it is written are in it, too.
- Pictures are links: there is no medium that was uploaded.

Cost: two rounds of lane requests for each 40 statuses, and 4 ms of this worker to make JSON and compress it.
"""

from __future__ import annotations

import time
import zipfile
from collections.abc import AsyncIterator
from typing import IO, Any, Final

import orjson

from actors.core.features.bookmarks import BOOKMARK
from actors.core.features.likes import LIKE
from actors.core.ids import bucket_of_account
from actors.core.joining import TweetPieces
from actors.core.shape_table import MASTODON
from actors.core.terms import Kind
from api.mastodon.accounts import account_of
from api.mastodon.statuses import show, statuses_of
from api.native.visible import ask_for_viewer
from api.portability.activity_streams import CONTEXT, activity_of, actor_of
from api.portability.exports import STATUSES_PAGE, FileOwner, addresses_of, shelved

ZIP: Final = "application/zip"
FILE: Final = "archive.zip"
_LEVEL: Final = 3  # of deflate: 80 KB in 1.5 ms


class _Sink:
    """What a zip file is written to: it can't go back, and is taken from here piece by piece."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, piece: bytes) -> int:
        self._pieces.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        """Nothing waits anywhere else."""

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken


async def archived(owner: FileOwner) -> AsyncIterator[bytes]:
    """Yield the zip file in pieces."""
    sink = _Sink()
    account = orjson.loads(await account_of(owner.services, owner.account_id, owner.account_id))
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:  # type: ignore[call-overload]
        with _file(archive, "actor.json") as file:
            file.write(orjson.dumps(actor_of(account)))
        for name, pages in (
            ("outbox.json", _said(owner)), ("likes.json", _uris(owner, LIKE)),
            ("bookmarks.json", _uris(owner, BOOKMARK)),
        ):  # fmt: skip
            with _file(archive, name) as file:
                async for piece in _collection(name, pages):
                    file.write(piece)
                    if taken := sink.take():
                        yield taken
    yield sink.take()


def _file(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    info = zipfile.ZipInfo(name, time.gmtime()[:6])
    info.compress_type = zipfile.ZIP_DEFLATED
    return archive.open(info, "w", force_zip64=True)  # how long it becomes nobody knows yet


async def _collection(name: str, pages: AsyncIterator[list[Any]]) -> AsyncIterator[bytes]:
    """Yield the JSON of an OrderedCollection, page by page."""
    yield b'{"@context":%b,"id":"%b","type":"OrderedCollection","orderedItems":[' % (
        orjson.dumps(CONTEXT), name.encode(),
    )  # fmt: skip
    count = 0
    async for items in pages:
        if items:
            yield (b"," if count else b"") + orjson.dumps(items)[1:-1]
            count += len(items)
    yield b'],"totalItems":%d}' % count


async def _said(owner: FileOwner) -> AsyncIterator[list[dict[str, Any]]]:
    services, account_id = owner.services, owner.account_id
    above = 1
    while True:
        args = [account_id, account_id, 0, 0, above, STATUSES_PAGE, 0]
        bucket = bucket_of_account(account_id)
        body, newest, _ = await ask_for_viewer(services, bucket, "user_timeline", args, account_id, MASTODON)
        if not newest:
            return
        shown = await show(services, [TweetPieces.of(each) for each in body], account_id)
        statuses = [orjson.loads(status) for status in reversed(shown)]
        answered = {int(status["in_reply_to_account_id"] or 0) for status in statuses} - {0}
        names = {each: address.partition("@")[0] for each, address in (await addresses_of(owner, [*answered])).items()}
        yield [activity_of(status, names) for status in statuses]
        above = newest


async def _uris(owner: FileOwner, kind: Kind) -> AsyncIterator[list[str]]:
    async for ids in shelved(owner.services, owner.account_id, kind, STATUSES_PAGE):
        statuses = await statuses_of(owner.services, ids, owner.account_id)
        yield [orjson.loads(status)["uri"] for status in statuses]
