"""Which version of Mastodon's API clients are to take this for, and what it is really."""

from __future__ import annotations

from typing import Final

from actors.core.levels import VERSION as VERSION

MASTODON_VERSION: Final = f"4.3.0 (compatible; Rookery {VERSION})"
API_VERSION: Final = 2  # what the instance document calls 4.3
