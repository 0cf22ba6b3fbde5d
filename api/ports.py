"""What the API needs from the cluster, declared by its consumer.

`ClusterClient` (cluster/client/) has this shape, given by `actors/api_actor.py`; tests use an in-memory one.
The operations, their arguments and their bodies are those of docs/lane.md.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from actors.media.processed import Kind, Processed, Purpose
from actors.metrics.figure import Told
from api.outgoing_keys import OutgoingKeys

Done = Callable[[Any, Exception | None], None]


class BucketPlaces(Protocol):
    """Where buckets are."""

    def shard_of(self, bucket: int) -> int:
        """Return the shard that owns a bucket, as far as this client knows."""
        ...


class Asking(Protocol):
    """What asks shards within a deadline of its own: `Services` for a request, a dispatcher for what leaves."""

    @property
    def outgoing_keys(self) -> OutgoingKeys:
        """The keys of what leaves the cluster."""
        ...

    @property
    def cluster(self) -> BucketPlaces:
        """Where buckets are."""
        ...

    async def ask_bucket(self, bucket: int, op: str, args: list[Any]) -> Any:
        """One lane request by bucket. Raises a RookeryError subclass when it is refused, or nobody answers."""
        ...

    async def ask_account(self, account_id: int, op: str, *args: Any) -> Any:
        """One lane request to the shard of an account, whose id is the first argument."""
        ...


class Bound(Protocol):
    """How many requests of a kind there may be, which changes."""

    count_bound: int


class Media(Protocol):
    """The object store, and what makes objects of uploads. Without media (`media.enabled`) it takes no kind."""

    @property
    def incoming(self) -> Path:
        """Folder that uploads are written to, for their owner alone; it may have to be made. What is older than an
        hour there is removed by the node's media actor."""
        ...

    def is_open(self, kind: Kind) -> bool:
        """Whether this installation takes files of a kind; without ffmpeg these are images alone."""
        ...

    async def process(self, source: Path, purpose: Purpose, media_id: int) -> Processed:
        """Look at a file below `incoming`, make renditions and put them into the store; the file is the caller's still.

        Raises InvalidError with a sentence for a file that is refused, TooLargeError for one above the bound of its
        kind, OverloadedError if the queue is full, nobody processes, or the store is away. Takes seconds, of video
        minutes.
        """
        ...

    async def head(self, name: str) -> int | None:
        """Return an object's size in bytes, None if there is none. Raises OverloadedError if the store is away."""
        ...

    def read(self, name: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """Give bytes start..stop - 1 of an object in pieces. Raises FileNotFoundError, OverloadedError."""
        ...

    def read_cached(self, name: str) -> bytes | None:
        """Return a small object whole if that takes no wait, None for "ask `head` and `read`"."""
        ...


class Cluster(Protocol):
    """The way to the shards."""

    @property
    def media(self) -> Media:
        """The object store and the node's media actor."""
        ...

    @property
    def outgoing_keys(self) -> OutgoingKeys:
        """The keys of what leaves the cluster."""
        ...

    @property
    def shard_count(self) -> int:
        """How many shards there are; shards are numbered 0..shard_count - 1."""
        ...

    @property
    def level(self) -> int:
        """From what level on something new may be asked of the shards: see actors/core/levels.py. It only grows."""
        ...

    async def call(self, bucket: int, op: str, args: list[Any], timeout_s: float | None = None) -> Any:
        """Ask the shard that owns `bucket`; raises a RookeryError subclass when it refuses or can't be reached.

        A read sees what `positions.positions_of_request` says, and asks whom `must_read_fresh` says; a write adds its
        position there. So with call_shard.
        """
        ...

    def send(self, bucket: int, op: str, args: list[Any], timeout_s: float, done: Done) -> None:
        """Ask as `call` does, without a task: done(body, None) or done(None, error) is called exactly once, later.

        Raises OverloadedError at once, and calls nobody, if the shard has no place for the request.
        """
        ...

    async def settled(self, bucket: int, op: str, args: list[Any], timeout_s: float) -> Any:
        """Have the shard that owns `bucket` carry out a write; return its body once others have what it tells them.

        Or after 0.4 s, or 2 s with replicas: it is done by then, but who asks another shard may not see it yet. Errors
        as of `call`. The cluster's level must be 2 or more.
        """
        ...

    async def call_shard(self, shard: int, op: str, args: list[Any]) -> Any:
        """Ask one shard by its number: for operations that concern a shard, not an account."""
        ...

    def send_shard(self, shard: int, op: str, args: list[Any], timeout_s: float, done: Done) -> None:
        """Ask one shard without a task: done(body, None) or done(None, error) is called exactly once, later."""
        ...

    async def trends(self, window: str, lang: str | None, kind: str | None, count: int) -> bytes:
        """Return the JSON of what is rising now. Raises OverloadedError when nobody counts."""
        ...

    def shard_of(self, bucket: int) -> int:
        """Return the shard that owns a bucket, as far as this client knows."""
        ...

    def share_places(self, reads: Bound, writes: Bound) -> None:
        """Have so many requests under way at most, of which those to one shard hold half.

        Of a shard that has stopped answering, too, callers are told at once, with OverloadedError.
        """
        ...

    def figures(self) -> Mapping[str, float]:
        """Return what the client has counted, by the keys of `actors.metrics.api_rows`."""
        ...

    def hangs(self) -> Mapping[str, int]:
        """Return how often processes of this machine were ended because their event loops hung, by actor's name."""
        ...

    async def neighbours(self, led: Mapping[int, Any]) -> Sequence[Told]:
        """Return what the other processes of this node have counted, this one itself, and who of them is up.

        led: of each shard its leader's `status`, None if it doesn't answer.
        """
        ...

    async def readiness(self) -> Mapping[str, Any] | None:
        """Return what is served, None if nobody can tell now:

        "unserved_shards": shards without a live primary; "trends": whether they are counted, None where search is off;
        "replicas": of each {"shard", "replica", "live", "in_sync", "search"}, the last None if it isn't known, else
        {"state", "left", "serves", "has_served"}: whether its search engine answers, and whether it has since that
        process began. States are "off", "starting", "starting again", "catching up" and "ready".
        """
        ...
