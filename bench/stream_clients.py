"""Thousands of clients of streams in one process, as cheap as Python can have them: epoll over bare descriptors.

    python -m bench.stream_clients        commands as lines of JSON on stdin, an answer to each as one on stdout

    {"do": "open", "port": 8000, "requests": FILE, "source": "127.0.0.2"}        {"open": 10000, "seconds": 1.9}
    {"do": "expect", "marker": "m17x", "timeout_s": 10, "linger_s": 0.1}         {"expecting": 10000}, and once all have
                                                                          it: {"at_ns": [...], "doubled": 0, "lost": 0}
    {"do": "close"}                                                              {"closed": 10000}

Rules of this file
- A connection sends the bytes it was given (file of requests as in load_generator.py) and reads from then on. It parses
  nothing: an event has come when the bytes that were read hold the marker, whatever protocol they are in.
- Times are of the monotonic clock, which all processes of a machine share: when the read that completed a marker was
  done, for each connection of its own.
- What comes while nothing is expected (heartbeats) is read and dropped; a WebSocket's pings are answered, as they must.
- A process holds as many connections as its limit of open files lets it; who needs more starts several.

Cost: 3 to 4 us an event, most of it the kernel's; 0.3 KB a connection here. `cpu_s` of an answer is this process's own.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import socket
import sys
import time
from pathlib import Path
from typing import Any, Final, TextIO

from bench.load_generator import read_requests

READ_BYTES: Final = 65_536
EVENTS_MAX: Final = 1_024  # of a poll: what came first is read before what came since
CONNECTING_MAX: Final = 256  # handshakes under way: a server's backlog isn't what is measured
OPEN_WITHIN_S: Final = 120.0
GOOD_HEADS: Final = (b"HTTP/1.1 200", b"HTTP/1.1 101")
PING, PONG, MASKED, NO_MASK = 0x89, 0x8A, 0x80, bytes(4)  # of WebSocket frames; no server-sent event begins so
NO_PORT_YET: Final = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24)  # Linux's; the port is chosen when it connects


class Refused(Exception):
    """A stream wasn't opened; says what was answered."""


