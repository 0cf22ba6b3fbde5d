"""Who is calling: tokens, and what they allow.

Rules of this file
- A token is `rk_` and the base64url of 40 bytes: the account id (8, big-endian) and a random secret (32). So it routes
  to its account's shard; only SHA-256 of the secret leaves the worker (a fast hash is right: the secret has 256 bits).
- Imported accounts may bring tokens of another make. Those don't say whose they are, so they work only where the
  request names the account (`user_id`); their secret is the whole token.
- Unknown token: 401. A token of another account than the one acted for: 403.
- A verified token is believed for `token_cache_s`, and dropped at once when its shard pushes `revoked`: one token, or
  all of an account. What could have been missed because a lane was away makes all tokens be looked up again. An answer
  that was on its way while something was dropped is not cached, so a revoked token can't slip back in.
- `auth_mode="open"` takes `user_id` at its word; a token given without one is still checked.
- A token may be for some scopes only (`actors/core/scopes.py`). Our own API needs all of them: what is cached for fewer
  is unknown to `actor`, `viewer` and the like, and their shard refuses it (403). Mastodon's asks `grant`.
- A token of an app alone (OAuth's client credentials) is `ra_` and the same of the app's id. It stands for no account.

Cost: a cached token is one dict look-up, 0.3 us.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

from actors.core.errors import ForbiddenError, InvalidError, NotFoundError, UnauthorizedError
from actors.core.ids import ID_MAX, bucket_of_account, bucket_of_thing
from actors.core.scopes import BITS, EVERYTHING
from actors.core.terms import THINGS_FROM_LEVEL
from api.limits import TOKEN_CHARS_MAX
from api.ports import Cluster
from api.settings import ApiSettings

TOKEN_PREFIX = "rk_"
APP_TOKEN_PREFIX = "ra_"
_ID_BYTES, _SECRET_BYTES = 8, 32
_UNKNOWN = "unknown token; log in again to get a new one"


class ParsedToken(NamedTuple):
    """account_id is 0 when the token doesn't say."""

    account_id: int
    secret_hash: bytes


class Grant(NamedTuple):
    """What a token allows. account_id: 0 for a token of an app alone; scopes: a mask; app_id: 0 for a token of none."""

    account_id: int
    scopes: int
    app_id: int

    @property
    def is_session(self) -> bool:
        """Whether it is what a browser has that is signed in to our own pages: of no app, and good for nothing else."""
        return not self.app_id and self.scopes == SESSION_SCOPES


NOTHING = Grant(0, 0, 0)
SESSION_SCOPES = BITS["profile"]  # of no app: each token that is made for fewer than all scopes otherwise has one


class _Verified(NamedTuple):
    """What is known of a token. owner_id: the account, or the app of a token that stands for none."""

    owner_id: int
    secret_hash: bytes
    until_s: float
    grant: Grant


class UnprovenToken(NamedTuple):
    """A token whose shard has still to say that it stands for the account that it names."""

    token: str
    account_id: int
    secret_hash: bytes
    drops_before: int


def make_token(account_id: int, prefix: str = TOKEN_PREFIX) -> tuple[str, bytes]:
    """Return a fresh token of an account, and the hash that its shard stores; with APP_TOKEN_PREFIX one of an app."""
    secret = secrets.token_bytes(_SECRET_BYTES)
    packed = _packed(account_id.to_bytes(_ID_BYTES, "big") + secret)
    return prefix + packed, hashlib.sha256(secret).digest()


