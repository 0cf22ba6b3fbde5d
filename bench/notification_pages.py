"""What does a page of 40 notifications cost in the shard, and in the API worker?

    python -m bench.notification_pages [--pages 200] [--rounds 7]

A shard and an API worker run in this process (`one_process.py`), each on a thread of its own; so all that a page asks
the shard for is in it, whatever the lane carries: the notifications, their accounts and their statuses. Prints the
processor time of each thread a page, the median of the rounds with the least and the most: what others do on the
machine isn't in it. Half of the notifications are mentions, half favourites, each by somebody else.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench.one_process import OneProcess
from bench.pairs import Spread
from bench.steps import Client
from configs.logging import configure_logging

COUNT: Final = 40  # of a page, as Mastodon's clients ask for it
WAIT_S: Final = 60.0
PAGES: Final = {
    "Mastodon, one by one": "/api/v1/notifications?limit=40",
    "Mastodon, grouped": "/api/v2/notifications?limit=40",
    "native": "/{user_id}/notifications?count=40",
}


def notify(client: Client) -> tuple[str, str]:
    """Have somebody mentioned and favourited by many; returns his id and token once he has been told of all."""
    user_id, token = client.account_on(0)
    name = client.ask("GET", f"/{user_id}/profile", None, token)["username"]
    for number in range(COUNT // 2):
        post = {"user_id": user_id, "status": f"the morning train goes over the river, part {number}"}
        tweet_id = client.ask("POST", "/api/v1/tweet", post, token)["tweet_id"]
        fan_id, fan_token = client.account_on(0)
        client.ask("POST", f"/api/v1/tweet/{tweet_id}/like", {}, fan_token)
        said = {"user_id": fan_id, "status": f"@{name} and on to the harbour, part {number}"}
        client.ask("POST", "/api/v1/tweet", said, fan_token)
    until_s = time.monotonic() + WAIT_S
    while len(client.ask("GET", PAGES["Mastodon, one by one"], None, token)) < COUNT:
        if time.monotonic() > until_s:
            raise RuntimeError(f"not all of {COUNT} notifications have come")
        time.sleep(0.05)
    return user_id, token


def measure(ask: Callable[[], object], pages: int, rounds: int) -> dict[str, Spread]:
    """Return the microseconds a page of each thread."""
    clocks = {each.name: time.pthread_getcpuclockid(each.ident or 0) for each in threading.enumerate()}
    spent: dict[str, list[float]] = {"shards": [], "worker": []}
    for _ in range(rounds):
        before = {name: time.clock_gettime(clocks[name]) for name in spent}
        for _ in range(pages):
            ask()
        for name, found in spent.items():
            found.append((time.clock_gettime(clocks[name]) - before[name]) / pages * 1e6)
    return {name: Spread.of(found) for name, found in spent.items()}


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    configure_logging("console", "warning")
    with tempfile.TemporaryDirectory(prefix="rkn-") as folder, OneProcess(Path(folder), 1) as cluster:
        client = Client(cluster)
        user_id, token = notify(client)
        gc.collect()
        gc.freeze()
        for name, path in PAGES.items():
            asked = path.format(user_id=user_id)
            ask = lambda asked=asked: client.ask("GET", asked, None, token)  # noqa: E731
            measure(ask, given.pages, 1)
            for thread, spread in measure(ask, given.pages, given.rounds).items():
                print(f"{name}: {spread.median:,.0f} us a page ({spread.least:,.0f} to {spread.most:,.0f}), {thread}")


if __name__ == "__main__":
    main()
