"""The bits of `Account.flags`: what an account is, and how it wants to be treated. They stay for ever.

Zero is what every account is until it says something else, so those that are as a rule set are here by their opposites.
"""

from __future__ import annotations

from typing import Final

LOCKED: Final = 1  # who wants to follow asks
BOT: Final = 2
UNLISTED: Final = 4  # in no directory and no suggestion
UNINDEXED: Final = 8  # wants its tweets to be in no search of strangers
HIDES_COLLECTIONS: Final = 16  # whom it follows, and who follows it, nobody else reads
SENSITIVE: Final = 32  # what it posts is, where it says nothing else
FLAGS_ALL: Final = 63

PRIVACY_MAX: Final = 3  # public, for followers, direct, unlisted: by the numbers of `api/fields.py`
