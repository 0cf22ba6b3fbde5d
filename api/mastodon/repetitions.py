"""Repetitions: a write with an Idempotency-Key that comes again is answered as the first one was, word for word.

    answered [account, key', print]   known -> the answer of then, and nothing is done
                                      new   -> the operation --> its answer --keep_answer--> the account's shard

Rules of this file
- It holds for every write of an account but one: to post knows its key by itself, and answers the status as it is now.
- key' is made of the client's key, since operations keep what their shard said under keys of their writes
  (`api/once.py`, `Call.settle`): nothing is done twice, also where this worker dies before the answer is kept. Then the
  repetition is told what each write was answered, and reads the rest as it is now.
- A refusal isn't kept, nor an answer that is too large: then the repetition is carried out like any request.
- An answer that can't be kept is given all the same: what it tells of has been done.

Cost: nothing without the header; with it two lane requests, at the account's shard.
"""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING, Final

from actors.core.errors import RookeryError
from actors.core.features.answers import KEPT_WHOLE_BYTES_MAX, KEPT_WHOLE_FROM_LEVEL
from actors.core.ids import bucket_of_account
from api.once import KEY_BYTES, key_of

if TYPE_CHECKING:
    from api.mastodon.call import Call
    from api.mastodon.table import Operation

logger = logging.getLogger("rookery.api")
POSTING: Final = ("POST", "/api/v1/statuses")
DONE: Final = 200


class Repetition:
    """One request as the repetition that it may be."""

    def __init__(self, call: Call, operation: Operation) -> None:
        """Raises InvalidError for a key that can't be one."""
        repeatable, services = call.repeatable, call.services
        self._services, self._account_id = services, call.viewer
        posts = (operation.method, operation.path) == POSTING
        is_kept = bool(call.viewer) and operation.is_write and not posts and repeatable.key is not None
        self._known_by: list[bytes] = []  # key and fingerprint, empty where nothing is kept
        if is_kept and repeatable.key is not None and services.cluster.level >= KEPT_WHOLE_FROM_LEVEL:
            key = hashlib.sha256(b"answer" + key_of(repeatable.key, call.viewer)).digest()[:KEY_BYTES]
            self._known_by = [key, repeatable.fingerprint()]

    async def known(self) -> bytes | None:
        """Return what this very request was answered, None if it is none. Raises ConflictError for another's key."""
        if not self._known_by:
            return None
        asked = [self._account_id, *self._known_by]
        found: list[bytes] = await self._services.ask_bucket(bucket_of_account(self._account_id), "answered", asked)
        return found[0] if found else None

    async def keep(self, status: int, body: bytes) -> None:
        """Keep an answer for the repetition of its request."""
        if not self._known_by or status != DONE or len(body) > KEPT_WHOLE_BYTES_MAX:
            return
        bucket, account_id = bucket_of_account(self._account_id), self._account_id
        try:
            await self._services.ask_bucket(
                bucket, "keyed", [account_id, *self._known_by, "keep_answer", [account_id, body]]
            )
        except RookeryError as error:
            logger.warning("an answer is not kept for a repetition of its request: %s", error.message)
