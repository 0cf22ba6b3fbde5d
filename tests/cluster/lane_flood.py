"""A flood of strangers at a lane, as a process of its own: `python lane_flood.py KIND HOST PORT SECONDS RATE`.

RATE: so many connections a second at most. It imports nothing of ours: whatever it does, anybody can. The newest few
hundred are kept open.

    wordless    connects
    many        the same, each connection from another address of the loopback network
    begun       says the first half of a hello
    hello       says a whole hello
    garbage     says something else
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import os
import socket
import sys
import time

KEPT = 400
BURST = 20  # connections made without looking at the clock
HELLO = b"\x93\xacrookery-lane\x02\xc4\x20"


def main() -> None:
    """Flood."""
    kind, host, port, seconds, rate = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5])
    words = {"begun": HELLO[:9], "hello": HELLO + os.urandom(32), "garbage": b"GET / HTTP/1.1\r\n"}.get(kind, b"")
    sources = itertools.cycle(range(1, 250 * 250))
    kept: collections.deque[socket.socket] = collections.deque()
    count, begin = 0, time.monotonic()
    print("begun", flush=True)
    while (spent := time.monotonic() - begin) < seconds:
        if count >= spent * rate + BURST:
            time.sleep(0.001)
            continue
        sock = socket.socket()
        sock.setblocking(False)
        if kind == "many":
            high, low = divmod(next(sources), 250)
            sock.bind((f"127.77.{high + 1}.{low + 1}", 0))
        sock.connect_ex((host, port))
        count += 1
        if words:
            with contextlib.suppress(OSError):  # not connected yet
                sock.send(words)
        kept.append(sock)
        if len(kept) > KEPT:
            kept.popleft().close()


if __name__ == "__main__":
    main()
