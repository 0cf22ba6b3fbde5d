"""Where a shard's lane listens: at a Unix socket, and at TCP only where other nodes may be.

Rules of this file
- The node's own processes use the socket, so in a cluster of one node there is no TCP: anybody on the machine could
  knock there. A local Ray is such a cluster; a Ray that was joined may get more nodes at any time.
- What is returned is what the map will say, and clients will dial: the doors prove themselves under these addresses.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ray
import structlog

from cluster.lane.server import LaneServer
from configs.settings import Settings

EVERYWHERE = ("0.0.0.0", "::")  # addresses to listen on, none to dial
LOOPBACK = "127.0.0.1"


async def listen(lane: LaneServer, settings: Settings, directory: Path) -> dict[str, Any]:
    """Open the lane; returns its unix_path, "" if there is none, its host and its port, 0 if there is none.

    Without room for the socket's path in a socket's address, TCP serves this node too; in a cluster of one node on
    loopback, where other users of the machine can connect, though not get in.
    """
    path, port = str(directory / "lane.sock"), 0
    joined, host = bool(settings.cluster.ray_address), settings.lane.host
    try:
        await lane.start_unix(path)
    except ValueError as error:
        structlog.get_logger().warning("no Unix socket for the lane: TCP serves this node too", reason=str(error))
        path = ""
    if joined:
        known_as = ray.util.get_node_ip_address() if host in EVERYWHERE else host
        port = await lane.start_tcp(host, known_as=known_as)
        host = known_as
    elif not path:
        host = LOOPBACK
        port = await lane.start_tcp(host)
    return {"unix_path": path, "host": host, "port": port}
