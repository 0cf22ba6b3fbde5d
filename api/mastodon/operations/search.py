"""Search for accounts, statuses and hashtags, through the search of the native API.

Rules of this file
- What is searched for is one text, in whichever form people paste it: words, `@name`, `@name@this.server`, `#tag`, the
  address of a profile or of a status. `resolve` is ignored: there is no other server to ask.
- For statuses the text is a query as docs/search.md has it. One that can't be read as such finds no status.
- `offset` goes as far as FOUND_MAX; beyond it there is nothing.
- What Mastodon has no member for headers tell: `Rookery-Partial` that shards are missing, `Rookery-Corrected` that
  another query was searched (percent-encoded), `Rookery-Unread` why a text is no query for statuses.

Cost: that of up to three searches at once, and of showing what they find.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final
from urllib.parse import quote, urlsplit

import numpy as np
import orjson

from actors.core.errors import InvalidError, MalformedError, NotFoundError
from actors.core.ids import ID_MAX
from actors.core.numbers import whole_number
from actors.core.renderers.html import tag_url
from actors.text import text
from actors.text.costs import ACCOUNT_WORD_UNITS, SUGGEST_UNITS, TERMS_MAX
from api.limits import SEARCH_QUERY_CHARS_MAX
from api.links import host_of
from api.mastodon.accounts import account_of, accounts_of, id_of_name
from api.mastodon.call import Answer, Call
from api.mastodon.statuses import statuses_of
from api.mastodon.table import Operation
from api.search.cache import SearchAnswer, ShardsHeard
from api.search.pages import Question
from api.search.reads import parsed, require_reader
from api.text.texts import is_blank

FOUND_MAX: Final = 200
_WEB: Final = ("http://", "https://")
_TYPES: Final = ("accounts", "statuses", "hashtags")


class Beside:
    """What is told of a search besides what it found."""

    def __init__(self) -> None:
        self._shards = ShardsHeard(1, 1)  # of the part of the search that heard of the fewest
        self.corrected = self.unread = ""

    def of(self, answer: SearchAnswer) -> None:
        """Note which shards gave an answer."""
        if answer.shards.is_partial and (not self._shards.is_partial or answer.shards.answered < self._shards.answered):
            self._shards = answer.shards

    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """Return what is to be told, nothing of a search as it should be."""
        texts = ((b"rookery-corrected", self.corrected), (b"rookery-unread", self.unread))
        return partial_headers(self._shards) + tuple((name, quote(text).encode()) for name, text in texts if text)


def partial_headers(shards: ShardsHeard) -> tuple[tuple[bytes, bytes], ...]:
    """Return the header of an answer that shards are missing from, nothing for a whole one."""
    return ((b"rookery-partial", b"%d/%d" % shards[:2]),) if shards.is_partial else ()


async def search(call: Call) -> Answer:
    """Accounts, statuses and hashtags at once, or one kind of them."""
    asked, kind = _asked(call), call.params.text("type")
    if kind and kind not in _TYPES:
        raise InvalidError(f"type must be one of {', '.join(_TYPES)}, not {kind[:30]!r}", "type")
    finders = {"accounts": _accounts, "statuses": _statuses, "hashtags": _hashtags}
    limit = call.params.whole("limit", 20, 1, 40)
    offset = call.params.whole("offset", 0, 0, FOUND_MAX) if kind else 0  # as Mastodon has it
    told = Beside()
    finding = (finders[name](call, asked, limit, offset, told) for name in _TYPES if kind in ("", name))
    found = await asyncio.gather(*finding)
    parts = dict(zip([name for name in _TYPES if kind in ("", name)], found, strict=True))
    shown = ",".join(f'"{name}":%b' for name in _TYPES)
    body = b"{" + shown.encode() % tuple(b"[" + b",".join(parts.get(n, [])) + b"]" for n in _TYPES) + b"}"
    return Answer(body, headers=told.headers())


async def search_accounts(call: Call) -> Answer:
    """Accounts, while somebody types a name; of nothing typed yet there are none."""
    if is_blank(call.params.text("q")):
        return Answer(b"[]")
    limit, offset = call.params.whole("limit", 40, 1, 80), call.params.whole("offset", 0, 0, FOUND_MAX)
    told = Beside()
    found = await _accounts(call, _asked(call), limit, offset, told)
    return Answer(b"[" + b",".join(found) + b"]", headers=told.headers())


def _asked(call: Call) -> str:
    asked = call.params.text("q").strip()
    if is_blank(asked):
        raise InvalidError("q is required: what to search for", "q")
    if len(asked) > SEARCH_QUERY_CHARS_MAX:
        raise MalformedError(f"q has {len(asked)} characters; at most {SEARCH_QUERY_CHARS_MAX} are read", "q")
    return asked


# ---- accounts -------------------------------------------------------------------------------------------------------


async def _accounts(call: Call, asked: str, limit: int, offset: int, told: Beside) -> list[bytes]:
    """Return accounts: whose name it is first, then those whose names begin so, then those that say so."""
    if asked.startswith("#"):
        return []
    if asked.startswith(_WEB):
        return (await _account_at(call, asked))[offset : offset + limit]
    name = _name_in(call, asked)
    named = await _named(call, name) if name else []
    count = min(limit + offset, FOUND_MAX)
    begin, saying = await asyncio.gather(
        _beginning(call, name or asked, count, told), _saying(call, name or asked, count, told)
    )
    ids = list(dict.fromkeys([*named, *begin, *saying]))
    if call.params.flag("following"):
        ids = await _followed_among(call, ids)
    return await accounts_of(call.services, ids[offset : offset + limit], call.viewer)


def _name_in(call: Call, asked: str) -> str:
    """Return the user name that a text is, with a domain or without; "" if it is none of this server."""
    name, _, domain = asked.removeprefix("@").partition("@")
    return name if not domain or domain.lower() == host_of(call.origin).lower() else ""


async def _account_at(call: Call, address: str) -> list[bytes]:
    """Return the account whose profile is at an address, and nobody else."""
    match segments_of(address):
        case [name] if name.startswith("@"):
            ids = await _named(call, name)
        case ["users", name]:
            ids = await _named(call, name)
        case _:
            return []
    shown = await accounts_of(call.services, ids, call.viewer)
    return [account for account in shown if is_at(call, address, orjson.loads(account))]


def segments_of(address: str) -> list[str]:
    """Return the parts of an address's path; none of what is no address."""
    try:
        return urlsplit(address).path.strip("/").split("/")
    except ValueError:  # urlsplit's word for a broken IPv6 host
        return []


