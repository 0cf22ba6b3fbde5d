"""One Redis server as the journal and the checkpoint store see it: connections, start-up checks, scripts, errors.

Rules of this file
- redis-py never retries by itself: a command whose reply was lost may have been carried out, and only the caller knows
  whether asking again is harmless. (Ours are: the scripts recognise what landed.)
- An error that goes away by itself or by an operator's hand (no connection, LOADING, READONLY, out of memory, a full
  disk) becomes JournalUnavailableError, "nothing was acknowledged, ask again". Any other is JournalFailedError.
- A password is in the URL and nowhere else: `name` is the address without it, and no message has more.

It doesn't know what the scripts do, nor any key but how a shard's keys begin.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.retry import Retry

from persistence.errors import JournalFailedError, JournalUnavailableError, ServerUnfitError, StorageError

VERSION_MIN = (6, 2)  # XTRIM MINID
CONNECT_TIMEOUT_S = 2.0  # s; a server on the same network answers within milliseconds
REPLY_TIMEOUT_S = 10.0  # s; a fork of a large server, or a slow fsync under appendfsync=always, may take seconds
OPEN_PATIENCE_S = 5.0  # s to wait for a server that can't be reached, before start-up says so and ends
LOADING_PATIENCE_S = 600.0  # s to wait for a server that reads its files: 100 GB in ten minutes
OPEN_PAUSE_S = 0.2  # s between attempts to open

# How an error reply begins, or what a script's error holds in the middle ("ERR Error running script ... -OOM ..."
# before Redis 7), and what it means for an operator.
_PASSING = {
    "LOADING": "the server is loading its files",
    "READONLY": "the server is a replica, which takes no writes",
    "OOM": "the server is out of memory (maxmemory)",
    "MISCONF": "the server can't write its own files (full disk?)",
    "BUSY": "the server is busy running a script",
    "MASTERDOWN": "the server has lost its primary",
    "NOREPLICAS": "the server has fewer replicas than it demands",
    "CLUSTERDOWN": "the server's cluster is down",
    "TRYAGAIN": "the server is moving the keys",
    "NOAUTH": "the server demands a password",
    "WRONGPASS": "the server refuses the password",
    "NOPERM": "the server's access list forbids a command",
    "UNBLOCKED": "the server changed its role",
}


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script, known by its digest."""

    text: str

    @property
    def digest(self) -> str:
        """Return what EVALSHA calls it."""
        return hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What start-up found out about a server."""

    version: str
    policy: str  # maxmemory-policy
    append_only: bool
    sync: str  # appendfsync; empty when the server doesn't tell

    @property
    def survives_power_loss(self) -> bool:
        """Whether what was acknowledged is on the server's disk."""
        return self.append_only and self.sync == "always"

    @property
    def promise(self) -> str:
        """What an acknowledged write survives, in words for an operator."""
        if not self.append_only:
            return (
                "the server keeps no append-only file: a restart of it loses all writes since its last snapshot, if it"
                " makes any; set appendonly yes"
            )
        return {
            "always": "every acknowledged write is on the server's disk",
            "everysec": "a power loss of the server may take the last second of acknowledged writes, two if its disk is"
            " slow; set appendfsync always to lose none",
            "no": "a power loss of the server may take half a minute of acknowledged writes; set appendfsync"
            " always to lose none",
        }.get(self.sync, "the server has an append-only file, but doesn't tell how often it syncs it (CONFIG GET)")


