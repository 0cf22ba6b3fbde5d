"""What a row of each sort of file does, and what a file that overwrites takes back.

Rules of this file
- An address is a user name, with or without this server's host behind it; of another host nobody is here.
- A list is found by its title, the oldest of that title; where there is none it is made. Who is put on it is followed
  first, as in Mastodon; who has to be asked for that is on it once he has said yes, so the row fails until then.
- What a follow or mute that stands is to be like, the file says; what it doesn't say stays.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final, Protocol
from urllib.parse import urlsplit

import orjson

from actors.core.errors import InvalidError, NotFoundError
from actors.core.features.blocks import BLOCK, MUTE
from actors.core.features.bookmarks import BOOKMARK
from actors.core.features.lists import POLICIES
from actors.core.ids import ID_MAX
from actors.core.limits import LIST_CHANGES_COUNT_MAX
from actors.core.numbers import whole_number
from actors.core.terms import Kind
from api.fields import is_username
from api.mastodon.accounts import account_of
from api.mastodon.following import follow_op, languages_of
from api.mastodon.relations import require_account
from api.native.visible import find_original
from api.params import shown
from api.portability.exports import PAGE, FileOwner, followed, members, shelved
from api.portability.sorts import ImportRow, Sort
from api.text.entities import resolve_names

AT_ONCE: Final = 10  # that are taken back at the same time


class Carrier(Protocol):
    """Carries the rows of one file out."""

    async def look_up(self, rows: list[ImportRow]) -> None:
        """Find out what some rows name, before they are carried out."""
        ...

    async def carry_out(self, row: ImportRow) -> None:
        """Carry a row out. Raises RookeryError."""
        ...

    async def drop_others(self) -> int:
        """Take back what was in no row; return how much that was."""
        ...


class Accounts:
    """Rows that name accounts: follows, blocks and mutes. ids: by user name; named: whom the file has named."""

    def __init__(self, owner: FileOwner) -> None:
        self.owner, self.services = owner, owner.services
        self.ids: dict[str, int] = {}
        self.named: set[int] = set()

    async def look_up(self, rows: list[ImportRow]) -> None:
        """Find out the accounts of some rows."""
        names = [name for row in rows if is_username(name := self._name(row.what))]
        timeout_s = self.services.settings.request_timeout_s
        self.ids = await resolve_names(self.services.cluster, names, timeout_s)

    def account_in(self, row: ImportRow) -> int:
        """Return whom a row names. Raises NotFoundError."""
        name = self._name(row.what)
        account_id = self.ids.get(name.lower(), 0)
        if not account_id:
            what = "of another server" if "@" in name else "no account of this server"
            raise NotFoundError(f"{shown(row.what)} is {what}", "data")
        self.named.add(account_id)
        return account_id

    def _name(self, address: str) -> str:
        """Return the user name in an address; the address itself if it is of another host."""
        name, at, host = address.removeprefix("@").partition("@")
        return name if not at or is_own_host(host, self.owner.host) else f"{name}@{host}"


class Follows(Accounts):
    """Whom one follows."""

    async def carry_out(self, row: ImportRow) -> None:
        """Follow somebody, or ask him."""
        target = self.account_in(row)
        languages = None if row.languages is None else languages_of(row.languages)
        op = await follow_op(self.services, self.owner.account_id, target)
        await self.services.ask_account(self.owner.account_id, op, target, row.reposts, row.notify, languages)

    async def drop_others(self) -> int:
        """Unfollow who isn't in the file."""
        pages = followed(self.services, self.owner.account_id)
        return await drop_unnamed(self.owner, pages, self.named, "unfollow")


class Related(Accounts):
    """Whom one blocks, or mutes."""

    def __init__(self, owner: FileOwner, kind: Kind, undo: str) -> None:
        super().__init__(owner)
        self._kind, self._undo = kind, undo

    async def carry_out(self, row: ImportRow) -> None:
        """Block or mute somebody."""
        target, services = self.account_in(row), self.services
        await require_account(services, target)
        if self._kind is BLOCK:
            await services.ask_account(self.owner.account_id, "block", target)
        else:
            await services.ask_account(self.owner.account_id, "mute_as", target, row.notices is not False, 0)

    async def drop_others(self) -> int:
        """Unblock or unmute who isn't in the file."""
        pages = shelved(self.services, self.owner.account_id, self._kind, PAGE)
        return await drop_unnamed(self.owner, pages, self.named, self._undo)


