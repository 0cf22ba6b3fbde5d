"""Accounts, their names and their tokens: the cold data of a shard.

Rows number the shard's own accounts 0, 1, 2, ... in the order of creation and don't change while an account is here;
every column elsewhere (rings, follow edges, logs) is indexed by row. The row of an account that has moved to another
shard, or was deleted, is free, and the lowest free one is given to the next. An account that is here but isn't this
shard's, because it has just moved away or is about to arrive, is in `away` and not in `row_of`: nobody finds it. Nobody
finds one either that is being deleted and still has something: it is in `leaving`. A name lives on the shard
of its bucket, which may be another than the account's; it is *held* from the reservation on and *confirmed* when the
account exists. A name whose account was deleted is held by NO_LONGER for ever: nobody else gets it, nobody finds it.
Costs: about 600 bytes an account, most of it the Python strings of its profile.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from actors.core import limits
from actors.core.scopes import EVERYTHING
from actors.core.stores.account_flags import UNINDEXED

if TYPE_CHECKING:
    from actors.core.pieces import AccountPieces

NO_LONGER: Final = -1  # who holds the name of an account that was deleted
FIRST_FIELDS: Final = 11  # of a packed account: all that there were before level 1
TOKEN_ID_BYTES: Final = 8  # of what a token is called in lists: tokens of one account are at most 32


class TokenFacts(NamedTuple):
    """What is known of a token. made_ms, used_ms: Unix ms, 0 where nobody knows; used_ms is coarse (`logins.py`).

    scopes: what it may be used for; app_id: of the app that it was made for, 0 for none: both from level 2 on.
    """

    name: str = ""
    made_ms: int = 0
    used_ms: int = 0
    scopes: int = EVERYTHING
    app_id: int = 0

    def to_row(self) -> list[Any]:
        """Return the facts for packing, as wide as they must be: those of a token for everything as before level 2."""
        return list(self if self.scopes != EVERYTHING or self.app_id else self[:3])


UNKNOWN: Final = TokenFacts()


def token_id(secret_hash: bytes) -> str:
    """Return what a token is called where its hash isn't to be shown: 16 hexadecimal digits."""
    return hashlib.sha256(b"token " + secret_hash).hexdigest()[: 2 * TOKEN_ID_BYTES]


class AccountCounts(NamedTuple):
    """How many there are of an account, as everybody may know. last_ms: when it last said something, 0 for never."""

    followers: int = 0
    following: int = 0
    statuses: int = 0
    last_ms: int = 0


NO_COUNTS: Final = AccountCounts()


@dataclass(slots=True)
class Account:
    """One account's cold data. tokens: SHA-256 of each secret, oldest first; token_facts: of those of which some are
    known; left_ms: when it was deleted, 0 for not at all. flags: see `stores/account_flags.py`; privacy, language: of
    what it posts where it says nothing else.

    As a packed row it is as wide as it must be: what was added later is left out where there is nothing of it, so rows
    of older versions are rows of this one. What level 3 brought is one map by number, SETTING_FIELDS in order, at the
    end.
    """

    account_id: int
    username: str
    created_ms: int
    display_name: str = ""
    bio: str = ""
    location: str = ""
    url: str = ""
    avatar: str = ""
    fields: list[list[str]] = field(default_factory=list)
    password_hash: str | None = None
    tokens: list[bytes] = field(default_factory=list)
    token_facts: dict[bytes, TokenFacts] = field(default_factory=dict)
    left_ms: int = 0
    header: str = ""
    flags: int = 0
    privacy: int = 0
    language: str = ""

    def to_row(self) -> list[Any]:
        """Return the fields in order, for packing; facts of tokens in the tokens' order, None for unknown ones."""
        row = [getattr(self, name) for name in self.__slots__[:FIRST_FIELDS]]
        settings = {number: value for number, name in enumerate(SETTING_FIELDS) if (value := getattr(self, name))}
        if self.token_facts or self.left_ms or settings:
            known = (self.token_facts.get(token) for token in self.tokens)
            row.append([None if facts is None else facts.to_row() for facts in known])
        if self.left_ms or settings:
            row.append(self.left_ms)
        if settings:
            row.append(settings)
        return row

    @classmethod
    def from_row(cls, row: Iterable[Any]) -> Self:
        """Make an account of what `to_row` returned, in this version or an older one. Raises TypeError, ValueError."""
        fields = list(row)
        account, later = cls(*fields[:FIRST_FIELDS]), fields[FIRST_FIELDS:]
        if later:
            facts, *left = later
            account.left_ms, *settings = left or (0,)
            account._set(*settings)
            if not all(type(known) is list for known in [facts, *(each for each in facts if each is not None)]):
                raise ValueError("what is known of tokens is a list of lists")
            pairs = zip(account.tokens, facts, strict=True)
            account.token_facts = {token: TokenFacts(*known) for token, known in pairs if known is not None}
        return account

    def _set(self, settings: dict[int, Any] | None = None) -> None:
        """Take over settings by their numbers. Raises TypeError, ValueError."""
        if settings is None:
            return
        if type(settings) is not dict or not settings.keys() <= set(range(len(SETTING_FIELDS))):
            raise ValueError("settings of an account are a map by number")
        for number, value in settings.items():
            setattr(self, SETTING_FIELDS[number], value)