def is_at(call: Call, address: str, shown: dict[str, Any]) -> bool:
    """Whether an account or a status is at an address of this server, by the name that the client knows it by, or by
    the one that all are shown with."""
    asked, own = urlsplit(address), [urlsplit(shown[name]) for name in ("url", "uri")]
    is_here = asked.netloc.lower() in (host_of(call.origin).lower(), own[0].netloc.lower())
    return is_here and asked.path.strip("/").lower() in [each.path.strip("/").lower() for each in own]


async def _named(call: Call, name: str) -> list[int]:
    try:
        return [await id_of_name(call.services, name)]
    except NotFoundError:
        return []


async def _beginning(call: Call, asked: str, count: int, told: Beside) -> list[int]:
    call.services.limiter.check_search(call.scope, call.viewer, SUGGEST_UNITS)
    answer = await call.services.search.suggest("@" + asked.lstrip("@"), count, call.viewer)
    told.of(answer)
    return _ids(answer.body, "accounts", "user_id")


async def _saying(call: Call, asked: str, count: int, told: Beside) -> list[int]:
    words = list(dict.fromkeys(word for part in asked.replace("@", " ").split() for word in text.words(part)))
    words = words[:TERMS_MAX]
    if not words:
        return []
    call.services.limiter.check_search(call.scope, call.viewer, ACCOUNT_WORD_UNITS * len(words))
    answer = await call.services.search.accounts(asked, words, count, call.viewer)
    told.of(answer)
    return _ids(answer.body, "users", "user_id")


def _ids(body: bytes, among: str, name: str) -> list[int]:
    return [int(each[name]) for each in orjson.loads(body)[among]]


async def _followed_among(call: Call, account_ids: list[int]) -> list[int]:
    """Return those whom the viewer follows, in order."""
    following, _ = await call.services.ask_account(call.viewer, "reader")
    known = set(np.frombuffer(following, dtype="<i8").tolist())
    return [account_id for account_id in account_ids if account_id in known]


# ---- statuses -------------------------------------------------------------------------------------------------------


async def _statuses(call: Call, asked: str, limit: int, offset: int, told: Beside) -> list[bytes]:
    if asked.startswith(_WEB):
        tweet_id = whole_number((segments_of(asked) or [""])[-1], ID_MAX)
        shown = await statuses_of(call.services, [tweet_id], call.viewer) if tweet_id and tweet_id > 0 else []
        return [status for status in shown if is_at(call, asked, orjson.loads(status))][offset : offset + limit]
    author = call.params.id("account_id")
    if author:
        shown = orjson.loads(await account_of(call.services, author, call.viewer))
        asked = f"({asked}) from:{shown['username']}"
    window = call.window()
    try:
        meaning = parsed(asked)
        require_reader(meaning, call.viewer)
    except (InvalidError, MalformedError) as error:  # "a:b" and the like are meant for another search
        told.unread = error.message
        return []
    call.services.limiter.check_search(call.scope, call.viewer, meaning.cost("latest"))
    question = Question(
        asked, "latest", min(limit + offset, FOUND_MAX), window.max_id, window.since_id, window.min_id, 0, b"", False,
        False, call.viewer,
    )  # fmt: skip
    answer = await call.services.search.tweets(question, meaning.tree)
    told.of(answer)
    told.corrected = answer.corrected or ""
    ids = _ids(answer.body, "tweets", "tweet_id")
    return await statuses_of(call.services, ids[offset : offset + limit], call.viewer)


# ---- hashtags -------------------------------------------------------------------------------------------------------


async def _hashtags(call: Call, asked: str, limit: int, offset: int, told: Beside) -> list[bytes]:
    """Return the tags that begin so, the busiest first."""
    bare = asked.removeprefix("#")
    if not bare or " " in bare or asked.startswith("@") or "/" in bare:
        return []
    call.services.limiter.check_search(call.scope, call.viewer, SUGGEST_UNITS)
    answer = await call.services.search.suggest("#" + bare, min(limit + offset, FOUND_MAX), call.viewer)
    told.of(answer)
    names = [each["name"].removeprefix("#") for each in orjson.loads(answer.body)["hashtags"]]
    return [orjson.dumps(tag(call, name)) for name in names[offset : offset + limit]]


def tag(call: Call, name: str, history: list[dict[str, str]] | None = None) -> dict[str, Any]:
    """Return a hashtag. history: by days, the newest first, as far as it is known."""
    return {"id": name, "name": name, "url": tag_url(call.origin, name), "history": history or []}


OPERATIONS: Final = (
    Operation("GET", "/api/v2/search", "read:search", "Search", search),
    Operation("GET", "/api/v1/accounts/search", "read:accounts", "Account[]", search_accounts),
)
