"""`media`: thumbnails of 20 KB out of the page cache, beside nginx with one worker process serving the same files.

The files are written into a folder that both serve; nothing is uploaded.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from pathlib import Path

import httpx

from actors.core.media_names import prefix_of
from bench.contest import ClientPlots, add_rows, load_in_turn, ratio_of
from bench.load_generator import get_request, write_requests
from bench.nginx import nginx
from bench.processes import BenchError
from bench.results import Claim, Result
from bench.scenarios import SHARDS, Options, Progress
from persistence.objects import LocalStore, object_folder

THUMBNAIL_BYTES = 20_000
FILES, FILES_QUICK = 5_000, 200
CLIENTS, CLIENTS_QUICK = (1, 32), (8,)
PEER = "nginx"
PER_SECOND_LEAST = 5_000.0  # of one API worker


def run(options: Options, progress: Progress) -> Result:
    """Carry out the scenario."""
    result = Result("media", {"quick": options.quick, "pairs": options.pairs, "seconds": options.seconds})
    with options.cluster(SHARDS) as rookery:
        files = object_folder("", rookery.data)
        progress("writing files")
        names = asyncio.run(_write_files(files, FILES_QUICK if options.quick else FILES))
        with nginx(options.folder, files) as peer:
            ports = {"Rookery": rookery.port, PEER: peer}
            _compare(ports, names)
            path = write_requests(options.folder / "files", [get_request(f"/media/{name}") for name in names])
            busy: list[float] = []
            plots = ClientPlots.of(result, "Thumbnails")
            for clients in CLIENTS_QUICK if options.quick else CLIENTS:
                progress(f"{clients} clients")
                turns = load_in_turn(options, ports, dict.fromkeys(ports, path), clients, busy)
                add_rows(result, clients, turns)
                plots.add(clients, turns)
                if clients > 1:
                    rate = turns.spread("Rookery", lambda sample: sample.per_second)
                    ratio = ratio_of(turns, PEER, "per_second")
                    result.claims += [
                        Claim("thumbnails a second of one API worker", "at_least", PER_SECOND_LEAST, rate, 19),
                        Claim("thumbnails a second, to nginx's", "at_least", 0.3, ratio, 19),
                    ]
            result.facts |= {
                "files": f"{len(names)} of {THUMBNAIL_BYTES} bytes, in the page cache",
                "nginx": "one worker process, sendfile, the same headers of caching and safety",
                "machine busy before a turn": f"{min(busy):.0f} to {max(busy):.0f} %",
            }
    return result


async def _write_files(folder: Path, count: int) -> list[str]:
    store, dice, names = LocalStore(folder), random.Random(9), []
    for number in range(1, count + 1):
        body = dice.randbytes(THUMBNAIL_BYTES)
        name = f"{prefix_of(number)}{hashlib.blake2b(body, digest_size=8).hexdigest()}-small.jpg"
        await store.put_new(name, body, "image/jpeg")
        names.append(name)
    return names


def _compare(ports: dict[str, int], names: list[str]) -> None:
    """Raise BenchError unless both serve the same."""
    for name in random.Random(1).sample(names, 20):
        bodies = {httpx.get(f"http://127.0.0.1:{port}/media/{name}").content for port in ports.values()}
        if len(bodies) != 1:
            raise BenchError(f"{name} is not the same on both sides")