class Lists(Accounts):
    """Who is on which list. lists: by title; on_list: whom the file puts on each."""

    def __init__(self, owner: FileOwner) -> None:
        super().__init__(owner)
        self._lists: dict[str, int] | None = None
        self._on_list: dict[int, set[int]] = {}
        self._making = asyncio.Lock()

    async def carry_out(self, row: ImportRow) -> None:
        """Put somebody on a list, and follow him for that."""
        target, account_id = self.account_in(row), self.owner.account_id
        list_id = await self._list_of(row.title)
        self._on_list.setdefault(list_id, set()).add(target)
        if target != account_id:
            op = await follow_op(self.services, account_id, target)
            await self.services.ask_account(account_id, op, target, None, None, None)
        await self.services.ask_account(account_id, "set_members", list_id, [target], True)

    async def _list_of(self, title: str) -> int:
        if not title:
            raise InvalidError("a row names the list first, and then the account", "data")
        async with self._making:
            if self._lists is None:
                rows = await self.services.ask_account(self.owner.account_id, "lists")
                self._lists = {row[1]: row[0] for row in reversed(rows)}
            if title not in self._lists:
                facts = [0, title, POLICIES.index("list"), False]
                made = await self.services.ask_account(self.owner.account_id, "put_list", *facts)
                self._lists[title] = made[0]
            return self._lists[title]

    async def drop_others(self) -> int:
        """Forget lists that the file doesn't name, and take off those it does name whom it doesn't put there."""
        account_id, dropped = self.owner.account_id, 0
        for list_id, *_ in await self.services.ask_account(account_id, "lists"):
            if list_id not in self._on_list:
                await self.services.ask_account(account_id, "drop_list", list_id)
                dropped += 1
                continue
            there = [each async for page in members(self.services, account_id, list_id) for each in page]
            others = [each for each in there if each not in self._on_list[list_id]]
            for at in range(0, len(others), LIST_CHANGES_COUNT_MAX):
                part = others[at : at + LIST_CHANGES_COUNT_MAX]
                dropped += await self.services.ask_account(account_id, "set_members", list_id, part, False)
        return dropped


class Bookmarks:
    """Statuses by their URIs, which say the address that the shards know, whatever that of the request is."""

    def __init__(self, owner: FileOwner) -> None:
        self.owner = owner
        self._named: set[int] = set()
        self._host = ""  # in URIs

    async def look_up(self, rows: list[ImportRow]) -> None:
        """Find out, once, what URIs of this server begin with."""
        if not self._host:
            own = await account_of(self.owner.services, self.owner.account_id, self.owner.account_id)
            self._host = urlsplit(orjson.loads(own)["uri"]).netloc

    async def carry_out(self, row: ImportRow) -> None:
        """Keep a status that one may see."""
        services, account_id = self.owner.services, self.owner.account_id
        found = await find_original(services, status_in(row.what, (self.owner.host, self._host)), account_id)
        self._named.add(found.orig_id)
        await services.ask_account(account_id, "bookmark", found.orig_id)

    async def drop_others(self) -> int:
        """Take bookmarks away that aren't in the file."""
        pages = shelved(self.owner.services, self.owner.account_id, BOOKMARK, PAGE)
        return await drop_unnamed(self.owner, pages, self._named, "unbookmark")


class Domains:
    """Servers that one wants nothing of: none of them is here."""

    async def look_up(self, rows: list[ImportRow]) -> None:
        """Nothing."""

    async def carry_out(self, row: ImportRow) -> None:
        """Refused."""
        raise InvalidError(f"{shown(row.what)}: nothing of another server is here, so none can be blocked", "data")

    async def drop_others(self) -> int:
        """There are none."""
        return 0


def carrier_of(owner: FileOwner, sort: Sort) -> Carrier:
    """Return what carries out rows of a sort."""
    if sort.name == "blocks":
        return Related(owner, BLOCK, "unblock")
    if sort.name == "mutes":
        return Related(owner, MUTE, "unmute")
    if sort.name == "bookmarks":
        return Bookmarks(owner)
    if sort.name == "domain_blocks":
        return Domains()
    return Lists(owner) if sort.name == "lists" else Follows(owner)


async def drop_unnamed(owner: FileOwner, pages: AsyncIterator[list[int]], named: set[int], op: str) -> int:
    """Take back what an account has and a file doesn't; return how much. All of it is read before any is taken back."""
    others = [each async for page in pages for each in page if each not in named]
    for at in range(0, len(others), AT_ONCE):
        part = others[at : at + AT_ONCE]
        await asyncio.gather(*(owner.services.ask_account(owner.account_id, op, each) for each in part))
    return len(others)


def is_own_host(host: str, own: str) -> bool:
    """Whether a host is this server's, with its port or without."""
    own = own.lower()
    return host.strip().lower() in (own, own.rpartition(":")[0] or own)


def status_in(uri: str, hosts: tuple[str, ...]) -> int:
    """Return the id of the status that a URI of this server names. hosts: its own. Raises NotFoundError."""
    try:
        parts = urlsplit(uri)
    except ValueError:  # urlsplit's word for a broken IPv6 host
        raise NotFoundError(f"{shown(uri)} is no status of this server", "data") from None
    number = whole_number(parts.path.rstrip("/").rpartition("/")[2], ID_MAX)
    is_own = parts.scheme in ("http", "https") and any(is_own_host(parts.netloc, host) for host in hosts)
    if not is_own or number is None or not 1 <= number <= ID_MAX:
        raise NotFoundError(f"{shown(uri)} is no status of this server", "data")
    return number
