"""A peer of `search`: PostgreSQL's full-text search behind a FastAPI app with asyncpg.

    python -m bench.peer_postgres --port 8004 --data /tmp/folder-of-the-socket

One table, `tsv` made by the server from the text, a GIN index over it. Written as well as we can: a pool of
connections over a Unix socket that keeps its prepared statements and asks for no reset between two uses, and plans made
for the words at hand (a plan for any words may read the whole table backwards for rare ones).

Tried with a million tweets, one connection: statistics of ten times the detail make planning slower and no plan better
(mean 800 in place of 580 us, the newest first); so does a materialised subquery (700); no parallel workers, no
difference.

The server is started by the scenario in a folder of its own, as somebody who isn't root, with `fsync` and
`synchronous_commit` as they are by default: a tweet is on the disk before its answer.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]

from bench.peer_search_app import Found, SearchPeer, make_parser, serve
from bench.processes import (
    GRACE_S,
    READY_POLL_S,
    BenchError,
    accepts,
    end,
    free_port,
    python_module,
    running,
    tail_of,
)
from bench.search_queries import Tweet

PACKAGE = "postgresql"
DEBIAN_FOLDERS = "/usr/lib/postgresql"  # /<version>/bin: not on the path
UNPRIVILEGED = ("postgres", "nobody")  # whom root becomes, the first that there is: initdb refuses root
START_TIMEOUT_S = 60.0
COMMAND_TIMEOUT_S = 3_600.0  # an index over a million tweets takes a minute or so
POOL_CONNECTIONS = 8  # as many as there are clients
SOCKET = ".s.PGSQL.5432"
DATABASE = USER = "postgres"
SETTINGS = {
    "listen_addresses": "", "max_connections": "32", "shared_buffers": "1GB", "work_mem": "64MB",
    "maintenance_work_mem": "512MB", "effective_cache_size": "4GB", "random_page_cost": "1.1", "jit": "off",
    "max_wal_size": "4GB", "plan_cache_mode": "force_custom_plan",
}  # fmt: skip
TABLE = """
CREATE TABLE tweets(
    id bigint PRIMARY KEY, author bigint NOT NULL, text text NOT NULL,
    tsv tsvector GENERATED ALWAYS AS (to_tsvector('english', text)) STORED
);
"""
INDEX = "CREATE INDEX tweets_tsv ON tweets USING gin(tsv)"
NEWEST = "SELECT id, author, text FROM tweets WHERE tsv @@ plainto_tsquery('english', $1) ORDER BY id DESC LIMIT $2"
BEST = NEWEST.replace("ORDER BY", "ORDER BY ts_rank(tsv, plainto_tsquery('english', $1)) DESC,")
ADD = "INSERT INTO tweets(id, author, text) VALUES ($1, $2, $3)"


async def keep(connection: Any) -> None:
    """Give a connection back as it is: nothing here changes its state."""


class PostgresStore:
    """Tweets in a PostgreSQL that listens in a folder."""

    def __init__(self, folder: Path, connections: int = POOL_CONNECTIONS) -> None:
        self.folder, self.connections = folder, connections

    async def open(self) -> None:
        """Connect."""
        self.pool = await asyncpg.create_pool(
            host=str(self.folder), user=USER, database=DATABASE, min_size=self.connections, max_size=self.connections,
            reset=keep, max_inactive_connection_lifetime=0,
        )  # fmt: skip

    async def close(self) -> None:
        """Disconnect."""
        await self.pool.close()

    async def search(self, query: str, newest_first: bool, count: int) -> list[Found]:
        """Return up to `count` tweets that hold all words."""
        found: list[Found] = await self.pool.fetch(NEWEST if newest_first else BEST, query, count)
        return found

    async def add(self, tweet_id: int, author: int, text: str) -> None:
        """Add a tweet in a transaction of its own."""
        await self.pool.execute(ADD, tweet_id, author, text)


# ---- the server -------------------------------------------------------------------------------------------------


def find_binaries() -> Path | None:
    """Return the folder of PostgreSQL's server programs, of the newest version that there is; None without any."""
    folders = [path.parent for path in Path(DEBIAN_FOLDERS).glob("*/bin/initdb")]
    found = max(folders, key=lambda folder: float(folder.parent.name), default=None)
    on_path = shutil.which("initdb")
    return found or (Path(on_path).resolve().parent if on_path else None)


def require_binaries() -> Path:
    """Return the folder of PostgreSQL's server programs. Raises BenchError that says what to install."""
    found = find_binaries()
    if found is None:
        raise BenchError(
            f"no PostgreSQL server is installed, which `search` is measured beside: apt-get install {PACKAGE} "
            "(Debian), or leave it out with --peers fts5"
        )
    return found


