"""What a tweet takes before it is written, in either API: what is in its text, whom it answers, the key it is known by.

    text --find_entities--> names --one `names` request a shard--> packed entities, and whom they mention

Rules of this file
- Whom a text mentions is decided when it is written: a name that belongs to nobody stays text.
- What is answered must be seen by who answers; which it isn't is told as if it weren't there.
- Who repeats a post by its Idempotency-Key is answered, also where what it answers or quotes is gone by then: told that
  there is no such thing, he would post it once more.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable
from typing import NamedTuple, TypeVar

from actors.core.errors import ConflictError, InvalidError, NotFoundError
from actors.core.facts import CONVERSATION, MORE_FROM_LEVEL
from actors.core.ids import bucket_of_account
from api import limits
from api.native.visible import ask_tweet, require_seen
from api.once import KEPT_FROM_LEVEL, KEY_BYTES, key_of
from api.services import Services
from api.text.entities import find_entities, pack_entities, resolve_names


async def resolve_text(services: Services, text: str) -> tuple[bytes, list[int]]:
    """Return what is in a text, packed, and whom it mentions. Raises InvalidError."""
    found = find_entities(text)
    names = list(dict.fromkeys(name.lower() for name, _, _ in found.mentions))
    if len(names) > limits.MENTION_COUNT_MAX:
        raise InvalidError(f"status may mention {limits.MENTION_COUNT_MAX} accounts, not {len(names)}", "status")
    ids = await resolve_names(services.cluster, names, services.settings.request_timeout_s)
    return pack_entities(found, ids), list(dict.fromkeys(ids.values()))


_Found = TypeVar("_Found")
_NO_FINGERPRINT = b"post"  # of no request


class Answered(NamedTuple):
    """What an answer takes of the tweet that it answers. author_id: 0 for none.

    facts: what it says beside its text, [[number, value], ...]; the shard drops what isn't for its visibility.
    """

    author_id: int
    facts: list[list[int]]


NOTHING_ANSWERED = Answered(0, [])


async def find_answered(services: Services, tweet_id: int, viewer: int, field: str = "in_reply_to") -> Answered:
    """Return what is answered; tweet_id: 0 for nothing. Raises NotFoundError where the viewer can't see it."""
    if not tweet_id:
        return NOTHING_ANSWERED
    try:
        if services.cluster.level < MORE_FROM_LEVEL:  # an older shard may be asked, which doesn't know conversations
            return Answered(await require_seen(services, tweet_id, viewer), [])
        author_id, root = await ask_tweet(services, tweet_id, "conversation_of", viewer)
        return Answered(author_id, [[CONVERSATION, root]] if root else [])
    except NotFoundError as error:
        raise NotFoundError(error.message, field) from error


def idempotency_key(header: str | None, account_id: int) -> bytes:
    """Return the 16 bytes that the shard remembers: the client's key, hashed with the account, or fresh ones.

    With a fresh one the lane client may repeat a request whose answer was lost, even if the HTTP client gave no key.
    """
    return secrets.token_bytes(KEY_BYTES) if header is None else key_of(header, account_id)


async def unless_posted(
    services: Services, account_id: int, header: str | None, finding: Awaitable[_Found], otherwise: _Found
) -> _Found:
    """Return what has to be found before a post; `otherwise` if it isn't there, but the post is, by its key.

    header: the client's Idempotency-Key, None without one. Raises NotFoundError.
    """
    try:
        return await finding
    except NotFoundError:
        if header is None or not await _is_posted(services, account_id, key_of(header, account_id)):
            raise
        return otherwise


async def _is_posted(services: Services, account_id: int, key: bytes) -> bool:
    """Whether something was done with a key: then it belongs to another request than one of no fingerprint."""
    if services.cluster.level < KEPT_FROM_LEVEL:
        return False
    try:
        await services.ask_bucket(bucket_of_account(account_id), "answered", [account_id, key, _NO_FINGERPRINT])
    except ConflictError:
        return True
    return False