class RedisServer:
    """Connections to one server, made when needed and made again after they broke. Any thread."""

    def __init__(self, url: str, reply_timeout_s: float = REPLY_TIMEOUT_S) -> None:
        """url: redis://, rediss:// or unix://. Nothing is sent yet. Raises ServerUnfitError for a URL it can't read."""
        self.name = address_of(url)
        try:
            self.client: Any = redis.Redis.from_url(
                url,
                retry=Retry(NoBackoff(), 0),
                socket_timeout=reply_timeout_s,
                socket_connect_timeout=CONNECT_TIMEOUT_S,
                protocol=2,
            )
        except (ValueError, TypeError) as error:
            raise ServerUnfitError(f"{self.name}: not a URL that redis-py understands: {error}") from None

    def check(self) -> ServerFacts:
        """Ask what the server is. Raises ServerUnfitError if it would lose or refuse what it is given, or StorageError.

        Fit: version 6.2 or later, no eviction of keys without an expiry, not a node of a Redis Cluster.
        """
        with self.translating("asking the server what it is"):
            server, memory = self.client.info("server"), self.client.info("memory")
            persistence = self.client.info("persistence")
            try:
                sync = str(self.client.config_get("appendfsync").get("appendfsync", ""))
            except ResponseError:  # forbidden, or renamed: many a hosted server doesn't tell
                sync = ""
        facts = ServerFacts(
            str(server["redis_version"]),
            str(memory.get("maxmemory_policy", "")),
            persistence.get("aof_enabled") == 1,
            sync,
        )
        if tuple(int(part) for part in facts.version.split(".")[:2]) < VERSION_MIN:
            raise ServerUnfitError(f"{self.name}: Redis {facts.version}; 6.2 or later is needed")
        if facts.policy.startswith("allkeys"):
            raise ServerUnfitError(
                f"{self.name}: maxmemory-policy is {facts.policy}, so a full server would throw the journal away;"
                " set maxmemory-policy noeviction"
            )
        if server.get("redis_mode") == "cluster":
            raise ServerUnfitError(f"{self.name}: a node of a Redis Cluster; give a server of its own")
        return facts

    def run(self, script: Script, keys: Sequence[str], args: Sequence[Any]) -> list[Any]:
        """Run a script once. Raises StorageError; the script may have run all the same if the connection broke."""
        [reply] = self.run_all(script, [(keys, args)])
        if isinstance(reply, Exception):
            with self.translating("running a script"):
                raise reply
        return list(reply)

    def run_all(self, script: Script, calls: Sequence[tuple[Sequence[str], Sequence[Any]]]) -> list[Any]:
        """Run a script several times, in order, without waiting in between. Returns each reply or its RedisError.

        Raises StorageError if the connection broke; some may have run all the same.
        """
        with self.translating("running a script"):
            replies = self._pipelined(script, calls)
            if any(isinstance(reply, NoScriptError) for reply in replies):  # none has run: a restart forgot the script
                self.client.script_load(script.text)
                replies = self._pipelined(script, calls)
            return replies

    def _pipelined(self, script: Script, calls: Sequence[tuple[Sequence[str], Sequence[Any]]]) -> list[Any]:
        with self.client.pipeline(transaction=False) as pipeline:
            for keys, args in calls:
                pipeline.execute_command("EVALSHA", script.digest, len(keys), *keys, *args)
            replies: list[Any] = pipeline.execute(raise_on_error=False)
            return replies

    @contextmanager
    def translating(self, doing: str) -> Iterator[None]:
        """Turn errors of redis-py into JournalUnavailableError or JournalFailedError, which name the server."""
        try:
            yield
        except (RedisError, OSError) as error:
            raise self.translated(error, doing) from error

    def translated(self, error: Exception, doing: str) -> StorageError:
        """Return what an error of redis-py is here."""
        reason = passing_reason(error)
        if reason is None:
            return JournalFailedError(f"{self.name}: {doing} failed: {error}")
        return JournalUnavailableError(f"{self.name}: {doing} failed: {reason}: {error}", reason=reason)

    def close(self) -> None:
        """Close all connections. Idempotent."""
        self.client.close()


def passing_reason(error: Exception) -> str | None:
    """Return what is wrong if it may pass, else None. Reads the code of a reply, also inside a script's error."""
    text = str(error)
    for code, reason in _PASSING.items():
        if text.startswith(code) or f"-{code} " in text:
            return reason
    kinds = [kind.__name__ for kind in type(error).__mro__]  # redis-py cuts the code off some of its own errors
    for kind, code in (
        ("BusyLoadingError", "LOADING"), ("ReadOnlyError", "READONLY"), ("OutOfMemoryError", "OOM"),
        ("MasterDownError", "MASTERDOWN"), ("ClusterDownError", "CLUSTERDOWN"), ("TryAgainError", "TRYAGAIN"),
        ("AuthenticationError", "WRONGPASS"), ("NoPermissionError", "NOPERM"),
    ):  # fmt: skip
        if kind in kinds:
            return _PASSING[code]
    if isinstance(error, redis.TimeoutError):
        return "the server does not answer in time"
    return "the server can't be reached" if isinstance(error, redis.ConnectionError | OSError) else None


def wait_until_open(open_once: Callable[[], Any], patience_s: float = OPEN_PATIENCE_S) -> Any:
    """Return what `open_once` returns, trying again while the server can't be had.

    Raises JournalUnavailableError after patience_s; while the server is loading its files, after LOADING_PATIENCE_S.
    """
    begin = time.monotonic()
    while True:
        try:
            return open_once()
        except JournalUnavailableError as error:
            patience = LOADING_PATIENCE_S if error.reason == _PASSING["LOADING"] else patience_s
            if time.monotonic() - begin > patience:
                raise
        time.sleep(OPEN_PAUSE_S)


def address_of(url: str) -> str:
    """Return a URL without user, password and options: what may be written into a log."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


def shard_key(namespace: str, shard: int, name: str) -> str:
    """Return a key of one shard. What is in braces is all that Redis Cluster hashes: a shard's keys stay together."""
    return f"{{rookery:{namespace}:{shard}}}:{name}"