PROFILE_FIELDS: Final = ("display_name", "bio", "location", "url", "avatar", "fields")
SETTING_FIELDS: Final = ("header", "flags", "privacy", "language")  # by their numbers in a packed row, for ever
NOBODY = Account(0, "", 0)  # whose row is free


class People:
    """The accounts and name reservations of one shard."""

    def __init__(self) -> None:
        self.row_of: dict[int, int] = {}
        self.away: dict[int, int] = {}  # rows of accounts that are here, but another shard's
        self.leaving: dict[int, int] = {}  # rows of this shard's accounts that are being deleted
        self.accounts: list[Account] = []  # by row
        self._free: list[int] = []  # rows of NOBODY, a heap
        self.unindexed: set[int] = set()  # this shard's accounts that want to be in no search
        self.token_owner: dict[bytes, int] = {}  # for imported tokens, which don't say whose they are
        self.names: dict[str, tuple[int, bool]] = {}
        self.last_read_day = np.zeros(64, dtype=np.int32)
        self.pieces: list[AccountPieces] = []  # of each renderer that shows accounts

    def __len__(self) -> int:
        """Accounts of this shard."""
        return len(self.row_of)

    @property
    def row_count(self) -> int:
        """Rows there are, free ones included."""
        return len(self.accounts)

    def changed(self, account_id: int) -> None:
        """Have an account shown as it is now: it says something else of itself, or has come or gone."""
        for pieces in self.pieces:
            pieces.drop(account_id)

    def note_indexing(self, account_id: int) -> None:
        """Know whether an account that has come or gone, or says something else, wants to be in no search. 0.1 us."""
        row = self.row_of.get(account_id)
        if row is not None and self.accounts[row].flags & UNINDEXED:
            self.unindexed.add(account_id)
        else:
            self.unindexed.discard(account_id)

    def all_changed(self, account_ids: npt.NDArray[np.int64]) -> None:
        """As `changed` for many. 30 ns where nobody shows accounts."""
        if self.pieces:
            for account_id in set(account_ids.tolist()):
                self.changed(account_id)

    def add(self, account: Account, away: bool = False) -> int:
        """Give a new account its row. The id must be free. away: it isn't this shard's yet."""
        if self._free:
            row = heapq.heappop(self._free)
            self.accounts[row] = account
        else:
            row = len(self.accounts)
            self.accounts.append(account)
        (self.away if away else self.row_of)[account.account_id] = row
        self.changed(account.account_id)
        self.note_indexing(account.account_id)
        self.token_owner.update(dict.fromkeys(account.tokens, account.account_id))
        if row >= len(self.last_read_day):
            grown = np.zeros(row + row // 2 + 1, dtype=np.int32)
            grown[:row] = self.last_read_day[:row]
            self.last_read_day = grown
        self.last_read_day[row] = 0
        return row

    def load(self, rows: list[int], accounts: list[Account], away: list[bool]) -> None:
        """Fill the empty store: account i into row rows[i], ascending; rows in between are free. away: not leaving."""
        self.accounts = [NOBODY] * (rows[-1] + 1 if rows else 0)
        for row, account, is_away in zip(rows, accounts, away, strict=True):
            self.accounts[row] = account
            self._among(account, is_away)[account.account_id] = row
            self.note_indexing(account.account_id)
            self.token_owner.update(dict.fromkeys(account.tokens, account.account_id))
        self._free = [row for row, account in enumerate(self.accounts) if account is NOBODY]
        self.last_read_day = np.zeros(max(64, len(self.accounts)), dtype=np.int32)

    def _among(self, account: Account, away: bool) -> dict[int, int]:
        """Return which of the three an account belongs to."""
        return self.away if away else self.leaving if account.left_ms else self.row_of

    def leave(self, account_id: int) -> int:
        """Have an account found by nobody any more: it is being deleted, `left_ms` is set. Returns its row."""
        row = self.leaving[account_id] = self.row_of.pop(account_id)
        self.changed(account_id)
        self.note_indexing(account_id)
        return row

    def depart(self, account_id: int) -> int:
        """Have an account of this shard be another's, but still here. Returns its row."""
        found = self.row_of if account_id in self.row_of else self.leaving
        row = self.away[account_id] = found.pop(account_id)
        self.changed(account_id)
        self.note_indexing(account_id)
        return row

    def arrive(self, account_id: int) -> int:
        """Have an account that is here, but another's, be this shard's. Returns its row."""
        row = self.away.pop(account_id)
        self._among(self.accounts[row], False)[account_id] = row
        self.changed(account_id)
        self.note_indexing(account_id)
        return row

    def remove(self, account_id: int) -> None:
        """Forget an account that is away or leaving; its row is free from now on."""
        row = (self.away if account_id in self.away else self.leaving).pop(account_id)
        for token in self.accounts[row].tokens:
            if self.token_owner.get(token) == account_id:
                del self.token_owner[token]
        self.accounts[row] = NOBODY
        heapq.heappush(self._free, row)

    def numbered(self) -> npt.NDArray[np.int64]:
        """Return the account ids by row; a free row has a number that is nobody's."""
        ids = [account.account_id or -row - 1 for row, account in enumerate(self.accounts)]
        return np.array(ids, dtype=np.int64)

    def find(self, account_id: int) -> int | None:
        """Return the row of an account that is here, whether it is this shard's or not."""
        row = self.own(account_id)
        return self.away.get(account_id) if row is None else row

    def own(self, account_id: int) -> int | None:
        """Return the row of an account of this shard, whether it is being deleted or not."""
        row = self.row_of.get(account_id)
        return self.leaving.get(account_id) if row is None else row

    def born_day(self, account_id: int) -> int:
        """Return the day since 1970 on which an account of this shard was made, 0 if it isn't here."""
        row = self.own(account_id)
        return 0 if row is None else self.accounts[row].created_ms // limits.DAY_MS

    def replace(self, row: int, account: Account) -> None:
        """Put a newer version of an account into its row."""
        for token in set(self.accounts[row].tokens).difference(account.tokens):
            if self.token_owner.get(token) == account.account_id:
                del self.token_owner[token]
        self.token_owner.update(dict.fromkeys(account.tokens, account.account_id))
        self.accounts[row] = account
        self.changed(account.account_id)
        self.note_indexing(account.account_id)

    def get(self, account_id: int) -> Account | None:
        """Return the account, or None if this shard has none of that id."""
        row = self.row_of.get(account_id)
        return None if row is None else self.accounts[row]

    def owned(self) -> list[int]:
        """Return the accounts of this shard, those included that are being deleted."""
        return [*self.row_of, *self.leaving]

    def add_token(self, account: Account, secret_hash: bytes) -> list[bytes]:
        """Add a token; return those dropped to stay within TOKENS_PER_ACCOUNT_MAX."""
        if secret_hash in account.tokens:
            return []
        account.tokens.append(secret_hash)
        self.token_owner[secret_hash] = account.account_id
        dropped = account.tokens[: -limits.TOKENS_PER_ACCOUNT_MAX]
        for old in dropped:
            self.remove_token(account, old)
        return dropped

    def remove_token(self, account: Account, secret_hash: bytes) -> bool:
        """Take a token from an account; return whether it had it."""
        if secret_hash not in account.tokens:
            return False
        account.tokens.remove(secret_hash)
        account.token_facts.pop(secret_hash, None)
        if self.token_owner.get(secret_hash) == account.account_id:
            del self.token_owner[secret_hash]
        return True

    def check(self) -> list[str]:
        """Return violations: rows and ids agree both ways; no account has too many tokens."""
        problems = []
        for account_id, row in [*self.row_of.items(), *self.away.items(), *self.leaving.items()]:
            if self.accounts[row].account_id != account_id:
                problems.append(f"row {row} belongs to account {self.accounts[row].account_id}, not {account_id}")
        for account_id, row in [*self.row_of.items(), *self.leaving.items()]:
            if bool(self.accounts[row].left_ms) != (account_id in self.leaving):
                problems.append(f"account {account_id} is found, and deleted at {self.accounts[row].left_ms}")
            if self.accounts[row].left_ms and self.accounts[row].tokens:
                problems.append(f"account {account_id} was deleted and has {len(self.accounts[row].tokens)} tokens")
        unindexed = {account_id for account_id, row in self.row_of.items() if self.accounts[row].flags & UNINDEXED}
        if unindexed != self.unindexed:
            problems.append(
                f"{len(unindexed)} accounts want to be in no search, but {len(self.unindexed)} are known to"
            )
        here = len(self.row_of) + len(self.away) + len(self.leaving)
        if here + len(self._free) != len(self.accounts):
            problems.append(f"{len(self.accounts)} rows, but {len(self._free)} are free and others have no account")
        for account in self.accounts:
            if len(account.tokens) > limits.TOKENS_PER_ACCOUNT_MAX:
                problems.append(f"account {account.account_id} has {len(account.tokens)} tokens")
            if not account.token_facts.keys() <= set(account.tokens):
                problems.append(f"account {account.account_id} knows something of tokens that it doesn't have")
        return problems
