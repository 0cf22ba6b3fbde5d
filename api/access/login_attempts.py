"""How often a password may be tried: by whom, for which account, and who goes first.

    counted, until the password was right               bound                     whom it holds back
    wrong passwords for a name from one address          a tenth of `login`        who guesses; nobody elsewhere
    wrong passwords from one address, whatever the name  `login`                   who tries one password on many names
    wrong passwords for a name from strange addresses    its burst, a tenth a s.   many who guess together

Rules of this file
- An address is strange to a name until it has logged in to it. The last row, which strangers can use up, doesn't hold
  for an address that isn't: nobody can keep the owner of an account from logging in where they did before. From
  elsewhere the owner waits with the strangers, and only while there are that many.
- A token of each bucket is taken before the password is looked at, so that many attempts at once count, too. It is
  given back when the password was right, and when nobody has found out whether it is.
- Names count whether or not there is such an account, so that nobody learns from it. An e-mail address counts as a name
  of its own, by a hash. What can be neither is one name.
- A bounded number of names and addresses is remembered, by success alone: who wants others to be forgotten needs that
  many accounts.

Each worker counts and remembers alone, and forgets all when it starts again. Cost: 2 us an attempt.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable
from types import TracebackType

from api.access.password_line import Asker
from api.access.rate_limits import too_many
from api.access.token_buckets import TokenBuckets
from api.fields import is_username
from api.settings import Rate, RateLimitSettings

KNOWN_NAMES_MAX = 50_000  # some 15 MB, with one address each
KNOWN_ADDRESSES_MAX = 8  # of a name: home, work, a phone's networks


def _name_of_address(text: str) -> str:
    """Return what an e-mail address counts as, empty for none: short, whatever somebody sends."""
    if "@" not in text:
        return ""
    return "@" + hashlib.sha256(text.lower().encode(errors="surrogatepass")).hexdigest()


class Attempt:
    """One attempt to log in, as a context. Whatever isn't said to be `wrong` inside it is given back."""

    def __init__(
        self, attempts: LoginAttempts, address: str, name: str, is_known: bool, taken: list[tuple[Hashable, Rate]]
    ) -> None:
        self._attempts, self._taken = attempts, taken
        self.asker = Asker(address, name, is_known)

    def wrong(self) -> None:
        """It was the wrong password: that counts."""
        self._taken = []

    def right(self) -> None:
        """It was the right one: this address is known from now on."""
        self._attempts.remember(self.asker.name, self.asker.address)

    def __enter__(self) -> Attempt:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        self._attempts.give_back(self._taken)
        self._taken = []


class LoginAttempts:
    """The attempts of one worker."""

    def __init__(self, settings: RateLimitSettings, clock: Callable[[], float]) -> None:
        self._rate = settings.login
        self._rate_of_pair = Rate(self._rate.per_s / 10, max(1.0, self._rate.burst / 10))
        self._rate_of_strangers = Rate(self._rate.per_s / 10, self._rate.burst)
        self._buckets = TokenBuckets(settings.table_entries_max, clock)
        self._known: OrderedDict[str, list[str]] = OrderedDict()  # name -> addresses, the latest last
        self.enabled = settings.enabled
        self.refused_count = 0

    def begin(self, address: str, username: str) -> Attempt:
        """Count an attempt. Raises RateLimitedError, with nothing counted."""
        name = username.lower() if is_username(username) else _name_of_address(username)
        is_known = address in self._known.get(name, ())
        taken: list[tuple[Hashable, Rate]] = []
        if self.enabled:
            for key, rate, who in self._bounds(address, name, is_known):
                wait_s = self._buckets.take(key, rate)
                if wait_s:
                    self.give_back(taken)
                    self.refused_count += 1
                    raise too_many(who, wait_s)
                taken.append((key, rate))
        return Attempt(self, address, name, is_known, taken)

    def _bounds(self, address: str, name: str, is_known: bool) -> list[tuple[Hashable, Rate, str]]:
        bounds: list[tuple[Hashable, Rate, str]] = [
            ((address, name), self._rate_of_pair, "logging in to this account from this address"),
            (address, self._rate, "logging in from this address"),
        ]
        if name and not is_known:
            bounds.append(
                ((None, name), self._rate_of_strangers, "logging in to this account from where nobody did before")
            )
        return bounds

    def give_back(self, taken: list[tuple[Hashable, Rate]]) -> None:
        """Count less."""
        for key, rate in taken:
            self._buckets.give_back(key, rate)

    def remember(self, name: str, address: str) -> None:
        """This address has logged in to an account."""
        addresses = self._known.setdefault(name, [])
        self._known.move_to_end(name)
        if address in addresses:
            addresses.remove(address)
        addresses.append(address)
        del addresses[:-KNOWN_ADDRESSES_MAX]
        if len(self._known) > KNOWN_NAMES_MAX:
            self._known.popitem(last=False)

    def check(self) -> None:
        """Assert the invariants: everything is within its bound."""
        self._buckets.check()
        assert len(self._known) <= KNOWN_NAMES_MAX
        assert all(0 < len(addresses) <= KNOWN_ADDRESSES_MAX for addresses in self._known.values())
