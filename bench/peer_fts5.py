"""A peer of `search`: SQLite's FTS5, inside the process of a FastAPI app.

    python -m bench.peer_fts5 --port 8003 --data /tmp/tweets.sqlite

Tables: `tweets(id, author, text)` and an FTS5 index over it (external content, so texts are there once), its words
stemmed by Porter's algorithm. Written as well as we can: WAL, memory-mapped, a page cache for each connection,
prepared statements, the index merged into one segment (`optimize`) after the load. The newest first are searched for on
the event loop, by rank in `--threads` threads, each with a connection of its own (0: on the loop too).

Tried with a million tweets at 8 clients: two threads make the newest first slower (2,390 in place of 2,600/s, p99 26 in
place of 7 ms), since a search takes 0.15 ms and the way to a thread nearly as long; by rank, 0.9 ms, they are faster
(995 in place of 971, and 1,110 in place of 943/s). A plain FTS5 table in place of one over `tweets`: 5 to 10 % slower.

A tweet that is added is one transaction of one writing thread, synced before the answer (synchronous=FULL).
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from bench.peer_search_app import Found, SearchPeer, make_parser, serve
from bench.processes import BenchError, accepts, free_port, python_module, running
from bench.search_queries import Tweet

START_TIMEOUT_S = 60.0
MMAP_BYTES = (1 << 31) - (1 << 16)  # SQLite's most, as Debian builds it
CACHE_KIB = 64 * 1024  # pages that a connection keeps
SEARCH_THREADS = 2  # by rank
SCHEMA = """
CREATE TABLE tweets(id INTEGER PRIMARY KEY, author INTEGER NOT NULL, text TEXT NOT NULL);
CREATE VIRTUAL TABLE found USING fts5(text, content='tweets', content_rowid='id', tokenize='porter unicode61');
"""
ADD_TWEET = "INSERT INTO tweets(id, author, text) VALUES (?, ?, ?)"
ADD_WORDS = "INSERT INTO found(rowid, text) VALUES (?, ?)"
# CROSS JOIN keeps SQLite from turning the loops round; both orders are FTS5's own, so nothing is sorted twice.
NEWEST = (
    "SELECT t.id, t.author, t.text FROM found CROSS JOIN tweets t ON t.id = found.rowid "
    "WHERE found MATCH ? ORDER BY found.rowid DESC LIMIT ?"
)
BEST = NEWEST.replace("found.rowid DESC", "found.rank")
T = TypeVar("T")


def to_match(query: str) -> str:
    """Return a query of FTS5's that finds all words of a text, whatever stands in it."""
    return " ".join(f'"{word}"' for word in query.replace('"', " ").replace("\0", " ").split()) or '""'


def open_database(path: Path, read_only: bool) -> sqlite3.Connection:
    """Return a connection. One thread at a time may use it, and any may close it."""
    mode = "ro" if read_only else "rwc"
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False
    )
    connection.execute(f"PRAGMA mmap_size = {MMAP_BYTES}")
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    if not read_only:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
    return connection


class Fts5Store:
    """Tweets in a SQLite file. threads: that search by rank; 0: the event loop does."""

    def __init__(self, path: Path, threads: int = SEARCH_THREADS) -> None:
        self.path, self.threads = path, threads
        self.local = threading.local()
        self.connections: list[sqlite3.Connection] = []
        self.writer = ThreadPoolExecutor(1, "writer")
        self.readers = ThreadPoolExecutor(threads, "reader") if threads else None

    async def open(self) -> None:
        """Open the event loop's connection; threads open theirs when they begin."""
        self._own_connection(read_only=True)

    async def close(self) -> None:
        """End the threads and close all connections."""
        for executor in filter(None, (self.readers, self.writer)):
            executor.shutdown()
        for connection in self.connections:
            connection.close()

    async def search(self, query: str, newest_first: bool, count: int) -> list[Found]:
        """Return up to `count` tweets that hold all words."""
        if newest_first or self.readers is None:
            return self._search(query, newest_first, count)
        return await self._run(self.readers, partial(self._search, query, newest_first, count))

    async def add(self, tweet_id: int, author: int, text: str) -> None:
        """Add a tweet in a transaction of its own."""
        await self._run(self.writer, partial(self._add, tweet_id, author, text))

    async def _run(self, executor: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(executor, work)

    def _own_connection(self, read_only: bool) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self.local, "connection", None)
        if connection is None:
            connection = self.local.connection = open_database(self.path, read_only)
            self.connections.append(connection)
        return connection

    def _search(self, query: str, newest_first: bool, count: int) -> list[Found]:
        statement = NEWEST if newest_first else BEST
        return self._own_connection(read_only=True).execute(statement, (to_match(query), count)).fetchall()

    def _add(self, tweet_id: int, author: int, text: str) -> None:
        connection = self._own_connection(read_only=False)
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(ADD_TWEET, (tweet_id, author, text))
            connection.execute(ADD_WORDS, (tweet_id, text))


# ---- as a contestant --------------------------------------------------------------------------------------------


def load(path: Path, tweets: Iterable[Tweet]) -> float:
    """Make the file. Returns the seconds until everything can be found, the merge and a checkpoint included."""
    begin = time.perf_counter()
    with closing(open_database(path, read_only=False)) as connection:
        connection.executescript(SCHEMA)
        connection.execute("BEGIN")
        connection.executemany(ADD_TWEET, tweets)
        connection.execute("INSERT INTO found(found) VALUES ('rebuild')")
        connection.execute("COMMIT")
        connection.execute("INSERT INTO found(found) VALUES ('optimize')")
        connection.execute("ANALYZE")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return time.perf_counter() - begin


def sizes_of(path: Path) -> dict[str, int]:
    """Return bytes of the index, and of the whole file. The index alone needs SQLite's dbstat, which Debian's has."""
    sizes = {"all": path.stat().st_size}
    with closing(open_database(path, read_only=True)) as connection:
        try:
            rows = connection.execute("SELECT sum(pgsize) FROM dbstat WHERE name LIKE 'found%'").fetchall()
        except sqlite3.OperationalError as error:
            if "dbstat" not in str(error):
                raise BenchError(f"the size of {path.name} can't be asked: {error}") from error
            return sizes
    return {"index": int(rows[0][0]), **sizes}


@contextmanager
def fts5_peer(folder: Path, tweets: Iterable[Tweet], threads: int = SEARCH_THREADS) -> Iterator[SearchPeer]:
    """Load the tweets and serve them while the block runs."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tweets.sqlite"
    seconds, port = load(path, tweets), free_port()
    command = python_module("bench.peer_fts5", "--port", port, "--data", path, "--threads", threads)
    with running(command, folder / "peer.log", lambda: accepts(("127.0.0.1", port)), START_TIMEOUT_S):
        yield SearchPeer(port, seconds, sizes_of(path))


def main() -> None:
    """Serve until told to stop."""
    parser = make_parser(__doc__)
    parser.add_argument("--threads", type=int, default=SEARCH_THREADS)
    options = parser.parse_args()
    serve(Fts5Store(options.data, options.threads), options.port)


if __name__ == "__main__":
    main()
