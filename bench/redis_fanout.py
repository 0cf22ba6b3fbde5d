"""Fan-out on write in Redis, as fast as we can drive it: a list per follower, LPUSH and LTRIM for each delivery.

Two ways, both over a Unix socket with hiredis reading the answers
- *pipelined*: the client sends LPUSH + LTRIM for every follower. The commands' bytes are put together from pieces made
  beforehand, and the next chunk is on its way while the answers to the last are read: Redis is what limits;
- *Lua*: one EVALSHA a post, which goes through a list of the author's followers within Redis. No follower crosses the
  socket; posts are pipelined too.

It does less than Rookery: nothing on disk, no bodies, no filters, no idempotency.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import hiredis
import numpy as np

from bench.dataset import Ints
from bench.kernel import Delivered
from bench.peer_redis import HOME_LENGTH, Batches

CHUNK_COMMANDS = 2_000  # commands on their way before answers are read; 500 to 5,000 make no difference
CHUNK_POSTS = 20  # the same for Lua, where a post is one command
RECEIVE_BYTES = 1 << 16
SCRIPT = f"""
local homes = redis.call('LRANGE', KEYS[1], 0, -1)
for i = 1, #homes do
  redis.call('LPUSH', homes[i], ARGV[1])
  redis.call('LTRIM', homes[i], 0, {HOME_LENGTH - 1})
end
return #homes
"""


class RedisFanOut:
    """A Redis that fans out posts of some authors; authors are numbers from 0, as in `audience`."""

    def __init__(self, path: str, store: Any, name: str, audience: list[Ints]) -> None:
        """name: of this audience, for its keys; audience[i]: followers of author i."""
        self.name, self.audience = name, audience
        self.script = store.script_load(SCRIPT)
        batch = Batches(store)
        for author, followers in enumerate(audience):
            batch.add("RPUSH", self._author_key(author), *(f"home:{f}" for f in followers.tolist()))
        batch.flush()
        everybody = np.unique(np.concatenate(audience)).tolist()
        self._push = {f: b"*3\r\n$5\r\nLPUSH\r\n" + _bulk(f"home:{f}") for f in everybody}
        self._trim = {f: hiredis.pack_command(("LTRIM", f"home:{f}", 0, HOME_LENGTH - 1)) for f in everybody}
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.reader = hiredis.Reader()
        self.next_id = 10**18  # ids of as many digits as real ones

    def close(self) -> None:
        """Hang up."""
        self.socket.close()

    def _author_key(self, author: int) -> str:
        return f"audience:{self.name}:{author}"

    def pipelined(self, authors: Iterator[int], seconds: float) -> Delivered:
        """Fan out posts of those authors for so long, follower by follower."""
        begin, posts, deliveries, unread, pieces = time.perf_counter(), 0, 0, 0, []
        while time.perf_counter() < begin + seconds:
            item, followers = self._next_item(), self.audience[next(authors)].tolist()
            posts += 1
            deliveries += len(followers)
            for follower in followers:
                pieces += (self._push[follower], item, self._trim[follower])
                if len(pieces) >= CHUNK_COMMANDS // 2 * 3:
                    unread = self._send(pieces, unread)
                    pieces.clear()
        self._read(self._send(pieces, unread))
        return Delivered(posts, deliveries, time.perf_counter() - begin)

    def lua(self, authors: Iterator[int], seconds: float) -> Delivered:
        """Fan out posts of those authors for so long, a script call a post."""
        begin, posts, deliveries, unread = time.perf_counter(), 0, 0, 0
        while time.perf_counter() < begin + seconds:
            chosen = [next(authors) for _ in range(CHUNK_POSTS)]
            calls = [
                hiredis.pack_command(("EVALSHA", self.script, 1, self._author_key(author), str(self._next_number())))
                for author in chosen
            ]
            self.socket.sendall(b"".join(calls))
            self._read(unread)
            unread = len(calls)
            posts += len(calls)
            deliveries += sum(len(self.audience[author]) for author in chosen)
        self._read(unread)
        return Delivered(posts, deliveries, time.perf_counter() - begin)

    def _next_number(self) -> int:
        self.next_id += 1
        return self.next_id

    def _next_item(self) -> bytes:
        return _bulk(str(self._next_number()))

    def _send(self, pieces: list[bytes], unread: int) -> int:
        """Send a chunk, then read the answers to the one before; returns how many answers this one will have."""
        self.socket.sendall(b"".join(pieces))
        self._read(unread)
        return len(pieces) // 3 * 2

    def _read(self, count: int) -> None:
        """Read so many answers. Raises the first that is an error."""
        while count:
            answer = self.reader.gets()
            if answer is False:
                self.reader.feed(self.socket.recv(RECEIVE_BYTES))
                continue
            if isinstance(answer, Exception):
                raise answer
            count -= 1


def _bulk(text: str) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(text), text.encode())
