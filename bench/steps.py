"""Through how many of our files does a request run, and how often does it change between two of them?

    python -m bench.steps [--times 15] [--files]

Shards and an API worker run in this process (`one_process.py`), each with a profiler (`sys.setprofile`). From the
moment at which the worker is given the first byte of a request until it has written the last byte of the answer, in the
worker, in the shards and on their flushing threads, are counted:

    files      of ours (actors, api, cluster, configs, persistence) of which a function ran
    switches   calls from one of them into another, and returns; what lies between (Starlette, asyncio) is passed over

What an event loop calls is called by nobody: that is no switch. A shard counts from what comes over a lane until its
answer has been sent, so messages to other shards aren't counted: when they go is the machine's to decide. So is some of
the rest, which is why of `--times` turns the one with the median of switches is shown. Whoever acts lives on shard 0;
tweets of both shards are liked.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import orjson

from actors.core.ids import bucket_of_account, bucket_of_tweet
from api.http.protocol import BoundedHttpProtocol
from api.http.request_log import RequestLog
from bench.one_process import OneProcess
from cluster.lane.client import LaneClient
from cluster.lane.connection import LaneConnection
from configs.logging import configure_logging

ROOT = Path(__file__).resolve().parents[1]
OURS = ("actors", "api", "cluster", "configs", "persistence")
BEGIN, END = BoundedHttpProtocol.data_received.__code__, RequestLog.note.__code__
SHARD_BEGINS = {
    LaneConnection.data_received.__code__,
    LaneClient.data_received.__code__,
}  # a request; what it has asked
SHARD_ENDS = LaneConnection._flush.__code__
SETTLE_S = 0.05  # between two requests: messages arrive, nothing of the first is left under way
PASSWORD = "correct horse battery"
Act = Callable[[], tuple[str, str, Any]]  # -> method, path, body


@dataclass
class Steps:
    """What one request ran through, by thread: the worker's, and all others."""

    files: dict[bool, set[str]] = field(default_factory=lambda: {True: set(), False: set()})
    switches: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})

    @property
    def switch_count(self) -> int:
        """In all threads."""
        return sum(self.switches.values())

    def figures(self) -> list[tuple[int, int]]:
        """Return files and switches of the worker, of the shards, and of both."""
        worker, shards = self.files[True], self.files[False]
        return [
            (len(worker), self.switches[True]),
            (len(shards), self.switches[False]),
            (len(worker | shards), self.switch_count),
        ]


class StepCounter:
    """A profiler for all threads that begin after `install`."""

    def __init__(self) -> None:
        self.steps = Steps()
        self._local = threading.local()
        self._names: dict[CodeType, str | None] = {}
        self._armed = self._counts = self._shards_count = False

    def install(self) -> None:
        """Look at every thread that is started from now on."""
        threading.setprofile(self._profile)

    @contextmanager
    def one_request(self) -> Iterator[None]:
        """Count the next request that the worker is given."""
        self.steps, self._armed = Steps(), True
        yield
        self._armed = self._counts = False

    def _profile(self, frame: FrameType, event: str, _: Any) -> None:
        if event not in ("call", "return"):
            return
        code = frame.f_code
        if event == "call" and self._armed and code is BEGIN:
            self._armed, self._counts = False, True
        elif event == "call" and code is END:
            self._counts = False
        elif code in SHARD_BEGINS and event == "call":
            self._shards_count = True
        name = self._names[code] if code in self._names else self._name_of(code)
        if name is None:
            return
        stack = self._stack()
        if event == "call":
            self._note(name, stack[-1] if stack else name)
            stack.append(name)
        elif stack:
            stack.pop()
            self._note(name, stack[-1] if stack else name)
            if code is SHARD_ENDS:
                self._shards_count = False

    def _note(self, name: str, other: str) -> None:
        is_worker = self._local.is_worker
        if self._counts and (is_worker or self._shards_count):
            self.steps.files[is_worker].add(name)
            self.steps.switches[is_worker] += name != other

    def _stack(self) -> list[str]:
        local = self._local
        if not hasattr(local, "stack"):
            local.stack, local.is_worker = [], threading.current_thread().name == "worker"
        stack: list[str] = local.stack
        return stack

    def _name_of(self, code: CodeType) -> str | None:
        path, name = Path(code.co_filename), None
        if path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in OURS:
            name = str(path.relative_to(ROOT))
        self._names[code] = name
        return name


