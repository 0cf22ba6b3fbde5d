"""The reads that are answered inside the HTTP protocol, by path: a row each."""

from __future__ import annotations

from typing import Final

from api.http.fast_exchange import FastRead
from api.native.hot import FAST_HOME, HOME_PATHS
from api.search.fast_read import FAST_SEARCH
from api.search.reads import SEARCH_PATH

FAST_READS: Final[dict[bytes, FastRead]] = {
    **{path.encode(): FAST_HOME for path in HOME_PATHS},
    SEARCH_PATH.encode(): FAST_SEARCH,
}