def _packed(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def parse_token(token: str) -> ParsedToken:
    """Return whose token it is and the hash to look for. Loaders of imported tokens use it to get the hash."""
    parsed = _parse_made(token, TOKEN_PREFIX)
    return parsed or ParsedToken(0, hashlib.sha256(token.encode(errors="surrogatepass")).digest())


def parse_app_token(token: str) -> ParsedToken | None:
    """Return the app and the hash of a token that an app has for itself; None for any other."""
    return _parse_made(token, APP_TOKEN_PREFIX)


def _parse_made(token: str, prefix: str) -> ParsedToken | None:
    """Return what `make_token` has put into a token, None if it hasn't made it."""
    if not token.startswith(prefix) or not token.isascii():
        return None
    packed = token[len(prefix) :]
    try:
        raw = base64.b64decode(packed + "=" * (-len(packed) % 4), altchars=b"-_", validate=True)
    except binascii.Error:  # not one of ours after all: it is hashed whole, and no account will have it
        return None
    owner_id = int.from_bytes(raw[:_ID_BYTES], "big")
    # One token, one spelling: base64 has spare bits at its end and two alphabets, and the cache goes by spelling.
    if len(raw) == _ID_BYTES + _SECRET_BYTES and 1 <= owner_id <= ID_MAX and _packed(raw) == packed:
        return ParsedToken(owner_id, hashlib.sha256(raw[_ID_BYTES:]).digest())
    return None


def bearer_of(header: str) -> str:
    """Return the token of an Authorization header. Raises UnauthorizedError for another scheme."""
    scheme, _, token = header.strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise UnauthorizedError("the Authorization header must read: Bearer TOKEN")
    return token.strip()


def _claimed(account_id: int, claimed_id: int) -> int:
    """Return the account of a token, unless the request names another."""
    if claimed_id and claimed_id != account_id:
        raise ForbiddenError(f"this token is not one of account {claimed_id}", "user_id")
    return account_id


class Authenticator:
    """Turns a token into the account that it stands for."""

    def __init__(self, cluster: Cluster, settings: ApiSettings, clock: Callable[[], float]) -> None:
        self._cluster = cluster
        self._settings = settings
        self._clock = clock
        self._verified: OrderedDict[str, _Verified] = OrderedDict()
        self._keys_of: dict[int, tuple[str, ...]] = {}  # owner -> tokens: the same, for drop; few have more than one
        self._drop_count = 0
        self.hit_count = 0
        self.miss_count = 0

    @property
    def is_open(self) -> bool:
        """Whether user_id is taken at its word."""
        return self._settings.auth_mode == "open"

    @property
    def drop_count(self) -> int:
        """How often something was dropped: what was verified before may be void since."""
        return self._drop_count

    async def verify(self, token: str) -> int:
        """Return the account of a token that is for everything.

        Raises UnauthorizedError when no account has it, ForbiddenError for one that is for less. Cost: one lane
        request, or none when cached; for a token that was imported and doesn't say whose it is, one to every shard.
        """
        known_id = self._known(token)
        if known_id:
            self.hit_count += 1
            return known_id
        self.miss_count += 1
        drops_before = self._drop_count
        parsed = await self._parsed(token)
        await self._ask(bucket_of_account(parsed.account_id), "token", *parsed)
        self._remember(token, parsed.account_id, parsed.secret_hash, drops_before)
        return parsed.account_id

    async def grant(self, token: str) -> Grant:
        """Return what a token allows, whatever that is. Raises UnauthorizedError. Cost: as `verify`."""
        known = self.known_grant(token)
        if known is not None:
            return known
        self.miss_count += 1
        drops_before = self._drop_count
        app = parse_app_token(token) if len(token) <= TOKEN_CHARS_MAX else None
        if app is not None:
            found = Grant(0, await self._scopes_of_app(*app), app.account_id)
            self._remember(token, *app, drops_before, found)
            return found
        parsed = await self._parsed(token)
        found = await self.grant_of(parsed)
        self._remember(token, *parsed, drops_before, found)
        return found

    async def grant_of(self, parsed: ParsedToken) -> Grant:
        """Return what a token of an account allows, as its shard says now. Raises UnauthorizedError."""
        bucket = bucket_of_account(parsed.account_id)
        if self._cluster.level < THINGS_FROM_LEVEL:  # there are no others, and not every shard knows what scopes are
            await self._ask(bucket, "token", *parsed)
            return Grant(parsed.account_id, EVERYTHING, 0)
        return Grant(parsed.account_id, *await self._ask(bucket, "token_scopes", *parsed))

    def known_grant(self, token: str) -> Grant | None:
        """Return what `grant` returns if no shard has to be asked for it, else None."""
        cached = self._verified.get(token)
        if cached is None or cached.until_s <= self._clock():
            return None
        self.hit_count += 1
        return cached.grant

    async def _parsed(self, token: str) -> ParsedToken:
        """Return what a token of an account says, its account asked for where it doesn't say that."""
        if not token or len(token) > TOKEN_CHARS_MAX:
            raise UnauthorizedError(_UNKNOWN)
        parsed = parse_token(token)
        return (
            parsed if parsed.account_id else ParsedToken(await self._owner_of(parsed.secret_hash), parsed.secret_hash)
        )

    async def _scopes_of_app(self, app_id: int, secret_hash: bytes) -> int:
        try:
            return int(await self._ask(bucket_of_thing(app_id), "app_token", app_id, secret_hash))
        except NotFoundError as error:  # the app is gone for want of use, and its tokens with it
            raise UnauthorizedError(_UNKNOWN) from error

    async def _ask(self, bucket: int, op: str, *args: Any) -> Any:
        return await self._cluster.call(bucket, op, [*args], self._settings.request_timeout_s)

    def _known(self, token: str) -> int:
        """Return the account of a token that was verified a short time ago and is for everything, else 0."""
        cached = self._verified.get(token)
        if cached is None or cached.until_s <= self._clock() or cached.grant.scopes != EVERYTHING:
            return 0
        return cached.grant.account_id

    def believes(self, token: str | None) -> bool:
        """Whether a token was verified here and not dropped since, however long that is ago; 0.1 us."""
        return token in self._verified

    def unproven(self, token: str | None, claimed_id: int) -> UnprovenToken | None:
        """Return what a shard must check before it serves account claimed_id, for tokens that say they are that one's.

        None for any other token: those go through `actor`. The caller sends the hash along with its request, which
        saves a round trip, and calls `proven` if the shard has served it.
        """
        if token is None or len(token) > TOKEN_CHARS_MAX:
            return None
        parsed = parse_token(token)
        if parsed.account_id != claimed_id:
            return None
        self.miss_count += 1
        return UnprovenToken(token, *parsed, self._drop_count)

    def proven(self, unproven: UnprovenToken) -> None:
        """Believe a token from now on, unless something was dropped since it was looked at."""
        self._remember(unproven.token, unproven.account_id, unproven.secret_hash, unproven.drops_before)

    async def _owner_of(self, secret_hash: bytes) -> int:
        """Ask every shard whose imported token this is."""
        asked = (self._cluster.call_shard(s, "token_owner", [secret_hash]) for s in range(self._cluster.shard_count))
        owner = max(await asyncio.gather(*asked))
        if not owner:
            raise UnauthorizedError(_UNKNOWN)
        return int(owner)

    async def actor(self, token: str | None, claimed_id: int) -> int:
        """Return the account that acts. claimed_id: the user_id that the request names, 0 for none.

        Raises UnauthorizedError without a valid token, ForbiddenError when it is another account's.
        """
        if token is not None and not (self.is_open and claimed_id):
            return _claimed(await self.verify(token), claimed_id)
        return self.known_actor(token, claimed_id)

    def known_actor(self, token: str | None, claimed_id: int) -> int:
        """Return what `actor` returns if no shard has to be asked for it, else 0. Raises what `actor` raises."""
        if self.is_open and claimed_id:
            return claimed_id
        if token is None:
            if self.is_open:
                raise InvalidError('user_id is required: a decimal id such as "42"', "user_id")
            raise UnauthorizedError("a token is required: Authorization: Bearer TOKEN, or auth_token")
        known_id = self._known(token)
        if known_id:
            _claimed(known_id, claimed_id)
            self.hit_count += 1
        return known_id

    async def viewer(self, token: str | None) -> int:
        """Return who reads something public: an account, or 0 for nobody. A token that is given must be valid."""
        return 0 if token is None else await self.verify(token)

    def known_viewer(self, token: str | None) -> int | None:
        """Return what `viewer` returns if no shard has to be asked for it, else None."""
        if token is None:
            return 0
        known_id = self._known(token)
        if not known_id:
            return None
        self.hit_count += 1
        return known_id

    def drop_token(self, account_id: int, secret_hash: bytes | None) -> None:
        """Forget a token that was revoked, here or on another worker; None: all of the account's (or app's)."""
        self._drop_count += 1
        for key in self._keys_of.get(account_id, ()):
            if secret_hash is None or self._verified[key].secret_hash == secret_hash:
                del self._verified[key]
                self._forget_key(account_id, key)

    def drop_all(self) -> None:
        """Look every token up again: some may have been revoked without our being told."""
        self._drop_count += 1
        self._verified.clear()
        self._keys_of.clear()

    def check(self) -> None:
        """Assert the invariants: the cache is within its bound, and its two maps are each other's inverse."""
        assert len(self._verified) <= self._settings.token_cache_entries_max
        assert all(self._keys_of.values())
        assert len(self._verified) == sum(map(len, self._keys_of.values()))
        assert {key: entry.owner_id for key, entry in self._verified.items()} == {
            key: owner_id for owner_id, keys in self._keys_of.items() for key in keys
        }

    def _remember(
        self, key: str, owner_id: int, secret_hash: bytes, drops_before: int, grant: Grant | None = None
    ) -> None:
        """Believe a token for a while, unless something was dropped since drops_before. grant: None for everything."""
        if drops_before != self._drop_count:
            return
        until_s = self._clock() + self._settings.token_cache_s
        before = self._verified.get(key)
        if before is not None and before.owner_id != owner_id:
            self._forget_key(before.owner_id, key)
        if before is None or before.owner_id != owner_id:
            self._keys_of[owner_id] = (*self._keys_of.get(owner_id, ()), key)
        self._verified[key] = _Verified(owner_id, secret_hash, until_s, grant or Grant(owner_id, EVERYTHING, 0))
        self._verified.move_to_end(key)
        if len(self._verified) > self._settings.token_cache_entries_max:
            key, oldest = self._verified.popitem(last=False)
            self._forget_key(oldest.owner_id, key)

    def _forget_key(self, owner_id: int, key: str) -> None:
        left = tuple(each for each in self._keys_of[owner_id] if each != key)
        if left:
            self._keys_of[owner_id] = left
        else:
            del self._keys_of[owner_id]