class Client:
    """One connection of somebody who acts."""

    def __init__(self, cluster: OneProcess) -> None:
        self._cluster, self._numbers = cluster, itertools.count(1)
        self._http = http.client.HTTPConnection("127.0.0.1", cluster.port)

    def ask(self, method: str, path: str, body: Any = None, token: str = "") -> Any:
        """Send one request; return its answer. Raises RuntimeError if it was refused."""
        headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
        self._http.request(method, path, None if body is None else orjson.dumps(body), headers)
        reply = self._http.getresponse()
        content = reply.read()
        if reply.status >= 300:
            raise RuntimeError(f"{method} {path}: {reply.status} {content.decode()}")
        return orjson.loads(content)

    def account_on(self, shard: int) -> tuple[str, str]:
        """Register somebody who lives on a shard; return id and token."""
        while True:
            body = {"username": f"somebody{next(self._numbers)}", "password": PASSWORD}
            said = self.ask("POST", "/api/v1/users", body)
            if self._cluster.map.shard_of_bucket(bucket_of_account(int(said["user_id"]))) == shard:
                return said["user_id"], said["auth_token"]


def acts(cluster: OneProcess, client: Client) -> tuple[str, dict[str, Act]]:
    """Make the accounts and tweets; return who acts, and what is measured."""
    (actor, token), (author, author_token) = client.account_on(0), client.account_on(1)
    client.ask("POST", f"/{actor}/follow/{author}", {}, token)
    client.ask("POST", f"/{author}/follow/{actor}", {}, author_token)

    def tweets(who: str, whose_token: str) -> Iterator[str]:
        while True:
            body = {"user_id": who, "status": "something to like"}
            made = client.ask("POST", "/api/v1/tweet", body, whose_token)["tweet_id"]
            assert cluster.map.shard_of_bucket(bucket_of_tweet(int(made))) == (who == author)
            yield made

    own, others = tweets(actor, token), tweets(author, author_token)
    post = {"user_id": actor, "status": "nine words that nobody has said in this order"}
    return token, {
        "post": lambda: ("POST", "/api/v1/tweet", post),
        "home read": lambda: ("GET", f"/api/v1/home_timeline?user_id={actor}", None),
        "like, same shard": lambda: ("POST", f"/api/v1/tweet/{next(own)}/like", {}),
        "like, another shard": lambda: ("POST", f"/api/v1/tweet/{next(others)}/like", {}),
    }


def measure(counter: StepCounter, client: Client, token: str, act: Act, times: int) -> Steps:
    """Return the turn with the median of switches."""
    turns: list[Steps] = []
    for turn in range(-2, times):
        method, path, body = act()
        time.sleep(SETTLE_S)
        with counter.one_request():
            client.ask(method, path, body, token)
        if turn >= 0:  # before that lanes are dialled and tokens verified
            turns.append(counter.steps)
    return sorted(turns, key=lambda steps: steps.switch_count)[times // 2]


def main() -> None:
    """Parse the command line, measure, print a table for docs/architecture.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=15, help="requests of each kind")
    parser.add_argument("--files", action="store_true", help="name the files, too")
    options = parser.parse_args()
    if options.times < 1:
        parser.error(f"--times must be 1 or more, not {options.times}")
    configure_logging("console", "warning")
    counter = StepCounter()
    counter.install()
    with tempfile.TemporaryDirectory(prefix="rks-") as folder, OneProcess(Path(folder)) as cluster:
        client = Client(cluster)
        token, measured = acts(cluster, client)
        print("| request | worker: files, switches | shards: files, switches | together: files, switches |")
        print("| --- | --- | --- | --- |")
        for name, act in measured.items():
            steps = measure(counter, client, token, act, options.times)
            print("|", name, "|", " | ".join(f"{files}, {switches}" for files, switches in steps.figures()), "|")
            if options.files:
                for where, names in (("worker", steps.files[True]), ("shards", steps.files[False])):
                    print(f"    {where}: {' '.join(sorted(names))}")


if __name__ == "__main__":
    main()
