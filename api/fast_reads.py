"""The reads that are answered inside the HTTP protocol, by path: a row each.

A path that ends with a slash is of all paths that have one segment more.
"""

from __future__ import annotations

from typing import Final

from api.http.fast_exchange import FastRead
from api.mastodon import fast_home as mastodon
from api.native.hot import FAST_HOME, HOME_PATHS
from api.search.fast_read import FAST_SEARCH
from api.search.reads import SEARCH_PATH

FAST_READS: Final[dict[bytes, FastRead]] = {
    **{path.encode(): FAST_HOME for path in HOME_PATHS},
    mastodon.HOME_PATH.encode(): mastodon.FAST_HOME,
    mastodon.LISTS_PATH.encode(): mastodon.FAST_LIST,
    SEARCH_PATH.encode(): FAST_SEARCH,
}