class Clients:
    """The connections of one process. heads: what has come of the answers that are still incomplete, by descriptor."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._heads: dict[int, bytes] = {}
        self._marker = b""
        self._tails: dict[int, bytes] = {}  # ends of reads that may hold the beginning of the marker
        self._came_ns: dict[int, int] = {}
        self._doubled = self._lost = 0

    # ---- opening ----------------------------------------------------------------------------------------------------

    def open(self, port: int, requests: list[bytes], source: str) -> int:
        """Open a stream for each request; returns how many there are once all are answered. Raises Refused."""
        deadline = time.monotonic() + OPEN_WITHIN_S
        waiting = list(reversed(requests))
        while waiting or self._heads:
            while waiting and len(self._heads) < CONNECTING_MAX:
                self._connect(port, waiting.pop(), source)
            self.turn(0.5)
            if time.monotonic() > deadline:
                raise Refused(f"{len(self._heads) + len(waiting)} of {len(requests)} streams weren't answered")
            if self._lost:
                raise Refused("a connection was closed before its stream was open")
        return len(self._sockets)

    def _connect(self, port: int, request: bytes, source: str) -> None:
        made = socket.socket()
        try:
            if source:
                made.setsockopt(socket.IPPROTO_IP, NO_PORT_YET, 1)
                made.bind((source, 0))
            made.connect(("127.0.0.1", port))  # over loopback at once, or never
            made.sendall(request)
        except OSError as error:
            made.close()
            what = "this process may open no more files" if error.errno == errno.EMFILE else error
            raise Refused(f"connection {len(self._sockets) + 1} from {source or '127.0.0.1'}: {what}") from error
        made.setblocking(False)
        self._sockets[made.fileno()] = made
        self._heads[made.fileno()] = b""
        self._epoll.register(made.fileno(), select.EPOLLIN)

    def _read_head(self, fd: int, data: bytes) -> None:
        head = self._heads[fd] + data
        if b"\r\n\r\n" not in head:
            self._heads[fd] = head
            return
        if not head.startswith(GOOD_HEADS):
            raise Refused(head[:500].decode(errors="replace"))
        del self._heads[fd]

    # ---- reading ----------------------------------------------------------------------------------------------------

    def expect(self, marker: bytes) -> int:
        """Begin to look for a marker; returns how many connections there are to look at."""
        self._marker = marker
        self._tails.clear()
        self._came_ns.clear()
        self._doubled = 0
        return len(self._sockets)

    @property
    def all_have_it(self) -> bool:
        """Whether every connection that is there has had the marker."""
        return len(self._came_ns) >= len(self._sockets)

    def heard(self) -> dict[str, Any]:
        """Return when each connection had the marker, how often it came again, and how many connections have gone."""
        self._marker = b""
        return {"at_ns": sorted(self._came_ns.values()), "doubled": self._doubled, "lost": self._lost}

    def turn(self, timeout_s: float, wake: int = -1) -> bool:
        """Read once what there is to be read; returns whether `wake`, a descriptor that others read, is ready."""
        is_awake = False
        clock, read = time.monotonic_ns, os.read
        for fd, _ in self._epoll.poll(timeout_s, EVENTS_MAX):
            if fd == wake:
                is_awake = True
                continue
            try:
                data = read(fd, READ_BYTES)
            except BlockingIOError:
                continue
            except OSError:  # reset
                data = b""
            if not data:
                self._lose(fd)
            elif fd in self._heads:
                self._read_head(fd, data)
            elif data[0] == PING:
                self._pong(fd, data)
            elif self._marker:
                self._look(fd, data, clock())
        return is_awake

    def watch(self, fd: int) -> None:
        """Have `turn` notice another descriptor as well."""
        self._epoll.register(fd, select.EPOLLIN)

    def _look(self, fd: int, data: bytes, now_ns: int) -> None:
        tail = self._tails.pop(fd, b"")
        count = (tail + data).count(self._marker) if tail else data.count(self._marker)
        if not count:
            self._tails[fd] = (tail + data)[1 - len(self._marker) :]
            return
        if fd in self._came_ns:
            self._doubled += count
        else:
            self._came_ns[fd] = now_ns
            self._doubled += count - 1

    def _pong(self, fd: int, ping: bytes) -> None:
        size = ping[1] & 0x7F  # of a control frame at most 125
        self._sockets[fd].send(bytes([PONG, MASKED | size]) + NO_MASK + ping[2 : 2 + size])
        if self._marker and len(ping) > 2 + size:
            self._look(fd, ping[2 + size :], time.monotonic_ns())

    def _lose(self, fd: int) -> None:
        self._lost += 1
        self._heads.pop(fd, None)
        self._sockets.pop(fd).close()  # which takes it out of the epoll too

    def close(self) -> int:
        """Close all connections; returns how many there were."""
        count = len(self._sockets)
        for each in self._sockets.values():
            each.close()
        self._sockets.clear()
        self._heads.clear()
        self._lost = 0
        return count


# ---- commands -------------------------------------------------------------------------------------------------------


def carry_out(clients: Clients, command: dict[str, Any], say: Any) -> None:
    """Do what a line of stdin asks for, and answer it."""
    if command["do"] == "open":
        begin = time.monotonic()
        try:
            count = clients.open(command["port"], read_requests(Path(command["requests"])), command["source"])
        except Refused as error:
            clients.close()
            say({"refused": str(error)})
        else:
            say({"open": count, "seconds": time.monotonic() - begin})
    elif command["do"] == "expect":
        say({"expecting": clients.expect(command["marker"].encode())})
        deadline = time.monotonic() + command["timeout_s"]
        while not clients.all_have_it and (left_s := deadline - time.monotonic()) > 0:
            clients.turn(left_s)
        until = time.monotonic() + command["linger_s"]  # is anything told twice?
        while (left_s := until - time.monotonic()) > 0:
            clients.turn(left_s)
        say(clients.heard())
    else:
        say({"closed": clients.close()})


def main(commands: TextIO = sys.stdin, answers: TextIO = sys.stdout) -> None:
    """Carry out commands until there are no more."""
    clients = Clients()
    clients.watch(commands.fileno())

    def say(answer: dict[str, Any]) -> None:
        print(json.dumps({**answer, "cpu_s": time.process_time()}), file=answers, flush=True)

    with contextlib.suppress(KeyboardInterrupt):
        while True:
            if not clients.turn(-1, commands.fileno()):
                continue
            line = commands.readline()  # one command is under way at a time
            if not line:
                break
            carry_out(clients, json.loads(line), say)
    clients.close()


if __name__ == "__main__":
    main()
