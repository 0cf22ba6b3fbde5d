"""What browser tests look at: an API worker over the real core in this process, people, and pictures that show."""

from __future__ import annotations

import itertools
import struct
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from actors.core.errors import InvalidError
from actors.core.limits import Tuning
from actors.media.processed import Processed, Purpose
from bench.processes import free_port
from tests.api.conftest import PASSWORD, LiveServer, ServerThread, open_http
from tests.api.core_cluster import CoreCluster
from tests.api.media_port import MemoryMedia

_numbers = itertools.count(1)


def png(width: int = 32, height: int = 24, colour: tuple[int, int, int] = (120, 90, 200)) -> bytes:
    """Return a picture of one colour that a browser shows."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + bytes(colour) * width) * height
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


class PictureMedia(MemoryMedia):
    """Media that takes PNG, as it is, beside the few bytes that other tests bring."""

    async def process(self, source: Any, purpose: Purpose, media_id: int) -> Processed:
        """Return what a file is; of a picture with its own sides."""
        data = source.read_bytes()
        if not data.startswith(b"\x89PNG"):
            return await super().process(source, purpose, media_id)
        if self.held is not None:
            await self.held.wait()
        if len(data) < 33:
            raise InvalidError("the file is no picture", "file")
        width, height = struct.unpack(">II", data[16:24])
        renditions = tuple(
            self._put(media_id, name, "png", "image/png", data)._replace(width=width, height=height)
            for name in ("original", "small")
        )
        return Processed("image", renditions, "LEHV6nWB2yk8pyo0adR*.7kCMdnj", 0, 0.0, 1_000)


@dataclass
class Person:
    """A registered account. http sends its token; of the native API, and of Mastodon's."""

    user_id: str
    name: str
    token: str
    http: httpx.Client

    def ask(self, method: str, path: str, **body: Any) -> Any:
        """Ask Mastodon's API; returns what it answers. path: behind /api/."""
        reply = self.http.request(method, f"/api/{path}", **({"json": body} if body else {}))
        assert reply.status_code < 300, f"{method} {path}: {reply.status_code} {reply.text}"
        return reply.json()

    def post(self, text: str, **more: Any) -> dict[str, Any]:
        """Write a status; returns it."""
        said: dict[str, Any] = self.ask("POST", "v1/statuses", status=text, **more)
        return said

    def picture(self, description: str = "", data: bytes = b"") -> str:
        """Bring a picture; returns its id."""
        reply = self.http.post(
            "/api/v2/media", files={"file": ("a.png", data or png(), "image/png")}, data={"description": description}
        )
        assert reply.status_code in (200, 202), reply.text
        return str(reply.json()["id"])

    def follow(self, *others: Person) -> None:
        """Follow others."""
        for other in others:
            self.ask("POST", f"v1/accounts/{other.user_id}/follow")


def _set_clock(cluster: CoreCluster) -> None:
    """Let the simulation's clock show today: what has been put off keeps its distance."""
    sim = cluster.sim
    ahead_ms = int(time.time() * 1000) - sim.now
    sim.now += ahead_ms
    sim._events = [(at_ms + ahead_ms, count, action) for at_ms, count, action in sim._events]


class Site:
    """An address with a cluster behind it. `cluster`: to put shards down, and to look at what was asked."""

    def __init__(self, live: LiveServer, cluster: CoreCluster, seeded: bool = True) -> None:
        self.address, self.live, self.cluster = live.base_url, live, cluster
        self._clients: list[httpx.Client] = []
        if seeded:
            self.ada, self.bob, self.cleo = self.person("ada"), self.person("bob"), self.person("cleo")
            self._seed()

    def person(self, name: str = "") -> Person:
        """Register somebody. name: a free one by default."""
        name = name or f"person_{next(_numbers)}"
        http = open_http(self.address)
        self._clients.append(http)
        reply = http.post("/api/v1/users", json={"username": name, "password": PASSWORD})
        assert reply.status_code == 201, reply.text
        body = reply.json()
        http.headers["authorization"] = f"Bearer {body['auth_token']}"
        return Person(body["user_id"], name, body["auth_token"], http)

    def people(self, count: int) -> list[Person]:
        """Register some."""
        return [self.person() for _ in range(count)]

    def _seed(self) -> None:
        """Ada follows Bob and Cleo, Bob follows Ada; 60 statuses with what statuses can have."""
        ada, bob, cleo = self.ada, self.bob, self.cleo
        ada.follow(bob, cleo)
        bob.follow(ada)
        for number in range(50):
            (bob if number % 2 else cleo).post(f"Post {number} about #kites and wind, number {number}.")
        root = cleo.post("What do you read these days?")
        answer = ada.post("@cleo Mostly the sea.", in_reply_to_id=root["id"])
        bob.post("@ada So do I.", in_reply_to_id=answer["id"])
        cleo.post("A long story, hidden.", spoiler_text="Ends badly")
        bob.post("A kite over the dunes.", media_ids=[bob.picture("A red kite over pale dunes")])
        bob.post("Two of them.", media_ids=[bob.picture("Left"), bob.picture("")])
        cleo.post("Which?", poll={"options": ["Red", "Blue"], "expires_in": 86_400})
        bob.post("مرحبا بالعالم", language="ar")
        ada.ask("POST", f"v1/statuses/{root['id']}/reblog")

    def close(self) -> None:
        """Hang up."""
        for http in self._clients:
            http.close()


@contextmanager
def serving(port: int = 0, seeded: bool = True, **settings: Any) -> Iterator[Site]:
    """Serve a site of its own while the block runs. settings: of the API, as ApiSettings has them.

    seeded: whether Ada, Bob and Cleo are there.
    """
    port = port or free_port()
    tuning = Tuning(arrivals_max=1 << 12, public_url=f"http://127.0.0.1:{port}")
    cluster = CoreCluster(tuning=tuning)
    cluster.media = PictureMedia()
    _set_clock(cluster)
    with ServerThread(settings, cluster, port=port) as live:
        site = Site(live, cluster, seeded)
        try:
            yield site
        finally:
            site.close()
            cluster.end_search()


def main() -> None:
    """Serve a seeded site until it is interrupted, for looking at by hand: python -m tests.browser.site [PORT]."""
    with serving(port=int(sys.argv[1]) if len(sys.argv) > 1 else 0) as site:
        for person in (site.ada, site.bob):
            print(f"{person.name}: {site.address}/signed-in#token={person.token}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