def unprivileged_user() -> pwd.struct_passwd | None:
    """Return whom the server runs as, None for whoever we are. Raises BenchError if root can become nobody else."""
    if os.geteuid() != 0:
        return None
    for name in UNPRIVILEGED:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise BenchError(f"PostgreSQL refuses to run as root, and there is no user {' or '.join(UNPRIVILEGED)}")


@contextmanager
def postgres_server() -> Iterator[Path]:
    """Run a server with an empty database while the block runs; yields the folder of its Unix socket.

    The folder is not the scenario's, which only its owner may enter. Its owner alone, and root, may connect.
    """
    binaries, user = require_binaries(), unprivileged_user()
    folder = Path(tempfile.mkdtemp(prefix="rkb-pg-"))
    as_user: dict[str, Any] = {"cwd": folder}
    if user is not None:
        os.chown(folder, user.pw_uid, user.pw_gid)
        as_user |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    try:
        data, log = folder / "data", folder / "log"
        make = [str(binaries / "initdb"), "-D", str(data), "-U", USER, "-A", "trust", "-E", "UTF8",
                "--locale=C.UTF-8"]  # fmt: skip
        done = subprocess.run(make, capture_output=True, text=True, check=False, **as_user)
        if done.returncode:
            raise BenchError(f"{' '.join(make)} failed:\n{done.stdout[-1000:]}{done.stderr[-2000:]}")
        given = {**SETTINGS, "unix_socket_directories": str(folder), "unix_socket_permissions": "0700"}
        command = [str(binaries / "postgres"), "-D", str(data)]
        command += [part for name, value in given.items() for part in ("-c", f"{name}={value}")]
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, **as_user)
        try:
            _wait_until_ready(process, folder, log)
            yield folder
        finally:
            _stop(process)
    finally:
        shutil.rmtree(folder)


def _wait_until_ready(process: subprocess.Popen[bytes], folder: Path, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not (accepts(str(folder / SOCKET)) and "ready to accept connections" in log.read_text(encoding="utf-8")):
        if process.poll() is not None or time.monotonic() > deadline:
            raise BenchError(f"PostgreSQL did not start:\n{tail_of(log)}")
        time.sleep(READY_POLL_S)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server now: SIGINT lets it close its files; SIGTERM would wait for its clients."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            end(process)


# ---- as a contestant --------------------------------------------------------------------------------------------


async def load(folder: Path, tweets: Iterable[Tweet]) -> tuple[float, dict[str, int]]:
    """Fill the table with COPY and make the index; returns the seconds that it took, and bytes on disk."""
    connection = await asyncpg.connect(
        host=str(folder), user=USER, database=DATABASE, command_timeout=COMMAND_TIMEOUT_S
    )
    try:
        begin = time.perf_counter()
        await connection.execute(TABLE)
        await connection.copy_records_to_table("tweets", records=tweets, columns=["id", "author", "text"])
        await connection.execute(INDEX)
        await connection.execute("VACUUM ANALYZE tweets")
        seconds = time.perf_counter() - begin
        sizes = await connection.fetchrow(
            "SELECT pg_relation_size('tweets_tsv'), pg_total_relation_size('tweets') AS everything"
        )
    finally:
        await connection.close()
    return seconds, {"index": int(sizes[0]), "all": int(sizes[1])}


@contextmanager
def postgres_peer(folder: Path, tweets: Iterable[Tweet], connections: int = POOL_CONNECTIONS) -> Iterator[SearchPeer]:
    """Start a server, load the tweets and serve them while the block runs. folder: takes the app's log."""
    folder.mkdir(parents=True, exist_ok=True)
    with postgres_server() as data:
        seconds, sizes = asyncio.run(load(data, tweets))
        port = free_port()
        command = python_module("bench.peer_postgres", "--port", port, "--data", data, "--connections", connections)
        with running(command, folder / "peer.log", lambda: accepts(("127.0.0.1", port)), START_TIMEOUT_S):
            yield SearchPeer(port, seconds, sizes)


def version() -> str:
    """Return the server's name and version."""
    command = [str(require_binaries() / "postgres"), "--version"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    """Serve until told to stop."""
    parser = make_parser(__doc__)
    parser.add_argument("--connections", type=int, default=POOL_CONNECTIONS)
    options = parser.parse_args()
    serve(PostgresStore(options.data, options.connections), options.port)


if __name__ == "__main__":
    main()
